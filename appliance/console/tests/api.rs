//! The API, asked through its router, among services that answer over the real wires.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use redan_console::api::Client;
use redan_types::Process;
use serde_json::{Value, json};
use std::time::Duration;
use support::world::{DOCUMENT, KEY, lock, world};
use support::{Console, console};
use tower::ServiceExt as _;

/// A browser on one of the console's pages.
struct Browser<'a> {
    console: &'a Console,
    cookie: Option<String>,
}

impl Browser<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost:9443")
            .header(header::ORIGIN, "https://localhost:9443")
            .header("sec-fetch-site", "same-origin")
            .header("x-redan-console", "1");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        ask(
            self.console,
            request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .unwrap(),
        )
        .await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        json_of(self.send(Method::GET, path, None).await).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        json_of(self.send(Method::POST, path, Some(body)).await).await
    }
}

async fn ask(console: &Console, mut request: Request<Body>) -> Response<Body> {
    request
        .extensions_mut()
        .insert(Client("192.0.2.7:40000".parse().unwrap()));
    console.app.clone().router().oneshot(request).await.unwrap()
}

async fn json_of(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 8 << 20).await.unwrap();
    (
        status,
        if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        },
    )
}

async fn sign_in<'a>(console: &'a Console, name: &str, password: &str) -> Browser<'a> {
    let mut browser = Browser { console, cookie: None };
    let response = browser
        .send(
            Method::POST,
            "/api/v1/login",
            Some(json!({ "name": name, "password": password })),
        )
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(set.starts_with("__Host-") && !set.contains("Domain"), "{set}");
    browser.cookie = Some(set.split(';').next().unwrap().to_owned());
    browser
}

/// Every GET endpoint without parameters.
const READ: [&str; 9] = [
    "/api/openapi.json",
    "/api/v1/sessions",
    "/api/v1/overview",
    "/api/v1/services",
    "/api/v1/audit",
    "/api/v1/configuration",
    "/api/v1/configuration/versions",
    "/api/v1/configuration/versions/1",
    "/api/v1/blocks",
];

/// What only administrators may see: who else may come in.
const ACCOUNTS: [&str; 2] = ["/api/v1/users", "/api/v1/keys"];

/// Every endpoint that changes something for everybody, with a body that is well formed.
fn changes() -> Vec<(Method, &'static str, Value)> {
    vec![
        (
            Method::POST,
            "/api/v1/configuration/commit",
            json!({ "text": "", "comment": "x", "base": 1, "confirm_within_s": 60 }),
        ),
        (Method::POST, "/api/v1/configuration/confirm", json!({ "version": 1 })),
        (Method::POST, "/api/v1/configuration/rollback", json!({})),
        (
            Method::POST,
            "/api/v1/users",
            json!({ "name": "x", "roles": ["viewer"] }),
        ),
        (Method::PATCH, "/api/v1/users/ann", json!({ "enabled": false })),
        (Method::POST, "/api/v1/users/ann/reset", json!({})),
        (
            Method::POST,
            "/api/v1/keys",
            json!({ "owner": "ann", "roles": ["viewer"], "comment": "x" }),
        ),
        (Method::DELETE, "/api/v1/keys/0102030405060708", json!({})),
        (Method::POST, "/api/v1/keys/0102030405060708/rotate", json!({})),
        (
            Method::POST,
            "/api/v1/blocks",
            json!({ "address": "198.51.100.1", "seconds": 60, "reason": "x" }),
        ),
        (Method::DELETE, "/api/v1/blocks?address=198.51.100.1", json!({})),
    ]
}

