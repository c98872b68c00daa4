//! The product, started as an operator starts it.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_image_tests::image::{Image, Kind};
use redan_image_tests::machine::{Body, Machine, Side};
use redan_image_tests::ready;
use std::time::{Duration, Instant};

/// Emulated, with everything else that the tests do at the same time.
const SERVING: Duration = Duration::from_secs(300);

fn page(machine: &Machine<'_>, side: Side) -> Option<String> {
    let output = machine.on(
        side,
        &[
            "curl",
            "--silent",
            "--insecure",
            "--max-time",
            "20",
            "https://192.168.1.1:9443/",
        ],
    );
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_image_starts_its_services_and_answers_where_it_should_and_nowhere_else() {
    if !ready() {
        return;
    }
    let body = Body::new(&Image::of(Kind::Appliance));
    let mut machine = body.start();
    machine.wait_for("UEFI Secure Boot is enabled", Duration::from_secs(300));
    machine.wait_for_start();
    let end = Instant::now() + SERVING;
    let found = loop {
        if let Some(page) = page(&machine, Side::Public) {
            break page;
        }
        assert!(Instant::now() < end, "the console does not answer: {}", machine.said());
    };
    assert!(found.contains("<title>Redan"), "{found}");
    // Every other port of the first interface is silent, not refused: the packet filter drops.
    for port in ["22", "80", "8443"] {
        let output = machine.on(
            Side::Public,
            &[
                "curl",
                "--silent",
                "--max-time",
                "5",
                &format!("http://192.168.1.1:{port}/"),
            ],
        );
        assert_eq!(output.status.code(), Some(28), "port {port} answers");
    }
    // From the second interface the console is not there at all.
    let route = ["ip", "route", "add", "192.168.1.0/24", "dev", "rdprivate"];
    assert!(machine.on(Side::Private, &route).status.success());
    assert!(page(&machine, Side::Private).is_none());
}

#[test]
fn the_same_inputs_give_the_same_image() {
    if !ready() {
        return;
    }
    let image = Image::of(Kind::Appliance);
    let again = tempfile::tempdir().unwrap();
    image.build(Kind::Appliance, again.path());
    let sums = |folder: &std::path::Path| std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(&image.folder), sums(again.path()));
}
