//! Steps of a rule as nf_tables expressions.

use super::ruleset::{Field, NamedSet, Range, Step, Verdict};
use crate::netlink::{Batch, BatchMode, Body, Channel, ChannelError};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
/// `NFT_REG_VERDICT` and the first of the four registers of 16 bytes.
const REG_VERDICT: u32 = 0;
const REG_1: u32 = 1;
const NFT_META_IIFNAME: u32 = 6;
const NFT_META_OIFNAME: u32 = 7;
const NFT_META_NFPROTO: u32 = 15;
const NFT_META_L4PROTO: u32 = 16;
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
const NFT_CT_STATE: u32 = 0;
const NFT_CMP_EQ: u32 = 0;
const NFT_CMP_NEQ: u32 = 1;
const NFT_OBJECT_COUNTER: u32 = 1;
const NFT_REJECT_TCP_RST: u32 = 1;
const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
const NFT_REJECT_ICMPX_ADMIN_PROHIBITED: u8 = 3;
/// `NFT_LOGLEVEL_INFO`.
const LOG_LEVEL_INFO: u32 = 6;
pub(super) const NFPROTO_IPV4: u8 = 2;
pub(super) const NFPROTO_IPV6: u8 = 10;

/// A set that exists for one rule only, and that the rule's lookup names.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnonymousSet {
    /// Distinct within the transaction.
    pub(super) id: u32,
    /// The name that the kernel completes with a number.
    pub(super) name: &'static str,
}

/// Writes the expressions of one step. `set` is the anonymous set made for it, where it needs one.
pub(super) fn step(body: &mut Body, step: &Step, set: Option<AnonymousSet>) {
    match step {
        Step::In(field, ranges) => {
            load(body, *field);
            match (ranges.as_slice(), set) {
                ([Range { start, end }], _) if start == end => compare(body, NFT_CMP_EQ, &key(*start, field.width())),
                (_, Some(set)) => lookup(body, set.name, Some(set.id), false),
                // A single true range.
                (ranges, None) => ranges
                    .iter()
                    .for_each(|r| within(body, &key(r.start, field.width()), &key(r.end, field.width()))),
            }
        }
        Step::Listed(field, named) => {
            load(body, *field);
            lookup(body, named.name(), None, false);
        }
        Step::Dispatch(field, _) => {
            load(body, *field);
            if let Some(set) = set {
                lookup(body, set.name, Some(set.id), true);
            }
        }
        Step::State(bits) => connection_state(body, *bits),
        Step::Limit(rate) => expression(body, "limit", |data| {
            data.be64(1, (*rate).into());
            data.be64(2, 1);
            data.be32(3, *rate);
            data.be32(4, 0);
        }),
        Step::Log(prefix) => expression(body, "log", |data| {
            data.text(2, prefix);
            data.be32(5, LOG_LEVEL_INFO);
        }),
        Step::Count(name) => expression(body, "objref", |data| {
            data.be32(1, NFT_OBJECT_COUNTER);
            data.text(2, name);
        }),
        Step::Reset => expression(body, "reject", |data| {
            data.be32(1, NFT_REJECT_TCP_RST);
            data.attribute(2, &[0]);
        }),
        Step::Prohibit => expression(body, "reject", |data| {
            data.be32(1, NFT_REJECT_ICMPX_UNREACH);
            data.attribute(2, &[NFT_REJECT_ICMPX_ADMIN_PROHIBITED]);
        }),
        Step::Verdict(decided) => expression(body, "immediate", |data| {
            data.be32(1, REG_VERDICT);
            data.nest(2, |data| verdict(data, decided));
        }),
    }
}

/// Whether a step needs a set of its own.
pub(super) fn needs_set(step: &Step) -> bool {
    match step {
        Step::In(_, ranges) => ranges.len() != 1,
        Step::Dispatch(..) => true,
        _ => false,
    }
}

/// The bytes of a value in network order.
pub(super) fn key(value: u128, width: usize) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    bytes
        .get(bytes.len().saturating_sub(width)..)
        .unwrap_or_default()
        .to_vec()
}

pub(super) fn verdict(body: &mut Body, verdict: &Verdict) {
    const NFT_JUMP: i32 = -3;
    const NFT_GOTO: i32 = -4;
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
        Verdict::Goto(chain) => (NFT_GOTO, Some(chain)),
    };
    body.nest(NFTA_DATA_VERDICT, |body| {
        body.attribute(NFTA_VERDICT_CODE, &code.to_be_bytes());
        if let Some(chain) = chain {
            body.text(NFTA_VERDICT_CHAIN, chain);
        }
    });
}

pub(super) fn value(body: &mut Body, kind: u16, bytes: &[u8]) {
    body.nest(kind, |body| body.attribute(NFTA_DATA_VALUE, bytes));
}

fn expression(body: &mut Body, name: &str, data: impl FnOnce(&mut Body)) {
    body.nest(NFTA_LIST_ELEM, |element| {
        element.text(NFTA_EXPR_NAME, name);
        element.nest(NFTA_EXPR_DATA, data);
    });
}

