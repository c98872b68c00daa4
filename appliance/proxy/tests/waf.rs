//! The web application firewall in the proxy: what is held back, what passes unchanged, what becomes of each kind of verdict.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{Client, HOST, Rig, Scripted, eventually};
use redan_ipc::messages::traffic::Verdict;
use redan_ipc::messages::waf::{LARGEST, WafLimit};
use redan_ipc::slice::{ProxySlice, RuleSource, WafPolicy};
use redan_types::Generation;
use std::fmt::Write as _;
use std::io::Write as _;

const RULES: &str = r#"
SecRule REQUEST_URI "@contains evil" "id:1,phase:1,deny,status:403,log,msg:'evil'"
SecRule REQUEST_URI "@contains vanish" "id:2,phase:1,drop,log"
SecRule REQUEST_BODY|ARGS "@contains evil" "id:3,phase:2,deny,status:403,log"
SecRule RESPONSE_HEADERS:X-Internal "@streq yes" "id:4,phase:3,deny,status:502,log"
SecRule RESPONSE_BODY "@contains stack trace" "id:5,phase:4,deny,status:500,log"
"#;

fn policy(blocking: bool) -> WafPolicy {
    let text = |name: &str, text: &str| RuleSource::Text {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    WafPolicy {
        blocking,
        sources: vec![
            text(
                "defaults.conf",
                std::str::from_utf8(redan_waf::seclang::DEFAULTS).unwrap(),
            ),
            text("rules.conf", RULES),
            text("settings.conf", "SecRuleEngine On\nSecResponseBodyLimit 65536\n"),
        ],
        response_bodies: true,
        paranoia: 1,
        inbound_threshold: 5,
        outbound_threshold: 4,
    }
}

fn inspected(slice: &mut ProxySlice) {
    slice.services[0].waf = Some(policy(true));
    slice.services[0].mask_errors = false;
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\nHost: {HOST}\nUser-Agent: test\nAccept-Encoding: gzip\n\n")
}

/// A server that answers `/N` with the Nth of these.
fn answers(all: Vec<Vec<u8>>) -> Scripted {
    Scripted::start(move |_, socket, request| {
        while let Some(request) = request(socket) {
            let number: usize = request
                .split(['/', ' ', '?'])
                .find_map(|word| word.parse().ok())
                .unwrap_or(0);
            let Some(answer) = all.get(number) else { return };
            socket.write_all(answer).unwrap();
            if !answer.starts_with(b"HTTP/1.1 200 OK") {
                return;
            }
        }
    })
}

fn plain(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[test]
fn a_refused_request_reaches_no_server_and_the_connection_goes_on() {
    let upstream = answers(vec![plain("fine")]);
    let rig = Rig::start(upstream.address, inspected);
    let mut client = rig.client();
    let refused = client.ask(&get("/0?a=evil"));
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains(refused.field("x-request-id").unwrap()));
    let body = "a=1&b=evil";
    let posted = format!(
        "POST /0 HTTP/1.1\nHost: {HOST}\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {}\n\n{body}",
        body.len()
    );
    assert_eq!(client.ask(&posted).status, 403);
    assert!(upstream.requests().is_empty());
    assert_eq!(client.ask(&get("/0")).text(), "fine");
    eventually("the records arrive", || rig.vault.found.lock().unwrap().len() == 2);
    let found = rig.vault.found.lock().unwrap();
    let rules: Vec<_> = found.iter().map(|record| record.stopped_by).collect();
    assert_eq!(rules, [Some(1), Some(3)]);
    assert!(found.iter().all(|record| record.blocked && record.status == 403));
    eventually("they are counted", || {
        let traffic = rig.vault.traffic.lock().unwrap();
        traffic
            .iter()
            .map(|sample| sample.refused[Verdict::Waf as usize])
            .sum::<u64>()
            == 2
    });
}

#[test]
fn a_dropped_request_gets_no_answer() {
    let upstream = answers(vec![plain("fine")]);
    let rig = Rig::start(upstream.address, inspected);
    let mut client = rig.client();
    client.send(get("/0?vanish").replace('\n', "\r\n"));
    assert!(client.is_closed());
    assert!(upstream.requests().is_empty());
}

#[test]
fn what_is_only_recorded_passes_whatever_a_rule_says() {
    let upstream = answers(vec![plain("a stack trace")]);
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].waf = Some(policy(false));
    });
    let mut client = rig.client();
    assert_eq!(client.ask(&get("/0?a=evil")).text(), "a stack trace");
    eventually("the record arrives", || !rig.vault.found.lock().unwrap().is_empty());
    let found = rig.vault.found.lock().unwrap();
    let rules: Vec<_> = found[0].matches.iter().map(|one| one.rule).collect();
    assert_eq!(rules, [1, 3, 5]);
    assert!(!found[0].blocked && !found[0].blocking && found[0].status == 200);
}

