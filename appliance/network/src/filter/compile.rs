//! The whole ruleset from the configuration's part.
//!
//! The order, which is the meaning: loopback passes; blocked addresses are dropped before anything remembers them; packets of known
//! connections pass; invalid ones are dropped; what IPv6 and path MTU discovery cannot do without passes; then the configuration decides;
//! what it does not name is dropped and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use redan_ipc::messages::network::CounterName;
use redan_ipc::slice::{Action, LocalService, NetworkSlice, Policy};
use redan_types::{Cidr, InterfaceName, PolicyName, Port, Protocol, ZoneName};

use super::region::{ICMPV6, Region, TCP};
use super::tree::{Entry, grow};
use crate::nft::{Chain, Field, Hook, NamedSet, Range, Rule, Ruleset, Step, Verdict, state};

/// Lines a second that each logging rule may write.
const LOG_RATE: u32 = 5;
const POLICY_PREFIX: &str = "policy-";
/// The counters that are always there.
const BUILT_IN: [&str; 7] = [
    "blocked-in",
    "blocked-out",
    "default-drop-forward",
    "default-drop-input",
    "default-reject-output",
    "invalid",
    "upstreams",
];

/// Why a part of a configuration makes no ruleset.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A policy or a service names a zone that is not there.
    #[error("{subject}: there is no zone {zone}")]
    Zone {
        /// What names it.
        subject: String,
        /// The name.
        zone: ZoneName,
    },
    /// A zone names an interface that another zone has too.
    #[error("interface {interface} is in the zones {first} and {second}")]
    SharedInterface {
        /// The interface.
        interface: InterfaceName,
        /// One zone.
        first: ZoneName,
        /// The other.
        second: ZoneName,
    },
    /// Ports with a protocol that has none.
    #[error("policy {0}: ports need protocol tcp or udp")]
    Ports(PolicyName),
    /// A port range that ends before it begins.
    #[error("policy {policy}: the port range {first}-{last} ends before it begins")]
    PortRange {
        /// The policy.
        policy: PolicyName,
        /// Its first port.
        first: Port,
        /// Its last port.
        last: Port,
    },
    /// Two entries whose counters would have the same name.
    #[error("two entries have the counter {0}")]
    Counter(String),
    /// A counter's name that the kernel would not take.
    #[error(
        "the counter name {0:?} is empty, longer than 100 bytes, or has other characters than letters, digits, '-', '_' and '.'"
    )]
    CounterName(String),
    /// Something is blocked that must never be.
    #[error("{blocked} is blocked, but it holds {never}, which is never to be blocked")]
    Blocked {
        /// What is blocked.
        blocked: Cidr,
        /// What must not be.
        never: Cidr,
    },
}

/// The ruleset before any configuration: nothing passes but loopback and what keeps a link alive.
pub(crate) fn closed() -> Ruleset {
    assemble(Vec::new(), BTreeSet::new(), [None, None, None])
}

