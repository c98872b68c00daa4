//! Control groups of the unified hierarchy, where the host has its controllers.

use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::manifest::Group;

const ROOT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The appliance's group, with one below it for each service. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Its folder.
    folder: PathBuf,
    /// Its path within the hierarchy.
    path: String,
}

impl Groups {
    /// Makes the group below the supervisor's own, or says why there is none.
    pub(crate) fn create() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        Self::create_below(Path::new(ROOT), own)
    }

    fn create_below(root: &Path, own: &str) -> Result<Self, String> {
        let base = root.join(own.trim_start_matches('/'));
        let Ok(available) = fs::read_to_string(base.join("cgroup.controllers")) else {
            return Err("the unified hierarchy is not mounted at /sys/fs/cgroup; resource limits only".to_owned());
        };
        let missing: Vec<_> = CONTROLLERS
            .into_iter()
            .filter(|wanted| !available.split_whitespace().any(|word| word == *wanted))
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "the unified hierarchy lacks {}; resource limits only",
                missing.join(", ")
            ));
        }
        let name = format!("redan-{}", std::process::id());
        let (folder, path) = (base.join(&name), format!("{}/{name}", own.trim_end_matches('/')));
        let made = enable(&base)
            .and_then(|()| fs::create_dir(&folder))
            .and_then(|()| enable(&folder));
        match made {
            Ok(()) => Ok(Self { folder, path }),
            Err(error) => Err(format!(
                "the supervisor's own group cannot be divided ({error}); resource limits only"
            )),
        }
    }

    /// The group of one service with its limits: an open folder to start it in, and its path.
    pub(crate) fn of(&self, name: &str, limits: Group) -> io::Result<(OwnedFd, String)> {
        let folder = self.folder.join(name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::write(folder.join("memory.max"), limits.memory.to_string())?;
        fs::write(folder.join("pids.max"), limits.tasks.to_string())?;
        fs::write(folder.join("cpu.weight"), limits.weight.to_string())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok((
            rustix::fs::open(&folder, flags, Mode::empty())?,
            format!("{}/{name}", self.path),
        ))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // A group that still has a process stays; the supervisor has reaped them all before this.
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

fn enable(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("cgroup.subtree_control"), "+cpu +memory +pids")
}

#[cfg(test)]
mod tests {
    use super::Groups;
    use crate::manifest::SERVICES;
    use std::fs;

    #[test]
    fn a_host_without_the_controllers_is_told_apart() {
        let root = tempfile::tempdir().unwrap();
        assert!(
            Groups::create_below(root.path(), "/")
                .unwrap_err()
                .contains("is not mounted")
        );
        fs::write(root.path().join("cgroup.controllers"), "hugetlb pids\n").unwrap();
        assert_eq!(
            Groups::create_below(root.path(), "/").unwrap_err(),
            "the unified hierarchy lacks cpu, memory; resource limits only"
        );
    }

    #[test]
    fn limits_are_written_below_a_group_of_the_appliances_own() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a.scope")).unwrap();
        fs::write(
            root.path().join("a.scope/cgroup.controllers"),
            "cpuset cpu io memory pids\n",
        )
        .unwrap();
        let groups = Groups::create_below(root.path(), "/a.scope").unwrap();
        let (_, path) = groups.of("vault", SERVICES[0].group).unwrap();
        assert_eq!(path, format!("/a.scope/redan-{}/vault", std::process::id()));
        let limit = fs::read_to_string(root.path().join(&path[1..]).join("memory.max")).unwrap();
        assert_eq!(limit, SERVICES[0].group.memory.to_string());
    }
}
