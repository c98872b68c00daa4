//! Drives the disk image in QEMU as an operator and an attacker would: over the serial line, the network, and with the disk in hand.
//!
//! | module | what |
//! |---|---|
//! | [`image`] | the images, built once for all tests |
//! | [`machine`] | one machine, its serial line and its two networks |
//! | [`monitor`] | what hands do to a machine: plugging in, pressing buttons |
//! | [`operator`] | what an operator does in the serial menu |
//! | [`stick`] | USB sticks |
//!
//! The probe is the one program that is not the product: it takes the supervisor's place in an image that is signed like any other, so
//! that a test can try from inside what a captured supervisor could.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

pub mod image;
pub mod machine;
pub mod monitor;
pub mod operator;
pub mod stick;

use std::path::PathBuf;

/// A program of this workspace, which was built before the tests (`cargo build --workspace --all-targets`).
///
/// # Panics
/// Where there is no target folder.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // The test lies in `deps`, the programs beside that folder.
    own.parent().and_then(|deps| deps.parent()).unwrap().join(name)
}

/// Whether the long tests are to be run.
#[must_use]
pub fn all() -> bool {
    std::env::var_os("REDAN_TEST_ALL").is_some()
}

/// Whether what the image is made with and started in is installed; says so where it is not.
///
/// # Panics
/// Where it must be there.
#[must_use]
pub fn ready() -> bool {
    let missing: Vec<_> = [
        "qemu-system-x86_64",
        "swtpm",
        "mkfs.erofs",
        "mcopy",
        "mkfs.vfat",
        "depmod",
        "zstd",
        "strip",
        "unshare",
    ]
    .into_iter()
    .filter(|name| std::process::Command::new(name).arg("--version").output().is_err())
    .collect();
    if missing.is_empty() && std::path::Path::new("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd").exists() {
        return true;
    }
    assert!(
        std::env::var_os("REDAN_REQUIRE_DATA").is_none(),
        "not installed: {missing:?} or ovmf"
    );
    eprintln!("skipped: not installed: {missing:?} or ovmf");
    false
}
