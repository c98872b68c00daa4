//! Zones, interfaces, groups and policies.

use std::net::IpAddr;

use redan_types::{Cidr, PolicyName, Protocol, ZoneName};

use crate::scalar::{Action, Addresses, InterfaceAddress, Place, PortMatch, Ports};
use crate::section::section;

section! {
    /// A part of the network whose hosts are trusted alike.
    pub struct Zone {
        /// For people.
        "comment" => comment: Option<String>;
    }
}

section! {
    /// A network interface, named as the kernel names it.
    pub struct Interface {
        /// The zone that its hosts belong to.
        "zone" => zone: ZoneName;
        /// The appliance's own addresses on it, each with the prefix length of its network.
        "addresses" => addresses: Vec<InterfaceAddress>;
        /// The default route: a router in one of the networks.
        "gateway" => gateway: Option<IpAddr>;
        /// Maximum transmission unit in bytes. Absent: the driver's.
        "mtu" => mtu: Option<Mtu>;
        /// For people.
        "comment" => comment: Option<String>;
    }
}

section! {
    /// Addresses and ports under one name; a policy uses them as `@name`.
    pub struct Group {
        /// Networks and addresses.
        "addresses" => addresses: Vec<Cidr> = "[]";
        /// Ports and ranges of ports.
        "ports" => ports: Vec<Ports> = "[]";
        /// For people.
        "comment" => comment: Option<String>;
    }
}

section! {
    /// What happens to connections from zones to zones.
    pub struct Policy {
        /// Its name, which its counter bears.
        "name" => name: PolicyName;
        /// Zones that open the connection.
        "from" => from: Vec<Place>;
        /// Zones that are connected to.
        "to" => to: Vec<Place>;
        /// The protocol. Absent: every protocol.
        "protocol" => protocol: Option<Protocol>;
        /// Destination ports, with `protocol = "tcp"` or `"udp"`. Empty: every port.
        "ports" => ports: Vec<PortMatch> = "[]";
        /// Source addresses. Empty: every address.
        "sources" => sources: Vec<Addresses> = "[]";
        /// Destination addresses. Empty: every address.
        "destinations" => destinations: Vec<Addresses> = "[]";
        /// What happens.
        "action" => action: Action;
        /// Whether a line is logged for a connection (bounded in rate).
        "log" => log: bool = "false";
        /// For people.
        "comment" => comment: Option<String>;
    }
}

/// A maximum transmission unit: 1280 (the least that IPv6 allows, RFC 8200 section 5) to 9216 bytes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mtu(u16);

impl Mtu {
    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

impl crate::read::Read for Mtu {
    fn shape() -> crate::read::Shape {
        crate::read::Shape::Value("an integer from 1280 to 9216".to_owned())
    }

    fn read(node: &crate::read::Node<'_>, reader: &mut crate::read::Reader) -> Option<Self> {
        let bytes = u16::read(node, reader)?;
        crate::read::within(Some(("1280", "9216")), &bytes, node, reader).then_some(Self(bytes))
    }

    fn tree(&self) -> crate::read::Tree {
        self.0.tree()
    }
}
