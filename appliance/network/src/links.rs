//! Interfaces as the configuration wants them: up, with their addresses and default routes (rtnetlink, RFC 3549 section 3.1).
//!
//! Only declared interfaces are touched. One that is declared without addresses keeps what it has: somebody else gives it its addresses.
//! IPv6 link-local addresses belong to the kernel. Routes of ours bear a protocol number of their own, so that others are left alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use redan_ipc::slice::{Interface, NetworkSlice};
use redan_types::{Cidr, InterfaceName};

use crate::netlink::{Attributes, Body, Channel, ChannelError, Message, WireError};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// No duplicate address detection: it would keep listeners from an address for a second or two after each start.
const IFA_F_NODAD: u8 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RT_TABLE_MAIN: u8 = 254;
const RTN_UNICAST: u8 = 1;
/// The protocol number that marks our routes; the kernel leaves numbers above 4 to those who make routes (rtnetlink.h).
const RTPROT_REDAN: u8 = 0x52;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// How often interfaces are looked at: to change them, for what the changes took along, for routes, to see that all is well; and once more.
const PASSES: u8 = 5;

/// Why interfaces are not as the configuration wants them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The kernel has no interface of this name.
    #[error("there is no interface {0}")]
    Missing(InterfaceName),
    /// A gateway that is not a neighbour.
    #[error("interface {interface}: the gateway {gateway} is in none of the interface's networks")]
    Gateway {
        /// The interface.
        interface: InterfaceName,
        /// Its gateway.
        gateway: IpAddr,
    },
    /// Somebody else changes it, or the kernel says yes and does not.
    #[error("interface {0} does not become as it is declared")]
    Unsettled(InterfaceName),
    /// The kernel could not be asked, or refused.
    #[error(transparent)]
    Kernel(#[from] ChannelError),
}

/// The links of this network namespace.
#[derive(Debug)]
pub struct Links {
    channel: Channel,
}

/// An interface as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Link {
    index: u32,
    up: bool,
    mtu: u32,
    addresses: Vec<(IpAddr, u8)>,
    /// Default routes that are ours.
    gateways: Vec<IpAddr>,
}

/// What must be done to an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Remove(IpAddr, u8),
    Mtu(u32),
    Up,
    Add(IpAddr, u8),
    RemoveRoute(IpAddr),
    Route(IpAddr),
}

impl Links {
    /// Opens the socket.
    ///
    /// # Errors
    /// Where the system gives none.
    pub fn open() -> Result<Self, LinkError> {
        Ok(Self {
            channel: Channel::route()?,
        })
    }

