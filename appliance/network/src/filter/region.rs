//! Which packets an entry of the configuration means.

use std::collections::BTreeMap;

use redan_types::{Cidr, InterfaceName, Port, Protocol};

use crate::nft::{Field, Range};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const IPV4: u8 = 2;
pub(crate) const IPV6: u8 = 10;

/// The order in which fields are looked at. An address comes after its family, a port after its protocol.
pub(crate) const FIELDS: [Field; 9] = [
    Field::InputInterface,
    Field::OutputInterface,
    Field::Protocol,
    Field::DestinationPort,
    Field::Family,
    Field::Destination4,
    Field::Destination6,
    Field::Source4,
    Field::Source6,
];

/// A set of packets: those whose fields each lie in one of the field's ranges. A field that is not named may be anything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Region {
    fields: BTreeMap<Field, Vec<Range>>,
}

impl Region {
    /// Entering (`Field::InputInterface`) or leaving through one of these interfaces; none of them: no packet.
    pub(crate) fn interfaces<'a>(mut self, field: Field, names: impl IntoIterator<Item = &'a InterfaceName>) -> Self {
        self.fields
            .insert(field, merged(names.into_iter().map(Range::interface).collect()));
        self
    }

    pub(crate) fn protocol(mut self, protocol: Protocol) -> Self {
        let numbers: &[u8] = match protocol {
            Protocol::Icmp => &[ICMP, ICMPV6],
            Protocol::Tcp => &[TCP],
            Protocol::Udp => &[UDP],
        };
        self.fields.insert(
            Field::Protocol,
            numbers.iter().map(|number| Range::one(*number)).collect(),
        );
        self
    }

    /// Destination ports, both ends included; none: all.
    pub(crate) fn ports(mut self, ports: &[(Port, Port)]) -> Self {
        if !ports.is_empty() {
            let ranges = ports
                .iter()
                .map(|(first, last)| Range::new(first.number().into(), last.number().into()));
            self.fields.insert(Field::DestinationPort, merged(ranges.collect()));
        }
        self
    }

    /// Source networks; none: all.
    pub(crate) fn sources(self, networks: &[Cidr]) -> Self {
        self.networks(Field::Source4, Field::Source6, networks)
    }

    /// Destination networks; none: all.
    pub(crate) fn destinations(self, networks: &[Cidr]) -> Self {
        self.networks(Field::Destination4, Field::Destination6, networks)
    }

    /// The ranges of a field; `None`: any value.
    pub(crate) fn ranges(&self, field: Field) -> Option<&[Range]> {
        self.fields.get(&field).map(Vec::as_slice)
    }

    /// Whether no packet can be in it.
    pub(crate) fn is_empty(&self) -> bool {
        let none = |field| self.ranges(field).is_some_and(<[Range]>::is_empty);
        let four = none(Field::Source4) || none(Field::Destination4);
        let six = none(Field::Source6) || none(Field::Destination6);
        four && six
            || [
                Field::InputInterface,
                Field::OutputInterface,
                Field::Protocol,
                Field::DestinationPort,
                Field::Family,
            ]
            .into_iter()
            .any(none)
    }

    /// Whether a packet is in it; `value` gives a field of the packet, `None` where it has no such field.
    pub(crate) fn contains(&self, value: impl Fn(Field) -> Option<u128>) -> bool {
        let six = value(Field::Family) == Some(IPV6.into());
        self.fields
            .iter()
            .filter(|(field, _)| is_of_family(**field, six))
            .all(|(field, ranges)| value(*field).is_some_and(|value| ranges.iter().any(|range| range.contains(value))))
    }

    fn networks(mut self, four: Field, six: Field, networks: &[Cidr]) -> Self {
        if networks.is_empty() {
            return self;
        }
        let of = |v4| {
            merged(
                networks
                    .iter()
                    .filter(|n| n.address().is_ipv4() == v4)
                    .map(Range::network)
                    .collect(),
            )
        };
        self.fields.insert(four, of(true));
        self.fields.insert(six, of(false));
        // A family of which no network is left is not meant at all.
        let present = |region: &Self, family: [Field; 2]| {
            family
                .iter()
                .all(|f| !region.ranges(*f).is_some_and(<[Range]>::is_empty))
        };
        let families = [
            present(&self, [Field::Source4, Field::Destination4]).then_some(IPV4),
            present(&self, [Field::Source6, Field::Destination6]).then_some(IPV6),
        ];
        if families.contains(&None) {
            self.fields
                .insert(Field::Family, families.into_iter().flatten().map(Range::one).collect());
        }
        self
    }
}

/// Whether a field can decide for packets of IPv6 (`six`) or IPv4.
pub(crate) const fn is_of_family(field: Field, six: bool) -> bool {
    match field {
        Field::Source4 | Field::Destination4 => !six,
        Field::Source6 | Field::Destination6 | Field::HopLimit6 => six,
        _ => true,
    }
}

/// The same values in disjoint ranges, in order; ranges that touch become one.
pub(crate) fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort();
    let mut disjoint: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match disjoint.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(1) => last.end = last.end.max(range.end),
            _ => disjoint.push(range),
        }
    }
    disjoint
}
