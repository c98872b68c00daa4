//! Whom a request is for: `Host` and the target's authority.

use super::{get, good, parse, refused};
use redan_http1::{Form, Refusal};

#[test]
fn a_request_without_host_is_refused() {
    refused("GET / HTTP/1.1\r\nA: b\r\n\r\n", Refusal::HostMissing);
    refused("GET / HTTP/1.0\r\n\r\n", Refusal::HostMissing);
    refused("GET http://localhost/ HTTP/1.1\r\n\r\n", Refusal::HostMissing);
}

#[test]
fn a_second_host_is_refused_even_when_equal() {
    refused(get("Host: evil\r\n"), Refusal::HostRepeated);
    refused(get("hOST: localhost\r\n"), Refusal::HostRepeated);
}

#[test]
fn an_invalid_host_is_refused() {
    for host in [
        "",
        "a b",
        "a,b",
        "user@localhost",
        "localhost:",
        "localhost:99999",
        "localhost/",
        "a..b",
        "localhost\t",
        "::1",
        "%6c",
    ] {
        let refusal = if host == "localhost\t" {
            None
        } else {
            Some(Refusal::HostInvalid)
        };
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(parse(&head).err(), refusal, "{host:?}");
    }
}

#[test]
fn absolute_form_is_refused_unless_its_authority_equals_host() {
    refused(
        "GET http://evil/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        Refusal::TargetAuthority,
    );
    refused(
        "GET http://localhost:81/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        Refusal::TargetAuthority,
    );
    refused(
        "GET http://u@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        Refusal::TargetAuthority,
    );
    refused(
        "GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n",
        Refusal::TargetAuthority,
    );
    for scheme in [
        "ftp://localhost/",
        "http:/localhost/",
        "localhost/",
        "localhost",
        "//",
        "javascript:1",
    ] {
        let head = format!("GET {scheme} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let expected = if scheme == "//" {
            None
        } else {
            Some(Refusal::TargetForm)
        };
        assert_eq!(parse(&head).err(), expected, "{scheme}");
    }
    let head = good("GET HTTPS://LocalHost/a?b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(
        (head.form(), head.path(), head.query()),
        (Form::Absolute, "/a", Some("b"))
    );
    let head = good("GET http://localhost?b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.path(), head.query()), ("/", Some("b")));
}

#[test]
fn asterisk_form_is_for_options_only_and_authority_form_for_nobody() {
    refused("GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::TargetForm);
    refused("OPTIONS *a HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal::TargetForm);
    refused(
        "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        Refusal::MethodUnknown,
    );
    refused(
        "GET localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        Refusal::TargetForm,
    );
    let head = good("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.form(), head.path()), (Form::Asterisk, "*"));
}
