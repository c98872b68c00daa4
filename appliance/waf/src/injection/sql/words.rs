//! The tables of words and fingerprints, from `libinjectionrs`, hashed for quick answers.

use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;

use super::token::{Kind, TEXT};

/// The slots of the word table: a power of two, several times the words.
const SLOTS: usize = 1 << 13;

/// A word in capitals, padded with zeros, and its kind.
type Word = ([u64; 4], Kind);

struct Tables {
    words: Vec<Word>,
    /// The fingerprints in capitals, five bytes each, sorted.
    fingerprints: Vec<u64>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut words = vec![([0; 4], Kind::None); SLOTS];
    let mut fingerprints = Vec::new();
    for keyword in SQL_KEYWORDS {
        let kind = Kind::of(keyword.token_type);
        // A fingerprint is written as a word that starts with a zero, which no word of SQL does.
        if let (Kind::Fingerprint, Some(kinds)) = (kind, keyword.word.strip_prefix('0')) {
            fingerprints.push(pack(kinds.as_bytes())[0]);
        } else if keyword.word.len() <= TEXT {
            let key = pack(keyword.word.as_bytes());
            let mut slot = hash(&key);
            while words[slot].1 != Kind::None {
                slot = (slot + 1) % SLOTS;
            }
            words[slot] = (key, kind);
        }
    }
    fingerprints.sort_unstable();
    Tables { words, fingerprints }
});

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

/// The kind of a word; none for one that is in no table.
pub(super) fn kind(word: &[u8]) -> Option<Kind> {
    // A NUL would vanish in the padding.
    if word.is_empty() || word.len() > TEXT || word.contains(&0) {
        return None;
    }
    let key = pack(word);
    let words = &TABLES.words;
    let mut slot = hash(&key);
    loop {
        match words[slot] {
            (_, Kind::None) => return None,
            (other, kind) if other == key => return Some(kind),
            _ => slot = (slot + 1) % SLOTS,
        }
    }
}

/// Whether the fingerprint is one of injections.
pub(super) fn is_injection(fingerprint: &[u8]) -> bool {
    !fingerprint.is_empty() && TABLES.fingerprints.binary_search(&pack(fingerprint)[0]).is_ok()
}
