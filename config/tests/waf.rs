//! Mistakes about the web application firewall.

mod good;

use good::{GOOD, one_in};
use redan_config::{Appliance, ExceptionPath, Kind, Mistake};

const WAF: &str = r#"
[services.shop.waf]
mode = "block"
paranoia = 2
detection-paranoia = 3

[[services.shop.waf.exceptions]]
rule = [942100, "942200-942299"]
path = "/search/*"
parameter = "ARGS:q"
expires = 2027-01-31T12:00:00Z
reason = "the search takes formulas"
"#;

#[track_caller]
fn spoilt(from: &str, to: &str, kind: Kind, under: &str, message: &str, help: &str) -> Mistake {
    assert_eq!(WAF.matches(from).count(), 1, "{from}");
    one_in(
        &format!("{GOOD}{}", WAF.replacen(from, to, 1)),
        kind,
        under,
        message,
        help,
    )
}

#[test]
fn a_good_table_is_read() {
    let appliance = Appliance::parse(&format!("{GOOD}{WAF}"), "redan.toml").unwrap();
    let waf = appliance.services.values().next().unwrap().waf.as_ref().unwrap();
    assert_eq!(
        (waf.paranoia, waf.detection_paranoia, waf.inbound_threshold),
        (2, Some(3), 5)
    );
    let exception = &waf.exceptions[0];
    assert_eq!(exception.rule.ranges(), [(942_100, 942_100), (942_200, 942_299)]);
    assert_eq!(exception.path, ExceptionPath::Prefix("/search/".to_owned()));
    assert_eq!(exception.expires.unwrap().0.to_string(), "2027-01-31T12:00:00.000Z");
}

#[test]
fn mistakes_in_single_values_are_told_with_what_would_be_right() {
    spoilt(
        "mode = \"block\"\n",
        "",
        Kind::Missing,
        "[services.shop.waf]",
        "[services.shop.waf] lacks the key `mode`",
        "`mode` takes `\"block\"` or `\"detect\"` or `\"off\"`",
    );
    spoilt(
        "paranoia = 2\n",
        "paranoia = 5\n",
        Kind::Range,
        "5",
        "`paranoia` of 5 is out of range",
        "give a value from 1 to 4",
    );
    spoilt(
        "paranoia = 2\n",
        "paranoia = 4\n",
        Kind::Conflict,
        "3",
        "rules are recorded up to level 3 and count up to 4",
        "give 4 or more, or leave it out",
    );
    spoilt(
        "\"942200-942299\"",
        "\"942299-942200\"",
        Kind::Value,
        "\"942299-942200\"",
        "\"942299-942200\" is neither a rule's id nor a range of ids",
        "for instance 942100 or \"942100-942199\"",
    );
    spoilt(
        "\"ARGS:q\"",
        "\"REQUEST_COOKIE:q\"",
        Kind::Value,
        "\"REQUEST_COOKIE:q\"",
        "\"REQUEST_COOKIE\" is not a part of a request; did you mean REQUEST_COOKIES?",
        "for instance \"ARGS:q\"",
    );
    spoilt(
        "\"/search/*\"",
        "\"/a\\\" \\\"id:1\"",
        Kind::Value,
        "\"/a\\\" \\\"id:1\"",
        "'\"' cannot stand in the path of an exception",
        "for instance \"/search\" or \"/api/*\"",
    );
    spoilt(
        "2027-01-31T12:00:00Z",
        "2027-01-31",
        Kind::Value,
        "2027-01-31",
        "\"2027-01-31\" is not a date and time with its zone (RFC 3339)",
        "for instance 2027-01-31T12:00:00Z",
    );
    spoilt(
        "paranoia = 2\n",
        "paranoia = 2\nrules = \"csr\"\n",
        Kind::Dangling,
        "\"csr\"",
        "there is no rule set `csr`",
        "the document defines no rule set",
    );
}