/// The ruleset of a configuration.
///
/// # Errors
/// All mistakes that are found.
pub(crate) fn compile(slice: &NetworkSlice) -> Result<Ruleset, Vec<CompileError>> {
    let mut errors = Vec::new();
    let zones = zones(slice, &mut errors);
    let mut counters = BTreeSet::new();
    let mut chains = Vec::new();
    for blocked in &slice.blocked {
        if let Some(never) = slice.never_block.iter().find(|never| never.overlaps(blocked)) {
            errors.push(CompileError::Blocked {
                blocked: *blocked,
                never: *never,
            });
        }
    }
    let mut forward = Vec::new();
    for policy in &slice.policies {
        check_ports(policy, &mut errors);
        let chain = format!("{POLICY_PREFIX}{}", policy.name);
        claim(&chain, &mut counters, &mut errors);
        forward.push(Entry {
            region: policy_region(policy, &zones, &mut errors),
            chain: chain.clone(),
        });
        chains.push(Chain {
            name: chain.clone(),
            hook: None,
            rules: policy_rules(policy, &chain),
        });
    }
    let mut input = Vec::new();
    let mut named = BTreeSet::new();
    for service in &slice.local {
        let chain = format!("local-{}", service.name);
        input.push(Entry {
            region: local_region(service, slice, &zones, &mut errors),
            chain: chain.clone(),
        });
        // A service that listens at several addresses has one counter.
        if !named.insert(&service.name) {
            continue;
        }
        claim(&service.name, &mut counters, &mut errors);
        let steps = [Step::Count(service.name.clone()), Step::Verdict(Verdict::Accept)];
        chains.push(Chain {
            name: chain,
            hook: None,
            rules: vec![Rule::new(service.name.clone(), steps)],
        });
    }
    let mut output = Vec::new();
    for upstream in &slice.upstreams {
        let region = Region::default()
            .protocol(Protocol::Tcp)
            .destinations(&[Cidr::host(upstream.ip())]);
        // A port of 0 connects to nothing.
        if let Ok(port) = Port::new(upstream.port()) {
            output.push(Entry {
                region: region.ports(&[(port, port)]),
                chain: "upstreams".into(),
            });
        }
    }
    let steps = [Step::Count("upstreams".into()), Step::Verdict(Verdict::Accept)];
    chains.push(Chain {
        name: "upstreams".into(),
        hook: None,
        rules: vec![Rule::new("declared upstreams", steps)],
    });
    if !errors.is_empty() {
        return Err(errors);
    }
    let roots = [("in", input), ("through", forward), ("out", output)]
        .map(|(prefix, entries)| grow(prefix, &entries, &mut chains));
    Ok(assemble(chains, counters, roots))
}

/// Whose a counter is.
pub(crate) fn counter_name(name: &str) -> CounterName {
    name.strip_prefix(POLICY_PREFIX)
        .and_then(|policy| PolicyName::parse(policy).ok())
        .map_or_else(|| CounterName::BuiltIn(name.to_owned()), CounterName::Policy)
}

/// The regions of policies in their order, for `explain`.
pub(super) fn policies(slice: &NetworkSlice) -> Vec<(&Policy, Region)> {
    let mut errors = Vec::new();
    let zones = zones(slice, &mut errors);
    slice
        .policies
        .iter()
        .map(|policy| (policy, policy_region(policy, &zones, &mut errors)))
        .collect()
}

/// The regions of local services, for `explain`.
pub(super) fn locals(slice: &NetworkSlice) -> Vec<(&LocalService, Region)> {
    let mut errors = Vec::new();
    let zones = zones(slice, &mut errors);
    slice
        .local
        .iter()
        .map(|service| (service, local_region(service, slice, &zones, &mut errors)))
        .collect()
}

