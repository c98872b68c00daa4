//! Policies: references, and those that could never match.

use redan_types::{Cidr, PolicyName, Port, Protocol, ZoneName};

use crate::mistake::Kind;
use crate::network::Policy;
use crate::resolve::ResolvedPolicy;
use crate::scalar::{Addresses, Place, PortMatch};
use crate::section::at;

use super::Check;

/// Comparisons that the search for shadowed policies may cost. A document that needs more (thousands of policies over large
/// groups) is accepted without the rest of the search, and a warning says so.
const COMPARISONS: usize = 20_000_000;

impl Check<'_> {
    /// Every policy names things that exist, and can match something.
    pub(super) fn policies(&mut self) {
        let appliance = self.appliance;
        let names: Vec<&PolicyName> = appliance.policies.iter().map(|policy| &policy.name).collect();
        for (index, policy) in appliance.policies.iter().enumerate() {
            let path = at!["policies", index];
            if let Some(before) = names.iter().take(index).position(|name| **name == policy.name) {
                let first = self.reader.place(&at!["policies", before, "name"]).value;
                let mistake = self
                    .value(
                        Kind::Conflict,
                        &at![path, "name"],
                        format!("two policies are called {}", policy.name),
                    )
                    .label("the second one")
                    .help(Some(
                        "give each a name of its own: counters and the log go by it".to_owned(),
                    ))
                    .related(first, "the first one");
                self.errors.push(mistake);
            }
            self.policy_references(&path, policy);
        }
        // Conclusions need all of it.
        if self.errors.is_empty()
            && ["policies", "zones", "interfaces", "groups"]
                .iter()
                .all(|part| self.sound(part))
        {
            let resolved: Vec<ResolvedPolicy> = appliance
                .policies
                .iter()
                .map(|policy| appliance.resolve(policy))
                .collect();
            for (index, (policy, resolved)) in appliance.policies.iter().zip(&resolved).enumerate() {
                self.contradictions(&at!["policies", index], policy, resolved);
            }
            self.shadowed(&resolved);
        }
    }

    fn policy_references(&mut self, path: &str, policy: &Policy) {
        for (key, places) in [("from", &policy.from), ("to", &policy.to)] {
            let path = at![path, key];
            self.filled(
                &path,
                places,
                format!("policy {} can never match: `{key}` is empty", policy.name),
                "name zones, or write [\"any\"]",
            );
            self.duplicates(&path, "zone", places);
            for (index, place) in places.iter().enumerate() {
                if let Place::Zone(zone) = place {
                    self.resolves(&at![path, index], "zone", "zones", zone.as_str());
                }
            }
        }
        for (key, addresses) in [("sources", &policy.sources), ("destinations", &policy.destinations)] {
            for (index, address) in addresses.iter().enumerate() {
                let Addresses::Group(group) = address else { continue };
                let path = at![path, key, index];
                let known = self.resolves(&path, "group", "groups", group.as_str());
                let empty = self
                    .appliance
                    .groups
                    .get(group)
                    .is_some_and(|group| group.addresses.is_empty())
                    && self.sound(&at!["groups", group]);
                if known && empty {
                    let mistake = self
                        .value(Kind::Unreachable, &path, format!("group {group} has no addresses"))
                        .label("this set is empty")
                        .help(Some(format!("give `groups.{group}` addresses; it has ports only")));
                    self.errors.push(mistake);
                }
            }
        }
        for (index, ports) in policy.ports.iter().enumerate() {
            let PortMatch::Group(group) = ports else { continue };
            let path = at![path, "ports", index];
            let known = self.resolves(&path, "group", "groups", group.as_str());
            let empty = self
                .appliance
                .groups
                .get(group)
                .is_some_and(|group| group.ports.is_empty())
                && self.sound(&at!["groups", group]);
            if known && empty {
                let mistake = self
                    .value(Kind::Unreachable, &path, format!("group {group} has no ports"))
                    .label("this set is empty")
                    .help(Some(format!("give `groups.{group}` ports; it has addresses only")));
                self.errors.push(mistake);
            }
        }
        if !policy.ports.is_empty() && !matches!(policy.protocol, Some(Protocol::Tcp | Protocol::Udp)) {
            let said = policy.protocol.map_or_else(
                || "no protocol".to_owned(),
                |protocol| format!("protocol \"{protocol}\""),
            );
            let mistake = self
                .value(
                    Kind::Value,
                    &at![path, "ports"],
                    format!("policy {} has ports but {said}", policy.name),
                )
                .label("only TCP and UDP have ports")
                .help(Some(
                    "add protocol = \"tcp\" or \"udp\", or leave the ports out".to_owned(),
                ));
            self.errors.push(mistake);
        }
    }

    /// Sets that exclude one another.
    fn contradictions(&mut self, path: &str, policy: &Policy, resolved: &ResolvedPolicy) {
        let name = &policy.name;
        let families = |networks: &[Cidr]| {
            let four = networks.is_empty() || networks.iter().any(|network| network.address().is_ipv4());
            let six = networks.is_empty() || networks.iter().any(|network| network.address().is_ipv6());
            (four, six)
        };
        let (source, destination) = (families(&resolved.sources), families(&resolved.destinations));
        if !(source.0 && destination.0 || source.1 && destination.1) {
            let mistake = self
                .value(
                    Kind::Unreachable,
                    &at![path, "destinations"],
                    format!("policy {name} can never match"),
                )
                .label("another address family than the sources")
                .help(Some("IPv4 connects to IPv4 and IPv6 to IPv6 only".to_owned()));
            self.errors.push(mistake);
        }
        for (key, zones, networks) in [
            ("sources", &resolved.from, &resolved.sources),
            ("destinations", &resolved.to, &resolved.destinations),
        ] {
            let Some(there) = self.reachable(zones) else { continue };
            if there.is_empty() {
                let side = if key == "sources" { "from" } else { "to" };
                let mistake = self
                    .value(
                        Kind::Unreachable,
                        &at![path, side],
                        format!("policy {name} can never match"),
                    )
                    .label("no interface is in these zones");
                self.errors.push(mistake);
            } else if !networks.is_empty() && !networks.iter().any(|one| there.iter().any(|net| net.overlaps(one))) {
                let there: Vec<String> = there.iter().map(ToString::to_string).collect();
                let mistake = self
                    .value(
                        Kind::Unreachable,
                        &at![path, key],
                        format!("policy {name} can never match"),
                    )
                    .label("no such address is in these zones")
                    .help(Some(format!("the zones' networks are {}", there.join(", "))));
                self.errors.push(mistake);
            }
        }
    }

    /// The networks behind the interfaces of `zones`; `None` where a gateway leads everywhere.
    pub(super) fn reachable(&self, zones: &[ZoneName]) -> Option<Vec<Cidr>> {
        let interfaces = || {
            self.appliance
                .interfaces
                .values()
                .filter(|interface| zones.contains(&interface.zone))
        };
        if interfaces().any(|interface| interface.gateway.is_some()) {
            return None;
        }
        Some(
            interfaces()
                .flat_map(|interface| &interface.addresses)
                .map(crate::InterfaceAddress::network)
                .collect(),
        )
    }

    fn shadowed(&mut self, resolved: &[ResolvedPolicy]) {
        let mut budget = COMPARISONS;
        for (index, later) in resolved.iter().enumerate() {
            let earlier = resolved
                .iter()
                .take(index)
                .position(|earlier| covers(earlier, later, &mut budget));
            let Some(policy) = self.appliance.policies.get(index) else {
                continue;
            };
            if budget == 0 {
                let warning = self
                    .value(
                        Kind::Unreachable,
                        &at!["policies", index, "name"],
                        "from here on, policies that can never match are not searched for",
                    )
                    .label("the sets are too large to compare");
                self.warnings.push(warning);
                return;
            }
            let Some((before, first)) = earlier.and_then(|at| Some((at, self.appliance.policies.get(at)?))) else {
                continue;
            };
            let help = if first.action == policy.action {
                format!("remove it: {} does the same", first.name)
            } else {
                format!("move it before {}, or narrow that one", first.name)
            };
            let related = self.reader.place(&at!["policies", before, "name"]).value;
            let mistake = self
                .value(
                    Kind::Unreachable,
                    &at!["policies", index, "name"],
                    format!("policy {} can never match", policy.name),
                )
                .label(format!("everything it matches is decided by {} before", first.name))
                .help(Some(help))
                .related(related, format!("{} matches all of it", first.name));
            self.errors.push(mistake);
        }
    }
}

