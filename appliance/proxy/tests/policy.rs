//! Who may do how much: API keys, decision tables, quotas, and what the log gets to know.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{HOST, Rig, Scripted, principal, role, route};
use redan_identity::api_key::ApiKey;
use redan_identity::rule::Effect;
use redan_identity::table::{DecisionTable, ResolvedRule};
use redan_ipc::messages::audit::Actor;
use redan_ipc::slice::Access;
use redan_types::{PathPattern, RoleName};
use std::sync::atomic::Ordering;

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\nHost: {HOST}\n{fields}\n")
}

fn bearer(key: &ApiKey) -> String {
    format!("Authorization: Bearer {}\n", key.secret().expose())
}

fn rule(roles: &[&str], path: &str) -> ResolvedRule {
    ResolvedRule {
        roles: roles.iter().map(|name| RoleName::parse(name).unwrap()).collect(),
        pattern: PathPattern::parse(path).unwrap(),
        methods: Vec::new(),
        effect: Effect::Allow,
    }
}

fn protected(upstream: &Scripted) -> (Rig, ApiKey, ApiKey) {
    let rules = [
        rule(&["user", "admin"], "/api/items/**"),
        rule(&["admin"], "/api/admin/**"),
    ];
    let table = DecisionTable::compile(&rules).unwrap();
    let rig = Rig::start(upstream.address, |slice| {
        let mut api = route("api", "/api", upstream.address);
        api.access = Some(Access {
            table: table.to_bytes().unwrap(),
        });
        slice.services[0].routes.insert(0, api);
    });
    let (user, admin) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let mut keys = rig.vault.api_keys.lock().unwrap();
    keys.insert(user.secret().expose().to_owned(), principal("ann", &["user"]));
    keys.insert(admin.secret().expose().to_owned(), principal("bob", &["admin"]));
    drop(keys);
    (rig, user, admin)
}

#[test]
fn a_protected_path_needs_a_key_with_the_right_role() {
    let upstream = Scripted::answering(OK);
    let (rig, user, admin) = protected(&upstream);
    let mut client = rig.client();
    assert_eq!(client.ask(&get("/open", "")).status, 200);
    let anonymous = client.ask(&get("/api/items/1", ""));
    assert_eq!(
        (anonymous.status, anonymous.field("www-authenticate")),
        (401, Some("Bearer"))
    );
    assert_eq!(client.ask(&get("/api/items/1", &bearer(&user))).status, 200);
    assert_eq!(client.ask(&get("/api/admin/x", &bearer(&user))).status, 403);
    assert_eq!(client.ask(&get("/api/admin/x", &bearer(&admin))).status, 200);
    assert_eq!(
        client.ask(&get("/api/items/../admin/x", &bearer(&user))).status,
        403,
        "the path as the server reads it"
    );
    assert_eq!(client.ask(&get("/open/../api/admin/x", "")).status, 401);
    assert_eq!(client.ask(&get("/%61pi/admin/x", "")).status, 401);
    assert_eq!(client.ask(&get("//api/admin/x", "")).status, 401);

    let denied = rig
        .vault
        .event(|event| event.action == "request.forbidden" && event.actor != Actor::Anonymous);
    assert_eq!(
        denied.actor.to_string(),
        format!("key:{} (ann)", redan_types::RecordId([1; 8]))
    );
    assert_eq!(denied.resource, "service/shop");
    assert_eq!(denied.request.unwrap().count, 2);
}

#[test]
fn a_key_is_taken_from_either_header_and_never_reaches_the_upstream() {
    let upstream = Scripted::answering(OK);
    let (rig, user, _) = protected(&upstream);
    let mut client = rig.client();
    let key = user.secret().expose().to_owned();
    assert_eq!(
        client.ask(&get("/api/items/1", &format!("X-API-Key: {key}\n"))).status,
        200
    );
    assert_eq!(client.ask(&get("/open", &bearer(&user))).status, 200);
    assert!(upstream.requests().iter().all(|request| !request.contains(&key)));
    let both = client.ask(&get("/open", &format!("X-API-Key: {key}\n{}", bearer(&user))));
    assert_eq!(both.status, 400);
}