fn assemble(
    mut chains: Vec<Chain>,
    mut counters: BTreeSet<String>,
    [input, forward, output]: [Option<String>; 3],
) -> Ruleset {
    counters.extend(BUILT_IN.map(str::to_owned));
    let count = |name: &str| Step::Count(name.to_owned());
    let done = Step::Verdict;
    let loopback = |field| {
        Rule::new(
            "loopback",
            [Step::In(field, vec![loopback_name()]), done(Verdict::Accept)],
        )
    };
    let blocked = |field, set, counter| {
        Rule::new(
            "blocklist",
            [Step::Listed(field, set), count(counter), done(Verdict::Drop)],
        )
    };
    let known = || {
        Rule::new(
            "known connections",
            [Step::State(state::ESTABLISHED | state::RELATED), done(Verdict::Accept)],
        )
    };
    let invalid = || {
        Rule::new(
            "invalid",
            [Step::State(state::INVALID), count("invalid"), done(Verdict::Drop)],
        )
    };
    let decide =
        |root: Option<String>| root.map(|chain| Rule::new("the configuration decides", [done(Verdict::Jump(chain))]));
    let to_blocked = || {
        [
            blocked(Field::Destination4, NamedSet::Blocked4, "blocked-out"),
            blocked(Field::Destination6, NamedSet::Blocked6, "blocked-out"),
        ]
    };

    let mut prerouting = vec![loopback(Field::InputInterface)];
    prerouting.push(blocked(Field::Source4, NamedSet::Blocked4, "blocked-in"));
    prerouting.push(blocked(Field::Source6, NamedSet::Blocked6, "blocked-in"));

    let mut to_us = vec![loopback(Field::InputInterface), known()];
    to_us.extend(neighbours(Direction::In));
    to_us.push(invalid());
    to_us.extend(decide(input));
    to_us.push(Rule::new("default", [count("default-drop-input"), done(Verdict::Drop)]));

    let mut through: Vec<Rule> = to_blocked().into();
    through.extend([known(), invalid()]);
    through.extend(decide(forward));
    through.push(Rule::new(
        "default",
        [count("default-drop-forward"), done(Verdict::Drop)],
    ));

    let mut from_us = vec![loopback(Field::OutputInterface)];
    from_us.extend(to_blocked());
    from_us.push(known());
    from_us.extend(neighbours(Direction::Out));
    from_us.push(invalid());
    from_us.extend(decide(output));
    // Our own processes hear at once that they may not, instead of waiting for a timeout.
    let tcp = Step::In(Field::Protocol, vec![Range::one(TCP)]);
    from_us.push(Rule::new("default", [tcp, count("default-reject-output"), Step::Reset]));
    from_us.push(Rule::new("default", [count("default-reject-output"), Step::Prohibit]));

    let hooked = Hook::ALL.into_iter().zip([prerouting, to_us, through, from_us]);
    chains.extend(hooked.map(|(hook, rules)| Chain {
        name: hook.name().into(),
        hook: Some(hook),
        rules,
    }));
    Ruleset {
        counters: counters.into_iter().collect(),
        chains,
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Direction {
    In,
    Out,
}

/// IPv6 does not work without neighbour discovery (RFC 4861; hop limit 255 proves that it comes from the link) and, on switches that
/// listen, multicast listener reports (RFC 3810). Router advertisements are not taken: addresses and routes are configured. Packets that
/// path MTU discovery needs belong to known connections and are `related`.
fn neighbours(direction: Direction) -> Vec<Rule> {
    const LISTENER_QUERY: u8 = 130;
    const NEIGHBOUR_SOLICITATION: u8 = 135;
    const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    const LISTENER_REPORT: u8 = 143;
    let icmp = || Step::In(Field::Protocol, vec![Range::one(ICMPV6)]);
    let types = |types: &[u8]| {
        Step::In(
            Field::IcmpType,
            types.iter().map(|number| Range::one(*number)).collect(),
        )
    };
    let hops = |number: u8| Step::In(Field::HopLimit6, vec![Range::one(number)]);
    let accept = || Step::Verdict(Verdict::Accept);
    let listener = if direction == Direction::In {
        LISTENER_QUERY
    } else {
        LISTENER_REPORT
    };
    vec![
        Rule::new(
            "neighbour discovery",
            [
                icmp(),
                types(&[NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT]),
                hops(255),
                accept(),
            ],
        ),
        Rule::new("multicast listeners", [icmp(), types(&[listener]), hops(1), accept()]),
    ]
}

fn loopback_name() -> Range {
    Range::one(u128::from_be_bytes(*b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0"))
}

fn zones<'a>(slice: &'a NetworkSlice, errors: &mut Vec<CompileError>) -> BTreeMap<&'a ZoneName, &'a [InterfaceName]> {
    let mut owners = BTreeMap::new();
    for zone in &slice.zones {
        for interface in &zone.interfaces {
            if let Some(first) = owners
                .insert(interface, &zone.name)
                .filter(|first| *first != &zone.name)
            {
                errors.push(CompileError::SharedInterface {
                    interface: interface.clone(),
                    first: first.clone(),
                    second: zone.name.clone(),
                });
            }
        }
    }
    slice
        .zones
        .iter()
        .map(|zone| (&zone.name, zone.interfaces.as_slice()))
        .collect()
}

/// The interfaces of some zones.
fn interfaces<'a>(
    subject: &str,
    names: &[ZoneName],
    zones: &BTreeMap<&ZoneName, &'a [InterfaceName]>,
    errors: &mut Vec<CompileError>,
) -> Vec<&'a InterfaceName> {
    let mut found = Vec::new();
    for name in names {
        match zones.get(name) {
            Some(interfaces) => found.extend(*interfaces),
            None => errors.push(CompileError::Zone {
                subject: subject.to_owned(),
                zone: name.clone(),
            }),
        }
    }
    found
}

fn policy_region(
    policy: &Policy,
    zones: &BTreeMap<&ZoneName, &[InterfaceName]>,
    errors: &mut Vec<CompileError>,
) -> Region {
    let subject = format!("policy {}", policy.name);
    let region = Region::default()
        .interfaces(Field::InputInterface, interfaces(&subject, &policy.from, zones, errors))
        .interfaces(Field::OutputInterface, interfaces(&subject, &policy.to, zones, errors))
        .ports(&policy.ports)
        .sources(&policy.sources)
        .destinations(&policy.destinations);
    match policy.protocol {
        Some(protocol) => region.protocol(protocol),
        None => region,
    }
}

fn local_region(
    service: &LocalService,
    slice: &NetworkSlice,
    zones: &BTreeMap<&ZoneName, &[InterfaceName]>,
    errors: &mut Vec<CompileError>,
) -> Region {
    let names = interfaces(&service.name, &service.zones, zones, errors);
    let here: Vec<Cidr> = match service.address.ip() {
        // Any address: those of the zones' interfaces, so that another zone's address is not reached through this one.
        any if any.is_unspecified() => {
            let declared = slice
                .interfaces
                .iter()
                .filter(|interface| names.contains(&&interface.name));
            let declared = declared.flat_map(|interface| interface.addresses.iter().map(|(address, _)| *address));
            let declared: Vec<Cidr> = declared
                .filter(|address| address.is_ipv4() == any.is_ipv4())
                .map(Cidr::host)
                .collect();
            if declared.is_empty() {
                vec![Cidr::containing(any, 0)]
            } else {
                declared
            }
        }
        address => vec![Cidr::host(address)],
    };
    let region = Region::default()
        .interfaces(Field::InputInterface, names)
        .protocol(Protocol::Tcp)
        .destinations(&here)
        .sources(&service.sources);
    match Port::new(service.address.port()) {
        Ok(port) => region.ports(&[(port, port)]),
        // Nothing listens on port 0.
        Err(_) => region.interfaces(Field::InputInterface, []),
    }
}

fn policy_rules(policy: &Policy, counter: &str) -> Vec<Rule> {
    let comment = if policy.comment.is_empty() {
        format!("policy {}", policy.name)
    } else {
        policy.comment.clone()
    };
    let rule = |steps: Vec<Step>| Rule::new(comment.clone(), steps);
    let count = || Step::Count(counter.to_owned());
    let mut rules = Vec::new();
    if policy.log {
        rules.push(rule(vec![
            Step::Limit(LOG_RATE),
            Step::Log(format!("redan {counter}: ")),
        ]));
    }
    match policy.action {
        Action::Allow => rules.push(rule(vec![count(), Step::Verdict(Verdict::Accept)])),
        Action::Drop => rules.push(rule(vec![count(), Step::Verdict(Verdict::Drop)])),
        Action::Reject => {
            rules.push(rule(vec![
                Step::In(Field::Protocol, vec![Range::one(TCP)]),
                count(),
                Step::Reset,
            ]));
            rules.push(rule(vec![count(), Step::Prohibit]));
        }
    }
    rules
}

fn check_ports(policy: &Policy, errors: &mut Vec<CompileError>) {
    if !policy.ports.is_empty() && !matches!(policy.protocol, Some(Protocol::Tcp | Protocol::Udp)) {
        errors.push(CompileError::Ports(policy.name.clone()));
    }
    for (first, last) in policy.ports.iter().filter(|(first, last)| first > last) {
        errors.push(CompileError::PortRange {
            policy: policy.name.clone(),
            first: *first,
            last: *last,
        });
    }
}

/// A counter's name for one entry alone.
fn claim(name: &str, counters: &mut BTreeSet<String>, errors: &mut Vec<CompileError>) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(good) {
        errors.push(CompileError::CounterName(name.chars().take(120).collect()));
    } else if BUILT_IN.contains(&name) || !counters.insert(name.to_owned()) {
        errors.push(CompileError::Counter(name.to_owned()));
    }
}

/// Whether an address is a host's own business and must never be blocked.
pub(super) fn is_loopback(network: &Cidr) -> bool {
    match network.address() {
        IpAddr::V4(address) => network.prefix() == 0 || address.octets().first() == Some(&127),
        IpAddr::V6(_) => network.prefix() == 0,
    }
}