/// Loads a field into register 1. A field of one address family first checks the family, so that the rule cannot read the other's header.
fn load(body: &mut Body, field: Field) {
    match field {
        Field::InputInterface => meta(body, NFT_META_IIFNAME),
        Field::OutputInterface => meta(body, NFT_META_OIFNAME),
        Field::Family => meta(body, NFT_META_NFPROTO),
        Field::Protocol => meta(body, NFT_META_L4PROTO),
        Field::DestinationPort => payload(body, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2),
        Field::IcmpType => payload(body, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1),
        Field::Source4 => network(body, NFPROTO_IPV4, 12, 4),
        Field::Destination4 => network(body, NFPROTO_IPV4, 16, 4),
        Field::Source6 => network(body, NFPROTO_IPV6, 8, 16),
        Field::Destination6 => network(body, NFPROTO_IPV6, 24, 16),
        Field::HopLimit6 => network(body, NFPROTO_IPV6, 7, 1),
    }
}

fn network(body: &mut Body, family: u8, offset: u32, length: u32) {
    meta(body, NFT_META_NFPROTO);
    compare(body, NFT_CMP_EQ, &[family]);
    payload(body, NFT_PAYLOAD_NETWORK_HEADER, offset, length);
}

fn meta(body: &mut Body, key: u32) {
    expression(body, "meta", |data| {
        data.be32(2, key);
        data.be32(1, REG_1);
    });
}

fn payload(body: &mut Body, base: u32, offset: u32, length: u32) {
    expression(body, "payload", |data| {
        data.be32(1, REG_1);
        data.be32(2, base);
        data.be32(3, offset);
        data.be32(4, length);
    });
}

fn compare(body: &mut Body, operation: u32, bytes: &[u8]) {
    expression(body, "cmp", |data| {
        data.be32(1, REG_1);
        data.be32(2, operation);
        value(data, 3, bytes);
    });
}

fn within(body: &mut Body, start: &[u8], end: &[u8]) {
    expression(body, "range", |data| {
        data.be32(1, REG_1);
        data.be32(2, 0);
        value(data, 3, start);
        value(data, 4, end);
    });
}

fn lookup(body: &mut Body, set: &str, id: Option<u32>, map: bool) {
    expression(body, "lookup", |data| {
        data.text(1, set);
        data.be32(2, REG_1);
        if map {
            data.be32(3, REG_VERDICT);
        }
        if let Some(id) = id {
            data.be32(4, id);
        }
    });
}

/// The state is a set of bits in the machine's byte order.
fn connection_state(body: &mut Body, bits: u32) {
    expression(body, "ct", |data| {
        data.be32(2, NFT_CT_STATE);
        data.be32(1, REG_1);
    });
    expression(body, "bitwise", |data| {
        data.be32(1, REG_1);
        data.be32(2, REG_1);
        data.be32(3, 4);
        value(data, 4, &bits.to_ne_bytes());
        value(data, 5, &[0; 4]);
    });
    compare(body, NFT_CMP_NEQ, &[0; 4]);
}

/// Asks the kernel for each kind of expression that a ruleset may need, without applying anything.
///
/// # Errors
/// Names the kinds that this kernel lacks.
pub(crate) fn probe(channel: &mut Channel) -> Result<(), ChannelError> {
    use super::ruleset::{Chain, Hook, Rule, Ruleset};

    let steps = [
        (
            "matching interfaces (meta)",
            Step::In(Field::InputInterface, vec![Range::one(1_u8)]),
        ),
        (
            "matching addresses (payload)",
            Step::In(Field::Source4, vec![Range::one(1_u8)]),
        ),
        (
            "matching port ranges (range)",
            Step::In(Field::DestinationPort, vec![Range::new(1, 2)]),
        ),
        (
            "sets of intervals",
            Step::In(Field::Source6, vec![Range::new(1, 2), Range::new(4, 5)]),
        ),
        (
            "blocklists (sets with expiry)",
            Step::Listed(Field::Source4, NamedSet::Blocked4),
        ),
        (
            "verdict maps",
            Step::Dispatch(Field::Protocol, vec![(Range::one(6_u8), Verdict::Accept)]),
        ),
        (
            "connection tracking (ct)",
            Step::State(super::ruleset::state::ESTABLISHED),
        ),
        ("rate limits (limit)", Step::Limit(1)),
        ("logging (log)", Step::Log("probe".into())),
        ("named counters (objref)", Step::Count("probe".into())),
        ("rejecting (reject)", Step::Prohibit),
    ];
    let rules = steps.map(|(comment, step)| Rule::new(format!("the kernel's support for {comment}"), [step]));
    let ruleset = Ruleset {
        counters: vec!["probe".into()],
        chains: vec![Chain {
            name: "probe".into(),
            hook: Some(Hook::Output),
            rules: rules.into(),
        }],
    };
    let mut batch = Batch::new();
    super::encode::replace(&mut batch, &ruleset, &super::Existing::default(), &[]);
    channel.transact(&batch, BatchMode::Check, None)
}
