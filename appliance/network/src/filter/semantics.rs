//! The compiled ruleset, run by a small interpreter, decides as `explain` says, and in few steps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;
use redan_ipc::slice::{Action, LocalService, NetworkSlice, Policy, Zone};
use redan_types::{Cidr, Port, Protocol};

use super::explain::value;
use super::{Decision, Direction, Packet, compile, explain};
use crate::nft::{Hook, NamedSet, Range, Ruleset, Step, Verdict};

/// What the interpreter finds: the last counter, whether the packet passes, and how many rules were looked at.
#[derive(Debug)]
struct Outcome {
    counter: Option<String>,
    passes: bool,
    rules: usize,
}

struct Machine<'a> {
    ruleset: &'a Ruleset,
    slice: &'a NetworkSlice,
    packet: &'a Packet,
    counter: Option<String>,
    rules: usize,
}

impl Machine<'_> {
    /// `Some(passes)`, or `None` where the chain ends without a verdict.
    fn chain(&mut self, name: &str) -> Option<bool> {
        let chain = self
            .ruleset
            .chains
            .iter()
            .find(|chain| chain.name == name)
            .expect("a chain that is referred to exists");
        for rule in &chain.rules {
            self.rules += 1;
            for step in &rule.steps {
                let verdict = match step {
                    Step::In(field, ranges) if self.holds(*field, ranges) => continue,
                    Step::Listed(field, set) if self.listed(*field, *set) => continue,
                    Step::In(..) | Step::Listed(..) | Step::State(_) => break,
                    Step::Limit(_) | Step::Log(_) => continue,
                    Step::Count(name) => {
                        self.counter = Some(name.clone());
                        continue;
                    }
                    Step::Reset | Step::Prohibit => return Some(false),
                    Step::Verdict(verdict) => verdict,
                    Step::Dispatch(field, cases) => {
                        let found = value(self.packet, *field)
                            .and_then(|value| cases.iter().find(|(range, _)| range.contains(value)));
                        match found {
                            Some((_, verdict)) => verdict,
                            None => break,
                        }
                    }
                };
                match verdict {
                    Verdict::Accept => return Some(true),
                    Verdict::Drop => return Some(false),
                    Verdict::Goto(name) => return self.chain(name),
                    Verdict::Jump(name) => {
                        if let Some(decided) = self.chain(name) {
                            return Some(decided);
                        }
                    }
                }
            }
        }
        None
    }

    fn holds(&self, field: crate::nft::Field, ranges: &[Range]) -> bool {
        value(self.packet, field).is_some_and(|value| ranges.iter().any(|range| range.contains(value)))
    }

    fn listed(&self, field: crate::nft::Field, set: NamedSet) -> bool {
        let four = set == NamedSet::Blocked4;
        let ranges: Vec<_> = self
            .slice
            .blocked
            .iter()
            .filter(|n| n.address().is_ipv4() == four)
            .map(Range::network)
            .collect();
        self.holds(field, &ranges)
    }
}

fn run(ruleset: &Ruleset, slice: &NetworkSlice, packet: &Packet) -> Outcome {
    let mut machine = Machine {
        ruleset,
        slice,
        packet,
        counter: None,
        rules: 0,
    };
    let hook = match packet.direction {
        Direction::In { .. } => Hook::Input,
        Direction::Through { .. } => Hook::Forward,
        Direction::Out => Hook::Output,
    };
    let first = if hook == Hook::Output {
        None
    } else {
        machine.chain(Hook::Prerouting.name())
    };
    // A chain at a hook has the policy drop; the one before connection tracking lets pass.
    let passes = first.or_else(|| machine.chain(hook.name())).unwrap_or(false);
    Outcome {
        counter: machine.counter,
        passes,
        rules: machine.rules,
    }
}

fn agrees(decision: &Decision, outcome: &Outcome) -> bool {
    let counter = outcome.counter.as_deref().unwrap_or_default();
    match decision {
        Decision::Blocked => counter.starts_with("blocked-") && !outcome.passes,
        Decision::Policy(name, action) => {
            counter == format!("policy-{name}") && outcome.passes == (*action == Action::Allow)
        }
        Decision::Local(name) => counter == name && outcome.passes,
        Decision::Upstream => counter == "upstreams" && outcome.passes,
        Decision::Default => counter.starts_with("default-") && !outcome.passes,
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u32..16).prop_map(|host| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 | host))),
        (0_u128..16).prop_map(|host| IpAddr::from(Ipv6Addr::from_bits(0xfd00 << 112 | host))),
    ]
}

fn network() -> impl Strategy<Value = Cidr> {
    (address(), 0_u8..=4).prop_map(|(address, wider)| {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Cidr::containing(address, bits - wider)
    })
}

fn port() -> impl Strategy<Value = Port> {
    (1_u16..12).prop_map(|number| Port::new(number).unwrap())
}

fn zones() -> impl Strategy<Value = Vec<redan_types::ZoneName>> {
    let name = prop_oneof![Just("a"), Just("b")].prop_map(|name| name.parse().unwrap());
    prop::collection::vec(name, 1..3)
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let protocol = prop_oneof![
        Just(None),
        Just(Some(Protocol::Tcp)),
        Just(Some(Protocol::Udp)),
        Just(Some(Protocol::Icmp))
    ];
    let action = prop_oneof![Just(Action::Allow), Just(Action::Drop), Just(Action::Reject)];
    let networks = || prop::collection::vec(network(), 0..3);
    let ports = prop::collection::vec((port(), port()), 0..3);
    let one = (zones(), zones(), protocol, ports, networks(), networks(), action);
    prop::collection::vec(one, 0..24).prop_map(|all| {
        let policy = |(number, (from, to, protocol, ports, sources, destinations, action))| Policy {
            name: format!("p{number}").parse().unwrap(),
            from,
            to,
            protocol,
            ports: match protocol {
                Some(Protocol::Tcp | Protocol::Udp) => Vec::into_iter(ports)
                    .map(|(one, other): (Port, Port)| (one.min(other), one.max(other)))
                    .collect(),
                _ => Vec::new(),
            },
            sources,
            destinations,
            action,
            log: false,
            comment: String::new(),
        };
        all.into_iter().enumerate().map(policy).collect()
    })
}

