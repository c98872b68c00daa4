//! Just enough DER (X.690) to write the signatures that firmware and kernel check.

pub(crate) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
pub(crate) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
pub(crate) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
pub(crate) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
pub(crate) const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// SPC_INDIRECT_DATA_OBJID and SPC_PE_IMAGE_DATAOBJ of "Windows Authenticode Portable Executable Signature Format".
pub(crate) const SPC_INDIRECT_DATA: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x04];
pub(crate) const SPC_PE_IMAGE_DATA: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f];

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// A value with its tag and length.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let long = length.to_be_bytes();
            let long: Vec<u8> = long.into_iter().skip_while(|byte| *byte == 0).collect();
            // At most eight bytes.
            bytes.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            bytes.extend(long);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(SEQUENCE, &parts.concat())
}

pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    value(SET, &parts.concat())
}

pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    value(0x06, content)
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    value(0x04, content)
}

pub(crate) fn small(number: u8) -> Vec<u8> {
    value(0x02, &[number])
}

/// A context-specific constructed value.
pub(crate) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    value(0xa0 | number, content)
}

/// An algorithm without parameters.
pub(crate) fn algorithm(identifier: &[u8]) -> Vec<u8> {
    sequence(&[&oid(identifier), &[0x05, 0x00]])
}

/// A value and what follows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
    pub(crate) rest: &'a [u8],
}

/// Splits the first value off.
pub(crate) fn split(bytes: &[u8]) -> Option<Element<'_>> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
        let length = length
            .iter()
            .try_fold(0_usize, |all, byte| all.checked_mul(256)?.checked_add((*byte).into()))?;
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some(Element {
        tag: *tag,
        content,
        whole,
        rest,
    })
}

#[cfg(test)]
mod tests {
    use super::{octets, split};

    #[test]
    fn long_and_short_lengths_go_there_and_back() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let bytes = [octets(&content), vec![1, 2]].concat();
            let found = split(&bytes).unwrap();
            assert_eq!(
                (found.tag, found.content, found.rest),
                (4, content.as_slice(), &[1, 2][..])
            );
            assert_eq!(found.whole.len() + 2, bytes.len());
        }
        assert!(split(&[4, 5, 1]).is_none());
    }
}
