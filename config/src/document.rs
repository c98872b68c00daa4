//! The document and its smaller sections; networks, services and identities have files of their own.

use std::collections::BTreeMap;

use redan_types::{Cidr, HostName, InterfaceName, ServiceName, ZoneName};

use crate::identity::Identity;
use crate::network::{Group, Interface, Policy, Zone};
use crate::scalar::{GroupName, OperatorKey};
use crate::secrets::Secrets;
use crate::section::section;
use crate::service::{Listen, Service};
use crate::waf::{RuleSet, RuleSetName};

section! {
    /// The whole configuration of an appliance. Packets that nothing here lets through are dropped.
    pub struct Appliance {
        /// Version of this language: 1.
        "schema" => schema: u32, "1" ..= "1";
        /// The appliance itself.
        "system" => system: System = "{}";
        /// Parts of the network that are trusted alike, for instance `public`, `dmz`, `private`, `management`.
        "zones" => zones: BTreeMap<ZoneName, Zone>;
        /// Network interfaces, each in one zone.
        "interfaces" => interfaces: BTreeMap<InterfaceName, Interface>;
        /// Addresses and ports under one name, for policies: `@name`.
        "groups" => groups: BTreeMap<GroupName, Group> = "{}";
        /// What may pass from zone to zone, in order; the first policy that matches decides, and what none matches is dropped. Ports of published
        /// services and of the console, and connections to their upstreams, are opened by themselves.
        "policies" => policies: Vec<Policy> = "[]";
        /// Published applications.
        "services" => services: BTreeMap<ServiceName, Service> = "{}";
        /// Rule sets for the web application firewall, by name. The OWASP Core Rule Set, `crs`, needs no entry: it is the one of the appliance,
        /// or what Debian's package `modsecurity-crs` installs.
        "rule-sets" => rule_sets: BTreeMap<RuleSetName, RuleSet> = "{}";
        /// People, programs and what they may do.
        "identity" => identity: Identity;
        /// Secrets that the vault keeps for applications.
        "secrets" => secrets: Secrets = "{}";
        /// The console and its API.
        "console" => console: Console;
        /// Bounds on all connections together.
        "limits" => limits: Limits = "{}";
        /// Addresses that are refused everywhere.
        "blocklist" => blocklist: Blocklist = "{}";
    }
}

section! {
    /// The appliance itself.
    pub struct System {
        /// Its host name; the console answers to it, and the console's certificate holds it.
        "hostname" => hostname: HostName = "'redan'";
        /// Whose signatures make a configuration on a USB stick good: public keys of minisign. Empty: no stick is taken.
        "operator-keys" => operator_keys: Vec<OperatorKey> = "[]";
    }
}

section! {
    /// The console and its API.
    pub struct Console or "{listen = {port = 1}}" {
        /// Where it listens: exactly one address.
        "listen" => listen: Listen;
        /// Further host names that it answers to, besides its address and the appliance's host name.
        "hosts" => hosts: Vec<HostName> = "[]";
        /// Zones from which it can be reached. Empty: the zone that it listens in.
        "from" => from: Vec<ZoneName> = "[]";
        /// Client networks that may connect; they are never blocked by the blocklist. Empty: everybody in its zones.
        "networks" => networks: Vec<Cidr> = "[]";
    }
}

section! {
    /// Bounds on all connections together.
    pub struct Limits {
        /// Open connections of all clients.
        "connections" => connections: u32 = "20000", "64" ..= "1000000";
        /// Open connections of one address; an IPv6 client is its /64.
        "connections-per-source" => connections_per_source: u32 = "1000", "4" ..= "1000000";
        /// TLS handshakes under way on one thread.
        "handshakes" => handshakes: u32 = "256", "8" ..= "10000";
    }
}

section! {
    /// Addresses that are refused everywhere.
    pub struct Blocklist {
        /// Networks and addresses.
        "addresses" => addresses: Vec<Cidr> = "[]";
    }
}
