//! A console that somebody can reach.

use redan_types::{Cidr, ZoneName};
use std::net::IpAddr;

use crate::mistake::Kind;
use crate::section::at;

use super::Check;

impl Check<'_> {
    /// The console listens on one address that clients can reach.
    pub(super) fn console(&mut self) {
        let appliance = self.appliance;
        let console = &appliance.console;
        if !self.sound("console") || !self.reader.holds("console") {
            return;
        }
        let before = self.errors.len();
        self.listen(&at!["console", "listen"], &console.listen);
        for (index, zone) in console.from.iter().enumerate() {
            self.resolves(&at!["console", "from", index], "zone", "zones", zone.as_str());
        }
        self.duplicates(&at!["console", "hosts"], "host", &console.hosts);
        self.duplicates(&at!["console", "networks"], "network", &console.networks);
        self.duplicates(
            &at!["blocklist", "addresses"],
            "address",
            &appliance.blocklist.addresses,
        );
        if self.errors.len() > before || !self.sound("interfaces") || !self.sound("zones") {
            return;
        }
        let addresses = appliance.listen_addresses(&console.listen);
        let [address] = addresses.as_slice() else {
            let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
            let first = shown.first().cloned().unwrap_or_default();
            let mistake = self
                .value(
                    Kind::Value,
                    &at!["console", "listen"],
                    "the console listens on exactly one address",
                )
                .label(format!("these are {}", shown.join(", ")))
                .help(Some(format!(
                    "for instance {{ address = \"{first}\", port = {} }}",
                    console.listen.port
                )));
            self.errors.push(mistake);
            return;
        };
        let zones = appliance.client_zones(&console.from, address.ip());
        self.reach(&zones);
    }

    fn reach(&mut self, zones: &[ZoneName]) {
        let appliance = self.appliance;
        let console = &appliance.console;
        let names: Vec<&str> = zones.iter().map(ZoneName::as_str).collect();
        let names = names.join(", ");
        if let Some(there) = self.reachable(zones) {
            if there.is_empty() {
                let mistake = self
                    .value(
                        Kind::LockedOut,
                        &at!["console", "from"],
                        "nobody could reach the console",
                    )
                    .label("no interface is in these zones")
                    .help(Some("name the zone that the operators are in".to_owned()));
                self.errors.push(mistake);
                return;
            }
            let inside = |network: &Cidr| there.iter().any(|other| other.overlaps(network));
            if !console.networks.is_empty() && !console.networks.iter().any(inside) {
                let there: Vec<String> = there.iter().map(ToString::to_string).collect();
                let mistake = self
                    .value(
                        Kind::LockedOut,
                        &at!["console", "networks"],
                        "nobody could reach the console",
                    )
                    .label(format!("none of these networks is in zone {names}"))
                    .help(Some(format!("its networks are {}", there.join(", "))));
                self.errors.push(mistake);
            }
            let blocked = |network: &Cidr| covers(&appliance.blocklist.addresses, network);
            if console.networks.is_empty() && there.iter().all(blocked) {
                let mistake = self
                    .value(
                        Kind::LockedOut,
                        &at!["blocklist", "addresses"],
                        "nobody could reach the console",
                    )
                    .label(format!("blocks everybody in zone {names}"))
                    .help(Some(
                        "name the operators' networks in `console.networks`: they are never blocked".to_owned(),
                    ));
                self.errors.push(mistake);
            }
        } else if console.networks.is_empty() {
            let warning = self
                .value(
                    Kind::Value,
                    &at!["console", "listen"],
                    format!("the console is open to every address in zone {names}"),
                )
                .label("a gateway leads everywhere from there")
                .help(Some("name the operators' networks in `console.networks`".to_owned()));
            self.warnings.push(warning);
        }
        for (index, blocked) in appliance.blocklist.addresses.iter().enumerate() {
            if console.networks.iter().any(|network| network.overlaps(blocked)) {
                let warning = self
                    .value(
                        Kind::Unreachable,
                        &at!["blocklist", "addresses", index],
                        format!("{blocked} holds operators' addresses"),
                    )
                    .label("these are never blocked, since `console.networks` names them");
                self.warnings.push(warning);
            }
        }
    }
}

/// Whether every address of a network is in one of the others.
fn covers(others: &[Cidr], network: &Cidr) -> bool {
    let mut ranges: Vec<_> = others
        .iter()
        .filter(|other| other.address().is_ipv4() == network.address().is_ipv4())
        .map(range)
        .collect();
    ranges.sort_unstable();
    let (mut next, last) = range(network);
    for (from, to) in ranges {
        if from > next {
            return false;
        }
        if to >= last {
            return true;
        }
        next = next.max(to + 1);
    }
    false
}

/// A network's first and last address as numbers.
fn range(network: &Cidr) -> (u128, u128) {
    let (address, bits) = match network.address() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let hosts = u128::MAX
        .checked_shr(128 - bits + u32::from(network.prefix()))
        .unwrap_or(0);
    (address & !hosts, address | hosts)
}
