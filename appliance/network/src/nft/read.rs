//! What the kernel says that our table holds.

use super::{
    TABLE,
    encode::Existing,
    ruleset::{Hook, NamedSet, Range},
};
use crate::netlink::{Attributes, Channel, ChannelError, Message, NF_TABLES_HEADER, WireError, nf_tables};

const GETCHAIN: u8 = 4;
const GETSET: u8 = 10;
const GETSETELEM: u8 = 13;
const GETGEN: u8 = 16;
const GETOBJ: u8 = 19;
const NFT_OBJECT_COUNTER: u32 = 1;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;

/// A named counter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CounterValue {
    pub(crate) name: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// An interval of a named set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Element {
    pub(crate) range: Range,
    /// Milliseconds until it goes; `None`: it stays.
    pub(crate) left: Option<u64>,
    pub(crate) comment: String,
}

/// The number of the kernel's ruleset: any change by anybody makes it another.
pub(crate) fn generation(channel: &mut Channel) -> Result<u32, ChannelError> {
    channel.query(
        nf_tables(GETGEN),
        |body| body.header(&NF_TABLES_HEADER),
        |message| {
            attributes(message)
                .be32(1, "a generation")?
                .ok_or(WireError::Value("a generation"))
        },
    )
}

/// What our table holds; incomplete where it is missing or has lost a blocklist.
pub(crate) fn existing(channel: &mut Channel) -> Result<Existing, ChannelError> {
    let chains = list(channel, GETCHAIN, |attributes| {
        Ok(Some((
            attributes.text(3, "a chain's name")?.to_owned(),
            attributes.find(4)?.is_some(),
        )))
    })?;
    let sets = list(channel, GETSET, |attributes| {
        Ok(Some(attributes.text(2, "a set's name")?.to_owned()))
    })?;
    let counters = counters(channel)?;
    let complete = Hook::ALL
        .iter()
        .all(|hook| chains.iter().any(|(name, at_hook)| *at_hook && name == hook.name()))
        && NamedSet::ALL
            .iter()
            .all(|set| sets.iter().any(|name| name == set.name()));
    Ok(Existing {
        chains,
        counters,
        complete,
    })
}

/// Our named counters.
pub(crate) fn counters(channel: &mut Channel) -> Result<Vec<CounterValue>, ChannelError> {
    list(channel, GETOBJ, |attributes| {
        if attributes.be32(3, "an object's type")? != Some(NFT_OBJECT_COUNTER) {
            return Ok(None);
        }
        let data = Attributes(attributes.find(4)?.unwrap_or_default());
        Ok(Some(CounterValue {
            name: attributes.text(2, "a counter's name")?.to_owned(),
            bytes: data.be64(1, "a counter")?.unwrap_or(0),
            packets: data.be64(2, "a counter")?.unwrap_or(0),
        }))
    })
}

/// The intervals of a blocklist, in order.
pub(crate) fn elements(channel: &mut Channel, set: NamedSet) -> Result<Vec<Element>, ChannelError> {
    let points = std::cell::RefCell::new(Vec::new());
    channel.dump(
        nf_tables(GETSETELEM),
        |body| {
            body.header(&NF_TABLES_HEADER);
            body.text(1, TABLE);
            body.text(2, set.name());
        },
        |message| {
            for element in Attributes(attributes(message).find(3)?.unwrap_or_default()) {
                points.borrow_mut().push(point(&Attributes(element?.1), set.width())?);
            }
            Ok(())
        },
        || points.borrow_mut().clear(),
    )?;
    Ok(intervals(points.into_inner(), set))
}

/// One end of an interval, as the kernel keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Point {
    key: u128,
    end: bool,
    left: Option<u64>,
    comment: String,
}

