//! Published services.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use redan_types::{HostName, InterfaceName, PathPattern, Port, RoleName, RouteName, ZoneName};

use crate::pattern::PathPrefix;
use crate::scalar::{Certificate, Endpoint, FieldName, FieldValue, Method, PageType, Size, TlsVersion, UpstreamName};
use crate::section::section;
use crate::waf::Waf;

section! {
    /// A published application.
    pub struct Service {
        /// Where it listens. Services may share an address and port; they are then told apart by host.
        "listen" => listen: Vec<Listen>;
        /// Host names (or addresses) that it answers to; its certificate holds them.
        "hosts" => hosts: Vec<HostName>;
        /// Ports under which clients know it, which `Host` may name besides none. Empty: any, since whatever translates addresses in front
        /// of the appliance may offer it on another port than the one it listens on.
        "public-ports" => public_ports: Vec<Port> = "[]";
        /// Zones from which it can be reached. Empty: the zones that it listens in.
        "from" => from: Vec<ZoneName> = "[]";
        /// TLS towards clients.
        "tls" => tls: Tls = "{}";
        /// Pools of servers, by name.
        "upstreams" => upstreams: BTreeMap<UpstreamName, Upstream>;
        /// Where requests go: tried in order, the first whose path and method match takes the request.
        "routes" => routes: Vec<Route>;
        /// Response headers.
        "headers" => headers: Headers = "{}";
        /// The web application firewall. Absent: requests are not inspected.
        "waf" => waf: Option<Waf>;
        /// Bounds on requests.
        "limits" => limits: RequestLimits = "{}";
        /// Requests a minute by role; `guest` stands for clients without an identity. A role not named here keeps its default (guest 10,
        /// viewer, user and developer 100, premium 500, admin 1000, service 10000), or has the highest rate of the roles that it includes where that is more.
        "rates" => rates: BTreeMap<RoleName, Rate> = "{}";
        /// The header field that carries an API key, besides `Authorization: Bearer`.
        "key-header" => key_header: FieldName = "'x-api-key'";
        /// Whether an upstream's error pages (5xx) are replaced by a generic one with an incident id.
        "mask-errors" => mask_errors: bool = "true";
        /// The page shown when no upstream answers. Absent: the built-in one.
        "fallback" => fallback: Option<Fallback>;
        /// For people.
        "comment" => comment: Option<String>;
    }
}

section! {
    /// Where something listens: a port on an interface, in a zone, or on one address. Exactly one of the three is given.
    pub struct Listen {
        /// Every address of this interface.
        "interface" => interface: Option<InterfaceName>;
        /// Every address of every interface in this zone.
        "zone" => zone: Option<ZoneName>;
        /// One address of one interface.
        "address" => address: Option<IpAddr>;
        /// The TCP port.
        "port" => port: Port;
    }
}

section! {
    /// TLS towards clients.
    pub struct Tls {
        /// The oldest version accepted. `"1.2"` needs a `reason`.
        "min-version" => min_version: TlsVersion = "'1.3'";
        /// Why TLS 1.2 is still needed; only with `min-version = "1.2"`.
        "reason" => reason: Option<String>;
        /// Where the certificate comes from: `"generated"` is made by the vault for the service's hosts.
        "certificate" => certificate: Certificate = "'generated'";
    }
}

section! {
    /// A pool of servers.
    pub struct Upstream {
        /// Addresses with ports; the balance is round robin over the healthy ones.
        "servers" => servers: Vec<Endpoint>;
        /// Time to connect.
        "connect-timeout" => connect_timeout: Duration = "'2s'", "'50ms'" ..= "'30s'";
        /// Time to the head of the response, and between pieces of its body.
        "response-timeout" => response_timeout: Duration = "'30s'", "'100ms'" ..= "'10m'";
        /// Further attempts for a request that may be repeated (idempotent, no body sent).
        "retries" => retries: u8 = "1", "0" ..= "5";
        /// Active checks. Absent: only failures of real requests count.
        "health" => health: Option<Health>;
    }
}

section! {
    /// Active health checks: a `GET` whose answer must be 200 to 399.
    pub struct Health {
        /// The path asked for.
        "path" => path: PathPrefix = "'/'";
        /// Time between checks.
        "interval" => interval: Duration = "'5s'", "'500ms'" ..= "'5m'";
        /// Failures in a row until a server counts as down.
        "failures" => failures: u8 = "2", "1" ..= "20";
    }
}

