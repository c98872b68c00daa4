//! A software HSM of the test's own, with a token in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const LABEL: &str = "redan appliance";
const PIN: &str = "correct horse 271828";

/// A token behind SoftHSM's module, and the worker that loads it.
#[derive(Debug)]
pub struct SoftHsm {
    folder: TempDir,
    module: PathBuf,
    worker: PathBuf,
}

impl SoftHsm {
    /// Makes a token that `user` may use; `None`, and a line that says so, where SoftHSM is not installed.
    ///
    /// # Panics
    /// When the token cannot be made, or the worker not be built.
    #[must_use]
    pub fn start(test: &str, user: u32) -> Option<Self> {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
        let module = places.iter().map(Path::new).find(|path| path.exists());
        let Some(module) = module else {
            eprintln!("SKIPPED {test}: SoftHSM is not installed");
            return None;
        };
        let hsm = Self {
            folder: TempDir::new().unwrap(),
            module: module.to_owned(),
            worker: worker(),
        };
        std::fs::create_dir(hsm.path("tokens")).unwrap();
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            hsm.path("tokens").display()
        );
        std::fs::write(hsm.path("softhsm2.conf"), configuration).unwrap();
        let made = Command::new("softhsm2-util")
            .env("SOFTHSM2_CONF", hsm.path("softhsm2.conf"))
            .args([
                "--init-token",
                "--free",
                "--label",
                LABEL,
                "--pin",
                PIN,
                "--so-pin",
                "31415926",
            ])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        std::fs::write(hsm.path("pin"), format!("{PIN}\n")).unwrap();
        let of = |path: PathBuf, mode: &str| {
            let changed = Command::new("chmod").arg(mode).arg(&path).status().unwrap();
            assert!(changed.success(), "{path:?}");
        };
        of(hsm.path("pin"), "600");
        // The worker's user comes in from outside the test's folder, and copies of the worker and its libraries are everybody's.
        of(hsm.folder.path().to_owned(), "755");
        let owned = Command::new("chown")
            .arg("-R")
            .arg(format!("{user}:{user}"))
            .arg(hsm.path("tokens"))
            .status()
            .unwrap();
        assert!(owned.success());
        Some(hsm)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the launcher takes.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let configuration = path(&self.path("softhsm2.conf"));
        [
            ("--pkcs11-worker", path(&self.worker)),
            ("--pkcs11-module", path(&self.module)),
            ("--pkcs11-token", LABEL.to_owned()),
            ("--pkcs11-pin", path(&self.path("pin"))),
            ("--pkcs11-read", configuration.clone()),
            ("--pkcs11-write", path(&self.path("tokens"))),
            ("--pkcs11-env", format!("SOFTHSM2_CONF={configuration}")),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// The PIN.
    #[must_use]
    pub const fn pin(&self) -> &'static str {
        PIN
    }
}

/// The worker's dynamic binary, built where it is not there or not fresh.
fn worker() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliance/pkcs11/build");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the worker does not build");
    let path = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(path.trim())
}
