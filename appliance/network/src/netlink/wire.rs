//! Netlink messages and attributes as bytes (linux/netlink.h, linux/netfilter/nfnetlink.h).
//!
//! Headers are in the machine's byte order, nf_tables' numbers in network order. Lengths are 16 bits for an attribute and 32 for a
//! message, both counted with their headers and padded to four bytes.

/// `NLA_F_NESTED`: the attribute holds attributes.
const NESTED: u16 = 0x8000;
/// `NLA_TYPE_MASK`: what remains of an attribute's type without its flags.
const TYPE_MASK: u16 = 0x3fff;
const MESSAGE_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

/// Why bytes are not netlink.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WireError {
    /// An attribute or a message to be sent is longer than its length field can say.
    #[error("a netlink attribute of {0} bytes does not fit its length field")]
    TooLong(usize),
    /// A length field that is shorter than its header or longer than what was received.
    #[error("the kernel's reply has a length of {length} where {available} bytes are left")]
    Length {
        /// What the field says.
        length: usize,
        /// What there is.
        available: usize,
    },
    /// A value of the wrong size, or one that is missing.
    #[error("the kernel's reply lacks {0} or has it in a wrong size")]
    Value(&'static str),
}

/// The attributes of a message being written.
#[derive(Debug, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    too_long: Option<usize>,
}

impl Body {
    /// Raw bytes, for a family's fixed header before the first attribute. They must be a multiple of four.
    pub(crate) fn header(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = ATTRIBUTE_HEADER + value.len();
        let Ok(field) = u16::try_from(length) else {
            self.too_long = Some(length);
            return;
        };
        self.bytes.extend_from_slice(&field.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        pad(&mut self.bytes);
    }

    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.attribute(kind, &value);
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// An attribute that holds what `fill` writes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.nest_of(kind, &inner);
    }

    /// An attribute that holds what was written elsewhere.
    pub(crate) fn nest_of(&mut self, kind: u16, inner: &Self) {
        self.too_long = self.too_long.or(inner.too_long);
        self.attribute(kind | NESTED, &inner.bytes);
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the message to `out`, its header first.
    pub(crate) fn finish(&self, out: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32) -> Result<(), WireError> {
        if let Some(length) = self.too_long {
            return Err(WireError::TooLong(length));
        }
        let length = MESSAGE_HEADER + self.bytes.len();
        let field = u32::try_from(length).map_err(|_| WireError::TooLong(length))?;
        out.extend_from_slice(&field.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.bytes);
        Ok(())
    }
}

/// A message received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of a datagram, each with its length checked; ends after the first error.
#[derive(Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let available = self.0.len();
        let rest = std::mem::take(&mut self.0);
        let Some((header, _)) = rest.split_first_chunk::<MESSAGE_HEADER>() else {
            return Some(Err(WireError::Length {
                length: MESSAGE_HEADER,
                available,
            }));
        };
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let Some(payload) = rest.get(MESSAGE_HEADER..length) else {
            return Some(Err(WireError::Length { length, available }));
        };
        self.0 = rest.get(padded(length)..).unwrap_or_default();
        Some(Ok(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            payload,
        }))
    }
}

/// The attributes in a payload: type without flags, value. Ends after the first error.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the first attribute of a type; `None` where there is none.
    pub(crate) fn find(&self, kind: u16) -> Result<Option<&'a [u8]>, WireError> {
        for attribute in self.clone() {
            let (found, value) = attribute?;
            if found == kind {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// A text, without its terminator.
    pub(crate) fn text(&self, kind: u16, what: &'static str) -> Result<&'a str, WireError> {
        let value = self.find(kind)?.ok_or(WireError::Value(what))?;
        let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(value).map_err(|_| WireError::Value(what))
    }

    /// A number of 32 bits in network order, where there is one.
    pub(crate) fn be32(&self, kind: u16, what: &'static str) -> Result<Option<u32>, WireError> {
        let Some(value) = self.find(kind)? else { return Ok(None) };
        value
            .try_into()
            .map(|bytes| Some(u32::from_be_bytes(bytes)))
            .map_err(|_| WireError::Value(what))
    }

    /// A number of 64 bits in network order, where there is one.
    pub(crate) fn be64(&self, kind: u16, what: &'static str) -> Result<Option<u64>, WireError> {
        let Some(value) = self.find(kind)? else { return Ok(None) };
        value
            .try_into()
            .map(|bytes| Some(u64::from_be_bytes(bytes)))
            .map_err(|_| WireError::Value(what))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let available = self.0.len();
        let rest = std::mem::take(&mut self.0);
        let Some(([l0, l1, k0, k1], _)) = rest.split_first_chunk::<ATTRIBUTE_HEADER>() else {
            return Some(Err(WireError::Length {
                length: ATTRIBUTE_HEADER,
                available,
            }));
        };
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let Some(value) = rest.get(ATTRIBUTE_HEADER..length) else {
            return Some(Err(WireError::Length { length, available }));
        };
        self.0 = rest.get(padded(length)..).unwrap_or_default();
        Some(Ok((u16::from_ne_bytes([*k0, *k1]) & TYPE_MASK, value)))
    }
}

const fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(padded(bytes.len()), 0);
}

#[cfg(test)]
mod tests {
    use super::{Attributes, Body, Messages, WireError};
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn a_nest_too_long_for_its_length_field_is_refused() {
        let mut body = Body::default();
        body.nest(1, |inner| {
            for _ in 0..70 {
                inner.attribute(2, &[0; 1_000]);
            }
        });
        assert_eq!(
            body.finish(&mut Vec::new(), 0, 0, 0),
            Err(WireError::TooLong(70 * 1_004 + 4))
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            attributes in prop::collection::vec((0u16..0x3fff, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            kind: u16, flags: u16, sequence: u32,
        ) {
            let mut body = Body::default();
            for (kind, value) in &attributes {
                body.attribute(*kind, value);
            }
            let mut bytes = Vec::new();
            body.finish(&mut bytes, kind, flags, sequence).unwrap();
            body.finish(&mut bytes, kind, flags, sequence).unwrap();
            let messages: Vec<_> = Messages(&bytes).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(messages.len(), 2);
            for message in messages {
                prop_assert_eq!((message.kind, message.flags, message.sequence), (kind, flags, sequence));
                let read: Vec<_> = Attributes(message.payload).map(|a| a.map(|(k, v)| (k, v.to_vec()))).collect::<Result<_, _>>().unwrap();
                prop_assert_eq!(&read, &attributes);
            }
        }

        #[test]
        fn any_bytes_end_in_a_bounded_number_of_steps(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Messages(&bytes).count() <= bytes.len() / 16 + 1);
            prop_assert!(Attributes(&bytes).count() <= bytes.len() / 4 + 1);
            let _ = (Attributes(&bytes).find(1), Attributes(&bytes).text(1, "a name"), Attributes(&bytes).be32(1, "a number"));
        }
    }
}
