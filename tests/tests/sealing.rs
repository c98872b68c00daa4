//! What opens the vault: a TPM, an HSM, people; what happens where none of them does; what the audit log says of it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, curl};
use redan_tests::softhsm::SoftHsm;
use redan_tests::swtpm::Swtpm;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn status(appliance: &Appliance) -> Value {
    let output = appliance.redan(&["vault", "status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no status: {}", text(&output)))
}

/// Makes a recovery and gives its shares.
fn recovery(appliance: &Appliance, shares: &str, threshold: &str) -> Vec<String> {
    let printed = appliance.redan_ok(&["vault", "recovery", "--shares", shares, "--threshold", threshold]);
    let is_share = |line: &&str| line.len() > 60 && !line.contains(' ');
    printed.lines().filter(is_share).map(str::to_owned).collect()
}

fn new_key(appliance: &Appliance) -> String {
    let text = appliance.redan_ok(&["key", "create", "admin", "--role", "user", "--comment", "sealing"]);
    let key = text.split_whitespace().find(|word| word.starts_with("redan_"));
    key.expect("the key is printed").to_owned()
}

/// The status of a request with an API key; 0 where there is no answer.
fn served(appliance: &Appliance, key: &str) -> u16 {
    let bearer = format!("Authorization: Bearer {key}");
    curl(&["-H", &bearer, &format!("{}api/orders", appliance.url())]).status
}

/// Actions of the audit log, newest first, with what each entry says.
fn log(appliance: &Appliance) -> String {
    appliance.redan_ok(&["audit", "search", "--limit", "100"])
}

#[test]
fn an_operator_closes_the_vault_and_only_the_recovery_opens_it() {
    let appliance = Appliance::start(&[]);
    let key = new_key(&appliance);
    assert_eq!(served(&appliance, &key), 200);
    let refused = appliance.redan(&["vault", "seal"]);
    assert!(
        !refused.status.success() && text(&refused).contains("make a recovery first"),
        "{}",
        text(&refused)
    );
    let shares = recovery(&appliance, "3", "2");
    assert_eq!(shares.len(), 3);

    let before = appliance.pid("vault");
    let _ = appliance.redan_ok(&["vault", "seal"]);
    appliance.until(
        "the vault's process ended and another came up sealed",
        PATIENCE,
        |appliance| {
            let service = appliance.service("vault");
            service["state"] == "ready" && service["pid"] != before
        },
    );
    assert_eq!(status(&appliance)["sealed"], "an operator sealed it");
    assert_eq!(
        served(&appliance, &key),
        0,
        "no new connection while the vault is sealed"
    );
    assert!(text(&appliance.redan(&["status"])).contains("the vault is sealed: an operator sealed it"));
    let refused = appliance.redan(&["user", "list"]);
    assert!(text(&refused).contains("sealed"), "{}", text(&refused));

    // It stays closed over a restart of the whole appliance.
    let folder = appliance.stop();
    let appliance = Appliance::start_sealed(folder, &[]);
    assert!(appliance.printed().contains("an operator sealed it"));
    let unseal = |input: &str| appliance.redan_reading(&["vault", "unseal"], input);
    let mut mistyped = shares[0].clone();
    mistyped.replace_range(0..1, if mistyped.starts_with('A') { "B" } else { "A" });
    assert!(text(&unseal(&mistyped)).contains("mistyped"));
    assert!(unseal(&format!("{}\n", shares[2].to_lowercase())).status.success());
    assert_eq!(status(&appliance)["gathered"], 1);
    assert!(text(&unseal(&shares[2])).contains("brought already"));
    let opened = unseal(&format!("{}\n", shares[0]));
    assert!(
        opened.status.success() && text(&opened).starts_with("open\n"),
        "{}",
        text(&opened)
    );
    let appliance = appliance.opened();
    appliance.until("the application is served again", PATIENCE, |appliance| {
        served(appliance, &key) == 200
    });
    let log = log(&appliance);
    for action in [
        "vault.recovery-made",
        "vault.sealed",
        "vault.unseal-failed",
        "vault.unsealed",
    ] {
        assert!(log.contains(action), "{action} in {log}");
    }

    // Once opened by people it opens by itself again; and what was replaced opens nothing.
    let replaced = appliance.redan(&["vault", "recovery"]);
    assert!(
        text(&replaced).contains("bring 2 of its 3 shares"),
        "{}",
        text(&replaced)
    );
    let both = format!("{}\n{}\n", shares[0], shares[1]);
    let replaced = appliance.redan_reading(&["vault", "recovery"], &both);
    assert!(replaced.status.success(), "{}", text(&replaced));
    let appliance = Appliance::start_in(appliance.stop(), &[]);
    assert_eq!(status(&appliance)["sealed"], Value::Null);
    assert_eq!(status(&appliance)["recovery"]["generation"], 2);
    let _ = appliance.redan_ok(&["vault", "reseal", "--manual"]);
    let appliance = Appliance::start_sealed(appliance.stop(), &[]);
    let old = appliance.redan_reading(&["vault", "unseal"], &both);
    assert!(text(&old).contains("which was replaced"), "{}", text(&old));
}

