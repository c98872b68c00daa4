//! What a checked document means once its references are followed: the questions that slicing asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use redan_types::{Cidr, HostName, Port, Protocol, RoleName, ZoneName};

use crate::document::Appliance;
use crate::network::Policy;
use crate::scalar::{Addresses, FieldName, FieldValue, Place, PortMatch};
use crate::service::{Headers, Listen, Rate, Route, Service};

/// The roles that always exist, each with the roles that it includes directly and its default rate a minute.
pub const BUILT_IN_ROLES: &[(&str, &[&str], u32)] = &[
    ("guest", &[], 10),
    ("viewer", &["guest"], 100),
    ("user", &["guest"], 100),
    ("premium", &["user"], 500),
    ("developer", &["user", "viewer"], 100),
    ("admin", &["developer", "premium"], 1_000),
    ("service", &["guest"], 10_000),
];

/// A policy with its groups and zones written out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolvedPolicy {
    /// Zones that open the connection.
    pub from: Vec<ZoneName>,
    /// Zones that are connected to.
    pub to: Vec<ZoneName>,
    /// `None`: every protocol.
    pub protocol: Option<Protocol>,
    /// Destination ports, both ends included; empty: all.
    pub ports: Vec<(Port, Port)>,
    /// Source networks; empty: all.
    pub sources: Vec<Cidr>,
    /// Destination networks; empty: all.
    pub destinations: Vec<Cidr>,
}

impl Appliance {
    /// The zone of the interface that has this address.
    #[must_use]
    pub fn zone_of(&self, address: IpAddr) -> Option<&ZoneName> {
        self.interfaces
            .values()
            .find(|interface| interface.addresses.iter().any(|own| own.address == address))
            .map(|interface| &interface.zone)
    }

    /// The addresses that `listen` stands for, in the order of the interfaces' names.
    #[must_use]
    pub fn listen_addresses(&self, listen: &Listen) -> Vec<SocketAddr> {
        let port = listen.port.number();
        self.interfaces
            .iter()
            .filter(|(name, interface)| {
                listen.interface.as_ref().is_none_or(|wanted| wanted == *name)
                    && listen.zone.as_ref().is_none_or(|wanted| *wanted == interface.zone)
            })
            .flat_map(|(_, interface)| &interface.addresses)
            .map(|own| own.address)
            .filter(|own| listen.address.is_none_or(|wanted| wanted == *own))
            .map(|own| SocketAddr::new(own, port))
            .collect()
    }

    /// Every address that a service listens on, once each.
    #[must_use]
    pub fn service_addresses(&self, service: &Service) -> BTreeSet<SocketAddr> {
        service
            .listen
            .iter()
            .flat_map(|listen| self.listen_addresses(listen))
            .collect()
    }

    /// The console's address. A checked document has exactly one.
    #[must_use]
    pub fn console_address(&self) -> Option<SocketAddr> {
        self.listen_addresses(&self.console.listen).first().copied()
    }

    /// The names that the console answers to: its address, the appliance's host name, and those that the document adds.
    #[must_use]
    pub fn console_hosts(&self) -> Vec<HostName> {
        let own = self
            .console_address()
            .and_then(|address| HostName::parse(&address.ip().to_string()).ok());
        let mut hosts: Vec<HostName> = own.into_iter().collect();
        for host in std::iter::once(&self.system.hostname).chain(&self.console.hosts) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        hosts
    }

    /// The zones from which something on `address` can be reached: `from`, or where that is empty the address's own zone.
    #[must_use]
    pub fn client_zones(&self, from: &[ZoneName], address: IpAddr) -> Vec<ZoneName> {
        if from.is_empty() {
            self.zone_of(address).into_iter().cloned().collect()
        } else {
            from.to_vec()
        }
    }

    /// A policy with its groups and zones written out.
    #[must_use]
    pub fn resolve(&self, policy: &Policy) -> ResolvedPolicy {
        let zones = |places: &[Place]| -> Vec<ZoneName> {
            let named = places.iter().filter_map(|place| match place {
                Place::Zone(zone) => Some(zone),
                Place::Any => None,
            });
            let found: BTreeSet<&ZoneName> = if places.contains(&Place::Any) {
                self.zones.keys().collect()
            } else {
                named.collect()
            };
            found.into_iter().cloned().collect()
        };
        let networks = |addresses: &[Addresses]| -> Vec<Cidr> {
            let found: BTreeSet<Cidr> = addresses
                .iter()
                .flat_map(|addresses| match addresses {
                    Addresses::Group(name) => self
                        .groups
                        .get(name)
                        .map_or_else(Vec::new, |group| group.addresses.clone()),
                    Addresses::Network(network) => vec![*network],
                })
                .collect();
            found.into_iter().collect()
        };
        let ports: BTreeSet<(Port, Port)> = policy
            .ports
            .iter()
            .flat_map(|ports| match ports {
                PortMatch::Group(name) => self.groups.get(name).map_or_else(Vec::new, |group| group.ports.clone()),
                PortMatch::Range(range) => vec![*range],
            })
            .map(|range| (range.first, range.last))
            .collect();
        ResolvedPolicy {
            from: zones(&policy.from),
            to: zones(&policy.to),
            protocol: policy.protocol,
            ports: ports.into_iter().collect(),
            sources: networks(&policy.sources),
            destinations: networks(&policy.destinations),
        }
    }

