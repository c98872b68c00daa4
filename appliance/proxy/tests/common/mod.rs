//! What the integration tests share: a vault on the other end of real socket pairs, certificates made for the test, real nginx or a
//! scripted server behind the proxy, and a client on rustls that sends exactly the bytes it is told.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use redan_ipc::messages::accounts::Principal;
use redan_ipc::messages::audit::AuditEvent;
use redan_ipc::messages::control::Listener;
use redan_ipc::messages::sign::{SignRefusal, SignReply};
use redan_ipc::messages::traffic::TrafficSample;
use redan_ipc::messages::vault::{Certificate, ProxyVaultReply, ProxyVaultRequest};
use redan_ipc::messages::waf::WafRecord;
use redan_ipc::messages::{ProxySigner, ProxyVault};
use redan_ipc::slice::{
    ConnectionLimits, HeaderPolicy, ProxySlice, PublishedService, RequestLimits, Route, TlsVersion, Upstreams,
};
use redan_ipc::{Channel, serve};
use redan_proxy::{Proxy, Wires};
use redan_service::{AsyncPeer, ListenerSet, Peer};
use redan_types::{Generation, HostName, KeyId, RecordId, RoleName, RouteName, ServiceName, Timestamp, UserName};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Every wait of a test ends here.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate, and the key that the vault of the test signs with.
#[derive(Clone)]
pub struct Credentials {
    pub certificate: Certificate,
    pub pem: String,
    pub key_der: Vec<u8>,
}

pub fn credentials(names: &[&str]) -> Credentials {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let der = made.cert.der().to_vec();
    let leaf = CertificateDer::from(der.clone());
    let parsed = rustls::server::ParsedCertificate::try_from(&leaf).unwrap();
    let digest = Sha256::digest(parsed.subject_public_key_info());
    Credentials {
        certificate: Certificate {
            key: KeyId(digest[..16].try_into().unwrap()),
            chain: vec![der],
            until: Timestamp(u64::MAX),
        },
        pem: made.cert.pem(),
        key_der: made.signing_key.serialize_der(),
    }
}

/// The vault's part: keys that sign, API keys that are known, events that arrived.
#[derive(Default)]
pub struct Vault {
    pub keys: Mutex<HashMap<KeyId, Vec<u8>>>,
    pub api_keys: Mutex<HashMap<String, Principal>>,
    pub events: Mutex<Vec<AuditEvent>>,
    pub traffic: Mutex<Vec<TrafficSample>>,
    pub found: Mutex<Vec<WafRecord>>,
    pub arrived: Condvar,
    pub signatures: AtomicU64,
    pub resolved: AtomicU64,
    /// Answers nothing while set.
    pub mute: AtomicBool,
}

impl Vault {
    fn wires(self: &Arc<Self>) -> Wires<'static> {
        let (signer, signing) = Channel::pair().unwrap();
        let vault = Arc::clone(self);
        std::thread::spawn(move || vault.sign(signing));
        let (asking, answering) = Channel::pair().unwrap();
        let vault = Arc::clone(self);
        std::thread::spawn(move || vault.answer(answering));
        Wires {
            signer: Box::new(Peer::fixed(signer)),
            vault: Box::new(move || AsyncPeer::fixed(asking)),
            pulse: None,
        }
    }

    fn sign(&self, channel: Channel) {
        let mut pairs: HashMap<KeyId, EcdsaKeyPair> = HashMap::new();
        serve::<ProxySigner>(channel, |request, responder| {
            if self.mute.load(Ordering::Relaxed) {
                return std::mem::forget(responder);
            }
            self.signatures.fetch_add(1, Ordering::Relaxed);
            let pair = pairs.entry(request.key).or_insert_with(|| {
                let der = self.keys.lock().unwrap()[&request.key].clone();
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).unwrap()
            });
            let context = [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0"].concat();
            let reply = if request.scheme == 0x0403 && request.input.starts_with(&context) {
                SignReply::Signature(
                    pair.sign(&SystemRandom::new(), &request.input)
                        .unwrap()
                        .as_ref()
                        .to_vec(),
                )
            } else {
                SignReply::Refused(SignRefusal::Input)
            };
            responder.reply(&reply);
        });
    }

    fn answer(&self, channel: Channel) {
        serve::<ProxyVault>(channel, |request, responder| {
            let reply = match request {
                ProxyVaultRequest::ResolveKey { key } => {
                    self.resolved.fetch_add(1, Ordering::Relaxed);
                    ProxyVaultReply::Principal(self.api_keys.lock().unwrap().get(key.expose()).cloned())
                }
                ProxyVaultRequest::Audit { events } => {
                    self.events.lock().unwrap().extend(events);
                    self.arrived.notify_all();
                    ProxyVaultReply::Recorded
                }
                ProxyVaultRequest::Waf { records } => {
                    self.found.lock().unwrap().extend(records);
                    ProxyVaultReply::Noted
                }
                ProxyVaultRequest::Traffic(sample) => {
                    self.traffic.lock().unwrap().push(*sample);
                    ProxyVaultReply::Noted
                }
            };
            responder.reply(&reply);
        });
    }

    /// Waits for an event.
    pub fn event(&self, mut wanted: impl FnMut(&AuditEvent) -> bool) -> AuditEvent {
        let events = self.events.lock().unwrap();
        let (events, waited) = self
            .arrived
            .wait_timeout_while(events, PATIENCE, |events| !events.iter().any(&mut wanted))
            .unwrap();
        assert!(!waited.timed_out(), "no such event among {events:?}");
        events.iter().find(|event| wanted(event)).unwrap().clone()
    }
}

