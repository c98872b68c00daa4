//! Would this packet pass, and what decides? Answered from the configuration, without sending anything.

use std::net::IpAddr;

use redan_ipc::slice::{Action, NetworkSlice};
use redan_types::{InterfaceName, PolicyName, Port, Protocol};

use super::compile::{locals, policies};
use super::region::{ICMP, ICMPV6, IPV4, IPV6, TCP, UDP};
use crate::nft::{Field, Range};

/// The first packet of a connection.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Which way it goes.
    pub direction: Direction,
    /// What it carries.
    pub protocol: Protocol,
    /// From where.
    pub source: IpAddr,
    /// To where; of the same family as `source`.
    pub destination: IpAddr,
    /// The destination port; `None` for ICMP.
    pub port: Option<Port>,
}

/// Which way a packet goes.
#[derive(Clone, Debug)]
pub enum Direction {
    /// To the appliance itself.
    In {
        /// Through which interface it comes.
        from: InterfaceName,
    },
    /// Through the appliance.
    Through {
        /// Through which interface it comes.
        from: InterfaceName,
        /// Through which interface it leaves.
        to: InterfaceName,
    },
    /// From the appliance itself.
    Out,
}

/// What becomes of a packet, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// The configuration blocks one of its addresses.
    Blocked,
    /// A policy decides.
    Policy(PolicyName, Action),
    /// It reaches what the appliance offers under this name.
    Local(String),
    /// It goes to a declared upstream.
    Upstream,
    /// Nothing names it: it is dropped, and refused where it comes from the appliance itself.
    Default,
}

/// What decides about a packet. Neighbour discovery, loopback and blocks added while running are left out.
#[must_use]
pub fn explain(slice: &NetworkSlice, packet: &Packet) -> Decision {
    let blocked = |address| slice.blocked.iter().any(|network| network.contains(address));
    let (source, destination) = match packet.direction {
        Direction::In { .. } => (true, false),
        Direction::Through { .. } => (true, true),
        Direction::Out => (false, true),
    };
    if source && blocked(packet.source) || destination && blocked(packet.destination) {
        return Decision::Blocked;
    }
    let value = |field| value(packet, field);
    match packet.direction {
        Direction::In { .. } => locals(slice)
            .into_iter()
            .find(|(_, region)| region.contains(value))
            .map_or(Decision::Default, |(service, _)| Decision::Local(service.name.clone())),
        Direction::Through { .. } => policies(slice)
            .into_iter()
            .find(|(_, region)| region.contains(value))
            .map_or(Decision::Default, |(policy, _)| {
                Decision::Policy(policy.name.clone(), policy.action)
            }),
        Direction::Out => {
            let port = packet.port.map(Port::number);
            let known =
                |upstream: &std::net::SocketAddr| upstream.ip() == packet.destination && Some(upstream.port()) == port;
            if packet.protocol == Protocol::Tcp && slice.upstreams.iter().any(known) {
                Decision::Upstream
            } else {
                Decision::Default
            }
        }
    }
}

/// A field of the packet as the filter sees it.
pub(super) fn value(packet: &Packet, field: Field) -> Option<u128> {
    let interface = |name: &InterfaceName| Some(Range::interface(name).start);
    let four = |address| {
        if let IpAddr::V4(v4) = address {
            Some(v4.to_bits().into())
        } else {
            None
        }
    };
    let six = |address| {
        if let IpAddr::V6(v6) = address {
            Some(v6.to_bits())
        } else {
            None
        }
    };
    let is_six = packet.destination.is_ipv6();
    match field {
        Field::InputInterface => match &packet.direction {
            Direction::In { from } | Direction::Through { from, .. } => interface(from),
            Direction::Out => None,
        },
        Field::OutputInterface => match &packet.direction {
            Direction::Through { to, .. } => interface(to),
            Direction::In { .. } | Direction::Out => None,
        },
        Field::Family => Some(if is_six { IPV6 } else { IPV4 }.into()),
        Field::Protocol => Some(match packet.protocol {
            Protocol::Icmp if is_six => ICMPV6.into(),
            Protocol::Icmp => ICMP.into(),
            Protocol::Tcp => TCP.into(),
            Protocol::Udp => UDP.into(),
        }),
        Field::DestinationPort => packet.port.map(|port| port.number().into()),
        Field::Source4 => four(packet.source),
        Field::Source6 => six(packet.source),
        Field::Destination4 => four(packet.destination),
        Field::Destination6 => six(packet.destination),
        Field::IcmpType | Field::HopLimit6 => None,
    }
}