#[test]
fn a_response_is_held_until_it_is_judged_and_arrives_whole() {
    let mut chunked = String::from("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..40 {
        let _ = write!(chunked, "1000\r\n{}\r\n", "c".repeat(4_096));
    }
    chunked.push_str("0\r\n\r\n");
    let long = "l".repeat(300_000);
    let upstream = answers(vec![
        plain("a stack trace"),
        plain("good"),
        chunked.into_bytes(),
        plain(&long),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Internal: yes\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
    ]);
    let rig = Rig::start(upstream.address, inspected);
    let ask = |number: usize| rig.ask(&get(&format!("/{number}")));
    assert_eq!(ask(0).status, 500);
    assert!(!ask(0).text().contains("stack trace"));
    assert_eq!(ask(1).text(), "good");
    assert_eq!(ask(1).field("content-length"), Some("4"), "nothing is framed anew");
    assert_eq!(ask(2).text(), "c".repeat(40 * 4_096));
    assert_eq!(ask(3).text(), long, "beyond the limit it passes");
    assert_eq!(ask(4).status, 502);
    assert_eq!(ask(5).status, 502, "what cannot be read is not let through");
    assert_eq!(ask(6).text(), "ok", "a picture is no text");
    assert_eq!(ask(7).status, 204);
    let mut client = rig.client();
    client.send(get("/1").replace("GET", "HEAD").replace('\n', "\r\n"));
    assert_eq!(client.response_to(true).field("content-length"), Some("4"));
    let asked = upstream.requests();
    assert!(
        asked
            .iter()
            .all(|request| request.contains("accept-encoding: identity") && !request.contains("gzip")),
        "{asked:?}"
    );
}

#[test]
fn a_server_that_breaks_off_a_held_response_gives_an_error_and_no_half() {
    let upstream = Scripted::start(|_, socket, request| {
        if request(socket).is_some() {
            let half = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\nhalf";
            socket.write_all(half.as_bytes()).unwrap();
        }
    });
    let rig = Rig::start(upstream.address, inspected);
    let response = rig.ask(&get("/"));
    assert_eq!(response.status, 502);
    assert!(!response.text().contains("half"));
}

#[test]
fn a_body_that_is_awaited_is_asked_for_once_and_then_arrives_in_order() {
    let upstream = Scripted::answering("HTTP/1.1 200 OK\nContent-Length: 2\n\nok");
    let rig = Rig::start(upstream.address, inspected);
    let mut client = rig.client();
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(client.response_to(true).status, 100);
    client.send("01234");
    client.send("56789");
    assert_eq!(client.response().text(), "ok");
    assert!(upstream.requests()[0].ends_with("0123456789"));
}

#[test]
fn rules_that_do_not_compile_refuse_the_preparation_and_the_old_ones_go_on() {
    let upstream = answers(vec![plain("fine")]);
    let rig = Rig::start(upstream.address, inspected);
    let mut slice = common::slice(rig.address, upstream.address, &rig.credentials);
    let mut broken = policy(true);
    broken.sources.push(RuleSource::Text {
        name: "own.conf".to_owned(),
        text: "\nSecRule ARGS \"@rx (\" \"id:9\"".to_owned(),
    });
    slice.services[0].waf = Some(broken);
    let reasons = rig.proxy.prepare(Generation(2), &slice).unwrap_err();
    assert!(
        reasons[0].contains("service shop") && reasons[0].contains("own.conf:2"),
        "{reasons:?}"
    );
    assert_eq!(rig.ask(&get("/0?a=evil")).status, 403);
}

