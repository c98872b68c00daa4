//! What the command does with files alone, and what it says when nothing runs.

use std::path::Path;
use std::process::{Command, Output, Stdio};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/examples/redan.toml");

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn redan(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redan"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_document_is_said_to_be_good() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = said(&redan(folder.path(), &["config", "check", EXAMPLE]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.ends_with("good: 4 zones, 5 policies, 2 services, 3 users\n"),
        "{out}"
    );
    assert!(out.contains("warning: service shop allows TLS 1.2"), "{out}");
}

#[test]
fn every_mistake_of_a_bad_document_is_shown_and_the_exit_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(EXAMPLE)
        .unwrap()
        .replace("upstream = \"api\"", "upstream = \"apy\"")
        .replace("[blocklist]\naddresses", "[blocklist]\nadresses");
    std::fs::write(folder.path().join("bad.toml"), text).unwrap();
    let (code, out, _) = said(&redan(folder.path(), &["config", "check", "bad.toml"]));
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("error: unknown key `adresses` in [blocklist]\n"), "{out}");
    assert!(out.contains(" --> bad.toml:"), "{out}");
    assert!(out.contains(" = help: did you mean `addresses`?\n"), "{out}");
    assert!(
        out.contains("error: there is no upstream of service shop `apy`\n"),
        "{out}"
    );
    assert!(out.ends_with("bad.toml: 2 mistakes and 1 warning\n"), "{out}");
    // Applying it does not even look for an appliance.
    let (code, applied, _) = said(&redan(folder.path(), &["config", "apply", "bad.toml"]));
    assert_eq!((code, applied), (Some(1), out));
}

#[test]
fn a_file_that_is_no_document_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = said(&redan(folder.path(), &["config", "check", "absent.toml"]));
    assert_eq!(code, Some(2));
    assert!(err.starts_with("redan: absent.toml: No such file"), "{err}");
    std::fs::write(folder.path().join("binary"), b"a = 1\n\xff").unwrap();
    let (code, _, err) = said(&redan(folder.path(), &["config", "check", "binary"]));
    assert_eq!(
        (code, err.as_str()),
        (Some(2), "redan: binary: line 2 is not UTF-8 text\n")
    );
    std::fs::write(folder.path().join("large"), vec![b'#'; redan_config::LARGEST + 1]).unwrap();
    let (code, _, err) = said(&redan(folder.path(), &["config", "check", "large"]));
    assert_eq!(
        (code, err.as_str()),
        (Some(2), "redan: large: the file has more than 1048576 bytes\n")
    );
}

#[test]
fn a_difference_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    std::fs::write(
        folder.path().join("new.toml"),
        text.replace("guest = 300", "guest = 400"),
    )
    .unwrap();
    let (code, out, _) = said(&redan(folder.path(), &["config", "diff", EXAMPLE, "new.toml"]));
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "~ service shop: rate limit for guest 300 → 400 a minute\n")
    );
    let (_, out, _) = said(&redan(folder.path(), &["config", "diff", EXAMPLE, EXAMPLE]));
    assert_eq!(out, "nothing changes\n");
}

#[test]
fn the_reference_is_the_shipped_one() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = said(&redan(folder.path(), &["config", "reference"]));
    assert_eq!(code, Some(0));
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/REFERENCE.md");
    assert!(
        out == std::fs::read_to_string(shipped).unwrap(),
        "the printed reference differs from the shipped one"
    );
}

#[test]
fn without_an_appliance_the_message_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("elsewhere");
    let (code, _, err) = said(&redan(folder.path(), &["--state", state.to_str().unwrap(), "status"]));
    assert_eq!(code, Some(2));
    let socket = state.join("run/operator.sock");
    assert!(
        err.contains("no appliance runs here") && err.contains(socket.to_str().unwrap()),
        "{err}"
    );
}

#[test]
fn arguments_out_of_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, message) in [
        (
            &["config", "apply", EXAMPLE, "--confirm-within", "5s"][..],
            "give a time from 30s to 10m",
        ),
        (&["block", "192.0.2.1", "--for", "31d"], "give a time from 1s to 30d"),
        (&["block", "192.0.2.1/24"], "has bits set after the prefix"),
        (&["key", "revoke", "7"], "an id has 16 hexadecimal digits"),
        (&["audit", "search", "--from", "yesterday"], "how long ago"),
        (&["user", "create", "ann"], "--role"),
    ] {
        let (code, _, err) = said(&redan(folder.path(), arguments));
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(err.contains(message), "{err}");
    }
}

