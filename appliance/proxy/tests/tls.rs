//! Handshakes: who signs, which names, which versions, what a silent vault and a slow client cost, and which configuration runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{Client, HOST, PATIENCE, Rig, Scripted, credentials, eventually, slice};
use redan_types::{Generation, HostName, KeyId};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

fn get() -> String {
    format!("GET / HTTP/1.1\nHost: {HOST}\n\n")
}

fn rig() -> Rig {
    Rig::start(Scripted::answering(OK).address, |_| {})
}

#[test]
fn every_full_handshake_is_signed_by_the_vault_and_a_resumed_one_needs_no_signature() {
    let rig = rig();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rig.credentials.certificate.chain[0].clone().into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    for round in 0..3 {
        let mut client = Client::connect_with(rig.address, Arc::clone(&config), Some(HOST)).unwrap();
        assert_eq!(client.ask(&get()).status, 200);
        let kind = client.stream.conn.handshake_kind().unwrap();
        let expected = if round == 0 {
            rustls::HandshakeKind::Full
        } else {
            rustls::HandshakeKind::Resumed
        };
        assert_eq!(kind, expected);
        let group = client.stream.conn.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    }
    assert_eq!(rig.vault.signatures.load(Ordering::Relaxed), 1);
}

#[test]
fn a_client_that_knows_only_p256_is_served() {
    let rig = rig();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rig.credentials.certificate.chain[0].clone().into()).unwrap();
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP256R1];
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = Client::connect_with(rig.address, Arc::new(config), Some(HOST)).unwrap();
    assert_eq!(client.ask(&get()).status, 200);
}

#[test]
fn an_unknown_name_ends_with_its_own_alert() {
    let rig = rig();
    let error = Client::connect(rig.address, &rig.credentials, Some("other.test"), &[])
        .err()
        .unwrap();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    assert_eq!(rig.vault.signatures.load(Ordering::Relaxed), 0);
}

