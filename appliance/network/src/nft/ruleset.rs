//! A packet filter as values, before it becomes messages.

use std::net::IpAddr;

use redan_types::{Cidr, InterfaceName};

/// Everything in our table.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    /// Named counters; each keeps its value when the ruleset is replaced.
    pub(crate) counters: Vec<String>,
    /// Chains, each before those that refer to it or after: the kernel learns all of them before any rule.
    pub(crate) chains: Vec<Chain>,
}

/// A chain of rules.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) name: String,
    /// Where packets enter; `None` for a chain that others go to.
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Rule>,
}

/// Where in the kernel's packet path a chain stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hook {
    /// Before connection tracking (priority `raw`): what is dropped here costs least. Everything else passes on.
    Prerouting,
    /// To the appliance itself; what no rule accepts is dropped.
    Input,
    /// Through the appliance; what no rule accepts is dropped.
    Forward,
    /// From the appliance itself; what no rule accepts is dropped.
    Output,
}

impl Hook {
    pub(crate) const ALL: [Self; 4] = [Self::Prerouting, Self::Input, Self::Forward, Self::Output];

    /// The chain's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
        }
    }
}

/// A rule: its steps run in order until one does not match.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// What it stands for in errors, and its comment.
    pub(crate) comment: String,
    pub(crate) steps: Vec<Step>,
}

impl Rule {
    pub(crate) fn new(comment: impl Into<String>, steps: impl Into<Vec<Step>>) -> Self {
        Self {
            comment: comment.into(),
            steps: steps.into(),
        }
    }
}

/// One step of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// The field lies in one of the ranges.
    In(Field, Vec<Range>),
    /// The address is in a named set.
    Listed(Field, NamedSet),
    /// The connection has one of these states.
    State(u32),
    /// The field's range decides what follows.
    Dispatch(Field, Vec<(Range, Verdict)>),
    /// At most this many matches a second go on, with a burst as large.
    Limit(u32),
    /// A line in the kernel's log.
    Log(String),
    /// A named counter.
    Count(String),
    /// Answer with a TCP reset. Only where the protocol is TCP.
    Reset,
    /// Answer with ICMP "administratively prohibited".
    Prohibit,
    Verdict(Verdict),
}

/// What becomes of a packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    /// Run that chain, then go on here.
    Jump(String),
    /// Run that chain, then go on after the last jump.
    Goto(String),
}

/// `NF_CT_STATE_*`: bits for [`Step::State`].
pub(crate) mod state {
    pub(crate) const INVALID: u32 = 1;
    pub(crate) const ESTABLISHED: u32 = 1 << 1;
    pub(crate) const RELATED: u32 = 1 << 2;
}

/// What a packet is looked at for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Field {
    InputInterface,
    OutputInterface,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    Family,
    /// The IP protocol number, behind IPv6's extension headers.
    Protocol,
    /// Of TCP, UDP and whatever else begins with two ports.
    DestinationPort,
    Source4,
    Source6,
    Destination4,
    Destination6,
    /// Only where the protocol is ICMP or ICMPv6.
    IcmpType,
    HopLimit6,
}

impl Field {
    /// Bytes of a value.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::InputInterface | Self::OutputInterface | Self::Source6 | Self::Destination6 => 16,
            Self::Family | Self::Protocol | Self::IcmpType | Self::HopLimit6 => 1,
            Self::DestinationPort => 2,
            Self::Source4 | Self::Destination4 => 4,
        }
    }

    /// The largest value.
    pub(crate) const fn greatest(self) -> u128 {
        match self.width() {
            1 => u8::MAX as u128,
            2 => u16::MAX as u128,
            4 => u32::MAX as u128,
            _ => u128::MAX,
        }
    }
}

/// Values of a field, both ends included: a number, an address as a number, or an interface's name with its padding as one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Range {
    pub(crate) start: u128,
    pub(crate) end: u128,
}

impl Range {
    pub(crate) const fn new(start: u128, end: u128) -> Self {
        Self { start, end }
    }

    pub(crate) fn one(value: impl Into<u128>) -> Self {
        let value = value.into();
        Self {
            start: value,
            end: value,
        }
    }

    /// An interface's name as the kernel compares it: 16 bytes, zeros behind the text.
    pub(crate) fn interface(name: &InterfaceName) -> Self {
        let mut bytes = [0; 16];
        for (byte, character) in bytes.iter_mut().zip(name.as_str().bytes()) {
            *byte = character;
        }
        Self::one(u128::from_be_bytes(bytes))
    }

    pub(crate) fn network(network: &Cidr) -> Self {
        match network.address() {
            IpAddr::V4(address) => {
                let start = address.to_bits();
                let hosts = u32::MAX.checked_shr(network.prefix().into()).unwrap_or(0);
                Self::new(start.into(), (start | hosts).into())
            }
            IpAddr::V6(address) => {
                let start = address.to_bits();
                Self::new(
                    start,
                    start | u128::MAX.checked_shr(network.prefix().into()).unwrap_or(0),
                )
            }
        }
    }

    pub(crate) const fn contains(&self, value: u128) -> bool {
        self.start <= value && value <= self.end
    }
}

/// The sets that outlive a replacement of the rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NamedSet {
    Blocked4,
    Blocked6,
}

impl NamedSet {
    pub(crate) const ALL: [Self; 2] = [Self::Blocked4, Self::Blocked6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Blocked4 => "blocked4",
            Self::Blocked6 => "blocked6",
        }
    }

    /// Bytes of an address.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::Blocked4 => 4,
            Self::Blocked6 => 16,
        }
    }
}
