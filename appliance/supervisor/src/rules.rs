//! Rule files of the web application firewall, read for services that have no file system. Nothing in them is looked at.

use redan_ipc::rules::{ArchiveError, FILE, FILES, FOLDER, RuleArchive, RuleFile, SETUP};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The usual names of a rule set's own settings.
const SETUPS: [&str; 2] = ["crs-setup.conf", "crs-setup.conf.example"];
/// Entries of a folder that are looked at.
const ENTRIES: usize = 16_384;

/// Why there are no rule files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    #[error("{0} is not an absolute path")]
    Relative(String),
    #[error("{path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a regular file", path = .0.display())]
    Irregular(PathBuf),
    #[error("{path} is not readable by everybody, and is therefore taken for no rule file", path = .0.display())]
    Private(PathBuf),
    #[error("{path} has more than {FILE} bytes", path = .0.display())]
    Large(PathBuf),
    #[error("{path} has more than {FILES} rule files", path = .0.display())]
    Many(PathBuf),
    #[error("there is no rule file (*.conf) in {path} or its folder rules", path = .0.display())]
    None(PathBuf),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Packs the rule files and data files of a folder. Whoever asks names the folder, so only what everybody may read is read.
pub(crate) fn read(directory: &str, setup: Option<&str>) -> Result<RuleArchive, RulesError> {
    let base = absolute(directory)?;
    let below = base.join("rules");
    let folder = if below.is_dir() { below } else { base.clone() };
    let mut files = Vec::new();
    let setup = match setup {
        Some(path) => Some(absolute(path)?),
        None => SETUPS.iter().map(|name| base.join(name)).find(|path| path.exists()),
    };
    if let Some(path) = &setup {
        files.push((SETUP.to_owned(), content(path)?));
    }
    let failed = |source| RulesError::Read {
        path: folder.clone(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)?.take(ENTRIES) {
        // A name that is no text is none that a rule file could have.
        let Ok(name) = entry.map_err(failed)?.file_name().into_string() else {
            continue;
        };
        let is_setup = setup.as_deref() == Some(folder.join(&name).as_path());
        if [".conf", ".data", ".mapping"].iter().any(|end| name.ends_with(end)) && !is_setup {
            names.push(name);
        }
    }
    if names.len() >= FILES {
        return Err(RulesError::Many(folder));
    }
    names.sort();
    if !names.iter().any(|name| name.ends_with(".conf")) {
        return Err(RulesError::None(base));
    }
    for name in names {
        files.push((format!("{FOLDER}{name}"), content(&folder.join(&name))?));
    }
    let files = files.iter().map(|(name, content)| RuleFile { name, content });
    Ok(RuleArchive::pack(files)?)
}

fn absolute(path: &str) -> Result<PathBuf, RulesError> {
    if path.starts_with('/') && !path.split('/').any(|part| part == "..") {
        Ok(PathBuf::from(path))
    } else {
        Err(RulesError::Relative(path.to_owned()))
    }
}

/// The content of a regular file that everybody may read; a link is followed by nobody.
fn content(path: &Path) -> Result<Vec<u8>, RulesError> {
    let failed = |source| RulesError::Read {
        path: path.to_owned(),
        source,
    };
    // Without blocking: what is no regular file may be a pipe that nobody writes to.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(RulesError::Irregular(path.to_owned())),
        Err(errno) => return Err(failed(errno.into())),
    };
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(RulesError::Irregular(path.to_owned()));
    }
    if facts.mode() & 0o004 == 0 {
        return Err(RulesError::Private(path.to_owned()));
    }
    let most = u64::try_from(FILE).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE {
        return Err(RulesError::Large(path.to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{RulesError, read};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        for (name, text) in [
            ("rules/b.conf", "b"),
            ("rules/a.conf", "a"),
            ("rules/words.data", "w"),
            ("rules/notes.txt", "n"),
            ("crs-setup.conf.example", "s"),
        ] {
            write(&folder.path().join(name), text);
        }
        let path = folder.path().to_str().unwrap().to_owned();
        (folder, path)
    }

    fn write(path: &std::path::Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    #[test]
    fn rule_and_data_files_come_in_order_and_the_setup_first() {
        let (_folder, path) = folder();
        let archive = read(&path, None).unwrap();
        let names: Vec<_> = archive.files().unwrap().iter().map(|file| file.name).collect();
        assert_eq!(
            names,
            ["setup.conf", "rules/a.conf", "rules/b.conf", "rules/words.data"]
        );
    }

    #[test]
    fn a_link_and_a_file_that_not_everybody_may_read_are_refused() {
        let (folder, path) = folder();
        symlink("/etc/hosts", folder.path().join("rules/c.conf")).unwrap();
        assert!(matches!(read(&path, None), Err(RulesError::Irregular(_))));
        std::fs::remove_file(folder.path().join("rules/c.conf")).unwrap();
        let private = folder.path().join("rules/a.conf");
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path, None), Err(RulesError::Private(_))));
    }

    #[test]
    fn a_folder_without_rules_says_so() {
        let empty = tempfile::tempdir().unwrap();
        let path = empty.path().to_str().unwrap();
        assert!(matches!(read(path, None), Err(RulesError::None(_))));
        assert!(matches!(read("/nonexistent/rules", None), Err(RulesError::Read { .. })));
        assert!(matches!(read("../etc", None), Err(RulesError::Relative(_))));
    }
}
