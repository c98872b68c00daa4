//! Connections, over real sockets and TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use redan_console::server::Server;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::world::{lock, world};
use support::{Console, console};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn serve(console: &Console) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::new(
            console.app.clone().router(),
            console.tls.clone(),
            console.settings.clone(),
        )
        .accept(listener),
    );
    address
}

async fn connect(
    console: &Console,
    address: SocketAddr,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(console.certificate.clone())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("no answer in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_arrives_over_tls_that_the_vault_signed() {
    let console = console(world());
    let address = serve(&console).await;
    let mut stream = bounded(connect(&console, address, &[&rustls::version::TLS13]))
        .await
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    let _ = bounded(stream.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/html"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_vault_there_is_no_handshake() {
    let console = console(world());
    let address = serve(&console).await;
    lock(&console.world).sealed = true;
    assert!(
        bounded(connect(&console, address, &[&rustls::version::TLS13]))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_tls_is_refused() {
    let console = console(world());
    let address = serve(&console).await;
    assert!(
        bounded(connect(&console, address, &[&rustls::version::TLS12]))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_of_header_fields_is_refused_at_a_bounded_size() {
    let console = console(world());
    let address = serve(&console).await;
    let mut stream = bounded(connect(&console, address, &[&rustls::version::TLS13]))
        .await
        .unwrap();
    let field = format!("x: {}\r\n", "y".repeat(1_000));
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n").await;
    for _ in 0..64 {
        if stream.write_all(field.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = bounded(stream.read_to_end(&mut answer)).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_other_networks_are_hung_up_on() {
    let console = console(world());
    let address = serve(&console).await;
    let mut slice = (*console.settings.current().unwrap()).clone();
    slice.allowed = vec!["192.0.2.0/24".parse().unwrap()];
    console.settings.replace(Arc::new(slice));
    assert!(
        bounded(connect(&console, address, &[&rustls::version::TLS13]))
            .await
            .is_err()
    );
}

/// Asks for a page over a connection and says whether it came.
async fn is_served(console: &Console, address: SocketAddr) -> bool {
    let Ok(mut stream) = connect(console, address, &[&rustls::version::TLS13]).await else {
        return false;
    };
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 200 OK\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_client_is_served_while_its_address_holds_every_place_with_unfinished_heads() {
    let console = console(world());
    let address = serve(&console).await;
    let mut held = Vec::new();
    for part in [
        &b"GET / HTTP/1.1\r\nhost: loc"[..],
        b"POST /api/v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n",
    ] {
        for _ in 0..140 {
            let mut stream = bounded(connect(&console, address, &[&rustls::version::TLS13]))
                .await
                .unwrap();
            stream.write_all(part).await.unwrap();
            held.push(stream);
        }
        let started = std::time::Instant::now();
        assert!(bounded(is_served(&console, address)).await);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_handshakes_hold_up_nobody() {
    let console = console(world());
    let address = serve(&console).await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let started = std::time::Instant::now();
    assert!(bounded(is_served(&console, address)).await);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_has_five_seconds_and_a_whole_head_ten_however_it_drips() {
    let console = console(world());
    let address = serve(&console).await;
    let silent = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let started = std::time::Instant::now();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        started.elapsed()
    };
    let dripping = async {
        let stream = connect(&console, address, &[&rustls::version::TLS13]).await.unwrap();
        let (mut from, mut to) = tokio::io::split(stream);
        let started = std::time::Instant::now();
        let drip = async {
            let mut second = tokio::time::interval(Duration::from_millis(500));
            loop {
                second.tick().await;
                if to.write_all(b"x").await.is_err() || to.flush().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = drip => {}
            _ = from.read_to_end(&mut answer) => {}
        }
        started.elapsed()
    };
    let (silent, dripping) = bounded(async { tokio::join!(silent, dripping) }).await;
    let within = |took: Duration, seconds: u64| {
        took > Duration::from_secs(seconds - 1) && took < Duration::from_secs(seconds + 4)
    };
    assert!(within(silent, 5) && within(dripping, 10), "{silent:?} {dripping:?}");
}