    /// Every role with the roles that it includes, itself among them: the built-in ones and the document's.
    #[must_use]
    pub fn roles(&self) -> BTreeMap<RoleName, BTreeSet<RoleName>> {
        let mut direct: BTreeMap<RoleName, Vec<RoleName>> = BTreeMap::new();
        for (name, includes, _) in BUILT_IN_ROLES {
            if let Ok(name) = RoleName::parse(name) {
                direct.insert(
                    name,
                    includes.iter().filter_map(|role| RoleName::parse(role).ok()).collect(),
                );
            }
        }
        for (name, role) in &self.identity.roles {
            // A document cannot weaken a built-in role: the check refuses the name.
            direct.entry(name.clone()).or_insert_with(|| role.includes.clone());
        }
        let closure = |name: &RoleName| {
            let mut found = BTreeSet::new();
            let mut open = vec![name.clone()];
            while let Some(role) = open.pop() {
                if let Some(includes) = direct.get(&role)
                    && found.insert(role)
                {
                    open.extend(includes.iter().filter(|role| !found.contains(*role)).cloned());
                }
            }
            found
        };
        direct.keys().map(|name| (name.clone(), closure(name))).collect()
    }

    /// The requests a minute of every role at a service: what the document says; else the role's default, or the highest rate of
    /// the roles that it includes where that is more.
    #[must_use]
    pub fn rates(&self, service: &Service) -> BTreeMap<RoleName, Rate> {
        Self::rates_among(&self.roles(), service)
    }

    /// As [`Appliance::rates`], where [`Appliance::roles`] are known already.
    pub(crate) fn rates_among(
        roles: &BTreeMap<RoleName, BTreeSet<RoleName>>,
        service: &Service,
    ) -> BTreeMap<RoleName, Rate> {
        let built_in = |role: &RoleName| {
            let found = BUILT_IN_ROLES.iter().find(|(name, ..)| *name == role.as_str());
            found.map(|(.., rate)| Rate::of(*rate))
        };
        let own = |role: &RoleName| service.rates.get(role).copied().or_else(|| built_in(role));
        roles
            .iter()
            .filter_map(|(role, includes)| {
                let said = service.rates.get(role).copied();
                let rate = said.or_else(|| includes.iter().filter_map(own).max())?;
                Some((role.clone(), rate))
            })
            .collect()
    }

    /// The requests a minute of every role at a route that has rates of its own, `None` where it has none.
    #[must_use]
    pub fn route_rates(&self, service: &Service, route: &Route) -> Option<BTreeMap<RoleName, Rate>> {
        if route.rates.is_empty() {
            return None;
        }
        let mut rates = self.rates(service);
        rates.extend(route.rates.iter().map(|(role, rate)| (role.clone(), *rate)));
        Some(rates)
    }
}

impl Headers {
    /// Fields set whatever the upstream says, without those that the document leaves out.
    #[must_use]
    pub fn always(&self) -> Vec<(String, String)> {
        let fixed = [
            ("strict-transport-security", &self.strict_transport_security),
            ("x-content-type-options", &self.content_type_options),
            ("x-frame-options", &self.frame_options),
        ];
        let own = self
            .set
            .iter()
            .map(|(name, value): (&FieldName, &FieldValue)| (name.as_str(), value));
        let sent = fixed
            .into_iter()
            .filter(|(name, _)| !self.set.keys().any(|own| own.as_str() == *name))
            .chain(own);
        sent.filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.as_str().to_owned()))
            .collect()
    }

    /// Fields set unless the upstream sends its own, which knows better what its pages need.
    #[must_use]
    pub fn unless_sent(&self) -> Vec<(String, String)> {
        [
            ("content-security-policy", &self.content_security_policy),
            ("referrer-policy", &self.referrer_policy),
        ]
        .into_iter()
        .filter(|(name, value)| !value.is_empty() && !self.set.keys().any(|own| own.as_str() == *name))
        .map(|(name, value)| (name.to_owned(), value.as_str().to_owned()))
        .collect()
    }
}
