//! Keys that applications use through the console's API without having them, on the whole appliance.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its assumptions do")]

use redan_tests::appliance::{Appliance, Response, curl};
use redan_tests::witness::Witness;
use serde_json::{Value, json};
use tempfile::TempDir;

fn start(folder: TempDir, witness: &Witness) -> Appliance {
    let file = folder.path().join("keys.toml");
    let document = format!(
        r#"schema = 1

[zones.public]
[zones.management]

[interfaces.public0]
zone = "public"
addresses = ["10.77.1.1/24"]

[interfaces.mgmt0]
zone = "management"
addresses = ["10.77.3.1/24"]

[services.shop]
listen = [{{ interface = "public0", port = 8443 }}]
hosts = ["shop.test"]
upstreams.main = {{ servers = ["127.0.0.1:{}"] }}
routes = [{{ name = "all", upstream = "main" }}]

[secrets.keys.orders]
kind = "aes256"
encrypt = ["user"]
decrypt = ["developer"]

[secrets.keys.release]
kind = "ed25519"
sign = ["developer"]
verify = ["user"]
rate = 3

[[identity.users]]
name = "admin"
roles = ["admin"]

[console]
listen = {{ interface = "mgmt0", port = 9443 }}
hosts = ["127.0.0.1"]
"#,
        witness.address().port()
    );
    std::fs::write(&file, document).unwrap();
    Appliance::start_in(folder, &["--config", file.to_str().unwrap()])
}

fn key(appliance: &Appliance, role: &str) -> String {
    let created = appliance.redan_ok(&["key", "create", "admin", "--role", role, "--comment", "transit"]);
    let word = created.split_whitespace().find(|word| word.starts_with("redan_"));
    word.unwrap_or_else(|| panic!("no key in {created}")).to_owned()
}

fn ask(appliance: &Appliance, key: &str, path: &str, body: &Value) -> (Response, Value) {
    let response = curl(&[
        "--header",
        &format!("authorization: Bearer {key}"),
        "--header",
        "content-type: application/json",
        "--data",
        &body.to_string(),
        &format!("{}api/v1/transit/{path}", appliance.text("console_url")),
    ]);
    let value = serde_json::from_str(&response.body).unwrap_or(Value::Null);
    (response, value)
}

#[test]
fn an_application_encrypts_what_only_another_role_decrypts_also_after_a_restart() {
    let witness = Witness::start().unwrap();
    let appliance = start(TempDir::new().unwrap(), &witness);
    let (user, developer) = (key(&appliance, "user"), key(&appliance, "developer"));
    let plain =
        json!({ "items": [{ "plaintext": "NDExMQ==", "context": "row 7" }, { "plaintext": "", "context": "row 8" }] });
    let (response, sealed) = ask(&appliance, &user, "orders/encrypt", &plain);
    assert_eq!(response.status, 200, "{response:?}");
    let first = sealed["items"][0]["value"].as_str().unwrap().to_owned();
    assert!(first.starts_with("redan:v1:"), "{first}");

    let wanted =
        json!({ "items": [{ "ciphertext": first, "context": "row 7" }, { "ciphertext": first, "context": "row 8" }] });
    let (refused, _) = ask(&appliance, &user, "orders/decrypt", &wanted);
    assert_eq!(refused.status, 403, "{refused:?}");
    let (_, opened) = ask(&appliance, &developer, "orders/decrypt", &wanted);
    assert_eq!(opened["items"][0]["value"], "NDExMQ==");
    assert!(
        opened["items"][1]["error"]
            .as_str()
            .unwrap()
            .contains("another context"),
        "{opened}"
    );
    assert_eq!(
        ask(&appliance, "redan_nonsense", "orders/decrypt", &wanted).0.status,
        401
    );
    assert_eq!(ask(&appliance, &developer, "nothing/decrypt", &wanted).0.status, 403);

    let log = appliance.redan_ok(&["audit", "search", "--resource", "key/orders", "--limit", "50"]);
    for action in ["key.created", "key.encrypt", "key.decrypt"] {
        assert!(log.contains(action), "{action}: {log}");
    }
    assert!(log.contains("denied"), "{log}");

    let appliance = start(appliance.stop(), &witness);
    let (_, opened) = ask(&appliance, &developer, "orders/decrypt", &wanted);
    assert_eq!(opened["items"][0]["value"], "NDExMQ==", "{opened}");
}

#[test]
fn a_caller_who_asks_too_often_is_told_when_to_come_again() {
    let witness = Witness::start().unwrap();
    let appliance = start(TempDir::new().unwrap(), &witness);
    let developer = key(&appliance, "developer");
    let input = json!({ "items": ["cmVsZWFzZSA3"] });
    let answers: Vec<_> = (0..5)
        .map(|_| ask(&appliance, &developer, "release/sign", &input).0)
        .collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let wait: u32 = answers[4].field("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
}