fn form(target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn an_attack_with_many_matches_leaves_a_record_that_the_vault_keeps() {
    let upstream = answers(vec![plain("fine")]);
    let rig = Rig::start(upstream.address, |slice| {
        let mut policy = policy(true);
        let mut rules = String::new();
        for id in 100..112 {
            let _ = writeln!(
                rules,
                "SecRule ARGS \"@contains a\" \"id:{id},phase:2,pass,log,msg:'m',logdata:'%{{MATCHED_VAR_NAME}} %{{MATCHED_VAR}}'\""
            );
        }
        rules.push_str("SecRule ARGS \"@contains evil\" \"id:999,phase:2,deny,status:403,log\"\n");
        policy.sources.insert(
            1,
            RuleSource::Text {
                name: "many.conf".to_owned(),
                text: rules,
            },
        );
        slice.services[0].waf = Some(policy);
    });
    let fields: Vec<String> = (0..25)
        .map(|at| format!("{at}{}={} evil", "n".repeat(200), "a".repeat(900)))
        .collect();
    let mut client = rig.client();
    client.send(form("/0", &fields.join("&")));
    assert_eq!(client.response().status, 403);
    eventually("the record arrives", || !rig.vault.found.lock().unwrap().is_empty());
    let found = rig.vault.found.lock().unwrap();
    assert!(found[0].bytes() <= LARGEST, "{}", found[0].bytes());
    assert_eq!(found[0].stopped_by, Some(999));
    assert!(found[0].matches.iter().any(|one| one.rule == 999));
    assert!(found[0].more > 100 && found[0].matches.len() > 20);
}

#[test]
fn a_body_beyond_the_limit_is_an_event_also_where_it_passes() {
    let upstream = answers(vec![plain("fine")]);
    for (blocking, status) in [(true, 413), (false, 200)] {
        let rig = Rig::start(upstream.address, |slice| {
            let mut policy = policy(blocking);
            policy.sources.push(RuleSource::Text {
                name: "limit.conf".to_owned(),
                text: "SecRequestBodyLimit 1000\nSecRequestBodyLimitAction Reject\n".to_owned(),
            });
            slice.services[0].waf = Some(policy);
        });
        let mut client = rig.client();
        client.send(form("/0", &"x".repeat(2_000)));
        assert_eq!(client.response().status, status);
        eventually("the record arrives", || !rig.vault.found.lock().unwrap().is_empty());
        let found = rig.vault.found.lock().unwrap();
        assert_eq!(
            (found[0].stopped_by, found[0].limit, found[0].blocked),
            (Some(0), Some(WafLimit::RequestBody), blocking)
        );
    }
}

#[test]
fn no_client_has_all_the_memory_for_bodies_and_who_only_detects_lets_the_rest_pass() {
    for blocking in [true, false] {
        let upstream = answers(vec![plain("fine")]);
        let rig = Rig::start(upstream.address, |slice| {
            let mut policy = policy(blocking);
            policy.sources.push(RuleSource::Text {
                name: "limit.conf".to_owned(),
                text: "SecRequestBodyLimit 33554432\nSecRequestBodyNoFilesLimit 33554432\n".to_owned(),
            });
            slice.services[0].waf = Some(policy);
            slice.services[0].limits.body = 32 << 20;
        });
        // Each holds four times twelve of 64 MiB. Which of the two finds no room any more depends on which is read faster.
        let long = form("/0", &"x".repeat(12 << 20));
        let mut clients = [rig.client(), rig.client()];
        clients[0].send(&long[..long.len() - 10]);
        // Where one is refused, not all of it is read.
        let sent = if blocking { 6 << 20 } else { long.len() };
        clients[1].send(&long[..sent]);
        eventually("one of them is answered", || {
            clients.iter_mut().any(Client::is_answered)
        });
        let answered = clients
            .iter_mut()
            .find_map(|client| client.is_answered().then_some(client));
        assert_eq!(answered.unwrap().response().status, if blocking { 503 } else { 200 });
        // What is found in a request is told at its end.
        drop(clients);
        eventually("the record arrives", || !rig.vault.found.lock().unwrap().is_empty());
        let found = rig.vault.found.lock().unwrap();
        assert_eq!(
            (found[0].stopped_by, found[0].limit, found[0].blocked),
            (Some(0), Some(WafLimit::Room), blocking)
        );
    }
}

#[test]
fn a_request_cannot_blank_out_what_is_said_about_it() {
    let upstream = answers(vec![plain("fine")]);
    let rig = Rig::start(upstream.address, |slice| {
        let mut policy = policy(true);
        policy.sources.insert(
            1,
            RuleSource::Text {
                name: "rules/REQUEST-942-APPLICATION-ATTACK-SQLI.conf".to_owned(),
                text: "SecRule ARGS \"@contains union\" \"id:942100,phase:1,deny,status:403,log,msg:'SQL found',severity:2,\
                       tag:'attack-sqli',logdata:'Matched Data: %{MATCHED_VAR}'\""
                    .to_owned(),
            },
        );
        slice.services[0].waf = Some(policy);
    });
    let asked = get("/account/reset/Zx81kLm09q?q=union&token=Matched1").replace(
        "Accept-Encoding",
        "Cookie: session=127.0.0.1; token=942100; sid=attack-sqli; auth=SQL found\nAuthorization: Matched Data\nAccept-Encoding",
    );
    assert_eq!(rig.ask(&asked).status, 403);
    eventually("the record arrives", || !rig.vault.found.lock().unwrap().is_empty());
    let found = rig.vault.found.lock().unwrap();
    let one = &found[0].matches[0];
    assert_eq!(
        (one.rule, one.message.as_str(), one.tags[0].as_str()),
        (942_100, "SQL found", "attack-sqli")
    );
    assert_eq!(
        (one.data.as_str(), one.excerpt.as_str()),
        ("Matched Data: union", "union")
    );
    assert_eq!(found[0].path, "/account/reset/***");
    let audit: serde_json::Value = serde_json::from_str(&found[0].audit).unwrap();
    let transaction = &audit["transaction"];
    assert_eq!(transaction["client_ip"], "127.0.0.1");
    assert_ne!(transaction["client_port"], 0);
    assert_eq!(transaction["request"]["method"], "GET");
    assert_eq!(transaction["request"]["uri"], "/account/reset/***?q=union&token=***");
    assert_eq!(transaction["request"]["headers"]["Cookie"], "***");
    let details = &transaction["messages"][0]["details"];
    assert_eq!(details["ruleId"], "942100");
    assert_eq!(details["file"], "rules/REQUEST-942-APPLICATION-ATTACK-SQLI.conf");
    assert_eq!(details["tags"][0], "attack-sqli");
    assert_eq!(details["match"], "Matched \"union\" at ARGS:q");
    assert!(!found[0].audit.contains("Zx81kLm09q"));
}
