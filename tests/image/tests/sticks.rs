//! An appliance that is provisioned from a USB stick.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_image_tests::image::{Image, Kind};
use redan_image_tests::machine::{Body, Machine, Side};
use redan_image_tests::stick::Stick;
use redan_image_tests::{all, ready};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// An emulated appliance restarts its listeners in seconds.
const SERVING: Duration = Duration::from_secs(120);
/// The first interface's hardware address: QEMU's firmware has no serial number.
const SERIAL: &str = "525400726401";

fn configuration(address: &str, operator_key: &str) -> String {
    format!(
        "schema = 1\n\n[system]\noperator-keys = [\"{operator_key}\"]\n\n[zones.public]\n\n[interfaces.eth0]\nzone = \"public\"\n\
         addresses = [\"{address}/24\"]\n\n[console]\nlisten = {{ address = \"{address}\", port = 9443 }}\n\
         networks = [\"192.168.1.0/24\"]\n\n[[identity.users]]\nname = \"admin\"\nroles = [\"admin\"]\n"
    )
}

/// A key pair of minisign's, and the public key's line.
fn operator_key(folder: &Path) -> String {
    let made = Command::new("minisign")
        .args(["-G", "-W", "-p", "operator.pub", "-s", "operator.key"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let public = fs::read_to_string(folder.join("operator.pub")).unwrap();
    public.lines().nth(1).unwrap().to_owned()
}

fn answers(machine: &Machine<'_>, address: &str) -> bool {
    let url = format!("https://{address}:9443/");
    let output = machine.on(Side::Public, &["curl", "-sk", "--max-time", "20", &url]);
    String::from_utf8_lossy(&output.stdout).contains("<title>Redan")
}

fn wait_for_answer(machine: &mut Machine<'_>, address: &str) {
    let end = Instant::now() + SERVING;
    while !answers(machine, address) {
        assert!(Instant::now() < end, "no console at {address}: {}", machine.said());
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_stick_provisions_a_new_appliance_and_afterwards_only_a_signed_one_changes_it() {
    if !all() || !ready() {
        return;
    }
    if Command::new("minisign").arg("-v").output().is_err() {
        assert!(
            std::env::var_os("REDAN_REQUIRE_DATA").is_none(),
            "minisign is not installed"
        );
        eprintln!("skipped: minisign is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let key = operator_key(folder.path());
    let document = folder.path().join("redan.toml");
    // The first: unsigned, confirmed by whoever sits at the serial line.
    fs::write(&document, configuration("192.168.1.10", &key)).unwrap();
    let first = Stick::with(&[("redan.toml", &document)]);
    let body = Body::new(&Image::of(Kind::Appliance));
    let mut machine = body.start();
    machine.wait_for_start();
    machine.first_run();
    let plugged = machine.plug(&first);
    machine.wait_for_choice("Apply the unsigned configuration on the stick");
    machine.type_line("S");
    machine.expect("Nobody signed it.");
    machine.keep_what_is_offered();
    wait_for_answer(&mut machine, "192.168.1.10");
    first.wait_for_report(SERIAL, "is kept");
    machine.unplug(&plugged);

    // Another unsigned one is refused, without a question.
    fs::write(&document, configuration("192.168.1.11", &key)).unwrap();
    let second = Stick::with(&[("redan.toml", &document)]);
    let plugged = machine.plug(&second);
    second.wait_for_report(SERIAL, "redan.toml: it is not signed");
    assert!(answers(&machine, "192.168.1.10") && !answers(&machine, "192.168.1.11"));
    machine.unplug(&plugged);

    // A signed one for this machine is applied without anybody; one for another machine on the same stick is not.
    let signed = Command::new("minisign")
        .args(["-S", "-s", "operator.key", "-m", "redan.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let signature = folder.path().join("redan.toml.minisig");
    let other = folder.path().join("other.toml");
    fs::write(&other, configuration("192.168.1.12", &key)).unwrap();
    let own = format!("redan-{SERIAL}.toml");
    let third = Stick::with(&[
        ("redan-525400000000.toml", &other),
        (&own, &document),
        (&format!("{own}.minisig"), &signature),
    ]);
    let _third = machine.plug(&third);
    third.wait_for_report(SERIAL, "version 3 is kept");
    wait_for_answer(&mut machine, "192.168.1.11");
    assert!(!answers(&machine, "192.168.1.12"));
}
