//! TLS 1.2, where a service asks for it and nowhere else: the vault signs its key exchange for that service only.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_tests::appliance::{Appliance, curl};
use redan_tests::witness::Witness;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn start(witness: &Witness) -> Appliance {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("both.toml");
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

[services.old]
listen = [{{ interface = "public0", port = 8443 }}]
hosts = ["old.test"]
tls = {{ min-version = "1.2", reason = "a till that cannot be updated" }}
upstreams.main = {{ servers = ["127.0.0.1:{port}"] }}
routes = [{{ name = "all", upstream = "main" }}]

[services.new]
listen = [{{ interface = "public0", port = 8443 }}]
hosts = ["new.test"]
upstreams.main = {{ servers = ["127.0.0.1:{port}"] }}
routes = [{{ name = "all", upstream = "main" }}]

[[identity.users]]
name = "admin"
roles = ["admin"]

[console]
listen = {{ interface = "mgmt0", port = 9443 }}
"#,
        port = witness.address().port()
    );
    std::fs::write(&file, document).unwrap();
    Appliance::start_in(folder, &["--config", file.to_str().unwrap()])
}

#[test]
fn tls_1_2_is_spoken_with_the_service_that_allows_it_and_with_no_other() {
    let witness = Witness::start().unwrap();
    let appliance = start(&witness);
    let (_, port) = appliance.published().rsplit_once(':').unwrap();
    let ask = |host: &str, options: &[&str]| {
        let url = format!("https://{host}:{port}/");
        let resolve = format!("{host}:{port}:127.0.0.1");
        let mut arguments = vec!["--resolve", resolve.as_str()];
        arguments.extend(options);
        arguments.push(url.as_str());
        curl(&arguments)
    };
    let old = ["--tls-max", "1.2"];
    for protocol in ["--http1.1", "--http2"] {
        let page = ask("old.test", &[old[0], old[1], protocol]);
        assert_eq!(page.status, 200, "{protocol}: {page:?}");
        assert_eq!(ask("new.test", &[protocol]).status, 200, "TLS 1.3 for the other");
        assert_eq!(ask("old.test", &[protocol]).status, 200, "TLS 1.3 for the same");
        assert_eq!(
            ask("new.test", &[old[0], old[1], protocol]).status,
            0,
            "no TLS 1.2 for the other"
        );
    }
    let refused = appliance.redan_ok(&["audit", "search", "--action", "signature.refused"]);
    assert!(
        !refused.contains("signature.refused"),
        "the vault is not even asked: {refused}"
    );
}

#[test]
fn tls_1_2_has_only_ephemeral_keys_authenticated_ciphers_and_extended_master_secrets() {
    let witness = Witness::start().unwrap();
    let appliance = start(&witness);
    let connect = |options: &[&str]| {
        let output = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                appliance.published(),
                "-servername",
                "old.test",
                "-tls1_2",
            ])
            .args(options)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let usual = connect(&[]);
    assert!(usual.contains("Extended master secret: yes"), "{usual}");
    assert!(usual.contains("Secure Renegotiation IS supported"), "{usual}");
    for cipher in [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ] {
        assert!(
            connect(&["-cipher", cipher]).contains(&format!("Cipher is {cipher}")),
            "{cipher}"
        );
    }
    for cipher in [
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-ECDSA-AES128-SHA",
        "AES128-GCM-SHA256",
        "DHE-RSA-AES128-GCM-SHA256",
    ] {
        let text = connect(&["-cipher", &format!("{cipher}:@SECLEVEL=0")]);
        assert!(text.contains("Cipher is (NONE)"), "{cipher}: {text}");
    }
}
