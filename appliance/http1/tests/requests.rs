//! The rules for request heads, a test for each.
#![allow(missing_docs, reason = "the names of tests are their documentation")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, in its own functions too"
)]

use redan_http1::{Form, Framing, Limits, Method, Parsed, Persistence, Refusal, RequestHead, Version, parse_request};

fn parse(head: impl AsRef<[u8]>) -> Result<Option<Parsed<RequestHead>>, Refusal> {
    parse_request(head.as_ref(), &Limits::default())
}

fn good(head: impl AsRef<[u8]>) -> RequestHead {
    parse(head).unwrap().unwrap().head
}

#[track_caller]
fn refused(head: impl AsRef<[u8]>, refusal: Refusal) {
    let head = head.as_ref();
    assert_eq!(
        parse(head).map(|parsed| parsed.map(|parsed| parsed.consumed)),
        Err(refusal),
        "{}",
        head.escape_ascii()
    );
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

#[test]
fn a_plain_request_is_read() {
    let read =
        b"GET /a/b?c=d&e HTTP/1.1\r\nHost: Shop.Example:8443\r\nAccept:*/*\r\nEmpty:\r\nX: \t a b \t\r\n\r\nrest";
    let parsed = parse(read).unwrap().unwrap();
    assert_eq!(parsed.consumed, read.len() - 4);
    let head = parsed.head;
    assert_eq!(
        (head.method(), head.version(), head.form()),
        (Method::Get, Version::Http11, Form::Origin)
    );
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d&e")));
    assert_eq!(head.authority().to_string(), "shop.example:8443");
    assert_eq!(
        (head.framing(), head.persistence()),
        (Framing::None, Persistence::KeepAlive)
    );
    let fields: Vec<_> = head
        .fields()
        .iter()
        .map(|f| (f.name().as_str(), f.value().as_bytes()))
        .collect();
    assert_eq!(
        fields,
        [
            ("Host", b"Shop.Example:8443".as_slice()),
            ("Accept", b"*/*"),
            ("Empty", b""),
            ("X", b"a b")
        ]
    );
    assert_eq!(head.fields().end_to_end().count(), 3);
    assert_eq!(head.fields().get("ACCEPT").unwrap().as_str(), Some("*/*"));
}

#[test]
fn an_unfinished_head_asks_for_more() {
    let whole = get("A: b\r\n");
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).unwrap().is_none(), "{length}");
    }
}

// --- Host ---

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

// --- Content-Length and Transfer-Encoding ---

#[test]
fn a_repeated_content_length_is_refused_whether_equal_or_not() {
    refused(
        post("Content-Length: 1\r\nContent-Length: 2\r\n"),
        Refusal::ContentLengthRepeated,
    );
    refused(
        post("Content-Length: 2\r\ncontent-length: 2\r\n"),
        Refusal::ContentLengthRepeated,
    );
}

#[test]
fn a_content_length_that_is_not_digits_is_refused() {
    for value in [
        "",
        "2, 2",
        "+2",
        "-2",
        "0x2",
        "2 2",
        "2;",
        "2.0",
        "1e3",
        "2_0",
        "\"2\"",
        "\u{662}",
        "9223372036854775809",
        "99999999999999999999",
    ] {
        refused(
            post(&format!("Content-Length: {value}\r\n")),
            Refusal::ContentLengthInvalid,
        );
    }
    assert_eq!(
        good(post("Content-Length: 9223372036854775808\r\n")).framing(),
        Framing::Length(1 << 63)
    );
    assert_eq!(good(post("Content-Length: 0\r\n")).framing(), Framing::Length(0));
}

#[test]
fn any_transfer_encoding_but_exactly_one_chunked_is_refused() {
    for value in [
        "",
        "xchunked",
        "chunked, identity",
        "gzip, chunked",
        "identity",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked;q=1",
        "chunk",
        "\"chunked\"",
        "chunked\u{a0}",
    ] {
        refused(
            post(&format!("Transfer-Encoding: {value}\r\n")),
            Refusal::TransferEncodingUnsupported,
        );
    }
    refused(post("Transfer-Encoding: \x0bchunked\r\n"), Refusal::FieldValueCharacter);
    refused(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::TransferEncodingRepeated,
    );
    refused(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        Refusal::TransferEncodingRepeated,
    );
    refused(
        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::TransferEncodingUnsupported,
    );
    assert_eq!(
        good(post("tRANSFER-eNCODING:\tCHUNKED \r\n")).framing(),
        Framing::Chunked
    );
}

