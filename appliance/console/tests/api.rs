//! The API, asked through its router, among services that answer over the real wires.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use redan_types::Process;
use serde_json::{Value, json};
use std::time::Duration;
use support::browser::{Browser, ask, json_of, sign_in};
use support::console;
use support::world::{KEY, lock, world};

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
    assert_eq!(operations, 49, "the document and the table of access differ");
}
