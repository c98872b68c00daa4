//! What changes is said in words.

use redan_config::{Appliance, ChangeKind, diff};

const OLD: &str = include_str!("../examples/evaluation.toml");

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn changes(edits: &[(&str, &str)]) -> Vec<String> {
    let old = Appliance::parse(OLD, "old").unwrap();
    let mut text = OLD.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let new = Appliance::parse(&text, "new").unwrap_or_else(|mistakes| {
        eprintln!("{mistakes}");
        old.clone()
    });
    diff(&old, &new)
        .into_iter()
        .map(|change| {
            let mark = match change.kind {
                ChangeKind::Added => '+',
                ChangeKind::Changed => '~',
                ChangeKind::Removed => '-',
            };
            format!("{mark} {} | {}", change.path, change.text)
        })
        .collect()
}

#[test]
fn a_rate_is_compared_in_words() {
    assert_eq!(
        changes(&[("guest = 600", "guest = 20")]),
        ["~ services.shop.rates.guest | service shop: rate limit for guest 600 → 20 a minute"]
    );
    assert_eq!(
        changes(&[("rates = { guest = 10,", "rates = { guest = 12,")]),
        [
            "~ services.shop.routes.limited.rates.guest | service shop, route limited: rate limit for guest 10 → 12 a minute"
        ]
    );
}

#[test]
fn things_that_come_and_go_are_named() {
    let (head, rest) = OLD.split_once("[[policies]]").unwrap();
    let (policy, _) = rest.split_once("# https").unwrap();
    let whole = format!("[[policies]]{policy}");
    assert!(!head.is_empty());
    assert_eq!(
        changes(&[(&whole, "")]),
        ["- policies.operator-to-application | policy operator-to-application removed"]
    );
    assert_eq!(
        changes(&[(
            "[[identity.users]]",
            "[[identity.users]]\nname = \"eve\"\nroles = [\"viewer\"]\n\n[[identity.users]]"
        )]),
        ["+ identity.users.eve | user eve added: roles viewer"]
    );
}

#[test]
fn values_lists_and_order_are_compared() {
    assert_eq!(
        changes(&[("connect-timeout = \"1s\"", "connect-timeout = \"1500ms\"")]),
        ["~ services.shop.upstreams.main.connect-timeout | service shop, upstream main: connect timeout 1s → 1500ms"]
    );
    assert_eq!(
        changes(&[("\"10.77.2.2:8080\"", "\"10.77.2.2:8080\", \"10.77.2.3:8080\"")]),
        ["+ services.shop.upstreams.main.servers | service shop, upstream main: server 10.77.2.3:8080 added"]
    );
    assert_eq!(
        changes(&[(
            "listen = [{ interface = \"public0\", port = 8443 }]",
            "listen = [{ interface = \"public0\", port = 443 }]"
        )]),
        [
            "- services.shop.listen | service shop: listen address removed: interface public0, port 8443",
            "+ services.shop.listen | service shop: listen address added: interface public0, port 443",
        ]
    );
    assert_eq!(
        changes(&[
            (
                "name = \"limited\"\npath = \"/limited\"",
                "name = \"api-\"\npath = \"/x\""
            ),
            ("[services.shop]", "[services.shop]")
        ])
        .len(),
        2
    );
}

#[test]
fn an_optional_key_appears_and_disappears() {
    assert_eq!(
        changes(&[(
            "zone = \"private\"\naddresses",
            "zone = \"private\"\nmtu = 1400\naddresses"
        )]),
        ["+ interfaces.private0.mtu | interface private0: mtu set to 1400"]
    );
    assert_eq!(
        changes(&[("comment = \"operators\"", "")]),
        ["- zones.management.comment | zone management: comment operators removed"]
    );
}

#[test]
fn writing_a_default_out_changes_nothing() {
    assert_eq!(
        changes(&[("[services.shop]\n", "[services.shop]\nmask-errors = true\n")]),
        [] as [&str; 0]
    );
}
