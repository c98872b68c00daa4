//! The tables of words and fingerprints, from `libinjectionrs`, hashed for quick answers.

use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

use super::token::{Kind, TEXT};

/// The slots of the word table: a power of two, several times the words.
const SLOTS: usize = 1 << 13;

/// A word in capitals, padded with zeros; its kind; and its text.
type Word = ([u64; 4], Kind, &'static [u8]);

struct Tables {
    words: Vec<Word>,
    /// For each beginning of two bytes the lengths of the words that begin so, a bit each.
    lengths: Vec<u32>,
    /// The same for what stands before a blank in terms of several words.
    heads: Vec<u32>,
    /// The fingerprints in capitals, five bytes each, sorted.
    fingerprints: Vec<u64>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables {
        words: vec![([0; 4], Kind::None, &[]); SLOTS],
        lengths: vec![0; 1 << 10],
        heads: vec![0; 1 << 10],
        fingerprints: Vec::new(),
    };
    for keyword in SQL_KEYWORDS {
        let kind = Kind::of(keyword.token_type);
        let word = keyword.word.as_bytes();
        // A fingerprint is written as a word that starts with a zero, which no word of SQL does.
        if let (Kind::Fingerprint, [b'0', kinds @ ..]) = (kind, word) {
            tables.fingerprints.push(pack(kinds)[0]);
        } else if word.len() <= TEXT {
            tables.add(word, kind);
        }
    }
    tables.fingerprints.sort_unstable();
    tables
});

impl Tables {
    fn add(&mut self, word: &'static [u8], kind: Kind) {
        let key = pack(word);
        let mut slot = hash(&key);
        while self.words[slot].1 != Kind::None {
            slot = (slot + 1) % SLOTS;
        }
        self.words[slot] = (key, kind, word);
        self.lengths[beginning(word)] |= 1 << word.len();
        for (blank, _) in word.iter().enumerate().filter(|(_, byte)| **byte == b' ') {
            self.heads[beginning(word)] |= 1 << blank;
        }
    }
}

/// A number for the first two bytes, whatever their case.
fn beginning(word: &[u8]) -> usize {
    match word {
        [first, second, ..] => usize::from(first & 31) << 5 | usize::from(second & 31),
        [first] => usize::from(first & 31) << 5,
        [] => 0,
    }
}

/// The text in capitals, padded with zeros. At most [`TEXT`] bytes.
fn pack(text: &[u8]) -> [u64; 4] {
    let mut bytes = [0_u8; 32];
    for (place, byte) in bytes.iter_mut().zip(text) {
        *place = byte.to_ascii_uppercase();
    }
    let mut key = [0; 4];
    for (word, chunk) in key.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    key
}

fn hash(key: &[u64; 4]) -> usize {
    let mixed = key.iter().fold(0_u64, |hash, word| {
        (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 32) as usize % SLOTS
}

/// A word that is in the table: its kind, and its text in capitals.
pub(super) fn find(word: &[u8]) -> Option<(Kind, &'static [u8])> {
    let tables = &*TABLES;
    if word.is_empty() || word.len() > TEXT || tables.lengths[beginning(word)] & 1 << word.len() == 0 {
        return None;
    }
    // A NUL would vanish in the padding.
    if word.contains(&0) {
        return None;
    }
    let key = pack(word);
    let mut slot = hash(&key);
    loop {
        match tables.words[slot] {
            (_, Kind::None, _) => return None,
            (other, kind, text) if other == key => return Some((kind, text)),
            _ => slot = (slot + 1) % SLOTS,
        }
    }
}

/// The kind of a word; none for one that is in no table.
pub(super) fn kind(word: &[u8]) -> Option<Kind> {
    find(word).map(|(kind, _)| kind)
}

/// A term of two words: its kind, and its text in capitals.
pub(super) fn find_term(first: &[u8], second: &[u8]) -> Option<(Kind, &'static [u8])> {
    let length = first.len() + 1 + second.len();
    if length > TEXT || TABLES.heads[beginning(first)] & 1 << first.len() == 0 {
        return None;
    }
    let mut term = [b' '; TEXT];
    term[..first.len()].copy_from_slice(first);
    term[first.len() + 1..length].copy_from_slice(second);
    find(&term[..length])
}

/// Whether the fingerprint is one of injections.
pub(super) fn is_injection(fingerprint: &[u8]) -> bool {
    !fingerprint.is_empty() && TABLES.fingerprints.binary_search(&pack(fingerprint)[0]).is_ok()
}
