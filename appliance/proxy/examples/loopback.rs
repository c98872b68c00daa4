//! The proxy alone in one process, for measuring: a signer on a thread of its own stands for the vault.
//!
//! `loopback FOLDER LISTEN UPSTREAM [THREADS]` writes `cert.pem` and `key.pem` (made for this run) into the folder, then serves
//! `shop.test` with every stage on: quotas, security headers and masking.
#![allow(clippy::unwrap_used, reason = "a measuring program stops at the first mistake")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use redan_ipc::messages::control::Listener;
use redan_ipc::messages::sign::SignReply;
use redan_ipc::messages::vault::{Certificate, ProxyVaultReply, ProxyVaultRequest};
use redan_ipc::messages::{ProxySigner, ProxyVault};
use redan_ipc::slice::{
    ConnectionLimits, HeaderPolicy, ProxySlice, PublishedService, RequestLimits, Route, TlsVersion, Upstreams,
};
use redan_ipc::{Channel, serve};
use redan_proxy::{Proxy, Wires};
use redan_service::{AsyncPeer, ListenerSet, Peer};
use redan_types::{Generation, HostName, KeyId, RoleName, RouteName, ServiceName, Timestamp};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap();
    let listen: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let upstream: SocketAddr = arguments.next().unwrap().parse().unwrap();
    let threads: u16 = arguments.next().map_or(1, |text| text.parse().unwrap());

    let made = rcgen::generate_simple_self_signed(vec!["shop.test".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(format!("{folder}/cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(format!("{folder}/key.pem"), made.signing_key.serialize_pem()).unwrap();
    let der = made.cert.der().to_vec();
    let leaf = CertificateDer::from(der.clone());
    let parsed = ParsedCertificate::try_from(&leaf).unwrap();
    let digest = Sha256::digest(parsed.subject_public_key_info());
    let certificate = Certificate {
        key: KeyId(*digest.first_chunk().unwrap()),
        chain: vec![der],
        until: Timestamp(u64::MAX),
    };

    let key = Arc::new(made.signing_key.serialize_der());
    let proxy = Proxy::start((0..threads).map(|index| wires(index, &key))).unwrap();
    proxy
        .prepare(Generation(1), &slice(listen, upstream, certificate))
        .unwrap();
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

fn wires(index: u16, key: &Arc<Vec<u8>>) -> Wires<'static> {
    let (signer, signing) = Channel::pair().unwrap();
    let key = Arc::clone(key);
    std::thread::spawn(move || {
        pin(index);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key).unwrap();
        serve::<ProxySigner>(signing, |request, responder| {
            let signature = pair.sign(&SystemRandom::new(), &request.input).unwrap();
            responder.reply(&SignReply::Signature(signature.as_ref().to_vec()));
        })
    });
    let (asking, answering) = Channel::pair().unwrap();
    std::thread::spawn(move || {
        serve::<ProxyVault>(answering, |request, responder| {
            responder.reply(&match request {
                ProxyVaultRequest::ResolveKey { .. } => ProxyVaultReply::Principal(None),
                ProxyVaultRequest::Audit { .. } => ProxyVaultReply::Recorded,
                ProxyVaultRequest::Traffic(_) => ProxyVaultReply::Noted,
            });
        })
    });
    Wires {
        signer: Peer::fixed(signer),
        vault: Box::new(move || AsyncPeer::fixed(asking)),
        pulse: None,
    }
}

fn pin(index: u16) {
    let mut own = nix::sched::CpuSet::new();
    own.set(usize::from(index)).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &own).unwrap();
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
        }],
        connections: ConnectionLimits {
            total: 100_000,
            per_source: 100_000,
            handshakes: 10_000,
        },
    }
}
