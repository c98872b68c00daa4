//! A software TPM of the test's own.

use redan_hal::keys::KeyDevice;
use redan_hal::keys::tpm2::{Address, Patience, Tpm2Device};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A software TPM whose state outlives its process.
#[derive(Debug)]
pub struct Swtpm {
    folder: TempDir,
    child: Option<Child>,
}

impl Swtpm {
    /// Starts one; `None`, and a line that says so, where the program is not installed.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        let version = Command::new("swtpm").arg("--version").stdout(Stdio::null()).status();
        if version.is_err() {
            eprintln!("SKIPPED {test}: swtpm is not installed");
            return None;
        }
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let mut tpm = Self { folder, child: None };
        tpm.power_on();
        Some(tpm)
    }

    /// What `--tpm` takes.
    #[must_use]
    pub fn place(&self) -> String {
        format!("unix:{}", self.folder.path().join("socket").display())
    }

    /// Starts its process: the registers begin anew.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn power_on(&mut self) {
        let socket = self.folder.path().join("socket");
        let _ = std::fs::remove_file(&socket);
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let child = Command::new("swtpm")
            .args([
                "socket",
                "--tpm2",
                "--flags",
                "not-need-init,startup-clear",
                "--tpmstate",
            ])
            .arg(format!("dir={}", at("state")))
            .args(["--server", &format!("type=unixio,path={}", at("socket"))])
            .args(["--ctrl", &format!("type=unixio,path={}", at("control"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Instant::now();
        // Its readiness is told by nothing but its socket.
        while UnixStream::connect(&socket).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends its process.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn power_off(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Extends a register, while nobody else talks to the TPM.
    ///
    /// # Panics
    /// When it does not let itself be extended.
    pub fn extend(&self, pcr: u8) {
        let folder = TempDir::new().unwrap();
        let address = Address::Socket(self.folder.path().join("socket"));
        let device = Tpm2Device::open(Arc::new(address), folder.path(), Patience::default()).unwrap();
        device.extend(pcr, &[1; 32]).unwrap();
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.power_off();
    }
}
