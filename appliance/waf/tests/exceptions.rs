//! Exceptions at work: what is written as rules covers exactly what the replay says, and the engine agrees.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use std::{net::IpAddr, sync::Arc};

use proptest::prelude::{any, prop_assert_eq, proptest};
use redan_types::Timestamp;
use redan_waf::{
    engine::{Connection, RuleSet, Transaction},
    exception::{Exception, Parameter, Place},
    seclang::{Compiler, DEFAULTS, RuleFiles},
};

const NOW: Timestamp = Timestamp(1_795_305_600_000_000);
const RULES: &str = "SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|REQUEST_HEADERS|REQUEST_URI|XML:/* \"@contains evil\" \"id:1,phase:2,pass,log\"\n\
    SecRule ARGS \"@contains evil\" \"id:2,phase:2,pass,log,chain\"\nSecRule REQUEST_METHOD \"@streq POST\"\n\
    SecRule &ARGS \"@gt 90\" \"id:3,phase:2,pass,log\"\n";

fn rules(exceptions: &[Exception]) -> Arc<RuleSet> {
    let text: String = (7_190_000..)
        .zip(exceptions)
        .map(|(id, exception)| exception.seclang(id))
        .collect();
    let mut files = RuleFiles::new();
    files.insert("defaults.conf", DEFAULTS.to_vec());
    files.insert("exceptions.conf", text.clone().into_bytes());
    files.insert("rules.conf", RULES.as_bytes().to_vec());
    let made = Compiler::new().compile(&files, &["defaults.conf", "exceptions.conf", "rules.conf"]);
    Arc::new(made.unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// The rules that match, with what they matched.
fn matches(
    rules: &Arc<RuleSet>,
    now: Timestamp,
    target: &[u8],
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<(u64, String)> {
    let mut transaction = Transaction::new(Arc::clone(rules));
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let connection = Connection {
        client: address,
        client_port: 1,
        server: address,
        server_port: 443,
    };
    transaction.connection(&connection, "id", now);
    transaction.request_line(b"POST", target, b"HTTP/1.1");
    for (name, value) in headers {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    transaction.request_headers_end();
    transaction.request_body(body);
    transaction.request_body_end();
    let events = transaction.events().iter();
    events
        .map(|event| (event.rule.id, event.matched.name.clone()))
        .collect()
}

fn exception(rule: u64, path: &str, parameter: Option<&str>) -> Exception {
    Exception {
        service: "shop".to_owned(),
        rules: vec![(rule, rule)],
        path: Place::Exact(path.to_owned()),
        parameter: parameter.map(|text| Parameter::parse(text).unwrap()),
        expires: None,
        reason: "a test".to_owned(),
    }
}

#[test]
fn an_argument_is_spared_and_its_neighbours_are_not() {
    let rules = rules(&[exception(1, "/s", Some("ARGS:q"))]);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let found = |target: &str| matches(&rules, NOW, target.as_bytes(), &form, b"");
    assert!(!found("/s?q=evil").contains(&(1, "ARGS:q".to_owned())));
    // The URI has it as well, and is another part of the request.
    assert!(found("/s?q=evil").contains(&(1, "REQUEST_URI".to_owned())));
    for name in ["q2", "Q", "json.q", "xq"] {
        assert!(
            found(&format!("/s?{name}=evil")).contains(&(1, format!("ARGS:{name}"))),
            "{name}"
        );
    }
    assert!(found("/s?evil=1").contains(&(1, "ARGS_NAMES:evil".to_owned())));
    // Another rule, and other paths.
    assert!(found("/s?q=evil").contains(&(2, "ARGS:q".to_owned())));
    for path in ["/S", "/s/", "/s2", "/a/s", "/s%00"] {
        assert!(
            found(&format!("{path}?q=evil")).contains(&(1, "ARGS:q".to_owned())),
            "{path}"
        );
    }
    // The same path written otherwise is the same path.
    assert!(!found("/%73?q=evil").contains(&(1, "ARGS:q".to_owned())));
}

#[test]
fn a_json_member_is_spared_and_an_argument_of_its_name_is_not() {
    let rules = rules(&[exception(1, "/s", Some("ARGS:json.note"))]);
    let json = [("Content-Type", "application/json")];
    let found = |body: &str| matches(&rules, NOW, b"/s", &json, body.as_bytes());
    assert!(!found("{\"note\":\"evil\"}").contains(&(1, "ARGS:json.note".to_owned())));
    assert!(found("{\"a\":{\"note\":\"evil\"}}").contains(&(1, "ARGS:json.a.note".to_owned())));
    assert!(found("{\"Note\":\"evil\"}").contains(&(1, "ARGS:json.Note".to_owned())));
}

#[test]
fn header_names_have_no_case_and_cookies_do() {
    let rules = rules(&[
        exception(1, "/s", Some("REQUEST_HEADERS:User-Agent")),
        exception(1, "/s", Some("REQUEST_COOKIES:theme")),
    ]);
    let found = matches(
        &rules,
        NOW,
        b"/s",
        &[("user-agent", "evil"), ("Cookie", "theme=evil; Theme=evil")],
        b"",
    );
    assert_eq!(
        found,
        [
            (1, "REQUEST_COOKIES:Theme".to_owned()),
            (1, "REQUEST_HEADERS:Cookie".to_owned())
        ]
    );
}

#[test]
fn a_chain_is_spared_by_what_its_first_rule_matched() {
    let rules = rules(&[exception(2, "/s", Some("ARGS:q"))]);
    let ids = |target: &[u8]| {
        matches(&rules, NOW, target, &[], b"")
            .iter()
            .filter(|(id, _)| *id == 2)
            .count()
    };
    assert_eq!(ids(b"/s?q=evil"), 0);
    assert_eq!(ids(b"/s?q=evil&r=evil"), 1);
}

#[test]
fn a_whole_rule_and_a_range_are_spared_on_their_path() {
    let mut whole = exception(1, "/s/", None);
    whole.rules = vec![(1, 1), (3, 9)];
    whole.path = Place::Prefix("/s/".to_owned());
    let rules = rules(&[whole]);
    let many: String = (0..95).map(|number| format!("a{number}=evil&")).collect();
    let found = |path: &str| matches(&rules, NOW, format!("{path}?{many}").as_bytes(), &[], b"");
    assert!(found("/s/x").iter().all(|(id, _)| *id == 2));
    assert!(found("/x").iter().any(|(id, _)| *id == 3));
}

#[test]
fn an_exception_ends_by_itself() {
    let mut brief = exception(1, "/s", Some("ARGS:q"));
    brief.expires = Some(NOW);
    let rules = rules(&[brief]);
    let found = |now: Timestamp| matches(&rules, now, b"/s?q=evil", &[], b"").contains(&(1, "ARGS:q".to_owned()));
    assert!(!found(Timestamp(NOW.0 - 1_000_000)));
    assert!(found(NOW));
}

proptest! {
    /// Whatever a parameter is called, the exception for it compiles, covers it, and covers no other.
    #[test]
    fn any_name_is_covered_and_no_other(name in "[^\\p{Cc}\u{fffd}]{1,40}", other in any::<String>(), path in "/[ -~]{0,20}") {
        let wanted = Exception {
            parameter: Some(Parameter::new("ARGS", &name).unwrap()),
            path: Place::Exact(path.clone()),
            ..exception(1, "/", None)
        };
        let rules = rules(std::slice::from_ref(&wanted));
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let slash = encode(&path).replace("%2f", "/");
        for candidate in [name.as_str(), other.as_str(), &name.to_uppercase(), &format!("{name}2")] {
            let target = format!("{slash}?{}=evil", encode(candidate));
            let found = matches(&rules, NOW, target.as_bytes(), &[], b"");
            let spared = !found.iter().any(|(id, part)| *id == 1 && part.starts_with("ARGS:"));
            prop_assert_eq!(spared, wanted.covers("shop", &path, 1, "ARGS", candidate), "{} {:?}", wanted.seclang(1), candidate);
        }
    }
}