    /// Everything that would keep [`Self::apply`] from working and can be known before. An empty list is good.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn check(&mut self, slice: &NetworkSlice) -> Result<Vec<LinkError>, LinkError> {
        let links = self.read()?;
        let mut found = Vec::new();
        let zoned = slice.zones.iter().flat_map(|zone| &zone.interfaces);
        let mut names: Vec<&InterfaceName> = slice
            .interfaces
            .iter()
            .map(|interface| &interface.name)
            .chain(zoned)
            .collect();
        names.sort();
        names.dedup();
        found.extend(
            names
                .into_iter()
                .filter(|name| !links.contains_key(name.as_str()))
                .map(|name| LinkError::Missing(name.clone())),
        );
        for interface in &slice.interfaces {
            let Some(gateway) = interface.gateway else { continue };
            let present = links
                .get(interface.name.as_str())
                .map(|link| link.addresses.as_slice())
                .unwrap_or_default();
            let addresses = if interface.addresses.is_empty() {
                present
            } else {
                &interface.addresses
            };
            let near = addresses
                .iter()
                .any(|(address, prefix)| Cidr::containing(*address, *prefix).contains(gateway));
            let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !near && !link_local {
                found.push(LinkError::Gateway {
                    interface: interface.name.clone(),
                    gateway,
                });
            }
        }
        Ok(found)
    }

    /// Makes the declared interfaces as declared; does nothing where they are.
    ///
    /// # Errors
    /// At the first step that the kernel refuses, which is named; steps before it stay done.
    pub fn apply(&mut self, slice: &NetworkSlice) -> Result<(), LinkError> {
        let mut unsettled = None;
        // A step can undo another: with the address that was an interface's first in a network the kernel removes those that came
        // later, and with the last address the routes. So it is looked again.
        for _ in 0..PASSES {
            unsettled = None;
            let links = self.read()?;
            for interface in &slice.interfaces {
                let link = links
                    .get(interface.name.as_str())
                    .ok_or_else(|| LinkError::Missing(interface.name.clone()))?;
                let (routes, rest): (Vec<_>, Vec<_>) = plan(interface, link)
                    .into_iter()
                    .partition(|step| matches!(step, Step::Route(_) | Step::RemoveRoute(_)));
                // Routes need their addresses, so they wait until those are settled.
                let steps = if rest.is_empty() { routes } else { rest };
                for step in steps {
                    self.take(interface, link.index, &step)?;
                    unsettled = Some(interface.name.clone());
                }
            }
            if unsettled.is_none() {
                break;
            }
        }
        unsettled.map_or(Ok(()), |interface| Err(LinkError::Unsettled(interface)))
    }

    fn take(&mut self, interface: &Interface, index: u32, step: &Step) -> Result<(), LinkError> {
        let name = &interface.name;
        let (kind, flags, subject) = match step {
            Step::Mtu(mtu) => (RTM_NEWLINK, 0, format!("interface {name}: MTU {mtu}")),
            Step::Up => (RTM_NEWLINK, 0, format!("interface {name}: up")),
            Step::Add(address, prefix) => (
                RTM_NEWADDR,
                NLM_F_CREATE | NLM_F_REPLACE,
                format!("interface {name}: address {address}/{prefix}"),
            ),
            Step::Remove(address, prefix) => (
                RTM_DELADDR,
                0,
                format!("interface {name}: removing address {address}/{prefix}"),
            ),
            Step::Route(gateway) => (
                RTM_NEWROUTE,
                NLM_F_CREATE | NLM_F_REPLACE,
                format!("interface {name}: default route through {gateway}"),
            ),
            Step::RemoveRoute(gateway) => (
                RTM_DELROUTE,
                0,
                format!("interface {name}: removing the default route through {gateway}"),
            ),
        };
        Ok(self
            .channel
            .change(kind, flags, &subject, |body| write(body, index, step))?)
    }

    fn read(&mut self) -> Result<BTreeMap<String, Link>, LinkError> {
        let found: RefCell<BTreeMap<u32, (String, Link)>> = RefCell::default();
        self.channel.dump(
            RTM_GETLINK,
            |body| body.header(&[0; 16]),
            |message| {
                if message.kind == RTM_NEWLINK {
                    let (name, link) = read_link(message)?;
                    found.borrow_mut().insert(link.index, (name, link));
                }
                Ok(())
            },
            || found.borrow_mut().clear(),
        )?;
        let addresses = RefCell::new(Vec::new());
        self.channel.dump(
            RTM_GETADDR,
            |body| body.header(&[0; 8]),
            |message| {
                if message.kind == RTM_NEWADDR {
                    addresses.borrow_mut().extend(read_address(message)?);
                }
                Ok(())
            },
            || addresses.borrow_mut().clear(),
        )?;
        let routes = RefCell::new(Vec::new());
        self.channel.dump(
            RTM_GETROUTE,
            |body| body.header(&[0; 12]),
            |message| {
                if message.kind == RTM_NEWROUTE {
                    routes.borrow_mut().extend(read_route(message)?);
                }
                Ok(())
            },
            || routes.borrow_mut().clear(),
        )?;
        let mut links = found.into_inner();
        for (index, address, prefix) in addresses.into_inner() {
            if let Some((_, link)) = links.get_mut(&index) {
                link.addresses.push((address, prefix));
            }
        }
        for (index, gateway) in routes.into_inner() {
            if let Some((_, link)) = links.get_mut(&index) {
                link.gateways.push(gateway);
            }
        }
        Ok(links.into_values().collect())
    }
}

