//! What must not start, must not run, must not open. With the probe, and only among the long tests.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_image_tests::image::{Image, Kind, VERSION};
use redan_image_tests::machine::Body;
use redan_image_tests::{all, ready};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SECOND: u64 = 512;

fn wanted() -> bool {
    if !all() {
        eprintln!("skipped: a long test (tests/run --all)");
        return false;
    }
    ready()
}

/// Where the first slot begins on the disk, in bytes: behind the system partition, which begins after the first mebibyte.
fn slot(disk: &Path) -> u64 {
    let table = std::fs::File::open(disk).unwrap();
    let mut entry = [0; 128];
    // The second entry of the partition table, which begins in the third sector.
    table.read_exact_at(&mut entry, 2 * SECOND + 128).unwrap();
    u64::from_le_bytes(entry[32..40].try_into().unwrap()) * SECOND
}

/// Replaces the kernel image in the system partition.
fn replace_kernel(disk: &Path, kernel: &Path) {
    let target = format!("{}@@1M", disk.display());
    let name = format!("::EFI/Linux/redan_{VERSION}.efi");
    let copied = Command::new("mcopy")
        .args(["-o", "-i", &target])
        .arg(kernel)
        .arg(&name)
        .env("MTOOLS_SKIP_CHECK", "1")
        .status();
    assert!(copied.unwrap().success());
}

#[test]
fn nothing_runs_or_changes_that_is_not_on_the_verified_root() {
    if !wanted() {
        return;
    }
    let body = Body::new(&Image::of(Kind::Probe));
    let mut machine = body.start();
    machine.wait_for_start();
    assert!(machine.ask("execute verified").contains("usage: redan-data"));
    for kind in ["dropped", "memory"] {
        assert!(
            machine.ask(&format!("execute {kind}")).contains("Permission denied"),
            "{kind}"
        );
    }
    assert!(machine.ask("module").contains("Operation not permitted"));
    assert_eq!(machine.ask("read /proc/sys/kernel/modules_disabled"), "1");
    assert!(
        machine
            .ask("write /usr/lib/redan/redan-vault")
            .contains("Read-only file system")
    );
    assert!(
        machine
            .ask("read /sys/kernel/security/lockdown")
            .contains("[confidentiality]")
    );
    assert_eq!(machine.ask("read /sys/kernel/security/ipe/enforce"), "1");
    assert!(machine.ask("write /sys/kernel/security/ipe/enforce").contains("error"));
    let line = machine.ask("read /proc/cmdline");
    assert!(
        line.contains("module.sig_enforce=1") && line.contains("redan.root="),
        "{line}"
    );
}

#[test]
fn a_kernel_image_that_nobody_signed_or_that_was_changed_is_refused() {
    if !wanted() {
        return;
    }
    let image = Image::of(Kind::Probe);
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = std::fs::read(image.file("efi")).unwrap();
    // In the middle of the compressed kernel.
    let middle = kernel.len() / 2;
    kernel[middle] ^= 1;
    let changed = folder.path().join("changed.efi");
    std::fs::write(&changed, kernel).unwrap();
    let body = Body::new(&image);
    replace_kernel(&body.disk(), &changed);
    let mut machine = body.start();
    let outcome = machine.wait_for_any(&[
        "redan-init:",
        "Access Denied",
        "Access denied",
        "Security Violation",
        "Security violation",
    ]);
    assert_ne!(outcome, 0, "it started: {}", machine.said());
}

#[test]
fn one_changed_byte_in_the_root_stops_the_machine() {
    if !wanted() {
        return;
    }
    let image = Image::of(Kind::Probe);
    let body = Body::new(&image);
    let disk = OpenOptions::new().read(true).write(true).open(body.disk()).unwrap();
    let slot = slot(&body.disk());
    // The superblock of the file system, the first thing that is read of it.
    let mut byte = [0];
    disk.read_exact_at(&mut byte, slot + 1_024 + 80).unwrap();
    disk.write_all_at(&[byte[0] ^ 1], slot + 1_024 + 80).unwrap();
    drop(disk);
    let mut machine = body.start();
    let outcome = machine.wait_for_any(&["handing over", "Kernel panic - not syncing: dm-verity"]);
    assert_eq!(outcome, 1, "{}", machine.said());
}

#[test]
fn the_data_opens_on_its_own_machine_only_and_the_recovery_key_opens_it_elsewhere() {
    if !wanted() {
        return;
    }
    let image = Image::of(Kind::Probe);
    let home = Body::new(&image);
    let mut machine = home.start();
    machine.wait_for_start();
    assert!(machine.ask("read /run/redan/boot").contains("data=new"));
    let key = machine.ask("read /run/redan/recovery");
    assert_eq!(key.len(), 44, "{key}");
    assert_eq!(machine.ask("remember the alamo"), "done");
    drop(machine);

    // Switched off hard and on again: the TPM opens it, and nobody is told the key again.
    let mut machine = home.start();
    machine.wait_for_start();
    assert!(machine.ask("read /run/redan/boot").contains("data=tpm"));
    assert_eq!(machine.ask("read /data/remembered"), "the alamo");
    assert!(machine.ask("read /run/redan/recovery").contains("No such file"));
    drop(machine);

    // The disk in another machine, with the same firmware and the same image.
    let elsewhere = Body::new(&image);
    let moved = Command::new("cp")
        .arg("--sparse=always")
        .args([home.disk(), elsewhere.disk()])
        .status()
        .unwrap();
    assert!(moved.success());
    let mut machine = elsewhere.start();
    machine.wait_for("the TPM of another machine", Duration::from_secs(420));
    machine.wait_for_start();
    assert!(machine.ask("read /run/redan/boot").contains("data=locked"));
    assert!(machine.ask("read /data/remembered").contains("error"));
    let wrong = key.chars().rev().collect::<String>();
    assert!(machine.ask(&format!("open {wrong}")).contains("exit status: 1"));
    let opened = machine.ask(&format!("open {}", key.to_lowercase()));
    assert!(opened.contains("the next start needs no recovery key"), "{opened}");
    assert_eq!(machine.ask("read /data/remembered"), "the alamo");
    assert!(machine.ask("read /run/redan/boot").contains("data=recovery"));
    drop(machine);

    // It belongs there now. And destroyed it is gone.
    let mut machine = elsewhere.start();
    machine.wait_for_start();
    assert!(machine.ask("read /run/redan/boot").contains("data=tpm"));
    assert!(machine.ask("destroy").contains("destroyed"));
    drop(machine);
    let mut machine = elsewhere.start();
    machine.wait_for_start();
    assert!(machine.ask("read /run/redan/boot").contains("data=new"));
    assert_ne!(machine.ask("read /run/redan/recovery"), key);
    assert!(machine.ask("read /data/remembered").contains("No such file"));
}
