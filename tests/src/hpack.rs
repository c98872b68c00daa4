//! As much of HPACK (RFC 7541) as an attacker needs: literals that say exactly what they are told to, and the status of a response.

/// A header block being written. Names and values are sent as they are, valid or not.
#[derive(Clone, Debug, Default)]
pub struct Block(pub Vec<u8>);

impl Block {
    /// A block of literals without indexing.
    #[must_use]
    pub fn of(fields: &[(&[u8], &[u8])]) -> Self {
        let mut block = Self::default();
        for (name, value) in fields {
            block.literal(name, value);
        }
        block
    }

    /// Appends a literal without indexing (section 6.2.2), no Huffman coding.
    pub fn literal(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        self.0.push(0x00);
        self.text(name).text(value)
    }

    /// Appends a literal that enters the dynamic table (section 6.2.1).
    pub fn indexed_literal(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        self.0.push(0x40);
        self.text(name).text(value)
    }

    /// Appends a reference to an entry (section 6.1); 62 is the newest of the dynamic table.
    pub fn reference(&mut self, index: usize) -> &mut Self {
        self.integer(0x80, 7, index)
    }

    /// Appends a change of the dynamic table's size (section 6.3).
    pub fn table_size(&mut self, size: usize) -> &mut Self {
        self.integer(0x20, 5, size)
    }

    fn text(&mut self, text: &[u8]) -> &mut Self {
        self.integer(0x00, 7, text.len());
        self.0.extend_from_slice(text);
        self
    }

    /// An integer with `bits` bits of the first byte (section 5.1).
    fn integer(&mut self, first: u8, bits: u32, mut value: usize) -> &mut Self {
        let most = (1_usize << bits) - 1;
        if value < most {
            self.0.push(first | u8::try_from(value).unwrap_or(0));
            return self;
        }
        self.0.push(first | u8::try_from(most).unwrap_or(0));
        value -= most;
        while value >= 0x80 {
            self.0.push(0x80 | u8::try_from(value & 0x7f).unwrap_or(0));
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
        self
    }
}

/// The status at the front of a response's block, for a peer that was told to use no dynamic table.
#[must_use]
pub fn status(mut block: &[u8]) -> Option<u16> {
    loop {
        let (first, rest) = block.split_first()?;
        match *first {
            // A change of the table's size comes first; sizes below 31 fit the byte.
            0x20..=0x3e => block = rest,
            0x88 => return Some(200),
            0x89 => return Some(204),
            0x8a => return Some(206),
            0x8b => return Some(304),
            0x8c => return Some(400),
            0x8d => return Some(404),
            0x8e => return Some(500),
            // A literal whose name is one of the entries 8 to 14.
            0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e => return literal_status(rest),
            _ => return None,
        }
    }
}

fn literal_status(text: &[u8]) -> Option<u16> {
    let (length, rest) = text.split_first()?;
    let digits = rest.get(..usize::from(length & 0x7f))?;
    if length & 0x80 == 0 {
        return std::str::from_utf8(digits).ok()?.parse().ok();
    }
    // The digits' Huffman codes (appendix B): 0 to 2 have five bits, 3 to 9 six.
    let bits = digits.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    let mut left = digits.len() * 8;
    let mut number = 0;
    for _ in 0..3 {
        let five = (bits >> left.checked_sub(5)?) & 0x1f;
        let digit = if five <= 2 {
            left -= 5;
            five
        } else {
            left = left.checked_sub(6)?;
            ((bits >> left) & 0x3f).checked_sub(0x19)? + 3
        };
        number = number * 10 + digit;
    }
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::{Block, status};

    #[test]
    fn integers_are_those_of_the_examples() {
        // RFC 7541 C.1.2: 1337 with a prefix of five bits.
        assert_eq!(Block::default().table_size(1_337).0, [0x3f, 0x9a, 0x0a]);
        assert_eq!(Block::default().table_size(10).0, [0x2a]);
        assert_eq!(Block::default().reference(62).0, [0xbe]);
    }

    #[test]
    fn literals_are_those_of_the_examples() {
        // RFC 7541 C.2.1, but here without a place in the static table.
        let block = Block::default()
            .indexed_literal(b"custom-key", b"custom-header")
            .0
            .clone();
        assert_eq!(block, b"\x40\x0acustom-key\x0dcustom-header");
    }

    #[test]
    fn statuses_are_read_with_and_without_huffman() {
        assert_eq!(status(&[0x20, 0x88]), Some(200));
        assert_eq!(status(b"\x08\x03421"), Some(421));
        // RFC 7541 C.6.1: "302" in Huffman coding.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        assert_eq!(status(&[0xbe]), None);
    }
}
