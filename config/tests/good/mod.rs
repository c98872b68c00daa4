//! A good document, and what spoiling it must lead to.
#![allow(dead_code, unreachable_pub, reason = "shared by test programs")]

use redan_config::{Appliance, Kind, Mistake, Mistakes};

/// A good document, which each test spoils in one place.
pub const GOOD: &str = r#"schema = 1

[zones.public]
[zones.private]
[zones.management]

[interfaces.eth0]
zone = "public"
addresses = ["203.0.113.10/24"]
gateway = "203.0.113.1"

[interfaces.eth1]
zone = "private"
addresses = ["10.0.0.1/24"]

[interfaces.eth2]
zone = "management"
addresses = ["10.1.0.1/24"]

[groups.desks]
addresses = ["10.0.0.128/25"]

[[policies]]
name = "desks-out"
from = ["private"]
to = ["public"]
protocol = "tcp"
ports = [80, 443]
sources = ["@desks"]
action = "allow"

[services.shop]
listen = [{ zone = "public", port = 443 }]
hosts = ["shop.example.org"]
upstreams.main.servers = ["10.0.0.20:8080"]

[[services.shop.routes]]
name = "api"
path = "/api"
upstream = "main"
access = [{ path = "/api/orders", methods = ["GET"], roles = ["user"] }]

[[services.shop.routes]]
name = "all"
path = "/"
upstream = "main"

[[identity.users]]
name = "admin"
roles = ["admin"]

[console]
listen = { interface = "eth2", port = 9443 }
networks = ["10.1.0.0/24"]
"#;

#[expect(clippy::panic, reason = "a helper of tests")]
pub fn mistakes(text: &str) -> Mistakes {
    match Appliance::parse(text, "redan.toml") {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(mistakes) => mistakes,
    }
}

/// The good document with `from` replaced by `to`: exactly one mistake, of this kind, under exactly this text.
#[track_caller]
pub fn one(from: &str, to: &str, kind: Kind, under: &str, message: &str, help: &str) -> Mistake {
    assert_eq!(
        GOOD.matches(from).count(),
        1,
        "{from:?} does not stand exactly once in the good document"
    );
    let text = GOOD.replacen(from, to, 1);
    one_in(&text, kind, under, message, help)
}

#[track_caller]
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
pub fn one_in(text: &str, kind: Kind, under: &str, message: &str, help: &str) -> Mistake {
    let all = mistakes(text);
    assert_eq!(all.errors.len(), 1, "{all}");
    let mistake = all.errors.first().unwrap().clone();
    assert_eq!(mistake.message, message, "{all}");
    assert_eq!(mistake.kind, kind, "{all}");
    assert_eq!(&text[mistake.span.clone()], under, "{all}");
    let before = &text[..mistake.span.start];
    assert_eq!(
        mistake.line,
        before.lines().count().max(1) + usize::from(before.ends_with('\n')),
        "{all}"
    );
    assert_eq!(
        mistake.column,
        before.chars().rev().take_while(|c| *c != '\n').count() + 1,
        "{all}"
    );
    let said = format!("{} {}", mistake.label, mistake.help.clone().unwrap_or_default());
    assert!(said.contains(help), "{help:?} is not said in\n{all}");
    mistake
}
