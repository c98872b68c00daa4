//! What is left of secrets after their use: nothing in the memory of the vault and the proxy, nothing on the disk.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redan_tests::appliance::{Appliance, Response, curl, is_root};
use redan_tests::memory::occurrences;
use redan_tests::witness::Witness;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "seven purple walruses sing";
const PLAINTEXT: &str = "a plaintext that only its owner knows: 4111-9182-7364";

fn post(appliance: &Appliance, path: &str, headers: &[String], body: &Value) -> Response {
    let console = appliance.text("console_url").trim_end_matches('/');
    let mut arguments = vec![
        "--header".to_owned(),
        "content-type: application/json".to_owned(),
        "--data".to_owned(),
        body.to_string(),
        format!("{console}{path}"),
    ];
    for header in headers {
        arguments.extend(["--header".to_owned(), header.clone()]);
    }
    curl(&arguments)
}

/// Files below a folder that hold one of these.
fn on_disk(folder: &Path, wanted: &[&[u8]]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(on_disk(&path, wanted));
        } else if let Ok(bytes) = fs::read(&path) {
            let holds = |secret: &&[u8]| memchr::memmem::find(&bytes, secret).is_some();
            found.extend(
                wanted
                    .iter()
                    .position(|secret| holds(secret))
                    .map(|number| format!("{number} in {path:?}")),
            );
        }
    }
    found
}

#[test]
fn nothing_is_left_of_a_plaintext_a_password_an_api_key_or_a_recovery_share() {
    if !is_root("what is left of secrets") {
        return;
    }
    let witness = Witness::start().unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("residue.toml");
    let document = include_str!("residue.toml").replace("UPSTREAM", &witness.address().port().to_string());
    fs::write(&file, document).unwrap();
    let appliance = Appliance::start_in(folder, &["--config", file.to_str().unwrap()]);

    // Each secret is used in the way of its kind.
    let console = appliance.text("console_url").trim_end_matches('/').to_owned();
    let own = ["x-redan-console: 1".to_owned(), format!("origin: {console}")];
    let first = json!({ "name": "admin", "password": appliance.text("password") });
    let signed_in = post(&appliance, "/api/v1/login", &own, &first);
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let cookie = signed_in
        .head
        .lines()
        .filter_map(|line| {
            line.split_once(": ")
                .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        })
        .filter_map(|(_, value)| value.split(';').next())
        .collect::<Vec<_>>()
        .join("; ");
    let mut with_session = own.to_vec();
    with_session.push(format!("cookie: {cookie}"));
    let change = json!({ "current": appliance.text("password"), "new": PASSWORD });
    assert_eq!(post(&appliance, "/api/v1/password", &with_session, &change).status, 200);
    let again = json!({ "name": "admin", "password": PASSWORD });
    assert_eq!(post(&appliance, "/api/v1/login", &own, &again).status, 200);

    let made = appliance.redan_ok(&["key", "create", "admin", "--role", "user", "--comment", "residue"]);
    let key = made
        .split_whitespace()
        .find(|word| word.starts_with("redan_"))
        .unwrap()
        .to_owned();
    let bearer = [format!("authorization: Bearer {key}")];
    let plain = STANDARD.encode(PLAINTEXT);
    let sealed = post(
        &appliance,
        "/api/v1/transit/orders/encrypt",
        &bearer,
        &json!({ "items": [{ "plaintext": plain }] }),
    );
    assert_eq!(sealed.status, 200, "{sealed:?}");
    let value: Value = serde_json::from_str(&sealed.body).unwrap();
    let opened = json!({ "items": [{ "ciphertext": value["items"][0]["value"] }] });
    let opened = post(&appliance, "/api/v1/transit/orders/decrypt", &bearer, &opened);
    assert!(opened.body.contains(&plain), "{opened:?}");
    for _ in 0..5 {
        let answered = curl(&["-H", &bearer[0], &format!("{}anything", appliance.url())]);
        assert_eq!(answered.status, 200, "{answered:?}");
    }
    let shares = appliance.redan_ok(&["vault", "recovery"]);
    let share = shares
        .lines()
        .find(|line| line.len() > 60 && !line.contains(' '))
        .unwrap()
        .to_owned();

    // The key's secret part: its beginning may be shown in lists.
    let key_end = &key[key.len() - 24..];
    let wanted: [&[u8]; 5] = [
        PLAINTEXT.as_bytes(),
        plain.as_bytes(),
        PASSWORD.as_bytes(),
        key_end.as_bytes(),
        share.as_bytes(),
    ];
    let names = [
        "plaintext",
        "plaintext in base64",
        "password",
        "API key",
        "recovery key",
    ];
    // The scan finds what is there: this very process knows all of them, in memory that it may write.
    let copies: Vec<Vec<u8>> = wanted.iter().map(|secret| secret.to_vec()).collect();
    let here = occurrences(std::process::id(), &wanted).unwrap();
    for number in 0..wanted.len() {
        assert!(
            here.iter().any(|(found, _)| *found == number),
            "the scan misses the {}",
            names[number]
        );
    }
    drop(copies);
    for service in ["vault", "proxy"] {
        let mut left = Vec::new();
        // Connections that have just ended are let go a moment later.
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let found = occurrences(appliance.pid(service), &wanted).unwrap();
            let before = std::mem::replace(&mut left, found);
            if left.is_empty() || (std::time::Instant::now() > until && before.len() == left.len()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let told: Vec<_> = left
            .iter()
            .map(|(number, at)| format!("{} at {at:#x}", names[*number]))
            .collect();
        assert!(told.is_empty(), "left in the memory of the {service}: {told:?}");
    }
    let folder = appliance.stop();
    let left = on_disk(&folder.path().join("state"), &wanted);
    assert!(left.is_empty(), "left on the disk: {left:?}");
}
