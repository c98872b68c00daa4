//! The part of the configuration that each service gets. Made by the manager from the whole document; a service sees no more.

use crate::messages::transit::KeyRules;
use crate::messages::vault::Certificate;
use crate::rules::RuleArchive;
use redan_types::{
    Cidr, HostName, InterfaceName, PolicyName, Port, Protocol, RoleName, RouteName, ServiceName, UserName, ZoneName,
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The proxy's part.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ProxySlice {
    /// Published services.
    pub services: Vec<PublishedService>,
    /// Bounds on connections.
    pub connections: ConnectionLimits,
    /// Rule sets that services name by their place here.
    pub rule_sets: Vec<RuleArchive>,
}

/// Bounds on all connections together.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ConnectionLimits {
    /// Open connections of all clients.
    pub total: u32,
    /// Open connections of one address (an IPv6 client is its /64).
    pub per_source: u32,
    /// Handshakes under way on one thread.
    pub handshakes: u32,
}

/// One published service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PublishedService {
    /// Its name.
    pub name: ServiceName,
    /// Where it listens; several services may share an address and are told apart by host.
    pub listen: Vec<SocketAddr>,
    /// Host names that it answers to; the certificate holds them.
    pub hosts: Vec<HostName>,
    /// Ports that clients may name besides none; empty: any.
    pub ports: Vec<Port>,
    /// Its certificate.
    pub certificate: Certificate,
    /// The oldest TLS version.
    pub tls: TlsVersion,
    /// Tried in order; the first whose path and method match takes the request.
    pub routes: Vec<Route>,
    /// Response headers.
    pub headers: HeaderPolicy,
    /// Bounds on requests.
    pub limits: RequestLimits,
    /// The header that carries an API key beside `Authorization: Bearer`, in lower case.
    pub key_header: String,
    /// Requests a minute by role; `guest` stands for those without identity.
    pub rates: Vec<(RoleName, u32)>,
    /// Shown when no upstream answers; `None`: the built-in page.
    pub fallback: Option<Page>,
    /// Whether an upstream's error pages (5xx) are replaced.
    pub mask_errors: bool,
    /// The web application firewall; `None`: requests are not inspected.
    pub waf: Option<WafPolicy>,
}

/// The web application firewall of a service.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WafPolicy {
    /// Whether what the rules refuse is refused, or only recorded.
    pub blocking: bool,
    /// What is compiled, in this order.
    pub sources: Vec<RuleSource>,
    /// Whether the rules look at bodies of responses, which upstreams must then not compress.
    pub response_bodies: bool,
    /// The paranoia level, for records.
    pub paranoia: u8,
    /// The score from which a request is refused, for records.
    pub inbound_threshold: u32,
    /// The score from which a response is refused, for records.
    pub outbound_threshold: u32,
}

/// A part of a service's rules.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RuleSource {
    /// The own settings of a rule set of the slice.
    Setup(u16),
    /// The rules of a rule set of the slice.
    Rules(u16),
    /// A text.
    Text {
        /// Its name in messages about mistakes.
        name: String,
        /// The text.
        text: String,
    },
}

/// A TLS version.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A page shown instead of an upstream's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Page {
    /// `text/html` or `text/plain`.
    pub content_type: String,
    /// The page.
    pub body: String,
}

/// Where requests for a path go.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// A prefix of whole path segments: `/api` matches `/api` and `/api/x`, not `/apix`; `/` matches everything.
    pub path: String,
    /// Methods; empty: all that the proxy knows.
    pub methods: Vec<String>,
    /// Who may do what; `None`: everybody everything.
    pub access: Option<Access>,
    /// Other rates than the service's, counted for this route alone.
    pub rates: Option<Vec<(RoleName, u32)>>,
    /// Where to.
    pub upstreams: Upstreams,
}

/// Access to a protected route.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Access {
    /// The decision table by role, method and path, encoded by the identity crate.
    pub table: Vec<u8>,
}

/// The servers behind a route.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Upstreams {
    /// Addresses; the balance is round robin over the healthy ones.
    pub addresses: Vec<SocketAddr>,
    /// Milliseconds to connect in.
    pub connect_timeout: u32,
    /// Milliseconds to the response's head, and between pieces of its body.
    pub response_timeout: u32,
    /// Attempts after the first, for requests that may be repeated (idempotent and without a body sent).
    pub retries: u8,
    /// Active checks; `None`: only failures of real requests count.
    pub health: Option<HealthCheck>,
}

/// An active health check.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HealthCheck {
    /// Asked with GET; 200 to 399 is healthy.
    pub path: String,
    /// Milliseconds between checks.
    pub interval: u32,
    /// Failures in a row until it counts as down.
    pub failures: u8,
}

