//! The proxy alone, for measuring what it costs that it has no private key.
//!
//! `loopback FOLDER LISTEN UPSTREAM [KEY [THREADS [RULES]]]` writes `cert.pem` and `key.pem` (made for this run) into the folder, then
//! serves `shop.test` with every stage on: quotas, security headers and masking. KEY says where handshakes are signed: `vault`, by
//! the vault's signers in a process of their own, as in the appliance; `local`, in the proxy's process by the same code, as no
//! appliance does. With RULES, the folder of a Core Rule Set with `crs-setup.conf.example` beside `rules`, every request is judged by it.
#![allow(clippy::unwrap_used, reason = "a measuring program stops at the first mistake")]

use redan_hal::keys::Algorithm;
use redan_hal::keys::software::SoftwareKey;
use redan_ipc::IpcError;
use redan_ipc::messages::control::Listener;
use redan_ipc::messages::sign::{SignReply, SignRequest};
use redan_ipc::messages::vault::{Certificate, CertificateOwner, ProxyVaultReply, ProxyVaultRequest};
use redan_ipc::messages::{ProxySigner, ProxyVault};
use redan_ipc::rules::{RuleArchive, RuleFile};
use redan_ipc::slice::{
    ConnectionLimits, HeaderPolicy, ProxySlice, PublishedService, RequestLimits, Route, RuleSource, TlsVersion,
    Upstreams, WafPolicy,
};
use redan_ipc::{Channel, serve};
use redan_proxy::{HandshakeSigner, Proxy, Wires};
use redan_service::{AsyncPeer, ListenerSet, Peer};
use redan_types::{Generation, HostName, KeyId, RoleName, RouteName, SecretBytes, ServiceName, Timestamp};
use redan_vault::service::signer::{Signers, Wire};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap();
    if folder == SIGNER {
        return sign(Path::new(&arguments.next().unwrap()));
    }
    let folder = PathBuf::from(folder);
    let listen: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let upstream: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let key = arguments.next().unwrap_or_else(|| "vault".to_owned());
    assert!(key == "vault" || key == "local", "vault or local, not {key}");
    let local = key == "local";
    let threads: u16 = arguments.next().map_or(1, |text| text.parse().unwrap());
    let rules = arguments.next();

    let made = rcgen::generate_simple_self_signed(vec!["shop.test".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("key.der"), made.signing_key.serialize_der()).unwrap();
    let der = made.cert.der().to_vec();
    let leaf = CertificateDer::from(der.clone());
    let parsed = ParsedCertificate::try_from(&leaf).unwrap();
    let digest = Sha256::digest(parsed.subject_public_key_info());
    let certificate = Certificate {
        key: KeyId(*digest.first_chunk().unwrap()),
        chain: vec![der],
        until: Timestamp(u64::MAX),
    };

    let proxy = Proxy::start((0..threads).map(|_| wires(&folder.join("key.der"), local))).unwrap();
    let mut slice = slice(listen, upstream, certificate);
    if let Some(folder) = rules {
        inspect(&mut slice, Path::new(&folder));
    }
    proxy.prepare(Generation(1), &slice).unwrap();
    proxy.commit(Generation(1)).unwrap();
    let entries = (0..threads).map(|thread| {
        (
            Listener {
                address: listen,
                thread,
            },
            Arc::new(bind(listen)),
        )
    });
    proxy.listen(&Arc::new(ListenerSet {
        generation: Generation(1),
        entries: entries.collect(),
    }));
    println!("ready");
    std::thread::park();
}

fn bind(address: SocketAddr) -> OwnedFd {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(4_096).unwrap();
    socket.into()
}

fn wires(key: &Path, local: bool) -> Wires<'static> {
    let signer: Box<dyn HandshakeSigner + Send> = if local {
        Box::new(Local(signers(key)))
    } else {
        let (asking, answering) = Channel::pair().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(SIGNER)
            .arg(key)
            .stdin(Stdio::from(answering.into_descriptor()))
            .spawn()
            .unwrap();
        std::thread::spawn(move || child.wait());
        Box::new(Peer::<ProxySigner>::fixed(asking))
    };
    let (asking, answering) = Channel::pair().unwrap();
    std::thread::spawn(move || {
        serve::<ProxyVault>(answering, |request, responder| {
            responder.reply(&match request {
                ProxyVaultRequest::ResolveKey { .. } => ProxyVaultReply::Principal(None),
                ProxyVaultRequest::Audit { .. } => ProxyVaultReply::Recorded,
                ProxyVaultRequest::Traffic(_) | ProxyVaultRequest::Waf { .. } => ProxyVaultReply::Noted,
            });
        })
    });
    Wires {
        signer,
        vault: Box::new(move || AsyncPeer::fixed(asking)),
        pulse: None,
    }
}