#[test]
fn a_tpm_opens_the_store_in_the_state_that_it_was_sealed_to_and_in_no_other() {
    let Some(tpm) = Swtpm::start("a_tpm_opens_the_store_in_the_state_that_it_was_sealed_to_and_in_no_other") else {
        return;
    };
    let place = tpm.place();
    let options = ["--tpm", &place];
    let appliance = Appliance::start(&options);
    let key = new_key(&appliance);
    let shares = recovery(&appliance, "1", "1");
    let now = status(&appliance);
    assert!(now["device"].as_str().unwrap().starts_with("TPM 2.0"), "{now}");
    assert!(now["sealed_to"].as_str().unwrap().contains("PCR 7, 11"), "{now}");

    let appliance = Appliance::start_in(appliance.stop(), &options);
    assert_eq!(served(&appliance, &key), 200, "opened by itself");
    let check = appliance.redan_ok(&["audit", "check"]);
    assert!(check.contains("OK: the log is intact"), "{check}");
    openssl_verifies_the_line_of_the_key_inside(&appliance, &check);

    // Another state of the machine.
    let folder = appliance.stop();
    tpm.extend(11);
    let appliance = Appliance::start_sealed(folder, &options);
    assert!(
        appliance
            .printed()
            .contains("sealed to another state of the machine: PCR 11 changed since"),
        "{}",
        appliance.printed()
    );
    let opened = appliance.redan_reading(&["vault", "unseal"], &shares[0]);
    assert!(opened.status.success(), "{}", text(&opened));
    let appliance = appliance.opened();
    assert_eq!(served(&appliance, &key), 200);
    let _ = appliance.redan_ok(&["vault", "reseal"]);
    let appliance = Appliance::start_in(appliance.stop(), &options);
    assert_eq!(served(&appliance, &key), 200, "sealed to the new state");

    // Another TPM.
    let folder = appliance.stop();
    let other = Swtpm::start("the other TPM").unwrap();
    let place = other.place();
    let options = ["--tpm", &place];
    let appliance = Appliance::start_sealed(folder, &options);
    assert!(
        appliance.printed().contains("sealed by another key device"),
        "{}",
        appliance.printed()
    );
    let opened = appliance.redan_reading(&["vault", "unseal"], &shares[0]);
    assert!(opened.status.success(), "{}", text(&opened));
    let appliance = appliance.opened();
    assert_eq!(served(&appliance, &key), 200);
    let _ = appliance.redan_ok(&["vault", "reseal"]);
    let check = appliance.redan_ok(&["audit", "check"]);
    assert!(check.contains("OK: the log is intact"), "{check}");
    export_verifies(&appliance, &[]);
    let appliance = Appliance::start_in(appliance.stop(), &options);
    assert_eq!(served(&appliance, &key), 200, "the other TPM opens it now");
    assert!(log(&appliance).contains("vault.resealed"));
}

#[test]
fn a_tpm_that_goes_away_stops_nothing_that_can_do_without_and_comes_back() {
    let Some(mut tpm) = Swtpm::start("a_tpm_that_goes_away_stops_nothing_that_can_do_without_and_comes_back") else {
        return;
    };
    let place = tpm.place();
    let appliance = Appliance::start(&["--tpm", &place, "--tpm-pcrs", ""]);
    let key = new_key(&appliance);
    tpm.power_off();
    assert_eq!(served(&appliance, &key), 200, "handshakes need no TPM");
    let _ = new_key(&appliance);
    let start = Instant::now();
    let file = appliance.folder().join("export.json");
    let export = appliance.redan(&["audit", "export", file.to_str().unwrap()]);
    assert!(start.elapsed() < PATIENCE, "the wait is bounded");
    assert!(
        !export.status.success() && text(&export).contains("the TPM at"),
        "the checkpoint cannot be counted, and that is said: {}",
        text(&export)
    );
    tpm.power_on();
    appliance.until("the TPM is used again", PATIENCE, |appliance| {
        appliance.redan(&["audit", "check"]).status.success()
            && appliance
                .redan(&["audit", "export", file.to_str().unwrap()])
                .status
                .success()
    });

    // At a start it is waited for.
    let folder = appliance.stop();
    tpm.power_off();
    let appliance = Appliance::start_sealed(folder, &["--tpm", &place, "--tpm-pcrs", ""]);
    assert!(appliance.printed().contains("is gone"), "{}", appliance.printed());
    tpm.power_on();
    let appliance = appliance.opened();
    assert_eq!(served(&appliance, &key), 200);
}