/// Response headers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeaderPolicy {
    /// Each is set to this value, whatever the upstream said.
    pub set: Vec<(String, String)>,
    /// Each is set unless the upstream did.
    pub default: Vec<(String, String)>,
    /// Each is removed (names in lower case), for instance server banners.
    pub remove: Vec<String>,
}

/// Bounds on a request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RequestLimits {
    /// Bytes of a request body.
    pub body: u64,
    /// Milliseconds for a request's head, from its first byte.
    pub head_timeout: u32,
    /// Bytes a second that a request body must reach after five seconds of grace.
    pub body_rate: u32,
    /// Milliseconds that a response may wait for its reader.
    pub write_stall: u32,
    /// Milliseconds that a connection may be idle.
    pub idle_timeout: u32,
}

/// The network service's part.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NetworkSlice {
    /// Interfaces that the appliance manages.
    pub interfaces: Vec<Interface>,
    /// Zones; every managed interface is in one.
    pub zones: Vec<Zone>,
    /// In order; the first that matches decides. What none matches is dropped.
    pub policies: Vec<Policy>,
    /// What the appliance itself offers: published services and the console.
    pub local: Vec<LocalService>,
    /// Where the appliance itself connects to.
    pub upstreams: Vec<SocketAddr>,
    /// Blocked by configuration.
    pub blocked: Vec<Cidr>,
    /// Never blocked, whoever asks: the operators.
    pub never_block: Vec<Cidr>,
}

/// An interface.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Interface {
    /// The kernel's name.
    pub name: InterfaceName,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Maximum transmission unit; `None`: the driver's.
    pub mtu: Option<u16>,
    /// The default route through this interface.
    pub gateway: Option<IpAddr>,
}

/// A zone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Zone {
    /// Its name.
    pub name: ZoneName,
    /// Interfaces in it.
    pub interfaces: Vec<InterfaceName>,
}

/// Traffic from zone to zone, through the appliance.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Policy {
    /// Its name, which its counter bears.
    pub name: PolicyName,
    /// From these zones.
    pub from: Vec<ZoneName>,
    /// To these zones.
    pub to: Vec<ZoneName>,
    /// `None`: every protocol.
    pub protocol: Option<Protocol>,
    /// Destination ports, inclusive; empty: all. Only with TCP or UDP.
    pub ports: Vec<(Port, Port)>,
    /// Source networks; empty: all.
    pub sources: Vec<Cidr>,
    /// Destination networks; empty: all.
    pub destinations: Vec<Cidr>,
    /// What happens.
    pub action: Action,
    /// Whether a line is logged (bounded in rate).
    pub log: bool,
    /// For people.
    pub comment: String,
}

/// What a policy does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Action {
    /// Let pass.
    Allow,
    /// Swallow.
    Drop,
    /// Answer with a reset or an ICMP error.
    Reject,
}

/// Something that the appliance itself listens for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LocalService {
    /// A counter's name: `service-shop`, `console`.
    pub name: String,
    /// Where.
    pub address: SocketAddr,
    /// From these zones.
    pub zones: Vec<ZoneName>,
    /// From these networks; empty: all.
    pub sources: Vec<Cidr>,
}

/// The console's part.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConsoleSlice {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names that its certificate holds and that it answers to.
    pub hosts: Vec<HostName>,
    /// Its certificate.
    pub certificate: Certificate,
    /// Clients from elsewhere are refused; empty: the packet filter alone decides.
    pub allowed: Vec<Cidr>,
}

/// The vault's part: rules for identities.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VaultSlice {
    /// Shortest password, in characters.
    pub password_length: u16,
    /// Passwords remembered, so that none comes back.
    pub password_history: u16,
    /// Names that a guesser knows and that count for nothing in a password: of hosts and services.
    pub password_names: Vec<String>,
    /// Passwords that nobody may have.
    pub password_refused: Vec<String>,
    /// Failures until whoever guesses must wait.
    pub lockout_failures: u16,
    /// Failures are forgotten after this many seconds.
    pub lockout_window: u32,
    /// The longest wait, in seconds.
    pub lockout_duration: u32,
    /// A session ends after this many seconds without use.
    pub session_idle: u32,
    /// A session ends after this many seconds.
    pub session_absolute: u32,
    /// An API key works for this many days.
    pub key_days: u16,
    /// Roles that exist, each with the roles that it includes, itself among them.
    pub roles: Vec<(RoleName, Vec<RoleName>)>,
    /// Users that the configuration declares; a one-time password is made when one is new.
    pub users: Vec<(UserName, Vec<RoleName>)>,
    /// Services whose keys sign TLS 1.2 handshakes as well.
    pub tls12: Vec<ServiceName>,
    /// Keys of applications, and who may do what with them.
    pub keys: Vec<KeyRules>,
}
