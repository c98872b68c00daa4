//! Loads a TLS server for the benchmarks: `redan-load full|idle|steady ADDRESS NAME NUMBER [SECONDS [RATE]]`.
//!
//! `full` opens NUMBER connections at a time for SECONDS, each with a full TLS 1.3 handshake (X25519, never resumed), one `GET /`
//! and an orderly close, and prints how many were completed. `idle` opens NUMBER connections, sends one request on each, prints
//! `held NUMBER` and keeps them until its standard input ends. `steady` keeps NUMBER connections and sends RATE requests a second over
//! all of them together for SECONDS, whether or not the server keeps up, and prints the 50th and the 99th percentile of the time from
//! when a request was due to the end of its response, in microseconds. Certificates are not checked: the servers make their own.
#![forbid(unsafe_code)]

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, address, name, number, rest @ ..] = arguments.as_slice() else {
        return Err("usage: redan-load full|idle|steady ADDRESS NAME NUMBER [SECONDS [RATE]]".into());
    };
    let load = Load {
        address: address.clone(),
        name: ServerName::try_from(name.clone())?,
        host: name.clone(),
        connector: TlsConnector::from(Arc::new(client()?)),
    };
    let number: usize = number.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match mode.as_str() {
        "full" => {
            let seconds: u64 = rest.first().ok_or("how many seconds?")?.parse()?;
            let until = Instant::now() + Duration::from_secs(seconds);
            let done = runtime.block_on(load.full(number, until))?;
            println!("{done}");
        }
        "idle" => runtime.block_on(load.idle(number))?,
        "steady" => {
            let [seconds, rate] = rest else {
                return Err("how many seconds, and how many requests a second?".into());
            };
            let (half, most) = runtime.block_on(load.steady(number, seconds.parse()?, rate.parse()?))?;
            println!("{half} {most}");
        }
        _ => return Err("full, idle or steady?".into()),
    }
    Ok(())
}

#[derive(Clone)]
struct Load {
    address: String,
    name: ServerName<'static>,
    host: String,
    connector: TlsConnector,
}

impl Load {
    async fn full(&self, number: usize, until: Instant) -> Result<u64, Box<dyn Error>> {
        let tasks: Vec<_> = (0..number)
            .map(|_| {
                let load = self.clone();
                tokio::spawn(async move {
                    let mut done = 0_u64;
                    while Instant::now() < until {
                        let request = "Connection: close\r\n";
                        let mut stream = load.connect().await.map_err(|error| error.to_string())?;
                        load.request(&mut stream, request)
                            .await
                            .map_err(|error| error.to_string())?;
                        stream.shutdown().await.map_err(|error| error.to_string())?;
                        done += 1;
                    }
                    Ok::<u64, String>(done)
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await??;
        }
        Ok(sum)
    }

    async fn idle(&self, number: usize) -> Result<(), Box<dyn Error>> {
        let mut held = Vec::with_capacity(number);
        for _ in 0..number {
            let mut stream = self.connect().await?;
            self.request(&mut stream, "").await?;
            held.push(stream);
        }
        println!("held {}", held.len());
        let mut end = Vec::new();
        tokio::task::spawn_blocking(move || std::io::Read::read_to_end(&mut std::io::stdin(), &mut end)).await??;
        Ok(())
    }

    /// Requests at fixed times, so that a server that stalls is charged for every request that was due meanwhile: a closed loop
    /// sends none of those, and at saturation it measures the load's own processor.
    async fn steady(&self, number: usize, seconds: u64, rate: u32) -> Result<(u128, u128), Box<dyn Error>> {
        let count = u32::try_from(number)?;
        let between = Duration::from_secs(1) * count / rate;
        let mut streams = Vec::with_capacity(number);
        for _ in 0..number {
            let mut stream = self.connect().await?;
            self.request(&mut stream, "").await?;
            streams.push(stream);
        }
        let start = Instant::now() + Duration::from_millis(20);
        let until = start + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..count)
            .zip(streams)
            .map(|(index, mut stream)| {
                let load = self.clone();
                let first = start + between * index / count;
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    let mut due = first;
                    while due < until {
                        let mut since = due;
                        if Instant::now() < due {
                            tokio::time::sleep_until(due.into()).await;
                            // The timer is late by up to a millisecond, which is not the server's doing.
                            since = Instant::now();
                        }
                        load.request(&mut stream, "").await.map_err(|error| error.to_string())?;
                        taken.push(since.elapsed().as_micros());
                        due += between;
                    }
                    Ok::<Vec<u128>, String>(taken)
                })
            })
            .collect();
        let mut taken = Vec::new();
        for task in tasks {
            taken.extend(task.await??);
        }
        taken.sort_unstable();
        let at = |percent: usize| {
            taken
                .get(taken.len() * percent / 100)
                .copied()
                .ok_or("no request was sent")
        };
        Ok((at(50)?, at(99)?))
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(self.connector.connect(self.name.clone(), tcp).await?)
    }

    /// One request, and its response to the end; anything but 200 is an error, so that no refusal counts as work.
    async fn request(&self, stream: &mut TlsStream<TcpStream>, field: &str) -> Result<(), Box<dyn Error>> {
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n{field}\r\n", self.host);
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::with_capacity(4096);
        loop {
            if stream.read_buf(&mut response).await? == 0 {
                return Err("the connection ended before the response".into());
            }
            let text = String::from_utf8_lossy(&response);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            if !head.starts_with("HTTP/1.1 200") {
                return Err(format!("not a response of 200: {head}").into());
            }
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .ok_or("a response without a length")?;
            if body.len() >= length {
                return Ok(());
            }
        }
    }
}

fn client() -> Result<ClientConfig, rustls::Error> {
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes any certificate and any signature: the client's own cost is not measured.
#[derive(Debug)]
struct Unchecked;

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