/// What makes `link` what `interface` declares; nothing where it is.
fn plan(interface: &Interface, link: &Link) -> Vec<Step> {
    let mut steps = Vec::new();
    let manages = !interface.addresses.is_empty();
    let kernels = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if let Some(mtu) = interface.mtu.map(u32::from).filter(|mtu| *mtu != link.mtu) {
        steps.push(Step::Mtu(mtu));
    }
    if !link.up {
        steps.push(Step::Up);
    }
    let missing = interface
        .addresses
        .iter()
        .filter(|address| !link.addresses.contains(address));
    steps.extend(missing.map(|(address, prefix)| Step::Add(*address, *prefix)));
    // After the additions: the kernel drops routes when an interface's last address goes.
    let foreign = link.addresses.iter().filter(|(address, prefix)| {
        manages && !kernels(address) && !interface.addresses.contains(&(*address, *prefix))
    });
    steps.extend(foreign.map(|(address, prefix)| Step::Remove(*address, *prefix)));
    let stale = link
        .gateways
        .iter()
        .filter(|gateway| Some(**gateway) != interface.gateway);
    steps.extend(stale.map(|gateway| Step::RemoveRoute(*gateway)));
    if let Some(gateway) = interface.gateway.filter(|gateway| !link.gateways.contains(gateway)) {
        steps.push(Step::Route(gateway));
    }
    steps
}

fn write(body: &mut Body, index: u32, step: &Step) {
    match step {
        Step::Mtu(mtu) => {
            body.header(&link_header(index, 0));
            body.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        }
        Step::Up => body.header(&link_header(index, IFF_UP)),
        Step::Add(address, prefix) | Step::Remove(address, prefix) => {
            let (family, bytes) = octets(*address);
            let flags = if family == AF_INET6 && matches!(step, Step::Add(..)) {
                IFA_F_NODAD
            } else {
                0
            };
            let [a, b, c, d] = index.to_ne_bytes();
            body.header(&[family, *prefix, flags, 0, a, b, c, d]);
            body.attribute(IFA_LOCAL, &bytes);
            body.attribute(IFA_ADDRESS, &bytes);
        }
        Step::Route(gateway) | Step::RemoveRoute(gateway) => {
            let (family, bytes) = octets(*gateway);
            body.header(&[family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_REDAN, 0, RTN_UNICAST, 0, 0, 0, 0]);
            body.attribute(RTA_GATEWAY, &bytes);
            body.attribute(RTA_OIF, &index.to_ne_bytes());
            // A metric of our own, so that somebody else's default route is neither replaced nor preferred.
            body.attribute(RTA_PRIORITY, &1_u32.to_ne_bytes());
        }
    }
}

/// struct ifinfomsg.
fn link_header(index: u32, up: u32) -> [u8; 16] {
    let mut header = [0; 16];
    let fields = [index.to_ne_bytes(), up.to_ne_bytes(), up.to_ne_bytes()].concat();
    for (byte, value) in header.iter_mut().skip(4).zip(fields) {
        *byte = value;
    }
    header
}

fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (AF_INET, v4.octets().into()),
        IpAddr::V6(v6) => (AF_INET6, v6.octets().into()),
    }
}