#[test]
fn a_client_without_a_name_is_refused_unless_an_address_is_published() {
    let rig = Rig::start(Scripted::answering(OK).address, |slice| {
        slice.services[0].hosts = vec![HostName::parse(HOST).unwrap()];
    });
    let error = Client::connect(rig.address, &rig.credentials, None, &[]).err().unwrap();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[test]
fn a_silent_vault_stops_new_handshakes_at_once_and_nothing_else() {
    let rig = rig();
    let mut established = rig.client();
    assert_eq!(established.ask(&get()).status, 200);
    rig.vault.mute.store(true, Ordering::Relaxed);
    let connect = || Client::connect(rig.address, &rig.credentials, Some(HOST), &[]);
    assert!(connect().is_err());
    let start = Instant::now();
    for _ in 0..20 {
        assert!(connect().is_err());
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "the breaker keeps the thread free: {:?}",
        start.elapsed()
    );
    assert_eq!(established.ask(&get()).status, 200);
    rig.vault.mute.store(false, Ordering::Relaxed);
    eventually("handshakes come back", || connect().is_ok());
}

#[test]
fn tls_1_2_and_plain_text_are_refused() {
    let rig = rig();
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-tls1_2",
            "-servername",
            HOST,
            "-connect",
            &rig.address.to_string(),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let mut plain = TcpStream::connect(rig.address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn openssl_completes_a_handshake_and_gets_one_ticket() {
    let rig = rig();
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-servername",
            HOST,
            "-connect",
            &rig.address.to_string(),
            "-alpn",
            "http/1.1",
            "-ign_eof",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let output = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
    assert!(output.contains("HTTP/1.1 200 OK"), "{output}");
    assert!(output.contains("ALPN protocol: http/1.1"), "{output}");
    assert_eq!(
        output.matches("Post-Handshake New Session Ticket arrived").count(),
        1,
        "{output}"
    );
}

#[test]
fn a_ticket_does_not_wait_for_the_first_request() {
    let rig = rig();
    let mut client = rig.client();
    client.stream.sock.set_nonblocking(false).unwrap();
    assert_eq!(client.stream.conn.tls13_tickets_received(), 0);
    while client.stream.conn.tls13_tickets_received() == 0 {
        assert!(client.stream.conn.read_tls(&mut client.stream.sock).unwrap() > 0);
        client.stream.conn.process_new_packets().unwrap();
    }
    assert_eq!(client.ask(&get()).status, 200);
}

#[test]
fn a_client_that_says_nothing_is_given_up() {
    let rig = rig();
    let mut silent = TcpStream::connect(rig.address).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = Instant::now();
    assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0);
    let took = start.elapsed();
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(7)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn connections_are_capped_by_source_and_an_idle_one_makes_room() {
    let rig = Rig::start(Scripted::answering(OK).address, |slice| {
        slice.connections.per_source = 2;
    });
    let mut first = rig.client();
    assert_eq!(first.ask(&get()).status, 200);
    std::thread::sleep(Duration::from_millis(150));
    let mut second = rig.client();
    assert_eq!(second.ask(&get()).status, 200);
    let third = Client::connect(rig.address, &rig.credentials, Some(HOST), &[]);
    assert!(third.is_err(), "no room yet");
    assert!(first.is_closed(), "the longest idle goes");
    eventually("the next try finds room", || {
        Client::connect(rig.address, &rig.credentials, Some(HOST), &[]).is_ok()
    });
    assert_eq!(second.ask(&get()).status, 200);
}

#[test]
fn handshakes_under_way_are_capped() {
    let rig = Rig::start(Scripted::answering(OK).address, |slice| {
        slice.connections.handshakes = 8;
    });
    let mut silent: Vec<_> = (0..3).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
    eventually("the third is refused: a source has a quarter of the places", || {
        let last = silent.last_mut().unwrap();
        last.set_read_timeout(Some(PATIENCE)).unwrap();
        last.read(&mut [0]).is_ok_and(|size| size == 0)
    });
}

#[test]
fn a_configuration_is_checked_whole_before_anything_changes() {
    let mut rig = rig();
    let upstream = Scripted::answering(OK);
    let good = slice(rig.address, upstream.address, &rig.credentials);
    let refuses = |shape: &dyn Fn(&mut redan_ipc::slice::ProxySlice), word: &str| {
        let mut slice = good.clone();
        shape(&mut slice);
        let reasons = rig.proxy.prepare(Generation(9), &slice).unwrap_err();
        assert!(
            reasons.iter().any(|reason| reason.contains(word)),
            "{word}: {reasons:?}"
        );
        assert!(
            rig.proxy.commit(Generation(9)).is_err(),
            "what was refused cannot be committed"
        );
    };
    refuses(
        &|slice| slice.services[0].certificate.key = KeyId([9; 16]),
        "another key",
    );
    refuses(&|slice| slice.services[0].certificate.chain.clear(), "no certificate");
    refuses(
        &|slice| slice.services[0].certificate.chain[0].truncate(20),
        "cannot be read",
    );
    refuses(
        &|slice| slice.services[0].hosts.push(HostName::parse("more.test").unwrap()),
        "more.test",
    );
    refuses(
        &|slice| {
            slice.services[0]
                .headers
                .set
                .push(("Content-Length".into(), "1".into()));
        },
        "Content-Length",
    );
    refuses(&|slice| slice.services[0].routes[0].methods.push("BREW".into()), "BREW");
    refuses(
        &|slice| slice.services[0].routes[0].access = Some(redan_ipc::slice::Access { table: vec![1, 2] }),
        "table",
    );
    refuses(
        &|slice| slice.services[0].routes[0].upstreams.addresses.clear(),
        "no upstream",
    );
    refuses(
        &|slice| {
            let mut twin = slice.services[0].clone();
            twin.name = redan_types::ServiceName::parse("twin").unwrap();
            slice.services.push(twin);
        },
        "published by shop already",
    );
    assert_eq!(rig.proxy.current(), Some(Generation(1)));

    let mut client = rig.client();
    assert_eq!(client.ask(&get()).text(), "ok");
    let other = Scripted::answering("HTTP/1.1 200 OK\nContent-Length: 3\n\nnew");
    let changed = slice(rig.address, other.address, &rig.credentials);
    rig.apply(&changed);
    assert_eq!(
        client.ask(&get()).text(),
        "new",
        "an open connection follows the configuration"
    );
    let mut gone = changed.clone();
    gone.services[0].name = redan_types::ServiceName::parse("renamed").unwrap();
    rig.apply(&gone);
    assert_eq!(client.ask(&get()).status, 421, "its service is no longer there");
    assert_eq!(rig.ask(&get()).text(), "new");
}

#[test]
fn services_on_one_address_are_told_apart_by_name() {
    let (shop, blog) = (
        Scripted::answering(OK),
        Scripted::answering("HTTP/1.1 200 OK\nContent-Length: 4\n\nblog"),
    );
    let mut rig = Rig::start(shop.address, |_| {});
    let other = credentials(&["blog.test"]);
    rig.vault
        .keys
        .lock()
        .unwrap()
        .insert(other.certificate.key, other.key_der.clone());
    let mut both = slice(rig.address, shop.address, &rig.credentials);
    let mut second = slice(rig.address, blog.address, &other).services.remove(0);
    second.name = redan_types::ServiceName::parse("blog").unwrap();
    second.hosts = vec![HostName::parse("blog.test").unwrap()];
    both.services.push(second);
    rig.apply(&both);
    let mut client = Client::connect(rig.address, &other, Some("blog.test"), &[]).unwrap();
    assert_eq!(client.ask("GET / HTTP/1.1\nHost: blog.test\n\n").text(), "blog");
    assert_eq!(
        client.ask(&get()).status,
        421,
        "the host of another service than the handshake's"
    );
    assert_eq!(rig.ask(&get()).text(), "ok");
}

#[test]
fn stopping_ends_idle_connections_in_order() {
    let rig = rig();
    let mut client = rig.client();
    assert_eq!(client.ask(&get()).status, 200);
    rig.proxy.stop();
    assert_eq!(client.stream.read(&mut [0; 16]).unwrap(), 0, "an end with close_notify");
    assert!(TcpStream::connect(rig.address).is_err() || client.stream.sock.shutdown(Shutdown::Both).is_ok());
}
