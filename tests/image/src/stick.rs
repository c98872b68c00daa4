//! USB sticks.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const REPORTED: Duration = Duration::from_secs(180);

/// A stick with the label that the appliance looks for.
#[derive(Debug)]
pub struct Stick {
    folder: TempDir,
}

impl Stick {
    /// With these files.
    ///
    /// # Panics
    /// Where there is no room for it.
    #[must_use]
    pub fn with(files: &[(&str, &Path)]) -> Self {
        let stick = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        File::create(stick.path()).unwrap().set_len(96 << 20).unwrap();
        let formatted = Command::new("mkfs.vfat")
            .args(["-n", "REDAN"])
            .arg(stick.path())
            .output();
        assert!(formatted.unwrap().status.success());
        for (name, from) in files {
            let copied = Command::new("mcopy")
                .arg("-i")
                .arg(stick.path())
                .arg(from)
                .arg(format!("::{name}"))
                .output();
            let copied = copied.unwrap();
            assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        }
        stick
    }

    /// Its content.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("stick.img")
    }

    /// Waits until the report on it says this.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_for_report(&self, serial: &str, text: &str) {
        let end = Instant::now() + REPORTED;
        loop {
            let read = Command::new("mtype")
                .arg("-i")
                .arg(self.path())
                .arg(format!("::redan-report-{serial}.txt"))
                .output()
                .unwrap();
            let report = String::from_utf8_lossy(&read.stdout).into_owned();
            if report.contains(text) {
                return;
            }
            assert!(Instant::now() < end, "the report does not say {text:?}: {report}");
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
