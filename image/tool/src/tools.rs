//! Programs of the build machine, and errors that say what was being done.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What cannot be done, and why.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Adds what was being done.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Box<dyn Error>>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| format!("{}: {}", what(), error.into()).into())
    }
}

/// The moment that everything in the image is dated: times of the build would make each image another one.
pub(crate) const EPOCH: &str = "1767225600";

/// A program with an environment that does not let the build machine's habits into the image.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .env("E2FSPROGS_FAKE_TIME", EPOCH)
        .env("MTOOLS_SKIP_CHECK", "1")
        .stdin(Stdio::null());
    command
}

/// Runs a program and returns what it wrote.
pub(crate) fn run<A: AsRef<OsStr>>(name: &str, arguments: &[A]) -> Outcome<Vec<u8>> {
    run_command(program(name).args(arguments))
}

/// Runs a program and returns what it wrote; what it complained of is part of the error.
pub(crate) fn run_command(command: &mut Command) -> Outcome<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .context(|| format!("cannot run {name}; is its Debian package installed?"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed ({}): {}", output.status, said.trim()).into())
}

pub(crate) fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).context(|| format!("cannot read {}", path.display()))
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Outcome<()> {
    if let Some(folder) = path.parent() {
        folder_at(folder)?;
    }
    fs::write(path, content).context(|| format!("cannot write {}", path.display()))
}

pub(crate) fn folder_at(path: &Path) -> Outcome<()> {
    fs::create_dir_all(path).context(|| format!("cannot make the folder {}", path.display()))
}

/// Every file below a folder, in the order of their paths, relative to it.
pub(crate) fn files_below(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(at) = open.pop() {
        let listing =
            fs::read_dir(folder.join(&at)).context(|| format!("cannot list {}", folder.join(&at).display()))?;
        for entry in listing {
            let entry = entry?;
            let path = at.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path as text; the image has no other paths.
pub(crate) fn text(path: &Path) -> Outcome<&str> {
    path.to_str()
        .ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}
