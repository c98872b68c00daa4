//! Interfaces, zones and groups.

use crate::mistake::Kind;
use crate::read::ENTRIES;
use crate::section::at;

use super::Check;

impl Check<'_> {
    /// Every interface stands in a zone, and no address belongs to two.
    pub(super) fn interfaces(&mut self) {
        let appliance = self.appliance;
        for (name, interface) in &appliance.interfaces {
            let path = at!["interfaces", name];
            self.resolves(&at![path, "zone"], "zone", "zones", interface.zone.as_str());
            self.filled(
                &at![path, "addresses"],
                &interface.addresses,
                format!("interface {name} has no address"),
                "give it one, for instance \"192.0.2.1/24\"",
            );
            self.gateway(name, interface);
        }
        self.overlaps();
        self.default_routes();

        for zone in appliance.zones.keys() {
            if !appliance.interfaces.values().any(|interface| interface.zone == *zone) && self.sound("interfaces") {
                let warning = self
                    .key(
                        Kind::Unreachable,
                        &at!["zones", zone],
                        format!("zone {zone} has no interface"),
                    )
                    .label("nothing is in this zone")
                    .help(Some("put an interface into it, or remove it".to_owned()));
                self.warnings.push(warning);
            }
        }
        self.groups();
    }

    fn gateway(&mut self, name: &redan_types::InterfaceName, interface: &crate::network::Interface) {
        let Some(gateway) = interface.gateway else { return };
        let path = at!["interfaces", name, "gateway"];
        let inside = interface.addresses.iter().any(|own| own.network().contains(gateway));
        if !inside && self.sound(&at!["interfaces", name]) {
            let networks: Vec<String> = interface
                .addresses
                .iter()
                .map(|own| own.network().to_string())
                .collect();
            let mistake = self
                .value(
                    Kind::Value,
                    &path,
                    format!("the gateway {gateway} cannot be reached through {name}"),
                )
                .label("in none of the interface's networks")
                .help(Some(format!("give an address in {}", networks.join(" or "))));
            self.errors.push(mistake);
        }
        if interface.addresses.iter().any(|own| own.address == gateway) {
            let mistake = self
                .value(
                    Kind::Value,
                    &path,
                    format!("the gateway {gateway} is the appliance itself"),
                )
                .label("an address of this interface")
                .help(Some("give the address of the router behind it".to_owned()));
            self.errors.push(mistake);
        }
    }

    fn overlaps(&mut self) {
        let mut all: Vec<_> = self
            .appliance
            .interfaces
            .iter()
            .flat_map(|(name, interface)| {
                interface
                    .addresses
                    .iter()
                    .enumerate()
                    .map(move |(index, address)| (name, index, *address))
            })
            .collect();
        if all.len() > ENTRIES {
            let message = format!(
                "the interfaces have {} addresses, at most {ENTRIES} are allowed",
                all.len()
            );
            let mistake = self.key(Kind::Range, "interfaces", message);
            self.errors.push(mistake);
            return;
        }
        // In the order of the text, so that the later one is called the mistake.
        all.sort_by_key(|(name, index, _)| {
            self.reader
                .place(&at!["interfaces", name, "addresses", index])
                .value
                .start
        });
        for (later, (name, index, address)) in all.iter().enumerate() {
            let clash = all.iter().take(later).find(|(other, _, earlier)| {
                earlier.address == address.address || other != name && earlier.network().overlaps(&address.network())
            });
            let Some((other, earlier_index, earlier)) = clash else {
                continue;
            };
            let message = if earlier.address == address.address {
                format!("the address {} is given twice", address.address)
            } else {
                format!("the networks of interfaces {other} and {name} overlap")
            };
            let related = self
                .reader
                .place(&at!["interfaces", other, "addresses", earlier_index])
                .value;
            let mistake = self
                .value(Kind::Conflict, &at!["interfaces", name, "addresses", index], message)
                .label(format!("overlaps {}", earlier.network()))
                .help(Some(
                    "an address must belong to exactly one interface, and so to one zone".to_owned(),
                ))
                .related(related, format!("{other} has {earlier}"));
            self.errors.push(mistake);
        }
    }

    fn default_routes(&mut self) {
        let mut routes: Vec<_> = self
            .appliance
            .interfaces
            .iter()
            .filter_map(|(name, interface)| {
                interface
                    .gateway
                    .map(|gateway| (at!["interfaces", name, "gateway"], gateway))
            })
            .collect();
        routes.sort_by_key(|(path, _)| self.reader.place(path).value.start);
        for (later, (path, gateway)) in routes.iter().enumerate() {
            let clash = routes
                .iter()
                .take(later)
                .find(|(_, earlier)| earlier.is_ipv4() == gateway.is_ipv4());
            if let Some((earlier, _)) = clash {
                let family = if gateway.is_ipv4() { "IPv4" } else { "IPv6" };
                let mistake = self
                    .value(
                        Kind::Conflict,
                        path,
                        format!("there are two default routes for {family}"),
                    )
                    .label("the second gateway")
                    .help(Some("keep one of them".to_owned()))
                    .related(self.reader.place(earlier).value, "the first gateway");
                self.errors.push(mistake);
            }
        }
    }

    fn groups(&mut self) {
        let appliance = self.appliance;
        for (name, group) in &appliance.groups {
            let path = at!["groups", name];
            if group.addresses.is_empty() && group.ports.is_empty() && self.sound(&path) {
                let mistake = self
                    .key(Kind::Value, &path, format!("group {name} is empty"))
                    .label("neither addresses nor ports")
                    .help(Some("a policy with an empty group could never match".to_owned()));
                self.errors.push(mistake);
            }
            self.duplicates(&at![path, "addresses"], "address", &group.addresses);
            self.duplicates(&at![path, "ports"], "port", &group.ports);
            let used = appliance.policies.iter().any(|policy| {
                let mut addresses = policy.sources.iter().chain(&policy.destinations);
                addresses.any(|one| matches!(one, crate::scalar::Addresses::Group(group) if group == name))
                    || policy
                        .ports
                        .iter()
                        .any(|one| matches!(one, crate::scalar::PortMatch::Group(group) if group == name))
            });
            if !used && self.sound("policies") {
                let warning = self
                    .key(Kind::Unreachable, &path, format!("group {name} is not used"))
                    .label(format!("no policy says \"@{name}\""));
                self.warnings.push(warning);
            }
        }
    }
}
