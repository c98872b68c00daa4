//! Builds what the evaluation starts: the console's pages with npm, the services with cargo. Both show their own progress.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The oldest Node.js that builds the console's pages.
const NODE: u32 = 20;

/// Why the build did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("{program} cannot be run; {advice}")]
    Missing {
        program: &'static str,
        advice: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("Node.js {0} is too old to build the console's pages; version {NODE} or newer is needed")]
    OldNode(String),
    #[error("{0} failed; what it printed is above")]
    Failed(&'static str),
    #[error("{0} was not built before; run without --no-build")]
    NotBuilt(PathBuf),
}

/// Where the binaries are once everything is built.
pub(crate) fn everything(release: bool, build: bool) -> Result<PathBuf, BuildError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let binaries = binaries(release);
    if build {
        pages(&root.join("appliance/console/web"))?;
        services(&root, release)?;
    }
    let supervisor = binaries.join("redan-supervisor");
    if supervisor.exists() {
        Ok(binaries)
    } else {
        Err(BuildError::NotBuilt(supervisor))
    }
}

/// The folder of this very program's profile, or its release sibling.
fn binaries(release: bool) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("."));
    match folder.parent() {
        Some(target) if release => target.join("release"),
        _ => folder.to_owned(),
    }
}

fn services(root: &Path, release: bool) -> Result<(), BuildError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    eprintln!("building the services");
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["build", "--workspace", "--bins", "--exclude", "redan-evaluate"]);
    if release {
        command.arg("--release");
    }
    run("cargo", "it comes with Rust", &mut command)
}

fn pages(web: &Path) -> Result<(), BuildError> {
    let newest = newest(&web.join("src")).max(modified(&web.join("package-lock.json")));
    if modified(&web.join("dist")) > newest && web.join("dist/index.html").exists() {
        return Ok(());
    }
    let node = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|source| BuildError::Missing {
            program: "node",
            advice: "install Node.js 20 or newer (it builds the console's pages)",
            source,
        })?;
    let version = String::from_utf8_lossy(&node.stdout).trim().to_owned();
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < NODE) {
        return Err(BuildError::OldNode(version));
    }
    let advice = "it comes with Node.js";
    if modified(&web.join("node_modules/.package-lock.json")) <= modified(&web.join("package-lock.json")) {
        eprintln!("installing what the console's pages are built with");
        run(
            "npm ci",
            advice,
            npm(web).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]),
        )?;
    }
    eprintln!("building the console's pages");
    run("npm run build", advice, npm(web).args(["run", "--silent", "build"]))
}

fn npm(web: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(web);
    command
}

fn run(name: &'static str, advice: &'static str, command: &mut Command) -> Result<(), BuildError> {
    let status = command.status().map_err(|source| BuildError::Missing {
        program: name,
        advice,
        source,
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(BuildError::Failed(name))
    }
}

fn modified(path: &Path) -> SystemTime {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The youngest change of a file in or below a folder.
fn newest(folder: &Path) -> SystemTime {
    let Ok(entries) = folder.read_dir() else {
        return SystemTime::UNIX_EPOCH;
    };
    entries
        .flatten()
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                newest(&path).max(modified(&path))
            } else {
                modified(&path)
            }
        })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
