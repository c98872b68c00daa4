//! The product, started and provisioned as an operator does it.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_image_tests::image::{Image, Kind};
use redan_image_tests::machine::{Body, Machine, Side};
use redan_image_tests::{program, ready};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Emulated, with everything else that the tests do at the same time.
const SERVING: Duration = Duration::from_secs(300);

/// What the operator pastes: an application on the second interface, published on the first.
const CONFIGURATION: &str = r#"schema = 1

[zones.public]
[zones.private]

[interfaces.eth0]
zone = "public"
addresses = ["10.77.1.1/24", "192.168.1.1/24"]

[interfaces.eth1]
zone = "private"
addresses = ["10.77.2.1/24"]

[services.shop]
listen = [{ interface = "eth0", port = 8443 }]
hosts = ["10.77.1.1"]

[services.shop.upstreams.main]
servers = ["10.77.2.2:8080"]

[[services.shop.routes]]
name = "pages"
path = "/"
upstream = "main"

[console]
listen = { address = "192.168.1.1", port = 9443 }
networks = ["192.168.1.0/24"]

[[identity.users]]
name = "admin"
roles = ["admin"]
"#;

/// An application on the private side, ended with this value.
struct Application(Child);

impl Application {
    fn start(machine: &Machine<'_>) -> Self {
        let mut command = machine.program_on(Side::Private, &program("redan-evaluate"));
        Self(command.args(["--sample", "10.77.2.2:8080"]).spawn().unwrap())
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(machine: &Machine<'_>, side: Side, url: &str) -> Option<String> {
    let output = machine.on(side, &["curl", "--silent", "--insecure", "--max-time", "20", url]);
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait_for_page(machine: &mut Machine<'_>, url: &str, text: &str) {
    let end = Instant::now() + SERVING;
    while !get(machine, Side::Public, url).is_some_and(|page| page.contains(text)) {
        assert!(
            Instant::now() < end,
            "{url} does not answer with {text:?}: {}",
            machine.said()
        );
    }
}

#[test]
fn the_image_starts_is_provisioned_over_its_serial_line_and_protects_an_application() {
    if !ready() {
        return;
    }
    let body = Body::new(&Image::of(Kind::Appliance));
    let mut machine = body.start();
    machine.wait_for("UEFI Secure Boot is enabled", SERVING);
    machine.wait_for_start();

    // Before anybody has said anything: the console on the first interface, and nothing else.
    wait_for_page(&mut machine, "https://192.168.1.1:9443/", "<title>Redan");
    // Silent, not refused: the packet filter drops.
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

    machine.first_run();
    machine.type_line("4");
    machine.expect("Paste the document");
    for line in CONFIGURATION.lines() {
        machine.type_line(line);
    }
    machine.type_line(".");
    machine.keep_what_is_offered();

    // A request from one side to the application on the other, through TLS; and no way around the proxy.
    let _application = Application::start(&machine);
    wait_for_page(&mut machine, "https://10.77.1.1:8443/", "Corner shop");
    let route = ["ip", "route", "add", "10.77.2.0/24", "via", "10.77.1.1"];
    assert!(machine.on(Side::Public, &route).status.success());
    let back = ["ip", "route", "add", "10.77.1.0/24", "via", "10.77.2.1"];
    assert!(machine.on(Side::Private, &back).status.success());
    let around = machine.on(
        Side::Public,
        &["curl", "--silent", "--max-time", "5", "http://10.77.2.2:8080/"],
    );
    assert_eq!(around.status.code(), Some(28), "a packet passed from zone to zone");
    assert!(get(&machine, Side::Private, "http://10.77.2.2:8080/").is_some_and(|page| page.contains("Corner shop")));
    // From the second interface there is no console.
    assert!(get(&machine, Side::Private, "https://10.77.2.1:9443/").is_none());
}

#[test]
fn the_same_inputs_give_the_same_image() {
    if !ready() {
        return;
    }
    let image = Image::of(Kind::Appliance);
    let again = tempfile::tempdir().unwrap();
    image.build(again.path());
    let sums = |folder: &std::path::Path| std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(&image.folder), sums(again.path()));
}

#[test]
fn the_image_is_as_small_as_promised() {
    if !ready() {
        return;
    }
    let image = Image::of(Kind::Appliance);
    let report = Command::new(program("redan-image"))
        .args(["report", "--out"])
        .arg(&image.folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&report.stdout).into_owned() + &String::from_utf8_lossy(&report.stderr);
    assert!(report.status.success(), "{said}");
}
