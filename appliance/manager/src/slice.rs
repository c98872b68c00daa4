//! The whole configuration → the part of each service. No I/O: certificates are asked for through a function.

use crate::waf::Rules;
use crate::world::PlanError;
use redan_config::{Appliance, Rate, ResolvedPolicy, Route as ConfiguredRoute, Service, TransitKey};
use redan_identity::policy::Policy as AccessPolicy;
use redan_identity::rule::{Effect, Hierarchy, Rule};
use redan_ipc::messages::control::WantedListener;
use redan_ipc::messages::transit::{KeyKind, KeyRules};
use redan_ipc::messages::vault::{Certificate, CertificateOwner};
use redan_ipc::slice::{
    Access, Action, ConnectionLimits, ConsoleSlice, HeaderPolicy, HealthCheck, Interface, LocalService, NetworkSlice,
    Page, Policy, ProxySlice, PublishedService, RequestLimits, Route, TlsVersion, Upstreams, VaultSlice, WafPolicy,
    Zone,
};
use redan_types::{HostName, KeyName, Process, RoleName, ServiceName, Timestamp, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Each participant's part of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The console's.
    pub console: ConsoleSlice,
    /// The supervisor's.
    pub listeners: Vec<WantedListener>,
    /// The network service's.
    pub network: NetworkSlice,
    /// The proxy's.
    pub proxy: ProxySlice,
    /// The vault's.
    pub vault: VaultSlice,
    /// Exceptions of the web application firewall that end, and when.
    pub endings: Vec<(Timestamp, String)>,
}

impl Plan {
    /// Cuts a configuration. `rules` is what its services compile; `certify` gives the certificate of an owner for these names, made where there is none.
    ///
    /// # Errors
    /// What `certify` says; [`PlanError::Refused`] where access rules do not compile.
    pub fn new(
        appliance: &Appliance,
        mut rules: Rules,
        mut certify: impl FnMut(CertificateOwner, Vec<HostName>) -> Result<Certificate, PlanError>,
    ) -> Result<Self, PlanError> {
        let console = appliance
            .console_address()
            .ok_or_else(|| refused("the console has no address".to_owned()))?;
        let hosts = appliance.console_hosts();
        let hierarchy = Hierarchy::new(
            appliance
                .roles()
                .into_iter()
                .map(|(role, all)| (role, all.into_iter().collect())),
        );
        let mut services = Vec::new();
        for (name, service) in &appliance.services {
            let certificate = certify(CertificateOwner::Service(name.clone()), service.hosts.clone())?;
            let waf = rules.services.remove(name);
            services.push(published(appliance, &hierarchy, name, service, certificate, waf)?);
        }
        let console_certificate = certify(CertificateOwner::Console, hosts.clone())?;
        let limits = &appliance.limits;
        Ok(Self {
            console: ConsoleSlice {
                listen: console,
                hosts,
                certificate: console_certificate,
                allowed: appliance.console.networks.clone(),
            },
            listeners: listeners(appliance, console),
            network: network(appliance, console),
            proxy: ProxySlice {
                services,
                rule_sets: rules.sets,
                connections: ConnectionLimits {
                    total: limits.connections,
                    per_source: limits.connections_per_source,
                    handshakes: limits.handshakes,
                },
            },
            vault: vault(appliance),
            endings: rules.endings,
        })
    }

    /// What each service compiles.
    #[must_use]
    pub fn rules(&self) -> Vec<Option<&WafPolicy>> {
        self.proxy.services.iter().map(|service| service.waf.as_ref()).collect()
    }

    /// The certificates of all published services and the console.
    #[must_use]
    pub fn certificates(&self) -> Vec<(CertificateOwner, Certificate)> {
        let services = self.proxy.services.iter();
        let services = services.map(|service| {
            (
                CertificateOwner::Service(service.name.clone()),
                service.certificate.clone(),
            )
        });
        services
            .chain([(CertificateOwner::Console, self.console.certificate.clone())])
            .collect()
    }
}

fn refused(reason: String) -> PlanError {
    PlanError::Refused(vec![reason])
}

