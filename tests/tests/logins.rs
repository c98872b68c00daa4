//! Signing in at the console while somebody guesses.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, Response, curl};
use std::time::Duration;

const PASSWORD: &str = "tea with lemon, hot";

fn post(appliance: &Appliance, path: &str, cookies: &str, body: &str) -> Response {
    let console = appliance.text("console_url").trim_end_matches('/');
    curl(&[
        "--request",
        "POST",
        "--header",
        "x-redan-console: 1",
        "--header",
        "content-type: application/json",
        "--header",
        &format!("origin: {console}"),
        "--header",
        &format!("cookie: {cookies}"),
        "--data",
        body,
        &format!("{console}{path}"),
    ])
}

fn sign_in(appliance: &Appliance, cookies: &str, password: &str) -> Response {
    let body = serde_json::json!({ "name": "admin", "password": password }).to_string();
    post(appliance, "/api/v1/login", cookies, &body)
}

/// The cookies of an answer, for the next request.
fn cookies(answer: &Response) -> String {
    let set = answer.head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let cookie = value.split(';').next()?;
        name.eq_ignore_ascii_case("set-cookie")
            .then(|| cookie.trim().to_owned())
    });
    set.collect::<Vec<_>>().join("; ")
}

#[test]
fn guessing_costs_the_guesser_time_and_keeps_no_session_and_no_known_browser_out() {
    let appliance = Appliance::start(&[]);
    let first = sign_in(&appliance, "", appliance.text("password"));
    assert_eq!(first.status, 200, "{first:?}");
    let session = cookies(&first);
    assert_eq!(session.matches("__Host-redan-").count(), 2, "{session}");
    let change = serde_json::json!({ "current": appliance.text("password"), "new": PASSWORD }).to_string();
    let changed = post(&appliance, "/api/v1/password", &session, &change);
    assert_eq!(changed.status, 200, "{changed:?}");

    // Everybody comes from one address here: the relay's. The hardest case.
    let waits: Vec<u32> = (0..40)
        .map(|_| {
            let answer = sign_in(&appliance, "", "guess");
            assert!(matches!(answer.status, 401 | 429), "{answer:?}");
            answer
                .field("retry-after")
                .and_then(|value| value.parse().ok())
                .unwrap_or(0)
        })
        .collect();
    assert_eq!(waits.iter().take(4).max(), Some(&0), "a person may mistype: {waits:?}");
    assert!(waits.iter().skip(5).filter(|wait| **wait > 0).count() > 25, "{waits:?}");
    assert!(
        waits.iter().all(|wait| *wait < 120),
        "seconds, not a quarter of an hour: {waits:?}"
    );

    let console = appliance.text("console_url");
    let overview = curl(&[
        "--header",
        &format!("cookie: {session}"),
        &format!("{console}api/v1/overview"),
    ]);
    assert_eq!(overview.status, 200, "an open session goes on: {overview:?}");
    let known = sign_in(&appliance, &session, PASSWORD);
    assert_eq!(
        known.status, 200,
        "a browser that signed in before signs in at once: {known:?}"
    );
    appliance.until(
        "a stranger at the guesser's address may try again",
        Duration::from_secs(150),
        |appliance| sign_in(appliance, "", PASSWORD).status == 200,
    );
    let log = appliance.redan_ok(&["audit", "search", "--action", "user.login", "--limit", "200"]);
    assert!(log.contains("too many wrong passwords from there"), "{log}");
}

#[test]
fn a_password_that_is_easy_to_guess_is_refused_with_what_would_be_right() {
    let appliance = Appliance::start(&[]);
    let session = cookies(&sign_in(&appliance, "", appliance.text("password")));
    for weak in ["password1234", "qwertyuiop12", "admin admin admin", "redan-redan-2026"] {
        let change = serde_json::json!({ "current": appliance.text("password"), "new": weak }).to_string();
        let refused = post(&appliance, "/api/v1/password", &session, &change);
        assert_eq!(refused.status, 422, "{weak}: {refused:?}");
        assert!(refused.body.contains("three or more words"), "{weak}: {refused:?}");
    }
}