#[test]
fn transfer_encoding_together_with_content_length_is_refused() {
    refused(
        post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::ContentLengthWithTransferEncoding,
    );
    refused(
        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        Refusal::ContentLengthWithTransferEncoding,
    );
    refused(
        post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        Refusal::ContentLengthWithTransferEncoding,
    );
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused() {
    refused(
        "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refusal::TransferEncodingInOldVersion,
    );
}

#[test]
fn a_framing_name_written_with_underscores_is_refused() {
    refused(post("Content_Length: 5\r\n"), Refusal::FieldNameLookAlike);
    refused(post("Transfer_Encoding: chunked\r\n"), Refusal::FieldNameLookAlike);
    assert!(parse(get("My_Field: 1\r\n")).is_ok());
}

// --- HTTP/1.0, Connection, Upgrade, Expect ---

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

// --- lines and characters ---

#[test]
fn a_bare_line_feed_is_refused_before_the_head_ends() {
    refused("GET / HTTP/1.1\nHost: localhost\n\n", Refusal::BareLineFeed);
    refused("GET / HTTP/1.1\r\nHost: localhost\n", Refusal::BareLineFeed);
    refused("GET / HTTP/1.1\r\nHost: localhost\r\n\n", Refusal::BareLineFeed);
    refused("\nGET / HTTP/1.1\r\n", Refusal::BareLineFeed);
}

#[test]
fn a_bare_carriage_return_is_refused() {
    refused(get("X: a\rY: b\r\n"), Refusal::BareCarriageReturn);
    refused(get("X: a\r\r\n"), Refusal::BareCarriageReturn);
    refused("GET / HTTP/1.1\rHost: localhost\r\n\r\n", Refusal::BareCarriageReturn);
}

#[test]
fn an_empty_line_before_the_head_is_refused() {
    refused(format!("\r\n{}", get("")), Refusal::LeadingEmptyLine);
}

#[test]
fn a_nul_or_control_character_is_refused() {
    for byte in (0..0x20_u8)
        .chain([0x7f])
        .filter(|b| !matches!(b, b'\t' | b'\r' | b'\n'))
    {
        let mut head = get("X: a").into_bytes();
        head.truncate(head.len() - 2);
        head.push(byte);
        head.extend_from_slice(b"b\r\n\r\n");
        refused(&head, Refusal::FieldValueCharacter);
    }
}

#[test]
fn obs_text_in_a_value_passes_unchanged() {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.extend(0x80..=0xff_u8);
    head.extend_from_slice(b"\r\n\r\n");
    assert_eq!(
        good(&head).fields().get("x").unwrap().as_bytes(),
        (0x80..=0xff_u8).collect::<Vec<_>>()
    );
}

#[test]
fn a_folded_line_is_refused() {
    refused(get("X: a\r\n b\r\n"), Refusal::ObsFold);
    refused(get("X: a\r\n\tb\r\n"), Refusal::ObsFold);
    refused("GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", Refusal::ObsFold);
    refused(get("X: a\r\n \r\n"), Refusal::ObsFold);
}

#[test]
fn a_space_before_the_colon_is_refused() {
    refused(post("Transfer-Encoding : chunked\r\n"), Refusal::SpaceBeforeColon);
    refused(get("X\t: a\r\n"), Refusal::SpaceBeforeColon);
}

#[test]
fn an_empty_name_and_a_line_without_a_colon_are_refused() {
    refused(get(": x\r\n"), Refusal::FieldNameEmpty);
    refused(get("bad line\r\n"), Refusal::FieldWithoutColon);
    refused(get("bad\r\n"), Refusal::FieldWithoutColon);
}

#[test]
fn a_name_has_token_characters_only() {
    for byte in (0x21..=0xff_u8).filter(|b| !b.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~:".contains(b)) {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX".to_vec();
        head.push(byte);
        head.extend_from_slice(b"Y: a\r\n\r\n");
        refused(&head, Refusal::FieldNameCharacter);
    }
    refused(get("X Y: a\r\n"), Refusal::FieldNameCharacter);
}

// --- request line ---

#[test]
fn methods_and_versions_are_from_a_list() {
    for method in Method::ALL {
        assert_eq!(good(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).method(), method);
    }
    for method in ["get", "TRACE", "CONNECT", "PROPFIND", "GETT", "G"] {
        refused(
            format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal::MethodUnknown,
        );
    }
    refused("PRI * HTTP/2.0\r\n\r\n", Refusal::MethodUnknown);
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0"] {
        refused(
            format!("GET / {version}\r\nHost: a\r\n\r\n"),
            Refusal::VersionUnsupported,
        );
    }
    for version in [
        "http/1.1",
        "HTTP/1.1 ",
        " HTTP/1.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/1",
        "",
        "X",
    ] {
        refused(format!("GET / {version}\r\nHost: a\r\n\r\n"), Refusal::RequestLine);
    }
    refused("GET /\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused("G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::MethodToken);
    refused(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused(b"\x16\x03\x01\x02\x00\x01", Refusal::RequestLine);
}

#[test]
fn a_target_is_visible_ascii_without_a_fragment() {
    for target in ["/a#b", "/é", "/\u{7f}", "/\u{1}", "/\0"] {
        refused(
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal::TargetCharacter,
        );
    }
    assert_eq!(
        good("GET /<%00>{|}\\^`\"'?<x> HTTP/1.1\r\nHost: a\r\n\r\n").query(),
        Some("<x>")
    );
}

// --- bounds ---

#[test]
fn a_head_over_16_kib_is_refused_before_it_ends() {
    let fields = format!("X: {}\r\n", "y".repeat(8_000)).repeat(3);
    refused(get(&fields), Refusal::HeadTooLong);
    refused(&get(&fields)[..16_384], Refusal::HeadTooLong);
    assert!(parse(&get(&fields)[..16_383]).unwrap().is_none());
    let exact = get("");
    let limits = Limits {
        head: exact.len(),
        ..Limits::default()
    };
    assert!(parse_request(exact.as_bytes(), &limits).unwrap().is_some());
    let limits = Limits {
        head: exact.len() - 1,
        ..limits
    };
    assert_eq!(
        parse_request(exact.as_bytes(), &limits).err(),
        Some(Refusal::HeadTooLong)
    );
}

#[test]
fn more_than_100_fields_are_refused() {
    let fields = |count: usize| (1..count).map(|i| format!("X{i}: y\r\n")).collect::<String>();
    assert_eq!(good(get(&fields(100))).fields().len(), 100);
    refused(get(&fields(101)), Refusal::TooManyFields);
    refused(get(&fields(2_000)), Refusal::TooManyFields);
    let limits = Limits {
        fields: 1_000,
        head: 1 << 20,
        ..Limits::default()
    };
    assert_eq!(
        parse_request(get(&fields(129)).as_bytes(), &limits).err(),
        Some(Refusal::TooManyFields)
    );
    assert!(parse_request(get(&fields(128)).as_bytes(), &limits).is_ok());
}

#[test]
fn a_line_over_8_kib_is_refused_before_it_ends() {
    refused(get(&format!("X: {}\r\n", "y".repeat(8_190))), Refusal::LineTooLong);
    assert!(parse(get(&format!("X: {}\r\n", "y".repeat(8_189)))).is_ok());
    refused(
        format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(8_190)),
        Refusal::LineTooLong,
    );
    assert_eq!(Refusal::LineTooLong.status().code(), 431);
}

