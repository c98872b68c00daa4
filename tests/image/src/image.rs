//! The images that the tests start.

use crate::program;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Which image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The product.
    Appliance,
    /// The probe in the supervisor's place.
    Probe,
    /// The product, as a newer version.
    Newer,
    /// A newer version yet, whose supervisor ends at once.
    Broken,
}

impl Kind {
    /// The version that it says it is.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Appliance | Self::Probe => VERSION,
            Self::Newer => "9.0.0",
            Self::Broken => "9.1.0",
        }
    }

    /// What stands in the supervisor's place, where it is not the supervisor.
    const fn instead(self) -> Option<&'static str> {
        match self {
            Self::Appliance | Self::Newer => None,
            Self::Probe => Some("redan-image-probe"),
            // Without a task it says how it is used, and ends: the kernel does not go on without its first process.
            Self::Broken => Some("redan-data"),
        }
    }
}

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The folder with `redan-0.1.0.img` and its like.
    pub folder: PathBuf,
    /// The keys that it is signed with.
    pub keys: PathBuf,
    /// Which it is.
    pub kind: Kind,
}

/// The version of the programs, which is the workspace's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Image {
    /// The image of the programs that lie beside the test; built when a program is newer than it.
    ///
    /// # Panics
    /// Where it cannot be built.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        let base = base();
        let image = Self {
            folder: base.join(match kind {
                Kind::Appliance => "appliance",
                Kind::Probe => "probe",
                Kind::Newer => "newer",
                Kind::Broken => "broken",
            }),
            keys: base.join("keys"),
            kind,
        };
        // Tests are processes of their own; the first builds, the others wait.
        let lock = File::create(base.join("lock")).unwrap();
        lock.lock().unwrap();
        let built = modified(&image.folder.join("SHA256SUMS"));
        if built.is_none() || built < newest() {
            let _ = fs::remove_dir_all(&image.folder);
            image.build(&image.folder);
        }
        image
    }

    /// Builds the image into another folder.
    ///
    /// # Panics
    /// Where it cannot be built.
    pub fn build(&self, folder: &Path) {
        let programs = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(program("")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let is_replaced = name == "redan-supervisor" && self.kind.instead().is_some();
            if name.starts_with("redan-") && !name.contains('.') && !is_replaced {
                symlink(entry.path(), programs.path().join(name)).unwrap();
            }
        }
        if let Some(instead) = self.kind.instead() {
            symlink(program(instead), programs.path().join("redan-supervisor")).unwrap();
        }
        let output = Command::new(program("redan-image"))
            .args([
                "build",
                "--profile",
                "dev",
                "--version",
                self.kind.version(),
                "--binaries",
            ])
            .arg(programs.path())
            .arg("--out")
            .arg(folder)
            .arg("--keys")
            .arg(&self.keys)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// One of the results.
    #[must_use]
    pub fn file(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("redan-{}.{suffix}", self.kind.version()))
    }
}

fn base() -> PathBuf {
    let base = program("image-tests");
    fs::create_dir_all(&base).unwrap();
    base
}

fn newest() -> Option<SystemTime> {
    let files = fs::read_dir(program("")).unwrap().flatten().map(|entry| entry.path());
    let ours = files.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("redan-") && !name.contains('.')
    });
    ours.filter_map(|path| modified(&path)).max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}
