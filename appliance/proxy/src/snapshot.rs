//! A configuration as the data path uses it: checked, compiled and never changed. Threads swap the whole.

use crate::rate::Rates;
use crate::shared::Shared;
use crate::stages::headers::HeaderPlan;
use crate::tls::{Names, RemoteKey, Tickets, server_config};
use crate::upstream::Upstream;
use crate::waf::{Loading, WafPlan};
use redan_http1::Method;
use redan_identity::table::DecisionTable;
use redan_ipc::messages::vault::Certificate;
use redan_ipc::slice::{ConnectionLimits, Page, ProxySlice, PublishedService, RequestLimits, TlsVersion, Upstreams};
use redan_types::{Generation, HostName, Port, RouteName, ServiceName};
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, ServerName};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// Everything that a thread needs to know about the configuration.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) generation: Generation,
    pub(crate) connections: ConnectionLimits,
    pub(crate) sites: HashMap<SocketAddr, Arc<Site>>,
}

/// All services that share a listener.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) services: Vec<Arc<Published>>,
}

/// A published service.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) name: ServiceName,
    pub(crate) hosts: Vec<HostName>,
    /// Ports that a request may name. Empty: any.
    pub(crate) ports: Vec<Port>,
    pub(crate) routes: Vec<RoutePlan>,
    pub(crate) headers: HeaderPlan,
    pub(crate) limits: RequestLimits,
    pub(crate) key_header: String,
    pub(crate) fallback: Option<Page>,
    pub(crate) mask_errors: bool,
    /// Whether TLS 1.2 is allowed.
    pub(crate) tls12: bool,
    /// The web application firewall; `None`: requests are not inspected.
    pub(crate) waf: Option<WafPlan>,
}

/// A route.
#[derive(Debug)]
pub(crate) struct RoutePlan {
    pub(crate) name: RouteName,
    /// Whole segments without a '/' at the end: empty for everything.
    pub(crate) prefix: String,
    /// Empty: all.
    pub(crate) methods: Vec<Method>,
    pub(crate) access: Option<DecisionTable>,
    pub(crate) rates: Rates,
    /// What the quotas are counted under: the service, or the route where it has rates of its own.
    pub(crate) scope: Arc<str>,
    pub(crate) upstreams: UpstreamPlan,
}

/// The servers of a route.
#[derive(Debug)]
pub(crate) struct UpstreamPlan {
    pub(crate) servers: Vec<Arc<Upstream>>,
    pub(crate) next: std::sync::atomic::AtomicUsize,
    pub(crate) connect_timeout: u64,
    pub(crate) response_timeout: u64,
    pub(crate) retries: u8,
}

impl Snapshot {
    /// What runs before the first configuration: nothing.
    pub(crate) fn empty() -> Self {
        Self {
            generation: Generation(0),
            connections: ConnectionLimits {
                total: 0,
                per_source: 0,
                handshakes: 0,
            },
            sites: HashMap::new(),
        }
    }

    /// Checks and compiles a slice; otherwise every reason why it cannot be taken.
    pub(crate) fn compile(generation: Generation, slice: &ProxySlice, shared: &Shared) -> Result<Self, Vec<String>> {
        let mut reasons = Vec::new();
        let mut sites: BTreeMap<SocketAddr, (Names, Vec<Arc<Published>>)> = BTreeMap::new();
        let mut loading = shared.waf.loading();
        for service in &slice.services {
            let name = &service.name;
            let mut complain = |what: String| reasons.push(format!("service {name}: {what}"));
            let tls12 = service.tls == TlsVersion::Tls12;
            let key = certified(&service.certificate, &service.hosts, tls12, &mut complain);
            let published = Published::compile(service, slice, shared, &mut loading, &mut complain);
            let (Some(key), Some(published)) = (key, published) else {
                continue;
            };
            let published = Arc::new(published);
            for address in &service.listen {
                let (names, services) = sites.entry(*address).or_default();
                let index = services.len();
                services.push(Arc::clone(&published));
                for host in &service.hosts {
                    if let Some(other) = names.add(host, index, &key) {
                        let other = services
                            .get(other)
                            .map_or("another service", |other| other.name.as_str());
                        complain(format!("{host} on {address} is published by {other} already"));
                    }
                }
            }
        }
        let mut compiled = HashMap::new();
        for (address, (names, services)) in sites {
            let tls12 = services.iter().any(|service: &Arc<Published>| service.tls12);
            match shared
                .tickets(tls12)
                .and_then(|tickets: &Tickets| server_config(names, tickets, tls12))
            {
                Ok(tls) => {
                    compiled.insert(address, Arc::new(Site { tls, services }));
                }
                Err(error) => reasons.push(format!("listener {address}: {error}")),
            }
        }
        if reasons.is_empty() {
            Ok(Self {
                generation,
                connections: slice.connections.clone(),
                sites: compiled,
            })
        } else {
            Err(reasons)
        }
    }
}