fn point(attributes: &Attributes<'_>, width: usize) -> Result<Point, WireError> {
    let key = Attributes(attributes.find(1)?.ok_or(WireError::Value("an element's key"))?);
    let key = key
        .find(1)?
        .filter(|key| key.len() == width)
        .ok_or(WireError::Value("an element's key"))?;
    let key = key.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let flags = attributes.be32(3, "an element's flags")?.unwrap_or(0);
    Ok(Point {
        key,
        end: flags & NFT_SET_ELEM_INTERVAL_END != 0,
        left: attributes.be64(5, "an element's expiry")?,
        comment: comment(attributes.find(6)?.unwrap_or_default()),
    })
}

/// The text in user data as `nft` and we write it; foreign data reads as nothing.
fn comment(userdata: &[u8]) -> String {
    match userdata {
        [0, _, text @ ..] => {
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        }
        _ => String::new(),
    }
}

fn intervals(mut points: Vec<Point>, set: NamedSet) -> Vec<Element> {
    // An end comes before a start at the same address: intervals may touch.
    points.sort_by_key(|point| (point.key, !point.end));
    let greatest = if set == NamedSet::Blocked4 {
        u32::MAX.into()
    } else {
        u128::MAX
    };
    let mut elements = Vec::new();
    let mut open: Option<Point> = None;
    for point in points {
        if let Some(start) = open.take() {
            let range = Range::new(start.key, point.key.saturating_sub(1));
            elements.push(Element {
                range,
                left: start.left,
                comment: start.comment,
            });
        }
        if !point.end {
            open = Some(point);
        }
    }
    if let Some(start) = open {
        elements.push(Element {
            range: Range::new(start.key, greatest),
            left: start.left,
            comment: start.comment,
        });
    }
    elements
}

fn attributes(message: Message<'_>) -> Attributes<'_> {
    Attributes(message.payload.get(NF_TABLES_HEADER.len()..).unwrap_or_default())
}

/// What a dump says about our table; the kernel's filter by table is not relied on.
fn list<T>(
    channel: &mut Channel,
    kind: u8,
    read: impl Fn(&Attributes<'_>) -> Result<Option<T>, WireError>,
) -> Result<Vec<T>, ChannelError> {
    let found = std::cell::RefCell::new(Vec::new());
    channel.dump(
        nf_tables(kind),
        |body| {
            body.header(&NF_TABLES_HEADER);
            body.text(1, TABLE);
        },
        |message| {
            let attributes = attributes(message);
            if attributes.text(1, "a table's name")? == TABLE {
                found.borrow_mut().extend(read(&attributes)?);
            }
            Ok(())
        },
        || found.borrow_mut().clear(),
    )?;
    Ok(found.into_inner())
}

#[cfg(test)]
mod tests {
    use super::{Element, Point, comment, intervals, point};
    use crate::netlink::Attributes;
    use crate::nft::{NamedSet, Range};
    use proptest::prelude::{any, prop, proptest};

    fn at(key: u128, end: bool) -> Point {
        Point {
            key,
            end,
            left: None,
            comment: String::new(),
        }
    }

    fn ranges(points: Vec<Point>) -> Vec<Range> {
        intervals(points, NamedSet::Blocked4)
            .into_iter()
            .map(|Element { range, .. }| range)
            .collect()
    }

    #[test]
    fn touching_intervals_and_the_last_address_are_read() {
        let points = vec![
            at(9, true),
            at(5, false),
            at(7, false),
            at(7, true),
            at(0, true),
            at(0xffff_ff00, false),
        ];
        assert_eq!(
            ranges(points),
            [Range::new(5, 6), Range::new(7, 8), Range::new(0xffff_ff00, 0xffff_ffff)]
        );
    }

    #[test]
    fn foreign_user_data_reads_as_no_comment() {
        assert_eq!(comment(&[0, 3, b'h', b'i', 0]), "hi");
        assert_eq!(comment(&[7, 1, 0]), "");
        assert_eq!(comment(&[]), "");
    }

    proptest! {
        #[test]
        fn no_element_of_the_kernel_can_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            drop(point(&Attributes(&bytes), 4));
        }
    }
}