#[test]
fn an_older_copy_of_the_store_is_named_by_the_tpms_counter() {
    let Some(tpm) = Swtpm::start("an_older_copy_of_the_store_is_named_by_the_tpms_counter") else {
        return;
    };
    let place = tpm.place();
    let options = ["--tpm", &place];
    let folder = Appliance::start(&options).stop();
    let copy = TempDir::new().unwrap();
    copied(folder.path(), copy.path());
    let mut folder = folder;
    for _ in 0..2 {
        folder = Appliance::start_in(folder, &options).stop();
    }
    drop(folder);
    let appliance = Appliance::start_in(copy, &options);
    let notes = text(&appliance.redan(&["status"]));
    assert!(
        notes.contains("an older state of the store or of the device was restored"),
        "{notes}"
    );
    assert!(log(&appliance).contains("older state"), "the log itself says so");
}

fn copied(from: &Path, to: &Path) {
    let all = format!("{}/.", from.display());
    let copied = Command::new("cp").args(["-a", &all]).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Exports the log, which its verifier must find good with these keys; gives the export.
fn export_verifies(appliance: &Appliance, keys: &[&str]) -> String {
    let file = appliance.folder().join("verified.json");
    let _ = std::fs::remove_file(&file);
    let file = file.to_str().unwrap();
    let _ = appliance.redan_ok(&["audit", "export", file]);
    let mut arguments = vec!["audit", "verify", file];
    for key in keys {
        arguments.extend(["--key", key]);
    }
    let verified = appliance.redan_ok(&arguments);
    assert!(verified.contains("OK: everything verified"), "{verified}");
    std::fs::read_to_string(file).unwrap()
}

/// The line of the key inside the device, checked by somebody else's program.
fn openssl_verifies_the_line_of_the_key_inside(appliance: &Appliance, check: &str) {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let named = |name: &str| {
        let line = check.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {check}")).trim().to_owned()
    };
    let (common, inside) = (named("key "), named("in device "));
    let export = export_verifies(appliance, &[&common, &inside]);
    let notes = export.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["checkpoint"].as_str().map(str::to_owned)
    });
    let note = notes.last().expect("a checkpoint");
    let (signed, lines) = note.split_once("\n\n").unwrap();
    // The key's own base64 may hold plus signs: it follows the second one.
    let spki = STANDARD.decode(inside.splitn(3, '+').nth(2).unwrap()).unwrap();
    assert_eq!(spki[0], 2, "an ECDSA key");
    let signatures = lines
        .lines()
        .map(|line| STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap());
    let signature = signatures.last().unwrap();
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let (text, key) = (
        write("text", format!("{signed}\n").as_bytes()),
        write("key", &spki[1..]),
    );
    let verify = |signature: &Path| {
        let mut command = Command::new("openssl");
        command
            .args(["dgst", "-sha256", "-keyform", "DER", "-verify"])
            .arg(&key);
        command.arg("-signature").arg(signature).arg(&text).output().unwrap()
    };
    let good = verify(&write("signature", &signature[4..]));
    assert!(good.status.success(), "{good:?}");
    let mut wrong = signature[4..].to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(!verify(&write("wrong", &wrong)).status.success());
}

#[test]
fn an_hsm_opens_the_store_signs_inside_and_comes_back_when_its_worker_dies() {
    let test = "an_hsm_opens_the_store_signs_inside_and_comes_back_when_its_worker_dies";
    if !redan_tests::appliance::is_root(test) {
        return;
    }
    // The worker's user (`supervisor/src/manifest.rs`).
    let Some(hsm) = SoftHsm::start(test, 64_106) else {
        return;
    };
    let options = hsm.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let appliance = Appliance::start(&options);
    let key = new_key(&appliance);
    let now = status(&appliance);
    assert!(now["device"].as_str().unwrap().starts_with("PKCS#11"), "{now}");
    let check = appliance.redan_ok(&["audit", "check"]);
    assert!(
        check.contains("OK: the log is intact") && check.contains("in device"),
        "{check}"
    );
    let export = export_verifies(&appliance, &[]);
    assert!(
        export.contains("counter none"),
        "a token has no counter, and the log says so"
    );
    assert!(log(&appliance).contains("has no counter"));

    let worker = worker_of(&appliance);
    let status_of = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    assert!(status_of.contains("Uid:\t64106\t64106\t64106\t64106"), "{status_of}");
    assert!(status_of.contains("CapEff:\t0000000000000000"), "{status_of}");
    kill(worker);
    appliance.until("another worker took its place", PATIENCE, |appliance| {
        // A request that needs the token: the first one fails with the worker that is gone.
        let _ = new_key(appliance);
        let file = appliance.folder().join("after.json");
        let exported = appliance.redan(&["audit", "export", file.to_str().unwrap()]);
        exported.status.success() && worker_of(appliance) != worker
    });

    let appliance = Appliance::start_in(appliance.stop(), &options);
    assert_eq!(served(&appliance, &key), 200, "opened by itself");
    assert_eq!(status(&appliance)["sealed"], Value::Null);
}

/// The process of the HSM's worker, as the supervisor told.
fn worker_of(appliance: &Appliance) -> u32 {
    let printed = appliance.printed();
    let line = printed
        .lines()
        .filter(|line| line.contains("started the pkcs11"))
        .next_back();
    let number = line
        .and_then(|line| line.rsplit(' ').next())
        .and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("no worker in {printed}"))
}

fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}