fn published(
    appliance: &Appliance,
    hierarchy: &Hierarchy,
    name: &ServiceName,
    service: &Service,
    certificate: Certificate,
    waf: Option<WafPolicy>,
) -> Result<PublishedService, PlanError> {
    let routes = service.routes.iter().map(|route| {
        let upstreams = upstreams(service, route).ok_or_else(|| {
            refused(format!(
                "service {name}, route {}: there is no upstream {}",
                route.name, route.upstream
            ))
        })?;
        let access = access(hierarchy, route).map_err(|error| {
            refused(format!(
                "service {name}, route {}: {}",
                route.name,
                redan_service::chain(&error)
            ))
        })?;
        Ok(Route {
            name: route.name.clone(),
            path: route.path.to_string(),
            methods: words(&route.methods),
            access,
            rates: appliance.route_rates(service, route).map(rates),
            upstreams,
        })
    });
    let limits = &service.limits;
    Ok(PublishedService {
        name: name.clone(),
        listen: appliance.service_addresses(service).into_iter().collect(),
        hosts: service.hosts.clone(),
        ports: service.public_ports.clone(),
        certificate,
        tls: tls_version(service),
        routes: routes.collect::<Result<_, PlanError>>()?,
        headers: HeaderPolicy {
            set: service.headers.always(),
            default: service.headers.unless_sent(),
            remove: service
                .headers
                .remove
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
        },
        limits: RequestLimits {
            body: limits.body.0,
            head_timeout: millis(limits.head_timeout),
            body_rate: u32::try_from(limits.body_rate.0).unwrap_or(u32::MAX),
            write_stall: millis(limits.write_stall),
            idle_timeout: millis(limits.idle_timeout),
        },
        key_header: service.key_header.as_str().to_owned(),
        rates: rates(appliance.rates(service)),
        fallback: service.fallback.as_ref().map(|fallback| Page {
            content_type: fallback.media_type.word().to_owned(),
            body: fallback.content.clone(),
        }),
        mask_errors: service.mask_errors,
        waf,
    })
}

fn upstreams(service: &Service, route: &ConfiguredRoute) -> Option<Upstreams> {
    let upstream = service.upstreams.get(&route.upstream)?;
    Some(Upstreams {
        addresses: upstream.servers.iter().map(redan_config::Endpoint::socket).collect(),
        connect_timeout: millis(upstream.connect_timeout),
        response_timeout: millis(upstream.response_timeout),
        retries: upstream.retries,
        health: upstream.health.as_ref().map(|health| HealthCheck {
            path: health.path.to_string(),
            interval: millis(health.interval),
            failures: health.failures,
        }),
    })
}

/// Compiles a route's access rules through Casbin; `None` where it has none and everybody may do everything.
fn access(hierarchy: &Hierarchy, route: &ConfiguredRoute) -> Result<Option<Access>, AccessError> {
    if route.access.is_empty() {
        return Ok(None);
    }
    let mut rules = Vec::new();
    for access in &route.access {
        let methods: BTreeSet<_> = words(&access.methods).into_iter().collect();
        rules.extend(access.roles.iter().map(|role| Rule {
            role: role.clone(),
            pattern: access.path.clone(),
            methods: methods.clone(),
            effect: Effect::Allow,
        }));
    }
    let table = AccessPolicy::new(hierarchy.clone(), &rules)?.compile()?;
    Ok(Some(Access {
        table: table.to_bytes()?,
    }))
}

