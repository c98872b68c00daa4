//! What the evaluation must make so that a configuration finds the network it describes.

use redan_config::Appliance;
use redan_types::Cidr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// The network around an evaluation appliance.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Plan {
    /// One for each interface.
    pub(crate) links: Vec<Link>,
    /// What the launcher offers on loopback, in the order in which it does: published services, the console last.
    pub(crate) offers: Vec<Offer>,
    /// The user's own servers.
    pub(crate) upstreams: Vec<Upstream>,
    /// Where the sample application listens.
    pub(crate) sample: Option<Upstream>,
}

/// A virtual cable from an interface of the appliance to a side.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Link {
    /// The interface, as the configuration names it.
    pub(crate) interface: String,
    /// The side's addresses; the first of each family stands for the hosts of that network.
    pub(crate) addresses: Vec<(IpAddr, u8)>,
    /// The appliance's first address of each family: the side's way to everywhere else.
    pub(crate) routers: Vec<IpAddr>,
}

/// Something that the appliance listens for and the launcher offers on loopback.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Offer {
    /// Where the appliance listens.
    pub(crate) inside: SocketAddr,
    /// From which link's side it is reached; `None`: from within the appliance.
    pub(crate) link: Option<usize>,
    /// Names that are answered to there, the first few.
    pub(crate) hosts: Vec<String>,
}

/// A server that the appliance connects to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Upstream {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// On which link's side it is found; `None`: on the appliance's own loopback.
    pub(crate) link: Option<usize>,
}

/// Why no network can be made for a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the upstream {0} lies in no network of an interface, and no interface has a gateway")]
    Unreachable(SocketAddr),
    #[error("the network {0} has no room for a neighbour of the appliance")]
    Full(Cidr),
    #[error("the console listens nowhere")]
    NoConsole,
}

impl Plan {
    /// The plan for a configuration; with `sample`, its upstreams are the sample application.
    pub(crate) fn new(appliance: &Appliance, sample: bool) -> Result<Self, PlanError> {
        let mut links = Vec::new();
        for (name, interface) in &appliance.interfaces {
            let mut addresses = Vec::new();
            let mut routers: Vec<IpAddr> = Vec::new();
            for own in &interface.addresses {
                let taken = |address: &IpAddr| interface.addresses.iter().any(|own| own.address == *address);
                let gateway = interface.gateway.filter(|gateway| own.network().contains(*gateway));
                let neighbour = gateway
                    .or_else(|| neighbours(own.network()).find(|address| !taken(address)))
                    .ok_or(PlanError::Full(own.network()))?;
                addresses.push((neighbour, own.prefix));
                if !routers.iter().any(|router| router.is_ipv4() == own.address.is_ipv4()) {
                    routers.push(own.address);
                }
            }
            links.push(Link {
                interface: name.to_string(),
                addresses,
                routers,
            });
        }
        let mut plan = Self {
            links,
            offers: Vec::new(),
            upstreams: Vec::new(),
            sample: None,
        };
        let mut published = BTreeSet::new();
        for service in appliance.services.values() {
            published.extend(appliance.service_addresses(service));
        }
        let console = appliance.console_address().ok_or(PlanError::NoConsole)?;
        for inside in published.into_iter().chain([console]) {
            let link = appliance.interfaces.values().position(|interface| {
                interface.addresses.iter().any(|own| own.address == inside.ip()) && !inside.ip().is_loopback()
            });
            let services = appliance.services.values();
            let there = services.filter(|service| appliance.service_addresses(service).contains(&inside));
            let hosts = there
                .flat_map(|service| &service.hosts)
                .take(HOSTS)
                .map(ToString::to_string);
            plan.offers.push(Offer {
                inside,
                link,
                hosts: hosts.collect(),
            });
        }
        let servers: BTreeSet<SocketAddr> = appliance
            .services
            .values()
            .flat_map(|service| service.upstreams.values())
            .flat_map(|pool| pool.servers.iter().map(redan_config::Endpoint::socket))
            .collect();
        for address in servers {
            let upstream = plan.upstream(appliance, address)?;
            if sample {
                plan.sample = Some(upstream);
            } else {
                plan.upstreams.push(upstream);
            }
        }
        Ok(plan)
    }

