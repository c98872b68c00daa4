//! From the name that a client asks for to the service and its certificate.

use redan_types::HostName;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// The keys of session tickets of one TLS policy, the same for all threads and across configurations, so that a client resumes
/// wherever it lands. They rotate every six hours (rustls' rotator).
#[derive(Clone, Debug)]
pub(crate) struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        aws_lc_rs::Ticketer::new().map(Self)
    }
}

thread_local! {
    static CHOICE: Cell<Option<Choice>> = const { Cell::new(None) };
}

/// What the name in a `ClientHello` led to. rustls asks for the certificate in the middle of processing; this is how the caller
/// learns which service it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// The service at this index of the site.
    Service(usize),
    /// No service of the site has that name.
    Unknown,
}

impl Choice {
    /// Takes the choice that was made on this thread since the last call.
    pub(crate) fn take() -> Option<Self> {
        CHOICE.take()
    }
}

/// The names of all services that share a listener.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_name: HashMap<String, (usize, Arc<CertifiedKey>)>,
    // Taken without a name: clients that connect to an address send none (RFC 6066 section 3).
    nameless: Option<(usize, Arc<CertifiedKey>)>,
}

impl Names {
    /// Adds a name of the service at `index`; gives the index of the service that has it already.
    pub(crate) fn add(&mut self, host: &HostName, index: usize, key: &Arc<CertifiedKey>) -> Option<usize> {
        let entry = (index, Arc::clone(key));
        if host.address().is_some() && self.nameless.is_none() {
            self.nameless = Some(entry.clone());
        }
        let before = self.by_name.insert(host.as_str().to_owned(), entry);
        before.map(|(other, _)| other).filter(|other| *other != index)
    }

    fn find(&self, name: Option<&str>) -> Option<&(usize, Arc<CertifiedKey>)> {
        match name {
            None => self.nameless.as_ref(),
            Some(name) if name.bytes().any(|b| b.is_ascii_uppercase()) => self.by_name.get(&name.to_ascii_lowercase()),
            Some(name) => self.by_name.get(name),
        }
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self.find(hello.server_name()) {
            Some((index, key)) => {
                CHOICE.set(Some(Choice::Service(*index)));
                Some(Arc::clone(key))
            }
            None => {
                CHOICE.set(Some(Choice::Unknown));
                None
            }
        }
    }
}

/// The TLS configuration of a listener: TLS 1.3 (and TLS 1.2 with ECDHE, AEAD ciphers and extended master secrets where one of its
/// services allows it), hybrid post-quantum key exchange first, one stateless ticket.
pub(crate) fn server_config(names: Names, tickets: &Tickets, tls12: bool) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut provider = aws_lc_rs::default_provider();
    // P-256 is for clients that may use nothing but what FIPS 140 approves.
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
    ];
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(if tls12 { &WITH_TLS12 } else { &TLS13_ONLY })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // RFC 7627: without it, a TLS 1.2 session can be spliced into another.
    config.require_ems = true;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(&tickets.0);
    Ok(Arc::new(config))
}

static TLS13_ONLY: [&SupportedProtocolVersion; 1] = [&version::TLS13];
static WITH_TLS12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
