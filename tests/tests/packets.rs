//! Real packets through the kernel's filter, from the sides of an evaluation.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, curl, curl_in, is_root, within};
use std::time::Duration;

#[test]
fn the_public_side_reaches_the_published_port_and_nothing_else() {
    if !is_root("packets") {
        return;
    }
    let appliance = Appliance::start(&[]);
    let public = Some(appliance.side("public0"));
    assert_eq!(curl_in(public, &["https://10.77.1.1:8443/"]).status, 200);
    let scan = within(public, "nmap")
        .args([
            "-Pn",
            "-n",
            "-sS",
            "-p",
            "1-1024,8080,8443,9443",
            "--max-retries",
            "1",
            "-T4",
            "10.77.1.1",
            "-oG",
            "-",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&scan.stdout);
    let open: Vec<&str> = text
        .split([',', ' ', '\t'])
        .filter(|part| part.contains("/open/"))
        .collect();
    assert_eq!(open.len(), 1, "{text}");
    assert!(open[0].starts_with("8443/open"), "{text}");
    // Neither the console's address nor the application is reachable from the public side.
    for target in ["https://10.77.3.1:9443/", "http://10.77.2.2:8080/"] {
        let response = curl_in(public, &["--connect-timeout", "2", target]);
        assert_eq!(response.status, 0, "{target}: {response:?}");
    }
    // The operator may look at the application, by policy.
    let management = Some(appliance.side("mgmt0"));
    assert_eq!(curl_in(management, &["http://10.77.2.2:8080/health"]).status, 200);
}

#[test]
fn a_blocked_address_is_cut_off_at_once_and_let_in_when_the_block_ends() {
    if !is_root("blocks") {
        return;
    }
    let appliance = Appliance::start(&[]);
    assert_eq!(curl(&[appliance.url()]).status, 200);
    let _ = appliance.redan_ok(&["block", "10.77.1.2", "--for", "5s", "--reason", "a test"]);
    let blocked = curl(&["--connect-timeout", "2", "--max-time", "2", appliance.url()]);
    assert_eq!(blocked.status, 0, "{blocked:?}");
    appliance.until("the block ends by itself", Duration::from_secs(15), |_| {
        curl(&["--max-time", "2", appliance.url()]).status == 200
    });
}

#[test]
fn an_address_that_holds_its_handshakes_open_takes_them_from_no_other() {
    if !is_root("handshakes of two addresses") {
        return;
    }
    let appliance = Appliance::start(&[]);
    let public = Some(appliance.side("public0"));
    // A second client on the public side; the relay's connections come from the first.
    let added = within(public, "ip")
        .args(["addr", "add", "10.77.1.9/24", "dev", "far"])
        .status()
        .unwrap();
    assert!(added.success());
    let silent: Vec<_> = (0..300)
        .map(|_| std::net::TcpStream::connect(appliance.published()).unwrap())
        .collect();
    let other = curl_in(
        public,
        &["--interface", "10.77.1.9", "--max-time", "3", "https://10.77.1.1:8443/"],
    );
    assert_eq!(other.status, 200, "{other:?}");
    // The ClientHello's deadline ends the silence, and then the first address is served again.
    appliance.until("the first address is served", Duration::from_secs(15), |appliance| {
        curl(&["--max-time", "2", appliance.url()]).status == 200
    });
    drop(silent);
}
