//! A software HSM behind its PKCS#11 module, in the worker's process.

use redan_hal::keys::pkcs11::{Patience, Pkcs11Device, Spawn};
use redan_types::SecretString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const PIN: &str = "correct horse 271828";
pub(crate) const LABEL: &str = "redan test";
const OFFICER: &str = "31415926";

/// A token of its own.
pub(crate) struct SoftHsm {
    folder: TempDir,
    module: PathBuf,
    worker: PathBuf,
}

impl SoftHsm {
    /// Makes a token; `None`, and a line that says so, where SoftHSM is not installed.
    pub(crate) fn start() -> Option<Self> {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
        let module = places.iter().map(Path::new).find(|path| path.exists());
        let (Some(module), Ok(_)) = (
            module,
            Command::new("softhsm2-util")
                .arg("--version")
                .stdout(Stdio::null())
                .status(),
        ) else {
            eprintln!("skipped: SoftHSM is not installed");
            return None;
        };
        let hsm = Self {
            folder: tempfile::tempdir().unwrap(),
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
                OFFICER,
            ])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        Some(hsm)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How to start a worker for it.
    pub(crate) fn spawn(&self) -> Spawn {
        let mut spawn = self.spawn_without_tokens();
        spawn.argument("--write").argument(self.path("tokens"));
        spawn
    }

    /// How to start a worker that may not touch its tokens.
    pub(crate) fn spawn_without_tokens(&self) -> Spawn {
        let mut spawn = Spawn::new(&self.worker);
        spawn
            .argument("--module")
            .argument(&self.module)
            .argument("--read")
            .argument(self.path("softhsm2.conf"))
            .environment("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        spawn
    }

    pub(crate) fn open(&self) -> Pkcs11Device {
        Pkcs11Device::open(
            Box::new(self.spawn()),
            LABEL,
            SecretString::new(PIN.to_owned()),
            PATIENCE,
        )
        .unwrap()
    }
}

pub(crate) const PATIENCE: Patience = Patience {
    answer: Duration::from_secs(20),
    making: Duration::from_secs(90),
};

/// The worker's dynamic binary, built where it is not there or not fresh.
fn worker() -> PathBuf {
    static WORKER: OnceLock<PathBuf> = OnceLock::new();
    WORKER
        .get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliance/pkcs11/build");
            let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
            assert!(output.status.success(), "the worker does not build");
            let path = String::from_utf8(output.stdout).unwrap();
            PathBuf::from(path.trim())
        })
        .clone()
}
