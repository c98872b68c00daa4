//! Services that answer the console in this process, over the real wires: what they know is in a [`world::World`] that a test arranges.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "tests; each of them uses a part of this"
)]

pub mod browser;
pub mod world;

use world::{Shared, lock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use redan_console::api::App;
use redan_console::apply::Apply;
use redan_console::live::Live;
use redan_console::peers::{Manager, Network, Peers, Update, Vault};
use redan_console::tls::Tls;
use redan_console::{Settings, now};
use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::messages::sign::{SignRefusal, SignReply, SignRequest};
use redan_ipc::messages::update::UpdateReply;
use redan_ipc::messages::vault::Certificate;
use redan_ipc::messages::{ConsoleManager, ConsoleNetwork, ConsoleSigner, ConsoleUpdate, ConsoleVault};
use redan_ipc::slice::ConsoleSlice;
use redan_ipc::{Channel, Pair, Responder};
use redan_service::{AsyncPeer, Peer};
use redan_types::{Generation, HostName, KeyId};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use std::time::Duration;

/// A console among services that answer from `world`.
pub struct Console {
    pub world: Shared,
    pub settings: Settings,
    pub tls: Tls,
    pub live: Arc<Live>,
    pub app: App,
    pub certificate: Vec<u8>,
}

/// To be called within a runtime.
pub fn console(world: Shared) -> Console {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = cert.der().to_vec();
    let key = any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        signing_key.serialize_der(),
    )))
    .unwrap();
    let sealed = Arc::clone(&world);
    let signer = answer::<ConsoleSigner>(move |request: SignRequest| {
        if lock(&sealed).sealed {
            return SignReply::Refused(SignRefusal::Sealed);
        }
        let signer = key.choose_scheme(&[request.scheme.into()]);
        signer.map_or(SignReply::Refused(SignRefusal::Scheme), |signer| {
            SignReply::Signature(signer.sign(&request.input).unwrap())
        })
    });
    let (vault, manager, network) = (Arc::clone(&world), Arc::clone(&world), Arc::clone(&world));
    let peers = Peers {
        vault: Vault::new(AsyncPeer::fixed(answer::<ConsoleVault>(move |request| {
            lock(&vault).vault(request)
        }))),
        manager: Manager::new(AsyncPeer::fixed(answer::<ConsoleManager>(move |request| {
            lock(&manager).manager(request)
        }))),
        network: Network::new(AsyncPeer::fixed(answer::<ConsoleNetwork>(move |request| {
            lock(&network).network(request)
        }))),
        update: Update::new(AsyncPeer::fixed(answer::<ConsoleUpdate>(|request| {
            UpdateReply::Refused(format!("nothing is installed here: {request:?}"))
        }))),
    };
    let (settings, tls) = (Settings::default(), Tls::default());
    let apply = Apply::new(settings.clone(), tls.clone(), Peer::fixed(signer));
    let slice = ConsoleSlice {
        listen: "127.0.0.1:9443".parse().unwrap(),
        hosts: vec![HostName::parse("localhost").unwrap()],
        certificate: Certificate {
            key: KeyId([3; 16]),
            chain: vec![certificate.clone()],
            until: now().after(Duration::from_secs(90 * 86_400)),
        },
        allowed: Vec::new(),
    };
    assert_eq!(
        apply.step(ApplyRequest::Commit {
            generation: Generation(1)
        }),
        ApplyReply::NotPrepared
    );
    assert_eq!(
        apply.step(ApplyRequest::Prepare {
            generation: Generation(1),
            slice
        }),
        ApplyReply::Done
    );
    assert_eq!(
        apply.step(ApplyRequest::Commit {
            generation: Generation(1)
        }),
        ApplyReply::Done
    );
    let live = Arc::new(Live::new(peers.clone(), settings.clone()));
    let app = App::new(peers, Arc::clone(&live), settings.clone());
    Console {
        world,
        settings,
        tls,
        live,
        app,
        certificate,
    }
}

/// The client's end of a pair whose server is a function.
fn answer<P: Pair>(mut handle: impl FnMut(P::Request) -> P::Reply + Send + 'static) -> Channel {
    let (client, server) = Channel::pair().unwrap();
    std::thread::spawn(move || {
        redan_ipc::serve::<P>(server, move |request, responder: Responder<P>| {
            responder.reply(&handle(request));
        })
    });
    client
}