/// Whether `earlier` matches everything that `later` does. Conservative: a network split over several smaller ones counts as not
/// covered. Each comparison is paid from `budget`; without any left the answer is no.
fn covers(earlier: &ResolvedPolicy, later: &ResolvedPolicy, budget: &mut usize) -> bool {
    let mut all = |count: usize| {
        let left = budget.checked_sub(count);
        *budget = left.unwrap_or(0);
        left.is_some()
    };
    let sets = earlier.from.len() * later.from.len() + earlier.to.len() * later.to.len() + 1;
    if !all(sets)
        || !later.from.iter().all(|zone| earlier.from.contains(zone))
        || !later.to.iter().all(|zone| earlier.to.contains(zone))
        || earlier.protocol.is_some() && earlier.protocol != later.protocol
    {
        return false;
    }
    let mut networks = |earlier: &[Cidr], later: &[Cidr]| {
        earlier.is_empty()
            || !later.is_empty()
                && all(earlier.len() * later.len())
                && later.iter().all(|one| {
                    earlier
                        .iter()
                        .any(|wide| wide.prefix() <= one.prefix() && wide.contains(one.address()))
                })
    };
    networks(&earlier.sources, &later.sources)
        && networks(&earlier.destinations, &later.destinations)
        && (earlier.ports.is_empty()
            || !later.ports.is_empty()
                && all(earlier.ports.len() * later.ports.len())
                && ports_cover(&earlier.ports, &later.ports))
}

/// Whether the ranges of `earlier` (sorted by their start, as resolving leaves them) together hold each range of `later`.
fn ports_cover(earlier: &[(Port, Port)], later: &[(Port, Port)]) -> bool {
    later.iter().all(|(first, last)| {
        let mut next = u32::from(first.number());
        for (start, end) in earlier {
            if u32::from(start.number()) <= next {
                next = next.max(u32::from(end.number()) + 1);
            }
        }
        next > u32::from(last.number())
    })
}