#[test]
fn a_key_that_is_not_valid_is_refused_even_where_none_is_needed() {
    let upstream = Scripted::answering(OK);
    let (rig, _, _) = protected(&upstream);
    let mut client = rig.client();
    let unknown = ApiKey::generate().unwrap();
    assert_eq!(client.ask(&get("/open", &bearer(&unknown))).status, 401);
    assert_eq!(
        client
            .ask(&get("/open", "Authorization: Bearer redan_nonsense\n"))
            .status,
        401
    );
    assert_eq!(
        client
            .ask(&get("/open", "Authorization: Bearer other-applications-token\n"))
            .status,
        200
    );
    assert_eq!(
        rig.vault.resolved.load(Ordering::Relaxed),
        1,
        "a key that cannot be one is not asked about"
    );
    let event = rig.vault.event(|event| event.action == "request.unauthenticated");
    assert_eq!(event.request.unwrap().count, 2);
}

#[test]
fn an_answer_of_the_vault_is_believed_for_a_moment_only() {
    let upstream = Scripted::answering(OK);
    let (rig, user, _) = protected(&upstream);
    let mut client = rig.client();
    for _ in 0..10 {
        assert_eq!(client.ask(&get("/api/items/1", &bearer(&user))).status, 200);
    }
    assert!(rig.vault.resolved.load(Ordering::Relaxed) <= 2);
    rig.vault.api_keys.lock().unwrap().clear();
    common::eventually("a revoked key ends", || {
        client.ask(&get("/api/items/1", &bearer(&user))).status == 401
    });
}

#[test]
fn quotas_follow_the_role_and_say_how_they_stand() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].rates = vec![(role("guest"), 3), (role("user"), 5)];
    });
    let key = ApiKey::generate().unwrap();
    rig.vault
        .api_keys
        .lock()
        .unwrap()
        .insert(key.secret().expose().to_owned(), principal("ann", &["user"]));
    for left in ["2", "1", "0"] {
        // The address counts, not the connection.
        let response = rig.ask(&get("/", ""));
        assert_eq!((response.status, response.field("ratelimit-limit")), (200, Some("3")));
        assert_eq!(response.field("ratelimit-remaining"), Some(left));
        assert_eq!(response.field("ratelimit-policy"), Some("3;w=60"));
        assert!(response.field("ratelimit-reset").unwrap().parse::<u32>().unwrap() <= 60);
    }
    let mut client = rig.client();
    let refused = client.ask(&get("/", ""));
    assert_eq!((refused.status, refused.field("ratelimit-remaining")), (429, Some("0")));
    assert!((1..=20).contains(&refused.field("retry-after").unwrap().parse::<u32>().unwrap()));
    for _ in 0..5 {
        assert_eq!(client.ask(&get("/", &bearer(&key))).status, 200);
    }
    assert_eq!(client.ask(&get("/", &bearer(&key))).status, 429);
    assert_eq!(upstream.requests().len(), 8);
    rig.vault.event(|event| event.action == "request.over-quota");
}

#[test]
fn guessing_keys_uses_up_the_quota_of_the_address() {
    let rig = Rig::start(Scripted::answering(OK).address, |slice| {
        slice.services[0].rates = vec![(role("guest"), 3)];
    });
    let mut client = rig.client();
    let mut guess = || client.ask(&get("/", &bearer(&ApiKey::generate().unwrap()))).status;
    assert_eq!([guess(), guess(), guess(), guess()], [401, 401, 401, 429]);
}

#[test]
fn a_route_with_rates_of_its_own_is_counted_apart() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].rates = vec![(role("guest"), 2)];
        let mut login = route("login", "/login", upstream.address);
        login.rates = Some(vec![(role("guest"), 1)]);
        slice.services[0].routes.insert(0, login);
    });
    let mut client = rig.client();
    assert_eq!(client.ask(&get("/login", "")).status, 200);
    assert_eq!(client.ask(&get("/login/", "")).status, 429);
    assert_eq!(client.ask(&get("/", "")).status, 200);
    assert_eq!(client.ask(&get("/loginx", "")).status, 200);
    assert_eq!(client.ask(&get("/", "")).status, 429);
}

#[test]
fn counts_of_each_second_reach_the_vault() {
    let rig = Rig::start(Scripted::answering(OK).address, |_| {});
    let mut client = rig.client();
    assert_eq!(client.ask(&get("/", "")).status, 200);
    common::eventually("the counts arrive", || {
        let samples = rig.vault.traffic.lock().unwrap();
        let total = samples.iter().fold((0, 0, 0), |total, sample| {
            (
                total.0 + sample.requests,
                total.1 + sample.succeeded,
                total.2 + sample.handshakes,
            )
        });
        total == (1, 1, 1)
    });
}