section! {
    /// Where requests for a path go, and who may send them.
    pub struct Route {
        /// Its name.
        "name" => name: RouteName;
        /// A prefix of whole segments: `/api` matches `/api` and `/api/x`, not `/apix`; `/` matches everything.
        "path" => path: PathPrefix = "'/'";
        /// Methods. Empty: all that are proxied.
        "methods" => methods: Vec<Method> = "[]";
        /// The pool of servers.
        "upstream" => upstream: UpstreamName;
        /// Who may send what. Empty: everybody everything. Otherwise what no rule allows is refused.
        "access" => access: Vec<AccessRule> = "[]";
        /// Other rates than the service's, counted for this route alone; roles not named keep the service's.
        "rates" => rates: BTreeMap<RoleName, Rate> = "{}";
        /// For people.
        "comment" => comment: Option<String>;
    }
}

section! {
    /// Lets roles send requests.
    pub struct AccessRule {
        /// Which paths; they lie within the route's.
        "path" => path: PathPattern;
        /// Which methods. Empty: every method.
        "methods" => methods: Vec<Method> = "[]";
        /// Which roles, and those that include them; `guest` is everybody.
        "roles" => roles: Vec<RoleName>;
    }
}

section! {
    /// Response headers. The security headers are on by default; an empty text leaves a field out.
    pub struct Headers {
        /// Content-Security-Policy, unless the upstream sends its own.
        "content-security-policy" => content_security_policy: FieldValue
            = "\"default-src 'self'; object-src 'none'; base-uri 'self'; frame-ancestors 'none'\"";
        /// Strict-Transport-Security (RFC 6797).
        "strict-transport-security" => strict_transport_security: FieldValue = "'max-age=31536000; includeSubDomains'";
        /// X-Frame-Options.
        "frame-options" => frame_options: FieldValue = "'DENY'";
        /// X-Content-Type-Options.
        "content-type-options" => content_type_options: FieldValue = "'nosniff'";
        /// Referrer-Policy.
        "referrer-policy" => referrer_policy: FieldValue = "'strict-origin-when-cross-origin'";
        /// Further fields, set to these values whatever the upstream says.
        "set" => set: BTreeMap<FieldName, FieldValue> = "{}";
        /// Fields removed from responses.
        "remove" => remove: Vec<FieldName> = "['server', 'x-powered-by', 'x-aspnet-version', 'x-aspnetmvc-version']";
    }
}

section! {
    /// Bounds on requests.
    pub struct RequestLimits {
        /// Bytes of a request's body.
        "body" => body: Size = "'1MiB'", "'1KiB'" ..= "'4GiB'";
        /// Time for a request's head, from its first byte.
        "head-timeout" => head_timeout: Duration = "'10s'", "'1s'" ..= "'60s'";
        /// Bytes a second that a request's body must reach after five seconds of grace.
        "body-rate" => body_rate: Size = "500", "1" ..= "'1MiB'";
        /// How long a response may wait for its reader.
        "write-stall" => write_stall: Duration = "'10s'", "'1s'" ..= "'5m'";
        /// How long a connection may be idle.
        "idle-timeout" => idle_timeout: Duration = "'60s'", "'1s'" ..= "'1h'";
    }
}

section! {
    /// The page shown when no upstream answers.
    pub struct Fallback {
        /// Its media type.
        "type" => media_type: PageType = "'text/html'";
        /// The page itself.
        "content" => content: String;
    }
}

/// Requests a minute: 1 to 1,000,000.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Rate(u32);

impl Rate {
    /// A rate from a constant of ours.
    pub(crate) const fn of(per_minute: u32) -> Self {
        Self(per_minute)
    }

    /// Requests a minute.
    #[must_use]
    pub const fn per_minute(self) -> u32 {
        self.0
    }
}

impl crate::read::Read for Rate {
    fn shape() -> crate::read::Shape {
        crate::read::Shape::Value("requests a minute, 1 to 1000000".to_owned())
    }

    fn read(node: &crate::read::Node<'_>, reader: &mut crate::read::Reader) -> Option<Self> {
        let rate = u32::read(node, reader)?;
        crate::read::within(Some(("1", "1000000")), &rate, node, reader).then_some(Self(rate))
    }

    fn tree(&self) -> crate::read::Tree {
        self.0.tree()
    }
}