    /// What would have to be reached from this host and is not on it: addresses that the launcher connects to when the appliance
    /// asks for them. `is_own` says whether an address is one of this host.
    pub(crate) fn abroad(&self, is_own: impl Fn(IpAddr) -> bool) -> Vec<SocketAddr> {
        let addresses = self.upstreams.iter().map(|upstream| upstream.address);
        addresses
            .filter(|address| !address.ip().is_loopback() && !is_own(address.ip()))
            .collect()
    }

    /// Finds a side for a server and gives it the server's address.
    fn upstream(&mut self, appliance: &Appliance, address: SocketAddr) -> Result<Upstream, PlanError> {
        if address.ip().is_loopback() {
            return Ok(Upstream { address, link: None });
        }
        let mut interfaces = appliance.interfaces.values();
        let near = interfaces.position(|interface| {
            interface
                .addresses
                .iter()
                .any(|own| own.network().contains(address.ip()))
        });
        let far = || {
            let leads = |gateway: IpAddr| gateway.is_ipv4() == address.is_ipv4();
            appliance
                .interfaces
                .values()
                .position(|interface| interface.gateway.is_some_and(leads))
        };
        let link = near.or_else(far).ok_or(PlanError::Unreachable(address))?;
        if let Some(side) = self.links.get_mut(link)
            && !side.addresses.iter().any(|(own, _)| *own == address.ip())
        {
            side.addresses
                .push((address.ip(), if address.is_ipv4() { 32 } else { 128 }));
        }
        Ok(Upstream {
            address,
            link: Some(link),
        })
    }
}

/// Names of one offer that are kept.
const HOSTS: usize = 16;

/// The first few host addresses of a network.
fn neighbours(network: Cidr) -> impl Iterator<Item = IpAddr> {
    let hosts = if network.address().is_ipv4() { 32 } else { 128 } - u32::from(network.prefix());
    // A network of two addresses has no broadcast address (RFC 3021).
    let (first, last) = if hosts == 1 {
        (0, 1)
    } else {
        (1, 1_u128.checked_shl(hosts).map_or(64, |size| size.min(64)))
    };
    (first..=last).filter_map(move |offset| {
        let address = match network.address() {
            IpAddr::V4(base) => IpAddr::V4(base.to_bits().checked_add(u32::try_from(offset).ok()?)?.into()),
            IpAddr::V6(base) => IpAddr::V6(base.to_bits().checked_add(offset)?.into()),
        };
        // The last address of a longer network is its broadcast address.
        let usable = hosts <= 1 || hosts > 6 || offset + 1 < 1 << hosts;
        (network.contains(address) && usable).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::{Plan, neighbours};
    use redan_config::Appliance;

    fn first(network: &str) -> Vec<String> {
        neighbours(network.parse().unwrap())
            .take(3)
            .map(|address| address.to_string())
            .collect()
    }

    #[test]
    fn upstreams_outside_of_this_host_are_known_before_anything_is_dialled() {
        let document = include_str!("../../../config/examples/evaluation.toml");
        let appliance = Appliance::parse(document, "evaluation.toml").unwrap();
        let plan = Plan::new(&appliance, false).unwrap();
        let all: Vec<_> = plan.upstreams.iter().map(|upstream| upstream.address).collect();
        assert!(!all.is_empty());
        assert_eq!(plan.abroad(|_| false), all);
        assert_eq!(plan.abroad(|_| true), []);
        let sample = Plan::new(&appliance, true).unwrap();
        assert_eq!(
            sample.abroad(|_| false),
            [],
            "the sample application is the evaluation's own"
        );
    }

    #[test]
    fn neighbours_are_host_addresses_of_the_network() {
        assert_eq!(first("10.77.1.0/24"), ["10.77.1.1", "10.77.1.2", "10.77.1.3"]);
        assert_eq!(first("10.77.1.4/30"), ["10.77.1.5", "10.77.1.6"]);
        assert_eq!(first("10.77.1.4/31"), ["10.77.1.4", "10.77.1.5"]);
        assert_eq!(first("10.77.1.4/32"), [""; 0]);
        assert_eq!(first("2001:db8::/64"), ["2001:db8::1", "2001:db8::2", "2001:db8::3"]);
    }
}