#[test]
fn a_target_over_8_kib_is_refused_with_414() {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1));
    assert!(parse(target(8_192)).is_ok());
    refused(target(8_193), Refusal::TargetTooLong);
    refused(&target(40_000)[..9_000], Refusal::TargetTooLong);
    assert_eq!(Refusal::TargetTooLong.status().code(), 414);
}

#[test]
fn a_body_under_a_method_that_rarely_has_one_is_noticed() {
    assert!(good(get("Content-Length: 5\r\n")).body_is_unusual());
    assert!(!good(get("Content-Length: 0\r\n")).body_is_unusual());
    assert!(!good(post("Content-Length: 5\r\n")).body_is_unusual());
}

#[test]
fn a_field_that_decides_on_access_is_read_only_when_it_stands_once() {
    let head = good(get("Authorization: a\r\nauthorization: b\r\nX: c\r\n"));
    assert!(head.fields().only("Authorization").is_err());
    assert_eq!(head.fields().only("x").unwrap().unwrap().as_bytes(), b"c");
    assert!(head.fields().only("y").unwrap().is_none());
}

#[test]
fn secrets_in_values_are_not_printed() {
    let head = good(get("Authorization: Bearer hunter2\r\n"));
    assert!(!format!("{head:?}").contains("hunter2"));
}
