//! Published services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

use redan_types::{HostName, ServiceName};

use crate::document::Appliance;
use crate::mistake::Kind;
use crate::scalar::TlsVersion;
use crate::section::at;
use crate::service::{Listen, Route, Service, Upstream};

use super::Check;

/// Fields that belong to the framing of a message or to its way; a configuration that set them would break both.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The most combinations of published address and host.
const PUBLISHED: usize = 100_000;

impl Check<'_> {
    /// Every service can be reached, and reaches what it names.
    pub(super) fn services(&mut self) {
        let appliance = self.appliance;
        let Some(listening) = self.published_twice() else {
            return;
        };
        for (name, service) in &appliance.services {
            let path = at!["services", name];
            self.filled(
                &at![path, "listen"],
                &service.listen,
                format!("service {name} listens nowhere"),
                "for instance listen = [{ zone = \"public\", port = 443 }]",
            );
            for (index, listen) in service.listen.iter().enumerate() {
                self.listen(&at![path, "listen", index], listen);
            }
            self.filled(
                &at![path, "hosts"],
                &service.hosts,
                format!("service {name} answers to no host"),
                "name the hosts of its URLs, for instance [\"shop.example.org\"]",
            );
            self.duplicates(&at![path, "hosts"], "host", &service.hosts);
            for (index, zone) in service.from.iter().enumerate() {
                self.resolves(&at![path, "from", index], "zone", "zones", zone.as_str());
            }
            self.tls(&path, name, service);
            self.upstreams(&path, name, service, &listening);
            self.routes(&path, name, service);
            self.rates(&at![path, "rates"], service.rates.keys());
            self.falling_rates(&at![path, "rates"], service);
            self.headers(&path, service);
            self.waf(&path, service);
        }
    }

    /// Exactly one of interface, zone and address, which exists and has an address.
    pub(super) fn listen(&mut self, path: &str, listen: &Listen) {
        let given = [
            listen.interface.is_some(),
            listen.zone.is_some(),
            listen.address.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            let mistake = self
                .value(
                    Kind::Value,
                    path,
                    "exactly one of `interface`, `zone` and `address` says where to listen",
                )
                .label(if given.contains(&true) {
                    "more than one is given"
                } else {
                    "none is given"
                })
                .help(Some(format!(
                    "for instance {{ zone = \"public\", port = {} }}",
                    listen.port
                )));
            self.errors.push(mistake);
            return;
        }
        if let Some(interface) = &listen.interface
            && !self.resolves(&at![path, "interface"], "interface", "interfaces", interface.as_str())
        {
            return;
        }
        if let Some(zone) = &listen.zone
            && !self.resolves(&at![path, "zone"], "zone", "zones", zone.as_str())
        {
            return;
        }
        if self.sound("interfaces") && self.appliance.listen_addresses(listen).is_empty() {
            let (key, label) = match (&listen.address, &listen.zone) {
                (Some(address), _) => ("address", format!("no interface has the address {address}")),
                (None, Some(zone)) => ("zone", format!("no interface of zone {zone} has an address")),
                (None, None) => ("interface", "this interface has no address".to_owned()),
            };
            let own: Vec<String> = self
                .appliance
                .interfaces
                .values()
                .flat_map(|interface| &interface.addresses)
                .take(12)
                .map(|own| own.address.to_string())
                .collect();
            let mistake = self
                .value(Kind::Dangling, &at![path, key], "nothing to listen on")
                .label(label)
                .help(Some(format!("the appliance's addresses are {}", own.join(", "))));
            self.errors.push(mistake);
        }
    }

    fn tls(&mut self, path: &str, name: &ServiceName, service: &Service) {
        let reason = service
            .tls
            .reason
            .as_deref()
            .map(str::trim)
            .filter(|reason| !reason.is_empty());
        match (service.tls.min_version, reason) {
            (TlsVersion::V1_2, None) => {
                let mistake = self
                    .value(
                        Kind::Value,
                        &at![path, "tls", "min-version"],
                        format!("service {name} allows TLS 1.2 and does not say why"),
                    )
                    .label("TLS 1.2 needs a reason")
                    .help(Some(
                        "add reason = \"…\" beside it, or keep the default \"1.3\"".to_owned(),
                    ));
                self.errors.push(mistake);
            }
            (TlsVersion::V1_2, Some(_)) => {
                let warning = self
                    .value(
                        Kind::Value,
                        &at![path, "tls", "min-version"],
                        format!("service {name} allows TLS 1.2"),
                    )
                    .label("old clients only need this");
                self.warnings.push(warning);
            }
            (TlsVersion::V1_3, Some(_)) => {
                let mistake = self
                    .value(
                        Kind::Value,
                        &at![path, "tls", "reason"],
                        "a reason for TLS 1.2, which is not allowed here",
                    )
                    .label("goes with min-version = \"1.2\"")
                    .help(Some("remove it".to_owned()));
                self.errors.push(mistake);
            }
            (TlsVersion::V1_3, None) => {}
        }
    }

    fn upstreams(&mut self, path: &str, name: &ServiceName, service: &Service, listening: &BTreeSet<SocketAddr>) {
        if service.upstreams.is_empty() && self.sound(path) {
            let mistake = self
                .key(
                    Kind::Value,
                    &at![path, "upstreams"],
                    format!("service {name} has no upstream"),
                )
                .label("nothing here")
                .help(Some(format!(
                    "for instance [services.{name}.upstreams.main] with servers = [\"10.0.0.5:8080\"]"
                )));
            self.errors.push(mistake);
        }
        for (pool, upstream) in &service.upstreams {
            let path = at![path, "upstreams", pool];
            self.filled(
                &at![path, "servers"],
                &upstream.servers,
                format!("upstream {pool} has no server"),
                "for instance [\"10.0.0.5:8080\"]",
            );
            self.duplicates(&at![path, "servers"], "server", &upstream.servers);
            self.servers(&at![path, "servers"], upstream, listening);
            if !service.routes.iter().any(|route| route.upstream == *pool)
                && self.sound(&at!["services", name, "routes"])
            {
                let warning = self
                    .key(
                        Kind::Unreachable,
                        &path,
                        format!("upstream {pool} of service {name} is not used"),
                    )
                    .label("no route leads here");
                self.warnings.push(warning);
            }
        }
    }

    fn servers(&mut self, path: &str, upstream: &Upstream, listening: &BTreeSet<SocketAddr>) {
        let appliance = self.appliance;
        for (index, server) in upstream.servers.iter().enumerate() {
            let path = at![path, index];
            if listening.contains(&server.socket()) {
                let mistake = self
                    .value(
                        Kind::Conflict,
                        &path,
                        format!("{server} is published by this appliance itself"),
                    )
                    .label("requests would go round in a circle")
                    .help(Some(
                        "give the address of the application behind the appliance".to_owned(),
                    ));
                self.errors.push(mistake);
            }
            let reachable = server.address.is_loopback()
                || appliance.interfaces.values().any(|interface| {
                    interface
                        .addresses
                        .iter()
                        .any(|own| own.network().contains(server.address))
                        || interface
                            .gateway
                            .is_some_and(|gateway| gateway.is_ipv4() == server.address.is_ipv4())
                });
            if !reachable && self.sound("interfaces") {
                let mistake = self
                    .value(Kind::Unreachable, &path, format!("{server} cannot be reached"))
                    .label("in no interface's network, and no gateway leads there")
                    .help(Some(
                        "give an interface an address in its network, or a gateway".to_owned(),
                    ));
                self.errors.push(mistake);
            }
            let blocked = appliance
                .blocklist
                .addresses
                .iter()
                .position(|network| network.contains(server.address));
            if let Some(blocked) = blocked {
                let related = self.reader.place(&at!["blocklist", "addresses", blocked]).value;
                let mistake = self
                    .value(Kind::Unreachable, &path, format!("{server} is on the blocklist"))
                    .label("would be refused")
                    .help(Some("take it off the blocklist".to_owned()))
                    .related(related, "blocked here");
                self.errors.push(mistake);
            }
        }
    }

    fn routes(&mut self, path: &str, name: &ServiceName, service: &Service) {
        self.filled(
            &at![path, "routes"],
            &service.routes,
            format!("service {name} has no route"),
            "a route with path = \"/\" takes every request",
        );
        for (index, route) in service.routes.iter().enumerate() {
            let path = at![path, "routes", index];
            self.resolves(
                &at![path, "upstream"],
                &format!("upstream of service {name}"),
                &at!["services", name, "upstreams"],
                route.upstream.as_str(),
            );
            self.duplicates(&at![path, "methods"], "method", &route.methods);
            for (before, earlier) in service.routes.iter().enumerate().take(index) {
                let first = |key: &str| self.reader.place(&at!["services", name, "routes", before, key]).value;
                if earlier.name == route.name {
                    let mistake = self
                        .value(
                            Kind::Conflict,
                            &at![path, "name"],
                            format!("two routes of service {name} are called {}", route.name),
                        )
                        .label("the second one")
                        .help(Some(
                            "give each a name of its own: figures and the log go by it".to_owned(),
                        ))
                        .related(first("name"), "the first one");
                    self.errors.push(mistake);
                }
                let methods = earlier.methods.is_empty()
                    || !route.methods.is_empty() && route.methods.iter().all(|one| earlier.methods.contains(one));
                let sound = self.sound(&at!["services", name, "routes"]);
                if sound && methods && earlier.path.pattern().covers(&route.path.pattern()) {
                    let mistake = self
                        .value(
                            Kind::Unreachable,
                            &at![path, "name"],
                            format!("route {} can never match", route.name),
                        )
                        .label(format!("every such request is taken by {} before", earlier.name))
                        .help(Some(format!("put it before {}", earlier.name)))
                        .related(first("name"), format!("{} takes {}", earlier.name, earlier.path));
                    self.errors.push(mistake);
                    break;
                }
            }
            self.access(&path, route);
            self.rates(&at![path, "rates"], route.rates.keys());
        }
    }

    fn access(&mut self, path: &str, route: &Route) {
        let route_path = at![path, "path"];
        for (index, rule) in route.access.iter().enumerate() {
            let path = at![path, "access", index];
            if !rule.path.overlaps(&route.path.pattern()) && self.sound(&route_path) {
                let mistake = self
                    .value(
                        Kind::Unreachable,
                        &at![path, "path"],
                        format!("no request of route {} has such a path", route.name),
                    )
                    .label(format!("not within {}", route.path))
                    .help(Some(format!(
                        "paths of rules are whole paths: they start with {}",
                        route.path
                    )));
                self.errors.push(mistake);
            }
            for (at, method) in rule.methods.iter().enumerate() {
                if !route.methods.is_empty() && !route.methods.contains(method) {
                    let mistake = self
                        .value(
                            Kind::Unreachable,
                            &at![path, "methods", at],
                            format!("route {} takes no {method} requests", route.name),
                        )
                        .label("not among the route's methods");
                    self.errors.push(mistake);
                }
            }
            self.duplicates(&at![path, "methods"], "method", &rule.methods);
            self.filled(
                &at![path, "roles"],
                &rule.roles,
                "a rule that lets nobody in".to_owned(),
                "what no rule allows is refused anyway: name roles, or remove the rule",
            );
            for (at, role) in rule.roles.iter().enumerate() {
                self.role(&at![path, "roles", at], role);
            }
        }
    }

    fn rates<'r>(&mut self, path: &str, roles: impl Iterator<Item = &'r redan_types::RoleName>) {
        for role in roles {
            if !self.knows_role(role) {
                let place = self.reader.place(&at![path, role]).key;
                let mut mistake = self.role_mistake(path, role);
                mistake.span = place;
                self.errors.push(mistake);
            }
        }
    }

    /// A role that may do less than one that it includes is rarely meant.
    fn falling_rates(&mut self, path: &str, service: &Service) {
        if service.rates.is_empty() || !self.sound("identity") || !self.errors.is_empty() {
            return;
        }
        let appliance = self.appliance;
        let roles = Rc::clone(self.roles.get_or_insert_with(|| Rc::new(appliance.roles())));
        let rates = Appliance::rates_among(&roles, service);
        for (role, rate) in &service.rates {
            let includes = roles
                .get(role)
                .into_iter()
                .flatten()
                .filter(|included| *included != role);
            let above = includes
                .filter_map(|included| Some((included, rates.get(included)?)))
                .max_by_key(|(_, rate)| **rate);
            if let Some((included, more)) = above.filter(|(_, more)| *more > rate) {
                let warning = self
                    .value(
                        Kind::Value,
                        &at![path, role],
                        format!("{role} may send fewer requests than {included}, which it includes"),
                    )
                    .label(format!("{included} may send {}", more.per_minute()));
                self.warnings.push(warning);
            }
        }
    }

    fn headers(&mut self, path: &str, service: &Service) {
        let path = at![path, "headers"];
        let own = service
            .headers
            .set
            .keys()
            .map(|name| (at![path, "set", name], name, true));
        let removed = service.headers.remove.iter().enumerate();
        let fields: Vec<_> = own
            .chain(removed.map(|(index, name)| (at![path, "remove", index], name, false)))
            .collect();
        for (path, name, is_key) in fields {
            let framing = FRAMING.contains(&name.as_str());
            let both = !is_key && service.headers.set.contains_key(name);
            if !framing && !both {
                continue;
            }
            let (message, label) = if framing {
                (
                    format!("the field {name} belongs to the connection"),
                    "the proxy alone decides about it",
                )
            } else {
                (format!("the field {name} is both set and removed"), "also set")
            };
            let mistake = if is_key {
                self.key(Kind::Value, &path, message)
            } else {
                self.value(Kind::Value, &path, message)
            };
            self.errors
                .push(mistake.label(label).help(Some("remove it here".to_owned())));
        }
        if FRAMING.contains(&service.key_header.as_str())
            || matches!(service.key_header.as_str(), "authorization" | "cookie")
        {
            let path = path.replace("headers", "key-header");
            let mistake = self
                .value(
                    Kind::Value,
                    &path,
                    format!("{} cannot carry API keys", service.key_header),
                )
                .label("this field has a meaning of its own")
                .help(Some(
                    "choose a name such as \"x-api-key\"; `Authorization: Bearer` works besides".to_owned(),
                ));
            self.errors.push(mistake);
        }
    }

    /// One address, port and host belong to one service; the console shares its address with none. Gives the addresses that the
    /// appliance listens on, or `None` where they are too many to go on.
    fn published_twice(&mut self) -> Option<BTreeSet<SocketAddr>> {
        let appliance = self.appliance;
        let mut listening: BTreeSet<SocketAddr> = appliance.console_address().into_iter().collect();
        let mut seen: BTreeMap<(SocketAddr, &HostName), (&ServiceName, usize)> = BTreeMap::new();
        let console = appliance.console_address();
        let mut services: Vec<_> = appliance.services.iter().collect();
        services.sort_by_key(|(name, _)| self.reader.place(&at!["services", name]).key.start);
        for (name, service) in services {
            let mut own: BTreeMap<SocketAddr, usize> = BTreeMap::new();
            for (index, listen) in service.listen.iter().enumerate() {
                let path = at!["services", name, "listen", index];
                for address in appliance.listen_addresses(listen) {
                    if let Some(before) = own.insert(address, index).filter(|before| *before != index) {
                        let related = self.reader.place(&at!["services", name, "listen", before]).value;
                        let mistake = self
                            .value(
                                Kind::Conflict,
                                &path,
                                format!("service {name} publishes {address} twice"),
                            )
                            .label("the second time")
                            .help(Some("remove one of them".to_owned()))
                            .related(related, "the first time");
                        self.errors.push(mistake);
                    }
                    if Some(address) == console {
                        let related = self.reader.place(&at!["console", "listen"]).value;
                        let mistake = self
                            .value(Kind::Conflict, &path, format!("{address} is published twice"))
                            .label("the console listens there")
                            .help(Some("give the service or the console another port".to_owned()))
                            .related(related, "the console's address");
                        self.errors.push(mistake);
                    }
                    let clash = service.hosts.iter().find_map(|host| {
                        let (other, index) = seen.get(&(address, host))?;
                        (*other != name).then_some((host, *other, *index))
                    });
                    if let Some((host, other, before)) = clash {
                        let related = self.reader.place(&at!["services", other, "listen", before]).value;
                        let mistake = self
                            .value(
                                Kind::Conflict,
                                &path,
                                format!("{address} is published twice for host {host}"),
                            )
                            .label(format!("service {other} has it already"))
                            .help(Some("give one of them another port, address or host".to_owned()))
                            .related(related, format!("published by {other}"));
                        self.errors.push(mistake);
                    }
                    seen.extend(service.hosts.iter().map(|host| ((address, host), (name, index))));
                    listening.insert(address);
                    if seen.len() > PUBLISHED {
                        let message = format!("more than {PUBLISHED} combinations of address and host are published");
                        let mistake = self.key(Kind::Range, "services", message);
                        self.errors.push(mistake);
                        return None;
                    }
                }
            }
        }
        Some(listening)
    }
}