#[test]
fn a_missing_verifier_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A folder with this command alone.
    let alone = folder.path().join("redan");
    std::fs::copy(env!("CARGO_BIN_EXE_redan"), &alone).unwrap();
    let output = Command::new(&alone)
        .args(["audit", "verify", "export"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (code, _, err) = said(&output);
    assert_eq!(code, Some(2));
    assert!(
        err.contains("cannot run") && err.contains("redan-audit, which belongs beside this command"),
        "{err}"
    );
}

/// A folder with a small rule set, and a request against it.
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn rules(text: &str, request: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("set/rules")).unwrap();
    std::fs::write(
        folder.path().join("set/crs-setup.conf"),
        "SecDefaultAction \"phase:2,log,pass\"\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("set/rules/a.conf"), text).unwrap();
    std::fs::write(folder.path().join("set/rules/words.data"), "needle\n").unwrap();
    std::fs::write(folder.path().join("request"), request).unwrap();
    folder
}

#[test]
fn a_rule_set_is_reported() {
    let folder = rules(
        "SecRule ARGS \"@rx a(?!b)\" \"id:1,phase:2,block,tag:paranoia-level/2\"\nSecRule ARGS \"@pmFromFile words.data\" \"id:2,phase:1\"\n",
        "",
    );
    let (code, out, err) = said(&redan(folder.path(), &["waf", "check", "set"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for line in [
        "files     2 rule files, 1 data files; set-up: set/crs-setup.conf\n",
        "rules     2 (a chain counts as one), after 7 of the appliance's own\n",
        "paranoia  level 1: 0, 2: 1, 3: 0, 4: 0; 1 rules tell none\n",
        "patterns  1, of which 1 need the backtracking engine\n          1  a.conf:1\n",
    ] {
        assert!(out.contains(line), "{line}{out}");
    }
    let (code, out, _) = said(&redan(folder.path(), &["waf", "check", "--json", "set"]));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &json["good"], &json["rules"]),
        (Some(0), &true.into(), &2.into())
    );
}

#[test]
fn every_mistake_in_rules_is_shown_with_its_line() {
    let folder = rules(
        "# a comment\nSecRule ARGS \"@rx foo(\" \"id:1,phase:2,deny\"\nSecRule ARGS \"@rx x\" \"id:2,phase:2,blok,chain\"\n    \
         SecRule ARGS \"@rx y\"\nSecFoo On\nSecRule ARGS \"@rx open\nSecRule ARGS \"@pmFromFile no.data\" \"id:3,phase:2\"\n\
         SecRule ARGS \"@rx z\" \"id:1,phase:2\"\n",
        "",
    );
    let (code, out, _) = said(&redan(folder.path(), &["waf", "check", "set"]));
    assert_eq!(code, Some(1), "{out}");
    for (line, what) in [
        (
            2,
            "error: operator: @rx: at byte 3 of the pattern: the group has no closing\n       parenthesis\n",
        ),
        (3, "error: unknown action \"blok\"\n"),
        (5, "error: unknown directive \"SecFoo\"\n"),
        (6, "error: a quote is not closed\n"),
        (7, "error: operator: @pmFromFile: the file \"no.data\" is missing\n"),
        (8, "error: rule id 1 is used twice\n"),
    ] {
        assert!(
            out.contains(&format!("{what} --> set/rules/a.conf:{line}\n")),
            "{line}: {out}"
        );
    }
    assert!(out.ends_with("6 mistakes: the rule set is refused whole\n"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
}

#[test]
fn what_is_no_rule_set_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = said(&redan(folder.path(), &["waf", "check", "."]));
    assert_eq!(
        (code, err.as_str()),
        (Some(2), "redan: .: there are no rule files (*.conf) here\n")
    );
    let (code, _, err) = said(&redan(folder.path(), &["waf", "check", "absent"]));
    assert_eq!(
        (code, err.starts_with("redan: absent: No such file")),
        (Some(2), true),
        "{err}"
    );
    let (code, _, err) = said(&redan(folder.path(), &["waf", "check", "/dev/null"]));
    assert_eq!((code, err.as_str()), (Some(2), "redan: /dev/null: this is no file\n"));
}

#[test]
fn a_request_is_explained() {
    let rule = "SecRule ARGS \"@contains needle\" \"id:5,phase:2,t:lowercase,deny,status:403,msg:'A needle',\
                logdata:'%{MATCHED_VAR_NAME}',severity:CRITICAL\"\nSecAction \"id:6,phase:1,pass,nolog\"\n";
    let folder = rules(rule, "GET /?q=a%20NEEDLE%0a HTTP/1.1\nHost: example.org\n");
    let explain = |more: &[&str]| {
        let arguments = [&["waf", "explain", "set", "--request", "request"], more].concat();
        said(&redan(folder.path(), &arguments))
    };
    let (code, out, err) = explain(&[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for text in [
        "Phase 2, request body\n  5         A needle\n            critical\n            variable  ARGS:q\n            \
         value     a needle\\n\n            data      ARGS:q\n            rule at   a.conf:1\n",
        "Verdict   is refused with status 403 in phase 2 by rule 5, where the service\n          blocks\n",
    ] {
        assert!(out.contains(text), "{text}{out}");
    }
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    // The quiet rule is among the costs in any case.
    let tells_quiet = |out: &str| {
        out.lines()
            .any(|line| line.trim_end() == "  6" || line.starts_with("  6  "))
    };
    assert!(!tells_quiet(&out), "{out}");
    let all = explain(&["--all"]).1;
    assert!(tells_quiet(&all), "{all}");
    let json: serde_json::Value = serde_json::from_str(&explain(&["--json"]).1).unwrap();
    assert_eq!(json["verdict"]["rule"], 5);
    assert_eq!(json["matches"][0]["value"], "a needle\n");
}

#[test]
fn what_is_no_request_is_said_with_its_line() {
    let folder = rules(
        "SecAction \"id:6,phase:1,pass,nolog\"\n",
        "GET / HTTP/1.1\nHost example.org\n",
    );
    let (code, _, err) = said(&redan(
        folder.path(),
        &["waf", "explain", "set", "--request", "request"],
    ));
    assert_eq!(
        (code, err.as_str()),
        (
            Some(2),
            "redan: request: line 2: this is no header: it has no colon (an empty line ends the headers)\n"
        )
    );
}
