//! The proxy never has a private key: shown by searching its memory with a scan that finds the key in the vault.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, curl, is_root};
use redan_tests::memory::{find, scan};
use std::process::{Command, Stdio};

#[test]
fn the_scan_that_finds_the_private_key_in_the_vault_finds_none_in_the_proxy_or_the_console() {
    if !is_root("key isolation") {
        return;
    }
    let appliance = Appliance::start(&[]);
    // Every handshake is a signature: the key is in use when the memory is searched.
    for _ in 0..20 {
        assert_eq!(curl(&[appliance.url()]).status, 200);
    }
    let public = public_key(appliance.published());
    let vault = find(appliance.pid("vault"), &public).unwrap();
    assert!(
        !vault.found.is_empty(),
        "the scan must find the key where it is: {vault:?}"
    );
    for service in ["proxy", "console", "manager", "network"] {
        let other = scan(appliance.pid(service), &public).unwrap();
        assert!(other.bytes > 100_000 && other.tried > 0, "{service}: {other:?}");
        assert_eq!(other.found, [0; 0], "the private key is in the memory of the {service}");
    }
}

/// The uncompressed point of the certificate's key.
fn public_key(address: &str) -> Vec<u8> {
    let client = Command::new("openssl")
        .args(["s_client", "-connect", address])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let certificate = String::from_utf8_lossy(&client.stdout).into_owned();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate).unwrap();
    let x509 = Command::new("openssl")
        .args(["x509", "-noout", "-pubkey", "-in"])
        .arg(file.path())
        .output()
        .unwrap();
    std::fs::write(file.path(), &x509.stdout).unwrap();
    let der = Command::new("openssl")
        .args(["pkey", "-pubin", "-outform", "DER", "-in"])
        .arg(file.path())
        .output()
        .unwrap();
    // The point is the last 65 bytes of a P-256 SubjectPublicKeyInfo (RFC 5480 section 2).
    let point = der
        .stdout
        .get(der.stdout.len().saturating_sub(65)..)
        .unwrap_or_default()
        .to_vec();
    assert_eq!((point.len(), point.first()), (65, Some(&4)), "{x509:?}");
    point
}