/// Why access rules do not compile.
#[derive(Debug, thiserror::Error)]
enum AccessError {
    #[error("the access rules do not compile")]
    Policy(#[from] redan_identity::policy::PolicyError),
    #[error("the access rules do not fit a decision table")]
    Table(#[from] redan_identity::table::TableError),
}

fn listeners(appliance: &Appliance, console: SocketAddr) -> Vec<WantedListener> {
    let published: BTreeSet<_> = appliance
        .services
        .values()
        .flat_map(|service| appliance.service_addresses(service))
        .collect();
    let mut wanted: Vec<_> = published
        .into_iter()
        .map(|address| WantedListener {
            process: Process::Proxy,
            address,
        })
        .collect();
    wanted.push(WantedListener {
        process: Process::Console,
        address: console,
    });
    wanted
}

fn network(appliance: &Appliance, console: SocketAddr) -> NetworkSlice {
    let interfaces = appliance.interfaces.iter().map(|(name, interface)| Interface {
        name: name.clone(),
        addresses: interface
            .addresses
            .iter()
            .map(|own| (own.address, own.prefix))
            .collect(),
        mtu: interface.mtu.map(redan_config::Mtu::bytes),
        gateway: interface.gateway,
    });
    let zones = appliance.zones.keys().map(|zone| Zone {
        name: zone.clone(),
        interfaces: appliance
            .interfaces
            .iter()
            .filter(|(_, own)| own.zone == *zone)
            .map(|(name, _)| name.clone())
            .collect(),
    });
    let policies = appliance.policies.iter().map(|policy| {
        let ResolvedPolicy {
            from,
            to,
            protocol,
            ports,
            sources,
            destinations,
        } = appliance.resolve(policy);
        Policy {
            name: policy.name.clone(),
            from,
            to,
            protocol,
            ports,
            sources,
            destinations,
            action: match policy.action {
                redan_config::Action::Allow => Action::Allow,
                redan_config::Action::Drop => Action::Drop,
                redan_config::Action::Reject => Action::Reject,
            },
            log: policy.log,
            comment: policy.comment.clone().unwrap_or_default(),
        }
    });
    let upstreams: BTreeSet<SocketAddr> = appliance
        .services
        .values()
        .flat_map(|service| service.upstreams.values())
        .flat_map(|upstream| upstream.servers.iter().map(redan_config::Endpoint::socket))
        .collect();
    NetworkSlice {
        interfaces: interfaces.collect(),
        zones: zones.collect(),
        policies: policies.collect(),
        local: local(appliance, console),
        upstreams: upstreams.into_iter().collect(),
        blocked: appliance.blocklist.addresses.clone(),
        never_block: appliance.console.networks.clone(),
    }
}

/// What the appliance itself offers: one entry for each address, with the zones of every service that shares it.
fn local(appliance: &Appliance, console: SocketAddr) -> Vec<LocalService> {
    let mut shared: BTreeMap<SocketAddr, (String, BTreeSet<ZoneName>)> = BTreeMap::new();
    for (name, service) in &appliance.services {
        for address in appliance.service_addresses(service) {
            let (_, zones) = shared
                .entry(address)
                .or_insert_with(|| (format!("service-{name}"), BTreeSet::new()));
            zones.extend(appliance.client_zones(&service.from, address.ip()));
        }
    }
    let published = shared.into_iter().map(|(address, (name, zones))| LocalService {
        name,
        address,
        zones: zones.into_iter().collect(),
        sources: Vec::new(),
    });
    let console = LocalService {
        name: "console".to_owned(),
        address: console,
        zones: appliance.client_zones(&appliance.console.from, console.ip()),
        sources: appliance.console.networks.clone(),
    };
    published.chain([console]).collect()
}

const fn tls_version(service: &Service) -> TlsVersion {
    match service.tls.min_version {
        redan_config::TlsVersion::V1_2 => TlsVersion::Tls12,
        redan_config::TlsVersion::V1_3 => TlsVersion::Tls13,
    }
}

fn key_rules((name, key): (&KeyName, &TransitKey)) -> KeyRules {
    KeyRules {
        name: name.clone(),
        kind: match key.kind {
            redan_config::KeyKind::Aes256 => KeyKind::Aes256,
            redan_config::KeyKind::Ed25519 => KeyKind::Ed25519,
            redan_config::KeyKind::Hmac => KeyKind::Hmac,
            redan_config::KeyKind::P256 => KeyKind::P256,
        },
        convergent: key.convergent,
        encrypt: key.encrypt.clone(),
        decrypt: key.decrypt.clone(),
        sign: key.sign.clone(),
        verify: key.verify.clone(),
        manage: key.manage.clone(),
        rate: key.rate.per_minute(),
        rotate_after: key.rotate_every.map(|every| every.as_secs()),
    }
}

/// What anybody can know about this appliance: its hosts' names with their labels (but the last, which says nothing), its services'.
fn names(appliance: &Appliance) -> Vec<String> {
    let hosts = appliance.services.values().flat_map(|service| &service.hosts);
    let hosts = hosts
        .chain(&appliance.console.hosts)
        .chain([&appliance.system.hostname]);
    let mut names: Vec<String> = appliance.services.keys().map(ToString::to_string).collect();
    for host in hosts {
        let host = host.to_string();
        let labels = host.rsplit('.').skip(usize::from(host.contains('.')));
        names.extend(labels.filter(|label| label.len() > 3).map(str::to_owned));
        names.push(host);
    }
    names.sort_unstable();
    names.dedup();
    names.truncate(NAMES);
    names
}

fn vault(appliance: &Appliance) -> VaultSlice {
    let identity = &appliance.identity;
    let days = identity.api_keys.lifetime.as_secs() / 86_400;
    VaultSlice {
        password_length: identity.passwords.min_length,
        password_history: identity.passwords.history,
        password_names: names(appliance),
        password_refused: identity.passwords.refused.clone(),
        lockout_failures: identity.lockout.failures,
        lockout_window: seconds(identity.lockout.window),
        lockout_duration: seconds(identity.lockout.duration),
        session_idle: seconds(identity.sessions.idle),
        session_absolute: seconds(identity.sessions.absolute),
        key_days: u16::try_from(days).unwrap_or(u16::MAX),
        roles: appliance
            .roles()
            .into_iter()
            .map(|(role, all)| (role, all.into_iter().collect()))
            .collect(),
        users: identity
            .users
            .iter()
            .map(|user| (user.name.clone(), user.roles.clone()))
            .collect(),
        tls12: appliance
            .services
            .iter()
            .filter(|(_, service)| tls_version(service) == TlsVersion::Tls12)
            .map(|(name, _)| name.clone())
            .collect(),
        keys: appliance.secrets.keys.iter().map(key_rules).collect(),
    }
}

fn rates(rates: BTreeMap<RoleName, Rate>) -> Vec<(RoleName, u32)> {
    rates
        .into_iter()
        .map(|(role, rate)| (role, rate.per_minute()))
        .collect()
}

fn words(methods: &[redan_config::Method]) -> Vec<String> {
    methods.iter().map(|method| method.word().to_owned()).collect()
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// Names that passwords are compared with.
const NAMES: usize = 512;

#[cfg(test)]
mod tests {
    use super::Plan;
    use crate::waf::Rules;
    use crate::world::{PlanError, Unavailable};
    use redan_config::Appliance;
    use redan_identity::path::normalise;
    use redan_identity::table::DecisionTable;
    use redan_ipc::messages::vault::{Certificate, CertificateOwner};
    use redan_types::{HostName, KeyId, Process, RoleName, Timestamp};

    const EXAMPLES: [&str; 4] = [
        include_str!("../../../config/examples/evaluation-bare.toml"),
        include_str!("../../../config/examples/evaluation.toml"),
        include_str!("../../../config/examples/minimal.toml"),
        include_str!("../../../config/examples/redan.toml"),
    ];

    fn certificate(_: CertificateOwner, _: Vec<HostName>) -> Result<Certificate, PlanError> {
        Ok(Certificate {
            key: KeyId([0; 16]),
            chain: Vec::new(),
            until: Timestamp(0),
        })
    }

    fn plan(text: &str) -> Plan {
        Plan::new(
            &Appliance::parse(text, "redan.toml").unwrap(),
            Rules::default(),
            certificate,
        )
        .unwrap()
    }

    #[test]
    fn every_shipped_example_gives_every_service_its_part() {
        for text in EXAMPLES {
            let plan = plan(text);
            for service in &plan.proxy.services {
                assert!(!service.listen.is_empty() && !service.routes.is_empty() && !service.rates.is_empty());
                for listen in &service.listen {
                    assert!(
                        plan.listeners
                            .iter()
                            .any(|l| l.address == *listen && l.process == Process::Proxy)
                    );
                    assert!(
                        plan.network
                            .local
                            .iter()
                            .any(|local| local.address == *listen && !local.zones.is_empty())
                    );
                }
                for server in service.routes.iter().flat_map(|route| &route.upstreams.addresses) {
                    assert!(plan.network.upstreams.contains(server));
                }
            }
            assert_eq!(
                plan.listeners.iter().filter(|l| l.process == Process::Console).count(),
                1
            );
            assert!(
                plan.vault
                    .users
                    .iter()
                    .any(|(_, roles)| roles.iter().any(|role| role.as_str() == "admin"))
            );
        }
    }

    #[test]
    fn a_protected_route_lets_only_its_roles_through() {
        let plan = plan(EXAMPLES[0]);
        let routes = &plan.proxy.services[0].routes;
        let api = routes.iter().find(|route| route.name.as_str() == "api").unwrap();
        let table = DecisionTable::from_bytes(&api.access.as_ref().unwrap().table).unwrap();
        let allows = |role: &str, method: &str, path: &str| {
            table.allows(
                table.roles(&[RoleName::parse(role).unwrap()]),
                method,
                &normalise(path).unwrap(),
            )
        };
        assert!(allows("user", "GET", "/api/orders"));
        assert!(!allows("user", "POST", "/api/orders"));
        assert!(!allows("guest", "GET", "/api/orders"));
        assert!(allows("admin", "DELETE", "/api/admin/users"));
        assert!(!allows("user", "GET", "/api/admin/users"));
        assert!(allows("admin", "GET", "/api/orders"), "an administrator is a user too");
        assert!(
            routes
                .iter()
                .any(|route| route.name.as_str() == "pages" && route.access.is_none())
        );
    }

    #[test]
    fn certificates_are_asked_for_each_owner_with_its_names() {
        let appliance = Appliance::parse(EXAMPLES[0], "redan.toml").unwrap();
        let mut asked = Vec::new();
        let made = Plan::new(&appliance, Rules::default(), |owner, names| {
            asked.push((owner.clone(), names.len()));
            certificate(owner, names)
        });
        assert!(made.is_ok());
        assert_eq!(asked.len(), 2);
        assert!(matches!(&asked[0], (CertificateOwner::Service(name), 3) if name.as_str() == "shop"));
        assert!(matches!(asked[1], (CertificateOwner::Console, _)));
        let unavailable = Plan::new(&appliance, Rules::default(), |_, _| {
            Err(PlanError::Unavailable(Unavailable("vault".into())))
        });
        assert!(matches!(unavailable, Err(PlanError::Unavailable(_))));
    }
}