#[tokio::test]
async fn nothing_is_answered_to_strangers() {
    let console = console(world());
    let stranger = Browser {
        console: &console,
        cookie: Some("__Host-redan-session=token-made-up".to_owned()),
    };
    for path in READ
        .into_iter()
        .chain(ACCOUNTS)
        .chain(["/api/v1/events", "/api/v1/audit/export"])
    {
        let (status, body) = stranger.get(path).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (StatusCode::UNAUTHORIZED, Some("signed-out")),
            "{path}"
        );
    }
    assert_eq!(stranger.get("/api/v1/session").await, (StatusCode::OK, Value::Null));
    for (method, path, body) in changes() {
        let (status, _) = json_of(stranger.send(method, path, Some(body)).await).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_viewer_sees_everything_but_accounts_and_changes_nothing() {
    let console = console(world());
    let eve = sign_in(&console, "eve", "correct horse").await;
    for path in READ {
        assert_eq!(eve.get(path).await.0, StatusCode::OK, "{path}");
    }
    for path in ACCOUNTS {
        assert_eq!(eve.get(path).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    for (method, path, body) in changes() {
        let (status, body) = json_of(eve.send(method, path, Some(body)).await).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (StatusCode::FORBIDDEN, Some("not-authorised")),
            "{path}"
        );
        assert_eq!(body["incident"].as_str().unwrap().len(), 16);
    }
    assert!(lock(&console.world).blocks.is_empty() && lock(&console.world).commit.pending.is_none());
}

#[tokio::test]
async fn a_request_of_another_origin_changes_nothing() {
    let console = console(world());
    let ann = sign_in(&console, "ann", "correct horse").await;
    let cookie = ann.cookie.as_deref().unwrap();
    let whole = [
        ("host", "localhost:9443"),
        ("origin", "https://localhost:9443"),
        ("x-redan-console", "1"),
        ("sec-fetch-site", "same-origin"),
    ];
    let attacks = [
        ("origin", Some("https://evil.example")),
        ("origin", Some("null")),
        ("origin", None),
        ("x-redan-console", None),
        ("sec-fetch-site", Some("cross-site")),
        ("sec-fetch-site", Some("same-site")),
    ];
    for (name, value) in attacks {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/blocks")
            .header(header::COOKIE, cookie);
        for (header, good) in whole {
            if let Some(value) = if header == name { value } else { Some(good) } {
                request = request.header(header, value);
            }
        }
        let body = json!({ "address": "198.51.100.1", "seconds": 60, "reason": "x" }).to_string();
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        let (status, body) = json_of(ask(&console, request).await).await;
        assert_eq!(
            (status, body["code"].as_str()),
            (StatusCode::FORBIDDEN, Some("cross-site")),
            "{name} {value:?}"
        );
    }
    assert!(lock(&console.world).blocks.is_empty());
}

#[tokio::test]
async fn another_name_is_not_answered_to() {
    let console = console(world());
    let request = Request::get("/")
        .header(header::HOST, "rebound.example:9443")
        .body(Body::empty())
        .unwrap();
    assert_eq!(ask(&console, request).await.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_one_time_password_opens_nothing_but_its_change() {
    let console = console(world());
    let admin = sign_in(&console, "admin", "once").await;
    assert_eq!(admin.get("/api/v1/session").await.1["must_change_password"], true);
    let (status, body) = admin.get("/api/v1/overview").await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("password-change"))
    );
    let (status, _) = admin
        .post(
            "/api/v1/password",
            json!({ "current": "wrong", "new": "another long one" }),
        )
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, session) = admin
        .post(
            "/api/v1/password",
            json!({ "current": "once", "new": "another long one" }),
        )
        .await;
    assert_eq!(
        (status, &session["must_change_password"]),
        (StatusCode::OK, &Value::Bool(false))
    );
    assert_eq!(admin.get("/api/v1/overview").await.0, StatusCode::OK);
}

#[tokio::test]
async fn wrong_names_and_wrong_passwords_get_the_same_answer() {
    let console = console(world());
    let browser = Browser {
        console: &console,
        cookie: None,
    };
    let mut answers = Vec::new();
    for (name, password) in [
        ("ann", "wrong"),
        ("nobody", "correct horse"),
        ("ann", &"x".repeat(5_000)),
    ] {
        let (status, mut body) = browser
            .post("/api/v1/login", json!({ "name": name, "password": password }))
            .await;
        body["incident"] = Value::Null;
        answers.push((status, body));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn an_api_key_does_what_the_pages_do() {
    let console = console(world());
    let with = |key: &str, method: Method, path: &str, body: Value| {
        Request::builder()
            .method(method)
            .uri(path.to_owned())
            .header(header::HOST, "localhost:9443")
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap()
    };
    let block = json!({ "address": "198.51.100.0/24", "seconds": 60, "reason": "scanner" });
    let response = ask(&console, with(KEY, Method::POST, "/api/v1/blocks", block.clone())).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let event = lock(&console.world).events.last().cloned().unwrap();
    assert_eq!(
        (event.action.as_str(), event.resource.as_str()),
        ("network.blocked", "address/198.51.100.0/24")
    );
    assert_eq!(event.actor.to_string(), "key:0909090909090909 (admin)");
    let response = ask(&console, with("redan_wrong", Method::POST, "/api/v1/blocks", block)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let own = json!({ "address": "192.0.2.0/24", "seconds": 60, "reason": "oops" });
    let (status, body) = json_of(ask(&console, with(KEY, Method::POST, "/api/v1/blocks", own)).await).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}

#[tokio::test]
async fn a_commit_is_kept_or_taken_back_and_stands_in_the_versions() {
    let console = console(world());
    let ann = sign_in(&console, "ann", "correct horse").await;
    let text = DOCUMENT.replace("60", "90");
    let commit = |base: u64| json!({ "text": text, "comment": "more", "base": base, "confirm_within_s": 60 });
    let (status, pending) = ann.post("/api/v1/configuration/commit", commit(1)).await;
    assert_eq!(status, StatusCode::OK, "{pending}");
    assert_eq!((&pending["version"], &pending["previous"]), (&json!(2), &json!(1)));
    assert!(pending["remaining_ms"].as_u64().unwrap() > 55_000);
    assert_eq!(
        ann.post("/api/v1/configuration/commit", commit(2)).await.0,
        StatusCode::CONFLICT,
        "one at a time"
    );
    assert_eq!(ann.get("/api/v1/overview").await.1["state"]["pending"]["version"], 2);
    assert_eq!(
        ann.post("/api/v1/configuration/confirm", json!({ "version": 7 }))
            .await
            .0,
        StatusCode::CONFLICT
    );
    assert_eq!(
        ann.post("/api/v1/configuration/confirm", json!({ "version": 2 }))
            .await
            .0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        ann.post("/api/v1/configuration/commit", commit(1)).await.0,
        StatusCode::CONFLICT,
        "made from an old version"
    );
    let (_, diff) = ann.get("/api/v1/configuration/diff?from=1&to=2").await;
    assert!(
        diff["lines"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["kind"] == "added" && line["text"] == "requests = 90")
    );
    let (_, pending) = ann
        .post("/api/v1/configuration/rollback", json!({ "version": 1 }))
        .await;
    assert_eq!(pending["version"], 3);
    assert_eq!(
        ann.post("/api/v1/configuration/rollback", json!({})).await.1,
        Value::Null
    );
    let (_, versions) = ann.get("/api/v1/configuration/versions").await;
    let states: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["number"].as_u64().unwrap(), v["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [(3, "idle"), (2, "running"), (1, "idle")]);
    for wait in [29, 601] {
        let body = json!({ "text": text, "comment": "x", "base": 2, "confirm_within_s": wait });
        assert_eq!(
            ann.post("/api/v1/configuration/commit", body).await.0,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
}

#[tokio::test]
async fn a_candidate_with_mistakes_is_refused_with_all_of_them() {
    let console = console(world());
    let ann = sign_in(&console, "ann", "correct horse").await;
    let text = "oops = 1\nfine = 2\n  oops = 3\n";
    let (_, check) = ann.post("/api/v1/configuration/check", json!({ "text": text })).await;
    assert_eq!(check["mistakes"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&check["mistakes"][1]["line"], &check["mistakes"][1]["column"]),
        (&json!(3), &json!(3))
    );
    let (status, body) = ann
        .post(
            "/api/v1/configuration/commit",
            json!({ "text": text, "comment": "x", "base": 1, "confirm_within_s": 60 }),
        )
        .await;
    assert_eq!(
        (status, body["code"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("mistakes"))
    );
    assert_eq!(body["mistakes"].as_array().unwrap().len(), 2);
    assert!(lock(&console.world).commit.pending.is_none());
}

#[tokio::test]
async fn the_overview_says_what_is_wrong() {
    let console = console(world());
    lock(&console.world).down = Some(Process::Proxy);
    let ann = sign_in(&console, "ann", "correct horse").await;
    let (_, overview) = ann.get("/api/v1/overview").await;
    assert_eq!(overview["state"]["attention"][0]["title"], "proxy is down");
    assert!(overview["traffic"].as_array().unwrap().len() > 100);
    assert!(overview["refusals"].as_array().unwrap().len() == 3);
    lock(&console.world)
        .damage
        .push("entry 3: the leaf does not hash into the tree".to_owned());
    assert_eq!(ann.post("/api/v1/audit/verify", json!({})).await.1["sound"], false);
    assert_eq!(
        ann.get("/api/v1/overview").await.1["state"]["attention"][0]["title"],
        "The audit log is damaged"
    );
}

#[tokio::test]
async fn a_sealed_vault_refuses_and_says_so() {
    let console = console(world());
    let ann = sign_in(&console, "ann", "correct horse").await;
    lock(&console.world).sealed = true;
    let (status, body) = ann.get("/api/v1/audit").await;
    assert_eq!(
        (status, body["message"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("The vault is sealed."))
    );
}

#[tokio::test]
async fn the_event_stream_ends_with_its_session() {
    let console = console(world());
    lock(&console.world).idle = Duration::from_millis(1_500);
    let ann = sign_in(&console, "ann", "correct horse").await;
    let live = std::sync::Arc::clone(&console.live);
    tokio::spawn(async move { live.run().await });
    let response = ann.send(Method::GET, "/api/v1/events", None).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let whole = tokio::time::timeout(Duration::from_secs(20), to_bytes(response.into_body(), 8 << 20)).await;
    let text = String::from_utf8(whole.expect("the stream goes on after the session").unwrap().to_vec()).unwrap();
    assert!(
        text.contains("event: traffic") && text.contains("event: state"),
        "{text}"
    );
    assert!(text.ends_with("event: signed-out\ndata: null\n\n"), "{text}");
}

#[tokio::test]
async fn the_log_is_searched_page_by_page_and_exported_whole() {
    let console = console(world());
    let ann = sign_in(&console, "ann", "correct horse").await;
    for i in 0..25 {
        let actor = redan_ipc::messages::audit::Actor::Process(Process::Proxy);
        lock(&console.world).record(
            actor,
            "request.refused",
            "service/shop",
            redan_ipc::messages::audit::Outcome::Denied,
            &format!("Number {i}"),
        );
    }
    let mut seen = Vec::new();
    let mut before = String::new();
    loop {
        let (_, page) = ann
            .get(&format!("/api/v1/audit?action=request&outcome=denied&limit=10{before}"))
            .await;
        seen.extend(
            page["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["sequence"].as_u64().unwrap()),
        );
        match page["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(
        ann.get("/api/v1/audit?text=NUMBER%2024").await.1["entries"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for bad in ["limit=0", "limit=501", "outcome=maybe", "unknown=1"] {
        assert_eq!(
            ann.get(&format!("/api/v1/audit?{bad}")).await.0,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    let response = ann.send(Method::GET, "/api/v1/audit/export", None).await;
    let lines = String::from_utf8(to_bytes(response.into_body(), 8 << 20).await.unwrap().to_vec()).unwrap();
    assert_eq!(lines.lines().count(), lock(&console.world).events.len());
}

#[tokio::test]
async fn malformed_and_oversized_requests_get_an_error_of_the_same_shape() {
    let console = console(world());
    let ann = sign_in(&console, "ann", "correct horse").await;
    let big = "x".repeat(2 << 20);
    for (path, body, wanted) in [
        (
            "/api/v1/configuration/check",
            json!({ "text": big }),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            "/api/v1/configuration/check",
            json!({ "text": "y".repeat(600 << 10) }),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            "/api/v1/configuration/check",
            json!({ "text": 1 }),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/api/v1/configuration/check",
            json!({ "text": "", "more": 1 }),
            StatusCode::BAD_REQUEST,
        ),
        ("/api/v1/nothing", json!({}), StatusCode::NOT_FOUND),
        ("/api/v1/overview", json!({}), StatusCode::METHOD_NOT_ALLOWED),
        (
            "/api/v1/blocks",
            json!({ "address": "192.0.2.5/24", "seconds": 60, "reason": "x" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/api/v1/blocks",
            json!({ "address": "198.51.100.1", "seconds": 2_592_001, "reason": "x" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (status, answer) = ann.post(path, body).await;
        assert_eq!(status, wanted, "{path} {answer}");
        assert!(
            answer["code"].is_string() && answer["message"].is_string() && answer["incident"].is_string(),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn every_answer_carries_the_policy() {
    let console = console(world());
    for path in ["/", "/audit", "/api/v1/overview", "/assets/none.js"] {
        let request = Request::get(path)
            .header(header::HOST, "localhost")
            .body(Body::empty())
            .unwrap();
        let response = ask(&console, request).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';") && policy.ends_with("trusted-types 'none'"),
            "{path}"
        );
        assert!(!policy.contains("unsafe"));
        assert!(
            response.headers().get(header::STRICT_TRANSPORT_SECURITY).is_none(),
            "an expired certificate must not lock operators out"
        );
    }
}

#[tokio::test]
async fn the_api_document_names_every_operation() {
    let console = console(world());
    let eve = sign_in(&console, "eve", "correct horse").await;
    let (_, document) = eve.get("/api/openapi.json").await;
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|path| path.as_object().unwrap().len())
        .sum();
    assert_eq!(operations, 31, "the document and the table of access differ");
}
