//! What becomes of the connection: versions, `Connection`, `Upgrade`, `Expect`.

use super::{get, good, parse, post, refused};
use redan_http1::{Persistence, Refusal, Version};

#[test]
fn http_1_0_is_never_persistent() {
    let head = good("GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(
        (head.version(), head.persistence()),
        (Version::Http10, Persistence::Close)
    );
}

#[test]
fn close_wins_over_keep_alive() {
    assert_eq!(
        good(get("Connection: keep-alive\r\n")).persistence(),
        Persistence::KeepAlive
    );
    assert_eq!(good(get("Connection: Close\r\n")).persistence(), Persistence::Close);
    assert_eq!(
        good(get("Connection: close\r\nConnection: keep-alive\r\n")).persistence(),
        Persistence::Close
    );
}

#[test]
fn hop_by_hop_and_listed_fields_do_not_pass() {
    let head = good(get(
        "Connection: x-hop, TE\r\nX-Hop: 1\r\nx-hop: 2\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\n\
         Trailer: a\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\nX-Stays: 1\r\n",
    ));
    let passed: Vec<_> = head.fields().end_to_end().map(|f| f.name().as_str()).collect();
    assert_eq!(passed, ["X-Stays"]);
}

#[test]
fn a_connection_field_that_lists_an_end_to_end_field_is_refused() {
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "Content-Type",
        "X-Forwarded-For",
        "X-Api-Key",
    ] {
        refused(
            get(&format!("Connection: close, {name}\r\n")),
            Refusal::ConnectionListsEndToEnd,
        );
    }
}

#[test]
fn a_connection_field_that_is_no_short_list_of_tokens_is_refused() {
    refused(get("Connection: a b\r\n"), Refusal::ConnectionInvalid);
    refused(get("Connection: \"close\"\r\n"), Refusal::ConnectionInvalid);
    let many = |count: usize| vec!["x"; count].join(",");
    refused(
        get(&format!("Connection: {}\r\n", many(17))),
        Refusal::ConnectionInvalid,
    );
    refused(
        get(&format!("Connection: {}\r\nConnection: y\r\n", many(16))),
        Refusal::ConnectionInvalid,
    );
    assert!(parse(get(&format!("Connection: {}\r\n", many(16)))).is_ok());
}

#[test]
fn an_upgrade_is_never_taken_with_a_body_and_never_leaves_the_connection_open() {
    let head = good(get("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    assert_eq!(head.upgrade().unwrap().as_bytes(), b"websocket");
    assert_eq!(head.persistence(), Persistence::Close);
    refused(
        post("Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n"),
        Refusal::UpgradeWithBody,
    );
    refused(
        post("Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::UpgradeWithBody,
    );
    refused(get("Connection: Upgrade\r\nUpgrade: a b\r\n"), Refusal::UpgradeInvalid);
    refused(get("Connection: Upgrade\r\nUpgrade:\r\n"), Refusal::UpgradeInvalid);
    refused(get("Upgrade: a\r\nUpgrade: b\r\n"), Refusal::UpgradeInvalid);
    assert!(
        good(get("Upgrade: websocket\r\n")).upgrade().is_none(),
        "Connection does not mean it"
    );
    let old = "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    assert!(good(old).upgrade().is_none(), "HTTP/1.0 has no upgrade");
}

#[test]
fn only_100_continue_can_be_expected() {
    assert!(good(post("Expect: 100-Continue\r\nContent-Length: 1\r\n")).expects_continue());
    assert!(
        !good(post("Expect: 100-continue\r\n")).expects_continue(),
        "without a body"
    );
    refused(post("Expect: 200-ok\r\n"), Refusal::ExpectationUnsupported);
    refused(
        post("Expect: 100-continue\r\nExpect: 100-continue\r\n"),
        Refusal::FieldRepeated,
    );
    assert_eq!(Refusal::ExpectationUnsupported.status().code(), 417);
}
