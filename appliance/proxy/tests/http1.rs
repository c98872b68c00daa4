//! HTTP/1.1 through the proxy, with a signature from another thread's vault.

mod common;

use common::{HOST, Rig, Scripted};

const HELLO: &str = "HTTP/1.1 200 OK\nServer: secret/1.0\nContent-Length: 5\n\nhello";

#[test]
fn a_connection_is_kept_for_further_requests() {
    let upstream = Scripted::answering(HELLO);
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    for _ in 0..3 {
        let response = client.ask(&format!("GET /a?b=c HTTP/1.1\nHost: {HOST}\n\n"));
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
        assert_eq!(response.field("server"), None);
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.field("x-frame-options"), Some("DENY"));
        assert_eq!(response.field("x-request-id").unwrap().len(), 16);
    }
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests[0].starts_with("GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].contains("\r\nx-forwarded-for: 127.0.0.1\r\n"),
        "{}",
        requests[0]
    );
    assert_eq!(upstream.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}