fn read_link(message: Message<'_>) -> Result<(String, Link), WireError> {
    let (header, rest) = message
        .payload
        .split_first_chunk::<16>()
        .ok_or(WireError::Value("a link"))?;
    let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *header;
    let attributes = Attributes(rest);
    let mtu = attributes
        .find(IFLA_MTU)?
        .and_then(|mtu| mtu.try_into().ok())
        .map_or(0, u32::from_ne_bytes);
    let link = Link {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        up: u32::from_ne_bytes([f0, f1, f2, f3]) & IFF_UP != 0,
        mtu,
        ..Link::default()
    };
    Ok((attributes.text(IFLA_IFNAME, "a link's name")?.to_owned(), link))
}

fn read_address(message: Message<'_>) -> Result<Option<(u32, IpAddr, u8)>, WireError> {
    let (header, rest) = message
        .payload
        .split_first_chunk::<8>()
        .ok_or(WireError::Value("an address"))?;
    let [family, prefix, _, _, i0, i1, i2, i3] = *header;
    let attributes = Attributes(rest);
    // On a point-to-point link IFA_ADDRESS is the other end.
    let bytes = match attributes.find(IFA_LOCAL)? {
        Some(bytes) => Some(bytes),
        None => attributes.find(IFA_ADDRESS)?,
    };
    let address = bytes.and_then(|bytes| address(family, bytes));
    Ok(address.map(|address| (u32::from_ne_bytes([i0, i1, i2, i3]), address, prefix)))
}

/// A default route of ours: interface and gateway.
fn read_route(message: Message<'_>) -> Result<Option<(u32, IpAddr)>, WireError> {
    let (header, rest) = message
        .payload
        .split_first_chunk::<12>()
        .ok_or(WireError::Value("a route"))?;
    let [family, 0, _, _, RT_TABLE_MAIN, RTPROT_REDAN, ..] = *header else {
        return Ok(None);
    };
    let attributes = Attributes(rest);
    let index = attributes
        .find(RTA_OIF)?
        .and_then(|index| index.try_into().ok())
        .map(u32::from_ne_bytes);
    let gateway = attributes.find(RTA_GATEWAY)?.and_then(|bytes| address(family, bytes));
    Ok(index.zip(gateway))
}

fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        AF_INET6 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, Step, plan, read_address, read_link, read_route};
    use crate::netlink::Message;
    use proptest::prelude::{any, prop, proptest};
    use redan_ipc::slice::Interface;

    fn interface(addresses: &[(&str, u8)], gateway: Option<&str>) -> Interface {
        Interface {
            name: "eth0".parse().unwrap(),
            addresses: addresses
                .iter()
                .map(|(address, prefix)| (address.parse().unwrap(), *prefix))
                .collect(),
            mtu: Some(1_500),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        }
    }

    #[test]
    fn an_interface_that_is_as_declared_is_left_alone() {
        let declared = interface(&[("192.0.2.1", 24)], Some("192.0.2.254"));
        let link = Link {
            index: 2,
            up: true,
            mtu: 1_500,
            addresses: vec![("192.0.2.1".parse().unwrap(), 24), ("fe80::1".parse().unwrap(), 64)],
            gateways: vec!["192.0.2.254".parse().unwrap()],
        };
        assert_eq!(plan(&declared, &link), []);
        assert_eq!(
            plan(
                &interface(&[], None),
                &Link {
                    gateways: vec![],
                    ..link.clone()
                }
            ),
            [],
            "no addresses declared: none removed"
        );
        let other = plan(&interface(&[("192.0.2.1", 25)], None), &link);
        let (address, gateway) = ("192.0.2.1".parse().unwrap(), "192.0.2.254".parse().unwrap());
        assert_eq!(
            other,
            [
                Step::Add(address, 25),
                Step::Remove(address, 24),
                Step::RemoveRoute(gateway)
            ]
        );
    }

    proptest! {
        #[test]
        fn no_message_of_the_kernel_can_panic(payload in prop::collection::vec(any::<u8>(), 0..80)) {
            let message = Message { kind: 16, flags: 0, sequence: 0, payload: &payload };
            let _ = (read_link(message).is_ok(), read_address(message).is_ok(), read_route(message).is_ok());
        }
    }
}
