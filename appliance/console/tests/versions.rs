//! Versions of the configuration and the audit log, asked through the API's router.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use axum::body::to_bytes;
use axum::http::{Method, StatusCode};
use redan_types::Process;
use serde_json::{Value, json};
use support::browser::sign_in;
use support::console;
use support::world::{DOCUMENT, lock, world};

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
async fn the_running_document_again_is_no_change_and_is_said_to_be_none() {
    let console = console(world());
    let ann = sign_in(&console, "ann", "correct horse").await;
    let commit = json!({ "text": DOCUMENT, "comment": "again", "base": 1, "confirm_within_s": 60 });
    let (status, body) = ann.post("/api/v1/configuration/commit", commit).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["message"].as_str().unwrap().contains("runs already"), "{body}");
    assert_eq!(lock(&console.world).versions.len(), 1);
}