/// What makes this program a signer: its first argument; the key's file is the second.
const SIGNER: &str = "signer";

/// The signer's process: answers over its standard input until the proxy goes.
fn sign(key: &Path) {
    let channel = Channel::from_descriptor(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let _ended = signers(key).serve::<ProxySigner>(Wire::Services, channel);
}

fn signers(key: &Path) -> Signers {
    let key = SecretBytes::new(std::fs::read(key).unwrap());
    let signers = Signers::default();
    signers.allow(
        &CertificateOwner::Service(ServiceName::parse("shop").unwrap()),
        SoftwareKey::parse(Algorithm::EcdsaP256, &key).unwrap(),
    );
    signers
}

/// A signer in the proxy's own process.
struct Local(Signers);

impl HandshakeSigner for Local {
    fn sign(&self, request: &SignRequest, _: Duration) -> Result<SignReply, IpcError> {
        Ok(self.0.answer(Wire::Services, request))
    }
}

fn inspect(slice: &mut ProxySlice, folder: &Path) {
    let mut files = vec![(
        "setup.conf".to_owned(),
        std::fs::read(folder.join("crs-setup.conf.example")).unwrap_or_default(),
    )];
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".conf") || name.ends_with(".data") {
            files.push((format!("rules/{name}"), std::fs::read(&path).unwrap()));
        }
    }
    let files = files.iter().map(|(name, content)| RuleFile { name, content });
    slice.rule_sets = vec![RuleArchive::pack(files).unwrap()];
    let text = |name: &str, text: &str| RuleSource::Text {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let waf = WafPolicy {
        blocking: true,
        sources: vec![
            text(
                "defaults.conf",
                std::str::from_utf8(redan_waf::seclang::DEFAULTS).unwrap(),
            ),
            RuleSource::Setup(0),
            // Debian's settings are elsewhere than its rules.
            text(
                "levels.conf",
                "SecAction \"id:7180000,phase:1,pass,nolog,setvar:tx.crs_setup_version=400\"",
            ),
            RuleSource::Rules(0),
            text("settings.conf", "SecRuleEngine On\nSecResponseBodyAccess Off"),
        ],
        response_bodies: false,
        paranoia: 1,
        inbound_threshold: 5,
        outbound_threshold: 4,
    };
    for service in &mut slice.services {
        service.waf = Some(waf.clone());
    }
}

fn slice(listen: SocketAddr, upstream: SocketAddr, certificate: Certificate) -> ProxySlice {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    ProxySlice {
        services: vec![PublishedService {
            name: ServiceName::parse("shop").unwrap(),
            listen: vec![listen],
            hosts: vec![
                HostName::parse("shop.test").unwrap(),
                HostName::parse("127.0.0.1").unwrap(),
            ],
            ports: Vec::new(),
            certificate,
            tls: TlsVersion::Tls13,
            routes: vec![Route {
                name: RouteName::parse("all").unwrap(),
                path: "/".into(),
                methods: Vec::new(),
                access: None,
                rates: None,
                upstreams: Upstreams {
                    addresses: vec![upstream],
                    connect_timeout: 1_000,
                    response_timeout: 10_000,
                    retries: 1,
                    health: None,
                },
            }],
            headers: HeaderPolicy {
                set: vec![
                    pair("Strict-Transport-Security", "max-age=31536000"),
                    pair("X-Content-Type-Options", "nosniff"),
                ],
                default: vec![
                    pair("X-Frame-Options", "DENY"),
                    pair("Referrer-Policy", "strict-origin-when-cross-origin"),
                    pair("Content-Security-Policy", "default-src 'self'"),
                ],
                remove: vec!["server".into(), "x-powered-by".into(), "via".into()],
            },
            limits: RequestLimits {
                body: 10 << 20,
                head_timeout: 10_000,
                body_rate: 500,
                write_stall: 10_000,
                idle_timeout: 600_000,
            },
            key_header: "x-api-key".into(),
            rates: vec![(RoleName::parse("guest").unwrap(), 1_000_000_000)],
            fallback: None,
            mask_errors: true,
            waf: None,
        }],
        connections: ConnectionLimits {
            total: 100_000,
            per_source: 100_000,
            handshakes: 10_000,
        },
        rule_sets: Vec::new(),
    }
}