fn slices() -> impl Strategy<Value = NetworkSlice> {
    let local = (address(), port(), zones(), prop::collection::vec(network(), 0..3));
    let upstream = (address(), port()).prop_map(|(address, port)| (address, port.number()).into());
    let zone = |name: &str, interfaces: &[&str]| Zone {
        name: name.parse().unwrap(),
        interfaces: interfaces.iter().map(|name| name.parse().unwrap()).collect(),
    };
    let zones = vec![zone("a", &["a0", "a1"]), zone("b", &["b0"])];
    let parts = (
        policies(),
        prop::collection::vec(local, 0..10),
        prop::collection::vec(upstream, 0..10),
        prop::collection::vec(network(), 0..2),
    );
    parts.prop_map(move |(policies, local, upstreams, blocked)| NetworkSlice {
        interfaces: Vec::new(),
        zones: zones.clone(),
        policies,
        local: (0..)
            .zip(local)
            .map(|(number, (address, port, zones, sources))| LocalService {
                name: format!("service-{number}"),
                address: (address, port.number()).into(),
                zones,
                sources,
            })
            .collect(),
        upstreams,
        blocked,
        never_block: Vec::new(),
    })
}

fn packets() -> impl Strategy<Value = Packet> {
    let name = || prop_oneof![Just("a0"), Just("a1"), Just("b0"), Just("other")].prop_map(|name| name.parse().unwrap());
    let direction = prop_oneof![
        name().prop_map(|from| Direction::In { from }),
        (name(), name()).prop_map(|(from, to)| Direction::Through { from, to }),
        Just(Direction::Out),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp)];
    (direction, protocol, address(), any::<u8>(), port()).prop_map(|(direction, protocol, source, host, port)| {
        let destination = match source {
            IpAddr::V4(_) => Ipv4Addr::from_bits(0x0a00_0000 | u32::from(host % 16)).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(host % 16)).into(),
        };
        let port = (protocol != Protocol::Icmp).then_some(port);
        Packet {
            direction,
            protocol,
            source,
            destination,
            port,
        }
    })
}

proptest! {
    #![proptest_config(Config { cases: 400, ..Config::default() })]

    #[test]
    fn the_kernels_rules_decide_as_the_list_read_from_top_to_bottom(
        slice in slices(),
        packets in prop::collection::vec(packets(), 40),
    ) {
        let ruleset = compile(&slice).unwrap();
        for packet in &packets {
            let (decision, outcome) = (explain(&slice, packet), run(&ruleset, &slice, packet));
            prop_assert!(agrees(&decision, &outcome), "{packet:?}: {decision:?}, the rules say {outcome:?}");
        }
        let mut names: Vec<_> = ruleset.chains.iter().map(|chain| &chain.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), count);
    }
}

#[test]
fn the_steps_to_a_decision_do_not_grow_with_the_number_of_policies() {
    let steps = |number: u16| {
        let zone = |name: &str, interface: &str| Zone {
            name: name.parse().unwrap(),
            interfaces: vec![interface.parse().unwrap()],
        };
        let policies = (0..number).map(|index| {
            let [high, low] = index.to_be_bytes();
            let port = Port::new(1_000 + index % 50).unwrap();
            Policy {
                name: format!("p{index}").parse().unwrap(),
                from: vec!["a".parse().unwrap()],
                to: vec!["b".parse().unwrap()],
                protocol: Some(Protocol::Tcp),
                ports: vec![(port, port)],
                sources: vec![Cidr::containing(Ipv4Addr::new(172, 16, high, 0).into(), 24)],
                destinations: vec![Cidr::host(Ipv4Addr::new(10, 0, high, low).into())],
                action: Action::Allow,
                log: false,
                comment: String::new(),
            }
        });
        let slice = NetworkSlice {
            interfaces: Vec::new(),
            zones: vec![zone("a", "a0"), zone("b", "b0")],
            policies: policies.collect(),
            local: Vec::new(),
            upstreams: Vec::new(),
            blocked: Vec::new(),
            never_block: Vec::new(),
        };
        let ruleset = compile(&slice).unwrap();
        let [high, low] = (number - 1).to_be_bytes();
        let packet = Packet {
            direction: Direction::Through {
                from: "a0".parse().unwrap(),
                to: "b0".parse().unwrap(),
            },
            protocol: Protocol::Tcp,
            source: Ipv4Addr::new(172, 16, high, 9).into(),
            destination: Ipv4Addr::new(10, 0, high, low).into(),
            port: Some(Port::new(1_000 + (number - 1) % 50).unwrap()),
        };
        let outcome = run(&ruleset, &slice, &packet);
        assert!(outcome.passes);
        outcome.rules
    };
    let (few, many) = (steps(50), steps(2_000));
    assert!(
        many <= few + 8 && many < 24,
        "{few} rules for 50 policies, {many} for 2000"
    );
}
