//! What the field's own scanners say of the published port. They take minutes, so they run only with the long tests
//! (`tests/run --all`), and each is skipped, loudly, where it is not installed.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_tests::appliance::Appliance;
use serde_json::Value;
use std::process::{Command, Stdio};

/// What a scanner finds because the evaluation has an authority of its own, which no client trusts, which publishes no revocations
/// and whose names stand in no DNS zone.
const OWN_AUTHORITY: [&str; 3] = ["cert_chain_of_trust", "cert_revocation", "DNS_CAArecord"];

/// Whether the long tests are asked for and the scanner is there.
fn wanted(scanner: &str) -> bool {
    if std::env::var_os("REDAN_TEST_ALL").is_none() {
        println!("skipped: {scanner} runs with the long tests only");
        return false;
    }
    let found = Command::new(scanner)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        println!("skipped: {scanner} is not installed");
    }
    found
}

#[test]
fn testssl_finds_nothing_to_complain_of() {
    if !wanted("testssl") {
        return;
    }
    let appliance = Appliance::start(&[]);
    let report = appliance.folder().join("testssl.json");
    let status = Command::new("timeout")
        .args([
            "240",
            "testssl",
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
            "--jsonfile",
        ])
        .arg(&report)
        .arg(appliance.published())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert!(
        findings.len() > 100,
        "{status}: only {} findings: the scan ended early",
        findings.len()
    );
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| !matches!(finding["severity"].as_str(), Some("OK" | "INFO")))
        .filter(|finding| !OWN_AUTHORITY.contains(&finding["id"].as_str().unwrap()))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn sslyze_finds_mozillas_intermediate_profile_kept() {
    if !wanted("sslyze") {
        return;
    }
    let appliance = Appliance::start(&[]);
    let output = Command::new("timeout")
        .args(["120", "sslyze", appliance.published()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("SCANS COMPLETED"), "{text}");
    let (_, compliance) = text.split_once("COMPLIANCE AGAINST TLS CONFIGURATION").unwrap();
    let bad: Vec<_> = compliance
        .lines()
        .filter_map(|line| line.trim().strip_prefix("* "))
        .filter(|finding| !finding.starts_with("certificate_path_validation"))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn slowhttptest_never_makes_the_service_unavailable() {
    if !wanted("slowhttptest") {
        return;
    }
    let appliance = Appliance::start(&[]);
    for (attack, name) in [("-H", "slow heads"), ("-B", "slow bodies"), ("-X", "slow readers")] {
        let output = Command::new("timeout")
            .args([
                "60",
                "slowhttptest",
                attack,
                "-c",
                "300",
                "-r",
                "100",
                "-i",
                "3",
                "-l",
                "25",
                "-p",
                "3",
                "-t",
                "POST",
                "-u",
                appliance.url(),
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("service available"), "{name}: {text}");
        let unavailable = text
            .lines()
            .filter(|line| line.contains("service available") && line.contains("NO"))
            .count();
        assert_eq!(unavailable, 0, "{name}: {text}");
        assert!(
            attack == "-X" || text.contains("No open connections left"),
            "{name}: the connections were not ended within 25 s: {text}"
        );
    }
}
