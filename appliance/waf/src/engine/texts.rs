//! The texts of one transaction: one buffer, each distinct text once, and what transformations made of it.
//!
//! Equal texts are one text, so a value that occurs in a parameter, a cookie and a header is transformed and looked at once. Nothing
//! is freed before the transaction ends; then all of it is, and the memory is kept for the next.

use std::{borrow::Cow, hash::BuildHasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::{
    bytes::ByteSet,
    transform::{Transformation, UnicodeMap},
};

/// A text of a transaction.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct TextId(u32);

impl TextId {
    /// The empty text.
    pub(crate) const EMPTY: Self = Self(0);

    /// Its number: texts are numbered from 0 without gaps.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Text {
    start: usize,
    end: usize,
    present: ByteSet,
}

/// All texts of a transaction.
#[derive(Debug)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    texts: Vec<Text>,
    /// For each text and each step of the rule set what the step made of it: the number of that text plus one, 0 for not known.
    made: Vec<u32>,
    steps: usize,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Texts {
    /// No texts but the empty one. `steps` is the number of transformations that the rule set uses.
    pub(crate) fn new(steps: usize) -> Self {
        let mut texts = Self {
            bytes: Vec::new(),
            texts: Vec::new(),
            made: Vec::new(),
            steps,
            table: HashTable::new(),
            hasher: RandomState::default(),
        };
        texts.clear(steps);
        texts
    }

    /// Forgets all texts but the empty one. Keeps memory for the next transaction, unless this one was unusually large.
    pub(crate) fn clear(&mut self, steps: usize) {
        const KEEP: usize = 1 << 20;
        self.steps = steps;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.texts.clear();
        self.texts.shrink_to(KEEP >> 6);
        self.made.clear();
        self.made.shrink_to(KEEP >> 2);
        self.table.clear();
        self.table.shrink_to(KEEP >> 6, |_| 0);
        self.intern(b"");
    }

    /// The bytes of a text.
    pub(crate) fn get(&self, id: TextId) -> &[u8] {
        self.texts
            .get(id.index())
            .and_then(|text| self.bytes.get(text.start..text.end))
            .unwrap_or_default()
    }

    /// How long a text is.
    pub(crate) fn length(&self, id: TextId) -> usize {
        self.texts.get(id.index()).map_or(0, |text| text.end - text.start)
    }

    /// Which bytes occur in a text.
    pub(crate) fn present(&self, id: TextId) -> ByteSet {
        self.texts.get(id.index()).map_or(ByteSet::EMPTY, |text| text.present)
    }

    /// Bytes of memory that the texts take at most: vectors grow to twice what is in them, the table to 16 bytes for each.
    pub(crate) fn memory(&self) -> usize {
        2 * (self.bytes.len() + size_of_val(self.texts.as_slice()) + size_of_val(self.made.as_slice()))
            + 16 * self.texts.len()
    }

    /// How many texts there are.
    pub(crate) fn count(&self) -> usize {
        self.texts.len()
    }

    /// The text with these bytes.
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> TextId {
        let hash = self.hasher.hash_one(bytes);
        if let Some(found) = self.find(hash, bytes) {
            return found;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.add(hash, start, ByteSet::of(bytes))
    }

    /// Appends bytes that become a text later, with [`Self::adopt`]. Nothing else may be added in between.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Where appended bytes will start.
    pub(crate) fn end(&self) -> usize {
        self.bytes.len()
    }

    /// Makes a text of what was appended since `start`.
    pub(crate) fn adopt(&mut self, start: usize) -> TextId {
        let bytes = self.bytes.get(start..).unwrap_or_default();
        let hash = self.hasher.hash_one(bytes);
        if let Some(found) = self.find(hash, bytes) {
            return found;
        }
        let present = ByteSet::of(bytes);
        self.add(hash, start, present)
    }

    /// The text of a number.
    pub(crate) fn number(&mut self, number: i64) -> TextId {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            if let (Some(digit), Ok(value)) = (digits.get_mut(at), u8::try_from(rest % 10)) {
                *digit = b'0' + value;
            }
            rest /= 10;
            if rest == 0 || at == 1 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            if let Some(sign) = digits.get_mut(at) {
                *sign = b'-';
            }
        }
        self.intern(digits.get(at..).unwrap_or_default())
    }

    /// What a step of the rule set makes of a text.
    pub(crate) fn transform(
        &mut self,
        id: TextId,
        step: usize,
        transformation: Transformation,
        unicode: Option<&UnicodeMap>,
    ) -> TextId {
        let slot = id.index() * self.steps + step;
        if let Some(known) = self.made.get(slot).copied()
            && known != 0
        {
            return TextId(known - 1);
        }
        let result = if transformation.leaves_alone(self.present(id)) {
            id
        } else {
            let value = self.get(id);
            let made = match unicode {
                Some(map) => transformation.apply_with_map(value, map),
                None => transformation.apply(value),
            };
            match made {
                Cow::Borrowed(same) if same.len() == value.len() => id,
                Cow::Borrowed(part) => {
                    let part = part.to_vec();
                    self.intern(&part)
                }
                Cow::Owned(made) => self.intern(&made),
            }
        };
        if let Some(known) = self.made.get_mut(slot) {
            *known = result.0 + 1;
        }
        result
    }

    fn find(&self, hash: u64, bytes: &[u8]) -> Option<TextId> {
        self.table
            .find(hash, |id| self.get(TextId(*id)) == bytes)
            .map(|id| TextId(*id))
    }

    fn add(&mut self, hash: u64, start: usize, present: ByteSet) -> TextId {
        // Each text takes more than 32 bytes, so memory ends long before the numbers do; if not, the last text stands for all.
        let id = u32::try_from(self.texts.len()).unwrap_or(u32::MAX - 1);
        self.texts.push(Text {
            start,
            end: self.bytes.len(),
            present,
        });
        self.made.resize(self.texts.len() * self.steps, 0);
        let Self {
            table,
            texts,
            bytes,
            hasher,
            ..
        } = self;
        table.insert_unique(hash, id, |id| {
            let text = texts.get(*id as usize);
            hasher.hash_one(
                text.and_then(|text| bytes.get(text.start..text.end))
                    .unwrap_or_default(),
            )
        });
        TextId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_text() {
        let mut texts = Texts::new(0);
        let a = texts.intern(b"abc");
        assert_eq!(texts.intern(b"abc"), a);
        assert_ne!(texts.intern(b"abd"), a);
        assert_eq!(texts.get(a), b"abc");
        assert_eq!(texts.intern(b""), TextId::EMPTY);
        let start = texts.end();
        texts.append(b"ab");
        texts.append(b"c");
        assert_eq!(texts.adopt(start), a);
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        let mut texts = Texts::new(0);
        for number in [0, 7, -1, 10, i64::MAX, i64::MIN, -120] {
            let id = texts.number(number);
            assert_eq!(texts.get(id), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_transformation_is_applied_once() {
        let mut texts = Texts::new(1);
        let upper = texts.intern(b"ABC");
        let lower = texts.transform(upper, 0, Transformation::Lowercase, None);
        assert_eq!(texts.get(lower), b"abc");
        let count = texts.count();
        assert_eq!(texts.transform(upper, 0, Transformation::Lowercase, None), lower);
        assert_eq!(texts.transform(lower, 0, Transformation::Lowercase, None), lower);
        assert_eq!(texts.count(), count);
    }
}
