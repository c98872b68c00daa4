//! A software TPM.

use redan_hal::keys::tpm2::{Address, Patience, Tpm2Device};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A software TPM of its own, whose state outlives its process.
pub(crate) struct Swtpm {
    folder: TempDir,
    child: Option<Child>,
}

impl Swtpm {
    /// Starts one; `None`, and a line that says so, where the program is not installed.
    pub(crate) fn start() -> Option<Self> {
        if Command::new("swtpm")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            eprintln!("skipped: swtpm is not installed");
            return None;
        }
        let mut tpm = Self {
            folder: tempfile::tempdir().unwrap(),
            child: None,
        };
        std::fs::create_dir(tpm.path("state")).unwrap();
        std::fs::create_dir(tpm.keys()).unwrap();
        tpm.power_on();
        Some(tpm)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the driver keeps its files.
    pub(crate) fn keys(&self) -> PathBuf {
        self.path("keys")
    }

    pub(crate) fn address(&self) -> Address {
        Address::Socket(self.path("socket"))
    }

    pub(crate) fn open(&self) -> Tpm2Device {
        Tpm2Device::open(Arc::new(self.address()), &self.keys(), PATIENCE).unwrap()
    }

    pub(crate) fn power_on(&mut self) {
        let _ = std::fs::remove_file(self.path("socket"));
        let child = Command::new("swtpm")
            .arg("socket")
            .arg("--tpm2")
            .args(["--tpmstate", &format!("dir={}", self.path("state").display())])
            .args([
                "--server",
                &format!("type=unixio,path={}", self.path("socket").display()),
            ])
            .args([
                "--ctrl",
                &format!("type=unixio,path={}", self.path("control").display()),
            ])
            .args(["--flags", "not-need-init,startup-clear"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Instant::now();
        // Its readiness is told by nothing but its socket.
        while UnixStream::connect(self.path("socket")).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn power_off(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops its process, so that it takes commands and answers none.
    pub(crate) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

/// Short, so that a test of silence is no test of patience.
pub(crate) const PATIENCE: Patience = Patience {
    answer: Duration::from_secs(10),
    making: Duration::from_secs(60),
    busy: Duration::from_secs(2),
};