impl Site {
    /// The service that has this name, for a connection that outlived a configuration.
    pub(crate) fn named(&self, name: &ServiceName) -> Option<&Arc<Published>> {
        self.services.iter().find(|service| service.name == *name)
    }
}

impl Published {
    fn compile(
        service: &PublishedService,
        slice: &ProxySlice,
        shared: &Shared,
        loading: &mut Loading<'_>,
        complain: &mut impl FnMut(String),
    ) -> Option<Self> {
        if service.hosts.is_empty() {
            complain("it has no host names".into());
        }
        let headers = HeaderPlan::compile(&service.headers).map_err(&mut *complain).ok();
        let key_header = service.key_header.to_ascii_lowercase();
        if !key_header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || key_header.is_empty() {
            complain(format!("{key_header:?} cannot be the name of the key header"));
        }
        let scope: Arc<str> = service.name.as_str().into();
        let mut routes = Vec::new();
        for route in &service.routes {
            let mut complain = |what: String| complain(format!("route {}: {what}", route.name));
            if !route.path.starts_with('/') {
                complain(format!("the path {:?} does not begin with '/'", route.path));
            }
            let mut methods = Vec::new();
            for method in &route.methods {
                match Method::parse(method.as_bytes()) {
                    Ok(method) => methods.push(method),
                    Err(_) => complain(format!("the proxy does not know the method {method:?}")),
                }
            }
            let access = match &route.access {
                None => None,
                Some(access) => match DecisionTable::from_bytes(&access.table) {
                    Ok(table) => Some(table),
                    Err(error) => {
                        complain(format!("access table: {error}"));
                        continue;
                    }
                },
            };
            if route.upstreams.addresses.is_empty() {
                complain("it has no upstream".into());
            }
            routes.push(RoutePlan {
                name: route.name.clone(),
                prefix: route.path.trim_end_matches('/').to_owned(),
                methods,
                access,
                rates: Rates::new(route.rates.as_ref().unwrap_or(&service.rates).clone()),
                scope: match route.rates {
                    Some(_) => format!("{}/{}", service.name, route.name).into(),
                    None => Arc::clone(&scope),
                },
                upstreams: UpstreamPlan::compile(&route.upstreams, shared),
            });
        }
        let waf = match &service.waf {
            None => None,
            Some(policy) => match loading.plan(&service.name, policy, &slice.rule_sets) {
                Ok(plan) => Some(plan),
                Err(reason) => {
                    complain(format!("web application firewall: {reason}"));
                    return None;
                }
            },
        };
        Some(Self {
            name: service.name.clone(),
            hosts: service.hosts.clone(),
            ports: service.ports.clone(),
            routes,
            headers: headers?,
            limits: service.limits.clone(),
            key_header,
            fallback: service.fallback.clone(),
            mask_errors: service.mask_errors,
            tls12: service.tls == TlsVersion::Tls12,
            waf,
        })
    }
}

impl UpstreamPlan {
    fn compile(upstreams: &Upstreams, shared: &Shared) -> Self {
        Self {
            servers: upstreams
                .addresses
                .iter()
                .map(|address| shared.upstream(*address, upstreams.health.as_ref()))
                .collect(),
            next: std::sync::atomic::AtomicUsize::new(0),
            connect_timeout: upstreams.connect_timeout.into(),
            response_timeout: upstreams.response_timeout.into(),
            retries: upstreams.retries,
        }
    }
}

/// The chain with a key that signs in the vault, once it is certain that they belong together and that clients will accept it.
fn certified(
    certificate: &Certificate,
    hosts: &[HostName],
    tls12: bool,
    complain: &mut impl FnMut(String),
) -> Option<Arc<CertifiedKey>> {
    let chain: Vec<_> = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let Some(leaf) = chain.first() else {
        complain("it has no certificate".into());
        return None;
    };
    let parsed = match ParsedCertificate::try_from(leaf) {
        Ok(parsed) => parsed,
        Err(error) => {
            complain(format!("its certificate cannot be read: {error}"));
            return None;
        }
    };
    let digest = Sha256::digest(parsed.subject_public_key_info());
    if !digest.starts_with(&certificate.key.0) {
        complain("its certificate belongs to another key".into());
        return None;
    }
    let Some(key) = RemoteKey::of(certificate.key, &parsed, tls12) else {
        complain("its certificate has a kind of key that is not supported".into());
        return None;
    };
    for host in hosts {
        let covered = ServerName::try_from(host.as_str()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        if !covered {
            complain(format!("its certificate does not hold the name {host}"));
        }
    }
    drop(parsed);
    Some(Arc::new(CertifiedKey::new(chain, Arc::new(key))))
}