/// A running proxy with its vault.
pub struct Rig {
    pub proxy: Proxy,
    pub vault: Arc<Vault>,
    pub address: SocketAddr,
    pub credentials: Credentials,
    listeners: Arc<ListenerSet>,
    generation: u64,
}

/// The name of the service in tests.
pub const HOST: &str = "shop.test";

impl Rig {
    /// A proxy that publishes what `shape` makes of the plain service.
    pub fn start(upstream: SocketAddr, shape: impl FnOnce(&mut ProxySlice)) -> Self {
        let credentials = credentials(&[HOST, "www.shop.test", "127.0.0.1"]);
        let vault = Arc::new(Vault::default());
        vault
            .keys
            .lock()
            .unwrap()
            .insert(credentials.certificate.key, credentials.key_der.clone());
        let proxy = Proxy::start([vault.wires()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut slice = slice(address, upstream, &credentials);
        shape(&mut slice);
        let listeners = Arc::new(ListenerSet {
            generation: Generation(1),
            entries: vec![(Listener { address, thread: 0 }, Arc::new(OwnedFd::from(listener)))],
        });
        let mut rig = Self {
            proxy,
            vault,
            address,
            credentials,
            listeners,
            generation: 0,
        };
        rig.apply(&slice);
        rig.proxy.listen(&rig.listeners);
        rig
    }

    /// Takes another configuration into use.
    pub fn apply(&mut self, slice: &ProxySlice) {
        self.generation += 1;
        let generation = Generation(self.generation);
        self.proxy.prepare(generation, slice).unwrap();
        self.proxy.commit(generation).unwrap();
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address, &self.credentials, Some(HOST), &[]).unwrap()
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: &str) -> Response {
        self.client().ask(request)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.proxy.stop();
    }
}

/// A plain configuration of one service with one route for everything.
pub fn slice(address: SocketAddr, upstream: SocketAddr, credentials: &Credentials) -> ProxySlice {
    ProxySlice {
        services: vec![PublishedService {
            name: ServiceName::parse("shop").unwrap(),
            listen: vec![address],
            hosts: [HOST, "www.shop.test", "127.0.0.1"]
                .iter()
                .map(|name| HostName::parse(name).unwrap())
                .collect(),
            ports: Vec::new(),
            certificate: credentials.certificate.clone(),
            tls: TlsVersion::Tls13,
            routes: vec![route("all", "/", upstream)],
            headers: HeaderPolicy {
                set: vec![("X-Content-Type-Options".into(), "nosniff".into())],
                default: vec![("X-Frame-Options".into(), "DENY".into())],
                remove: vec!["server".into(), "x-powered-by".into()],
            },
            limits: RequestLimits {
                body: 1 << 20,
                head_timeout: 10_000,
                body_rate: 500,
                write_stall: 10_000,
                idle_timeout: 60_000,
            },
            key_header: "x-api-key".into(),
            rates: Vec::new(),
            fallback: None,
            mask_errors: true,
            waf: None,
        }],
        connections: ConnectionLimits {
            total: 20_000,
            per_source: 20_000,
            handshakes: 1_000,
        },
        rule_sets: Vec::new(),
    }
}

pub fn route(name: &str, path: &str, upstream: SocketAddr) -> Route {
    Route {
        name: RouteName::parse(name).unwrap(),
        path: path.into(),
        methods: Vec::new(),
        access: None,
        rates: None,
        upstreams: Upstreams {
            addresses: vec![upstream],
            connect_timeout: 1_000,
            response_timeout: 2_000,
            retries: 1,
            health: None,
        },
    }
}

pub fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

pub fn principal(user: &str, roles: &[&str]) -> Principal {
    Principal {
        id: RecordId([1; 8]),
        user: UserName::parse(user).unwrap(),
        roles: roles.iter().map(|name| role(name)).collect(),
        until: Timestamp(u64::MAX),
    }
}

/// A TLS client that sends exactly what it is told.
pub struct Client {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
}

/// A response, as it came.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        let values = self.head.lines().skip(1).filter_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        values.collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn connect(
        address: SocketAddr,
        credentials: &Credentials,
        name: Option<&str>,
        alpn: &[&[u8]],
    ) -> Result<Self, std::io::Error> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(credentials.certificate.chain[0].clone()))
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        config.enable_secret_extraction = true;
        Self::connect_with(address, Arc::new(config), name)
    }

    pub fn connect_with(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        name: Option<&str>,
    ) -> Result<Self, std::io::Error> {
        let name = ServerName::try_from(name.unwrap_or("127.0.0.1").to_owned()).unwrap();
        let tls = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends a head (and body) written with plain line feeds and reads the response.
    pub fn ask(&mut self, request: &str) -> Response {
        self.send(request.replace('\n', "\r\n"));
        self.response()
    }

    pub fn response(&mut self) -> Response {
        self.response_to(false)
    }

    /// Reads one response; `head` when it answers a HEAD request.
    pub fn response_to(&mut self, head_only: bool) -> Response {
        let end = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.read() > 0,
                "the connection ended before a head: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        };
        let head = String::from_utf8(self.unread.drain(..end).collect())
            .unwrap()
            .replace("\r\n", "\n");
        let status = head[9..12].parse().unwrap();
        let mut response = Response {
            status,
            head,
            body: Vec::new(),
        };
        if head_only || matches!(status, 100..=199 | 204 | 304) {
            return response;
        }
        if let Some(length) = response.field("content-length") {
            let length: usize = length.parse().unwrap();
            while self.unread.len() < length {
                assert!(self.read() > 0, "a body cut short");
            }
            response.body = self.unread.drain(..length).collect();
        } else if response.field("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.line();
                let size = usize::from_str_radix(line.trim(), 16).unwrap();
                while self.unread.len() < size + 2 {
                    assert!(self.read() > 0, "a chunk cut short");
                }
                response.body.extend(self.unread.drain(..size));
                if size == 0 {
                    while !self.line().is_empty() {}
                    break;
                }
                self.unread.drain(..2);
            }
        } else {
            while self.read() > 0 {}
            response.body = std::mem::take(&mut self.unread);
        }
        response
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line = self.unread.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            assert!(self.read() > 0, "a line cut short");
        }
    }

    fn read(&mut self) -> usize {
        let mut space = [0; 16_384];
        match self.stream.read(&mut space) {
            Ok(size) => {
                self.unread.extend_from_slice(&space[..size]);
                size
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came in time"),
            Err(_) => 0,
        }
    }

    /// Whether something has come, without waiting for it.
    pub fn is_answered(&mut self) -> bool {
        let mut space = [0; 16_384];
        self.stream.sock.set_nonblocking(true).unwrap();
        if let Ok(size) = self.stream.read(&mut space) {
            self.unread.extend_from_slice(&space[..size]);
        }
        self.stream.sock.set_nonblocking(false).unwrap();
        !self.unread.is_empty()
    }

    /// Whether the server has ended the connection, waiting for it.
    pub fn is_closed(&mut self) -> bool {
        self.read() == 0
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A server that answers each connection with a function over the bytes that it got so far. It keeps what it was sent.
pub struct Scripted {
    pub address: SocketAddr,
    pub received: Arc<Mutex<Vec<Vec<u8>>>>,
    pub connections: Arc<AtomicU64>,
}

impl Scripted {
    /// `script` gets the number of the connection (from 0) and the socket; requests are read with [`Scripted::request`].
    pub fn start(
        script: impl Fn(u64, &mut TcpStream, &dyn Fn(&mut TcpStream) -> Option<String>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicU64::new(0));
        let (seen, count, script) = (Arc::clone(&received), Arc::clone(&connections), Arc::new(script));
        std::thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                std::thread::spawn(move || {
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    socket.set_nodelay(true).unwrap();
                    script(number, &mut socket, &|socket| {
                        let request = read_request(socket)?;
                        seen.lock().unwrap().push(request.clone());
                        Some(String::from_utf8_lossy(&request).into_owned())
                    });
                });
            }
        });
        Self {
            address,
            received,
            connections,
        }
    }

    /// A server that answers every request with this, keeping the connection.
    pub fn answering(response: &'static str) -> Self {
        let response = response.replace('\n', "\r\n");
        Self::start(move |_, socket, request| {
            while request(socket).is_some() {
                if socket.write_all(response.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    pub fn requests(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }
}

/// Reads one request with its body from a plain socket.
fn read_request(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if socket.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        let mut body = vec![0; length.trim().parse().ok()?];
        socket.read_exact(&mut body).ok()?;
        bytes.extend(body);
    } else if head.contains("transfer-encoding: chunked") {
        while !bytes.ends_with(b"0\r\n\r\n") {
            if socket.read(&mut byte).ok()? == 0 {
                return None;
            }
            bytes.push(byte[0]);
        }
    }
    Some(bytes)
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
