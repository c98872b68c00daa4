//! Every kind of mistake in a single value is found at its place and said in plain words.

mod good;

use good::{GOOD, mistakes, one, one_in};
use redan_config::{Appliance, Kind};

#[test]
fn the_good_document_is_good_and_has_no_warnings() {
    let (_, warnings) = Appliance::parse_with_warnings(GOOD, "redan.toml").unwrap();
    assert_eq!(warnings.warnings, [], "{warnings}");
}

#[test]
fn a_mistake_is_printed_as_a_compiler_prints_its_own() {
    let text = GOOD.replacen("zone = \"private\"", "zone = \"privat\"", 1);
    assert_eq!(
        mistakes(&text).to_string(),
        r#"error: there is no zone `privat`
  --> redan.toml:13:8
   |
13 | zone = "privat"
   |        ^^^^^^^^ no such zone
   = help: did you mean `private`?

redan.toml: 1 mistake
"#
    );
}

#[test]
fn the_other_place_of_a_conflict_is_shown_too() {
    let text = GOOD
        .replacen("10.1.0.1/24", "10.0.0.2/24", 1)
        .replacen("networks = [\"10.1.0.0/24\"]", "", 1);
    assert_eq!(
        mistakes(&text).to_string(),
        r#"error: the networks of interfaces eth1 and eth2 overlap
  --> redan.toml:18:14
   |
18 | addresses = ["10.0.0.2/24"]
   |              ^^^^^^^^^^^^^ overlaps 10.0.0.0/24
   = help: an address must belong to exactly one interface, and so to one zone
note: eth1 has 10.0.0.1/24
  --> redan.toml:14:14
   |
14 | addresses = ["10.0.0.1/24"]
   |              ^^^^^^^^^^^^^

redan.toml: 1 mistake
"#
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = GOOD
        .replacen("gateway =", "gatway =", 1)
        .replacen("action = \"allow\"", "action = \"alow\"", 1)
        .replacen("port = 443", "port = \"443\"", 1)
        .replacen("upstream = \"main\"", "upstream = \"mian\"", 1)
        .replacen("roles = [\"user\"]", "roles = [\"usr\"]", 1);
    let all = mistakes(&text);
    let found: Vec<(usize, Kind)> = all.errors.iter().map(|mistake| (mistake.line, mistake.kind)).collect();
    assert_eq!(
        found,
        [
            (10, Kind::UnknownKey),
            (30, Kind::Value),
            (33, Kind::Type),
            (40, Kind::Dangling),
            (41, Kind::Dangling),
        ],
        "{all}"
    );
    assert!(all.to_string().ends_with("redan.toml: 5 mistakes\n"));
}

#[test]
fn several_syntax_errors_are_reported_beside_other_mistakes() {
    let text = GOOD
        .replacen("zone = \"public\"", "zone = public", 1)
        .replacen("name = \"all\"", "name = = \"all\"", 1)
        + "\n[limits]\nhandshakes = 1\n";
    let all = mistakes(&text);
    let syntax: Vec<usize> = all
        .errors
        .iter()
        .filter(|one| one.kind == Kind::Syntax)
        .map(|mistake| mistake.line)
        .collect();
    assert_eq!((syntax.first(), syntax.last()), (Some(&8), Some(&44)), "{all}");
    assert!(all.errors.iter().any(|mistake| mistake.kind == Kind::Range), "{all}");
    assert!(all.errors.iter().all(|mistake| mistake.kind != Kind::Missing), "{all}");
}

#[test]
fn a_line_that_is_no_toml_is_one_mistake() {
    for line in ["schema = = 1", "schema = 1 1", "schema = \"1"] {
        let all = mistakes(&GOOD.replacen("schema = 1", line, 1));
        let found: Vec<_> = all.errors.iter().map(|mistake| (mistake.kind, mistake.line)).collect();
        assert_eq!(
            found.iter().filter(|(_, at)| *at == found[0].1).count(),
            1,
            "{line}: {all}"
        );
        assert!(found.iter().all(|(kind, _)| *kind == Kind::Syntax), "{line}: {all}");
    }
    let all = mistakes(&GOOD.replacen("schema = 1", "schema = = 1", 1));
    assert_eq!(all.errors.len(), 1, "{all}");
}

#[test]
fn more_entries_than_are_allowed_are_one_mistake() {
    let zones: String = (0..4_097).map(|number| format!("[zones.z{number}]\n")).collect();
    let all = mistakes(&format!("{GOOD}\n{zones}"));
    assert_eq!(all.errors.len(), 1, "{all}");
    assert!(all.to_string().contains("at most 4096"), "{all}");
}

#[test]
fn an_empty_document_is_said_to_be_empty_and_how_to_begin() {
    for text in ["", "\n\n", "# nothing yet\n"] {
        let all = mistakes(text);
        assert_eq!(all.errors.len(), 1, "{all}");
        let text = all.to_string();
        assert!(
            text.contains("the document is empty") && text.contains("schema = 1"),
            "{text}"
        );
    }
}

#[test]
fn a_key_given_twice_is_a_mistake() {
    let all = mistakes(&GOOD.replacen("zone = \"private\"", "zone = \"private\"\nzone = \"public\"", 1));
    assert_eq!(
        all.errors.first().map(|mistake| (mistake.kind, mistake.line)),
        Some((Kind::Syntax, 14)),
        "{all}"
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_one_meant() {
    one(
        "[groups.desks]",
        "[gruops.x]\n[groups.desks]",
        Kind::UnknownKey,
        "gruops",
        "unknown key `gruops` in the document",
        "did you mean `groups`?",
    );
    one(
        "hosts = [",
        "key_header = \"x\"\nhosts = [",
        Kind::UnknownKey,
        "key_header",
        "unknown key `key_header` in [services.shop]",
        "did you mean `key-header`?",
    );
    one(
        "port = 443 }",
        "port = 443, colour = 1 }",
        Kind::UnknownKey,
        "colour",
        "unknown key `colour` in [services.shop.listen.0]",
        "the keys here are `interface`, `zone`, `address`, `port`",
    );
}

#[test]
fn a_wrong_type_is_refused() {
    one(
        "port = 443 }",
        "port = \"443\" }",
        Kind::Type,
        "\"443\"",
        "`port` takes an integer from 1 to 65535, not a string",
        "write it without quotes: 443",
    );
    one(
        "hosts = [\"shop.example.org\"]",
        "hosts = \"shop.example.org\"",
        Kind::Type,
        "\"shop.example.org\"",
        "`hosts` takes a list, not a string",
        "put it in brackets",
    );
    one(
        "hosts = [",
        "mask-errors = \"true\"\nhosts = [",
        Kind::Type,
        "\"true\"",
        "`mask-errors` takes a boolean, not a string",
        "write it without quotes: true",
    );
    one(
        "name = \"desks-out\"",
        "name = 7",
        Kind::Type,
        "7",
        "`name` takes a policy's name, not an integer",
        "expected",
    );
}

#[test]
fn a_missing_key_is_refused() {
    let text = GOOD.replacen("hosts = [\"shop.example.org\"]\n", "", 1);
    one_in(
        &text,
        Kind::Missing,
        "[services.shop]",
        "[services.shop] lacks the key `hosts`",
        "`hosts` takes a list",
    );
    let text = GOOD.replacen("schema = 1\n", "", 1);
    let all = mistakes(&text);
    assert_eq!(
        all.errors.first().unwrap().message,
        "the document lacks the key `schema`",
        "{all}"
    );
    let (text, _) = GOOD.split_once("[console]").unwrap();
    let all = mistakes(text);
    assert_eq!(all.errors.len(), 1, "{all}");
    assert_eq!(
        all.errors.first().unwrap().message,
        "the document lacks the key `console`",
        "{all}"
    );
}

#[test]
fn a_value_out_of_range_is_refused_with_its_bounds() {
    one(
        "schema = 1",
        "schema = 2",
        Kind::Range,
        "2",
        "`schema` of 2 is out of range",
        "this version of Redan knows 1 only",
    );
    one(
        "hosts = [",
        "limits.body = \"1B\"\nhosts = [",
        Kind::Range,
        "\"1B\"",
        "`body` of 1B is out of range",
        "must be \"1KiB\" to \"4GiB\"",
    );
    one(
        "hosts = [",
        "limits.head-timeout = \"2h\"\nhosts = [",
        Kind::Range,
        "\"2h\"",
        "`head-timeout` of 2h is out of range",
        "give a value from \"1s\" to \"60s\"",
    );
    one(
        "hosts = [",
        "rates.guest = 0\nhosts = [",
        Kind::Range,
        "0",
        "`guest` of 0 is out of range",
        "1 to 1000000",
    );
    one(
        "gateway =",
        "mtu = 576\ngateway =",
        Kind::Range,
        "576",
        "`mtu` of 576 is out of range",
        "1280 to 9216",
    );
    one(
        "port = 443 }",
        "port = 70000 }",
        Kind::Value,
        "70000",
        "not a port",
        "1 to 65535",
    );
    one(
        "port = 443 }",
        "port = -1 }",
        Kind::Value,
        "-1",
        "not a port",
        "1 to 65535",
    );
}

#[test]
fn a_value_that_cannot_be_read_is_refused() {
    one(
        "\"203.0.113.10/24\"",
        "\"203.0.113.10\"",
        Kind::Value,
        "\"203.0.113.10\"",
        "\"203.0.113.10\" lacks the prefix length of its network",
        "for instance \"192.0.2.1/24\"",
    );
    one(
        "\"203.0.113.10/24\"",
        "\"203.0.113.0/24\"",
        Kind::Value,
        "\"203.0.113.0/24\"",
        "203.0.113.0/24 is the network itself, not an address in it",
        "for instance",
    );
    one(
        "\"10.0.0.128/25\"",
        "\"10.0.0.129/25\"",
        Kind::Value,
        "\"10.0.0.129/25\"",
        "10.0.0.129/25 has bits set after the prefix; the network is 10.0.0.128/25",
        "expected a network",
    );
    one(
        "\"10.0.0.20:8080\"",
        "\"10.0.0.20\"",
        Kind::Value,
        "\"10.0.0.20\"",
        "\"10.0.0.20\" is not an address with a port",
        "8080",
    );
    one(
        "path = \"/api\"",
        "path = \"/api/**\"",
        Kind::Value,
        "\"/api/**\"",
        "/api/** has a '*', but this path is a prefix and matches everything below by itself",
        "did you mean \"/api\"?",
    );
    one(
        "path = \"/api/orders\"",
        "path = \"/api/orders/\"",
        Kind::Value,
        "\"/api/orders/\"",
        "in the path pattern \"/api/orders/\": an empty segment: a '/' follows another, or is the last character",
        "write \"/api/orders\" for this path",
    );
    one(
        "methods = [\"GET\"]",
        "methods = [\"get\"]",
        Kind::Value,
        "\"get\"",
        "\"get\" is not allowed here",
        "`GET`",
    );
    one(
        "ports = [80, 443]",
        "ports = [80, \"443-80\"]",
        Kind::Value,
        "\"443-80\"",
        "the range ends before it starts; did you mean \"80-443\"?",
        "expected a port",
    );
    one(
        "hosts = [",
        "limits.head-timeout = 10\nhosts = [",
        Kind::Value,
        "10",
        "a duration needs its unit",
        "write \"10s\" for seconds",
    );
    one(
        "hosts = [",
        "limits.head-timeout = \"10sec\"\nhosts = [",
        Kind::Value,
        "\"10sec\"",
        "\"10sec\" is not a duration with the unit ms, s, m, h or d",
        "expected a duration",
    );
    one(
        "hosts = [",
        "limits.body = \"1MB\"\nhosts = [",
        Kind::Value,
        "\"1MB\"",
        "mebibytes are written MiB",
        "1MiB",
    );
    one(
        "hosts = [",
        "headers.set.x-a = \"a\\nb\"\nhosts = [",
        Kind::Value,
        "\"a\\nb\"",
        "\"a\\nb\" is not the value of a header field: visible ASCII in one line",
        "expected",
    );
    one(
        "[zones.private]",
        "[zones.private]\n[zones.Any]",
        Kind::Value,
        "Any",
        "`Any` is not a name: the character 'A' is not allowed; use lower-case letters, digits and '-', a letter first",
        "not a name",
    );
    one(
        "[zones.private]",
        "[zones.private]\n[zones.any]",
        Kind::Value,
        "any",
        "`any` is not a name: in a policy it means every zone",
        "not a name",
    );
}

#[test]
fn control_characters_of_a_document_never_reach_the_terminal() {
    let text = GOOD.replacen("\"@desks\"", "\"@de\\u001b[31msks\"", 1) + "# \u{1b}[31m red \u{202e}\n";
    let all = mistakes(&text);
    assert!(!all.to_string().contains(['\u{1b}', '\u{202e}']), "{all:?}");
}

#[test]
fn a_document_over_the_limit_is_refused_unread() {
    let all = mistakes(&" ".repeat(redan_config::LARGEST + 1));
    assert_eq!(all.errors.first().map(|one| one.kind), Some(Kind::Range));
}
