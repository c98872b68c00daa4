//! Changes as they stand in the journal: what is put where, what is deleted.

use super::tree::RecordKey;

/// One change of one record. Values are sealed already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Mutation {
    Put(RecordKey, Vec<u8>),
    Delete(RecordKey),
}

impl Mutation {
    /// Appends the journal's form: operation, length of the key, length of the value, key, value.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let (operation, key, value): (u8, _, &[u8]) = match self {
            Self::Put(key, value) => (PUT, key, value),
            Self::Delete(key) => (DELETE, key, &[]),
        };
        // Both lengths fit: a key has at most `RecordKey::LIMIT` bytes and the store refuses changes far below 4 GiB.
        to.push(operation);
        to.push(u8::try_from(key.bytes().len()).unwrap_or(u8::MAX));
        to.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        to.extend_from_slice(key.bytes());
        to.extend_from_slice(value);
    }

    /// Bytes of the journal's form.
    pub(crate) const fn encoded_len(&self) -> usize {
        6 + match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }

    /// Reads a frame's body; `None` where it is not a sequence of changes.
    pub(crate) fn decode_all(mut body: &[u8]) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        while !body.is_empty() {
            let (one, rest) = Self::decode(body)?;
            all.push(one);
            body = rest;
        }
        Some(all)
    }

    /// What can be read of a damaged frame's body, from its beginning.
    pub(crate) fn decode_some(mut body: &[u8]) -> Vec<Self> {
        let mut all = Vec::new();
        while let Some((one, rest)) = Self::decode(body) {
            all.push(one);
            body = rest;
        }
        all
    }

    fn decode(body: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = body.split_first_chunk::<6>()?;
        let [operation, key_length, length @ ..] = *head;
        let (key, rest) = rest.split_at_checked(usize::from(key_length))?;
        let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(length)).ok()?)?;
        let key = RecordKey::parse(key)?;
        let one = match operation {
            PUT => Self::Put(key, value.to_vec()),
            DELETE if value.is_empty() => Self::Delete(key),
            _ => return None,
        };
        Some((one, rest))
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
