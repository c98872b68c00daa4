//! The whole appliance on a disk that is full or cannot be written: a clear error, nothing lost, serving goes on.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, curl, is_root};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A small file system in memory. Unmounted with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, mebibytes: u32) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={mebibytes}m,mode=0700");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &options, "redan-test", at.to_str().unwrap()],
        );
        Self(at.to_owned())
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        run("mount", &["-o", &options, self.0.to_str().unwrap()]);
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut filler = File::options()
            .create(true)
            .append(true)
            .open(self.0.join("filler"))
            .unwrap();
        for size in [1 << 20, 4 << 10, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// A new API key; the error where it is refused.
fn new_key(appliance: &Appliance) -> Result<String, String> {
    let output = appliance.redan(&["key", "create", "admin", "--role", "user", "--comment", "disk"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    }
    let key = text.split_whitespace().find(|word| word.starts_with("redan_"));
    Ok(key.expect("the key is printed").to_owned())
}

fn works(appliance: &Appliance, key: &str) -> bool {
    let bearer = format!("Authorization: Bearer {key}");
    curl(&["-H", &bearer, &format!("{}api/orders", appliance.url())]).status == 200
}

#[test]
fn on_a_full_disk_writes_are_refused_serving_goes_on_and_nothing_acknowledged_is_lost() {
    if !is_root("on_a_full_disk") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let disk = Disk::mount(&folder.path().join("state"), 64);
    let appliance = Appliance::start_in(folder, &[]);
    let mut keys = vec![new_key(&appliance).unwrap()];
    disk.fill();
    // What is preallocated takes some changes yet: large documents use it up.
    let running = appliance.redan_ok(&["config", "show"]);
    let candidate = appliance.folder().join("candidate.toml");
    let until = Instant::now() + PATIENCE;
    let refused = loop {
        assert!(Instant::now() < until, "the disk does not fill up");
        let padding = "# padding\n".repeat(90_000);
        fs::write(&candidate, format!("{running}\n{padding}# {}\n", keys.len())).unwrap();
        let applied = appliance.redan(&["config", "apply", candidate.to_str().unwrap()]);
        if !applied.status.success() {
            break String::from_utf8_lossy(&applied.stderr).into_owned();
        }
        let _ = appliance.redan_ok(&["config", "confirm"]);
        keys.push(new_key(&appliance).unwrap());
    };
    assert!(
        refused.contains("the disk is full, the change was not made"),
        "{refused}"
    );
    let history = appliance.redan_ok(&["config", "history"]);
    // A small change may find room yet; whatever is acknowledged counts.
    keys.extend(new_key(&appliance));
    assert_eq!(curl(&[appliance.url()]).status, 200, "serving goes on");
    assert!(keys.iter().all(|key| works(&appliance, key)), "and so do the keys");
    disk.free();
    appliance.until("changes are possible again", PATIENCE, |appliance| {
        appliance
            .redan(&["config", "apply", candidate.to_str().unwrap()])
            .status
            .success()
    });
    let _ = appliance.redan_ok(&["config", "confirm"]);
    keys.push(new_key(&appliance).unwrap());
    let again = Appliance::start_in(appliance.stop(), &[]);
    assert!(
        keys.iter().all(|key| works(&again, key)),
        "nothing acknowledged is lost"
    );
    assert_eq!(curl(&[again.url()]).status, 200);
    let after = again.redan_ok(&["config", "history"]);
    let known = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let versions: Vec<_> = after.lines().map(known).collect();
    assert!(
        history.lines().all(|line| versions.contains(&known(line))),
        "{history}{after}"
    );
    let export = again.folder().join("audit.jsonl");
    let export = export.to_str().unwrap();
    let _ = again.redan_ok(&["audit", "export", export]);
    let verified = again.redan(&["audit", "verify", export]);
    assert!(verified.status.success(), "{verified:?}");
    drop(again);
}

#[test]
fn on_a_disk_that_cannot_be_written_the_start_ends_and_says_so() {
    if !is_root("on_a_disk_that_cannot_be_written") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("state");
    let disk = Disk::mount(&state, 64);
    let folder = Appliance::start_in(folder, &[]).stop();
    disk.remount("ro");
    let started = Instant::now();
    let output = Appliance::command(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let error = text.lines().last().unwrap_or_default();
    assert!(
        error.contains(state.to_str().unwrap()) && error.to_lowercase().contains("read-only"),
        "{text}"
    );
    disk.remount("rw");
    let again = Appliance::start_in(folder, &[]);
    assert_eq!(curl(&[again.url()]).status, 200);
    drop(again);
}
