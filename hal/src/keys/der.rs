//! The few forms of DER (X.690) that key devices need: integers of RSA keys and of ECDSA signatures.
//!
//! Bounds: a length takes at most two bytes (64 KiB), so nothing nested or long is followed; what is not in the shortest form is
//! refused, as DER demands.

use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// `rsaEncryption` with its NULL parameter (RFC 3279 section 2.3.1).
const RSA_ENCRYPTION: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// Reads one value after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the next value, which must have this tag.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match *first {
            short @ 0..=0x7f => (usize::from(short), rest),
            0x81 => {
                let (one, rest) = rest.split_first()?;
                (usize::from(*one), rest)
            }
            0x82 => {
                let (two, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*two)), rest)
            }
            _ => return None,
        };
        let shortest = match *first {
            0x81 => length >= 0x80,
            0x82 => length >= 0x100,
            _ => true,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (*found == tag && shortest).then_some(content)
    }

    /// The next value as an unsigned integer without leading zeros.
    fn unsigned(&mut self) -> Option<&'a [u8]> {
        let content = self.value(INTEGER)?;
        match content {
            [] => None,
            [0, second, ..] if *second < 0x80 => None,
            [0, rest @ ..] => Some(rest),
            [first, ..] if *first >= 0x80 => None,
            whole => Some(whole),
        }
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// The numbers of an RSA private key (RFC 8017 section A.1.2), big-endian without leading zeros.
pub(crate) struct RsaPrivate {
    pub(crate) modulus: Vec<u8>,
    pub(crate) public_exponent: Vec<u8>,
    pub(crate) private_exponent: Zeroizing<Vec<u8>>,
    pub(crate) prime_1: Zeroizing<Vec<u8>>,
    pub(crate) prime_2: Zeroizing<Vec<u8>>,
    pub(crate) exponent_1: Zeroizing<Vec<u8>>,
    pub(crate) exponent_2: Zeroizing<Vec<u8>>,
    pub(crate) coefficient: Zeroizing<Vec<u8>>,
}

impl RsaPrivate {
    /// Reads the numbers from PKCS#8. Whether they belong together is for the cryptographic library to check.
    pub(crate) fn parse(pkcs8: &[u8]) -> Option<Self> {
        let mut whole = Reader(pkcs8);
        let mut info = Reader(whole.value(SEQUENCE)?);
        whole.end()?;
        info.value(INTEGER)?;
        info.value(SEQUENCE)?;
        let mut key = Reader(info.value(OCTET_STRING)?);
        let mut numbers = Reader(key.value(SEQUENCE)?);
        key.end()?;
        // Version 0: two primes.
        if numbers.value(INTEGER)? != [0] {
            return None;
        }
        let modulus = numbers.unsigned()?.to_vec();
        let public_exponent = numbers.unsigned()?.to_vec();
        let mut secret = || numbers.unsigned().map(|bytes| Zeroizing::new(bytes.to_vec()));
        let private_exponent = secret()?;
        let prime_1 = secret()?;
        let prime_2 = secret()?;
        let exponent_1 = secret()?;
        let exponent_2 = secret()?;
        let coefficient = secret()?;
        numbers.end()?;
        Some(Self {
            modulus,
            public_exponent,
            private_exponent,
            prime_1,
            prime_2,
            exponent_1,
            exponent_2,
            coefficient,
        })
    }
}

/// `RSAPublicKey` (RFC 8017 section A.1.1).
pub(crate) fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    wrap(SEQUENCE, &[integer(modulus), integer(exponent)].concat())
}

/// Modulus and exponent of an `RSAPublicKey`.
pub(crate) fn rsa_numbers(public: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut whole = Reader(public);
    let mut numbers = Reader(whole.value(SEQUENCE)?);
    whole.end()?;
    let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
    numbers.end()?;
    Some((modulus, exponent))
}

/// The `SubjectPublicKeyInfo` around an `RSAPublicKey`.
pub(crate) fn rsa_spki(public: &[u8]) -> Vec<u8> {
    let bits = wrap(BIT_STRING, &[&[0], public].concat());
    wrap(SEQUENCE, &[&RSA_ENCRYPTION, bits.as_slice()].concat())
}

/// An ECDSA signature (RFC 3279 section 2.2.3) from its two numbers.
pub(crate) fn ecdsa_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    wrap(SEQUENCE, &[integer(r), integer(s)].concat())
}

/// The two numbers of an ECDSA signature, each padded to `size` bytes, one after the other.
pub(crate) fn ecdsa_numbers(signature: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut whole = Reader(signature);
    let mut numbers = Reader(whole.value(SEQUENCE)?);
    whole.end()?;
    let mut both = vec![0; 2 * size];
    let (r, s) = both.split_at_mut(size);
    for half in [r, s] {
        let number = numbers.unsigned()?;
        let start = size.checked_sub(number.len())?;
        half.get_mut(start..)?.copy_from_slice(number);
    }
    numbers.end()?;
    Some(both)
}

/// The content of an OCTET STRING that is all there is.
pub(crate) fn octets(value: &[u8]) -> Option<&[u8]> {
    let mut whole = Reader(value);
    let content = whole.value(OCTET_STRING)?;
    whole.end()?;
    Some(content)
}

fn integer(unsigned: &[u8]) -> Vec<u8> {
    let start = unsigned.iter().position(|byte| *byte != 0).unwrap_or(unsigned.len());
    let digits = unsigned.get(start..).unwrap_or_default();
    // A leading zero keeps the number from being read as negative; zero itself is one zero byte.
    let zero: &[u8] = if digits.first().is_none_or(|first| *first >= 0x80) {
        &[0]
    } else {
        &[]
    };
    wrap(INTEGER, &[zero, digits].concat())
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let head: &[u8] = match content.len() {
        0..=0x7f => &[tag, low],
        0x80..=0xff => &[tag, 0x81, low],
        // Nothing here is longer than a key of a few kilobytes.
        _ => &[tag, 0x82, high, low],
    };
    [head, content].concat()
}

#[cfg(test)]
mod tests {
    use super::{
        OCTET_STRING, RsaPrivate, ecdsa_numbers, ecdsa_signature, octets, rsa_numbers, rsa_public, rsa_spki, wrap,
    };
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use proptest::prelude::{any, proptest};

    #[test]
    fn an_rsa_key_reads_as_the_library_wrote_it() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let numbers = RsaPrivate::parse(pkcs8.as_ref()).unwrap();
        assert_eq!(numbers.public_exponent, [1, 0, 1]);
        assert_eq!(
            (numbers.modulus.len(), numbers.private_exponent.len() <= 256),
            (256, true)
        );
        assert_eq!((numbers.prime_1.len(), numbers.prime_2.len()), (128, 128));
        assert!(numbers.exponent_1.len() <= 128 && numbers.exponent_2.len() <= 128 && numbers.coefficient.len() <= 128);
        let public = rsa_public(&numbers.modulus, &numbers.public_exponent);
        assert_eq!(public, pair.public_key().as_ref());
        assert_eq!(
            rsa_numbers(&public).unwrap(),
            (numbers.modulus.as_slice(), &[1, 0, 1][..])
        );
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        assert_eq!(rsa_spki(&public), spki.as_ref());
        for cut in 0..pkcs8.as_ref().len() {
            assert!(RsaPrivate::parse(&pkcs8.as_ref()[..cut]).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_in_the_shortest_form_is_refused() {
        for wrong in [
            &[0x30, 0x06, 0x02, 0x01, 0x80, 0x02, 0x01, 0x01][..],
            &[0x30, 0x07, 0x02, 0x02, 0x00, 0x01, 0x02, 0x01, 0x01],
            &[0x30, 0x81, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01],
            &[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01, 0x00],
        ] {
            assert_eq!(ecdsa_numbers(wrong, 32), None, "{wrong:02x?}");
        }
    }

    proptest! {
        #[test]
        fn a_signature_keeps_its_numbers(r: [u8; 32], s: [u8; 32]) {
            let both = ecdsa_numbers(&ecdsa_signature(&r, &s), 32);
            // A zero is no signature's number, but its form is sound.
            assert_eq!(both.unwrap(), [r, s].concat());
        }

        #[test]
        fn no_bytes_make_the_readers_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (RsaPrivate::parse(&bytes), rsa_numbers(&bytes), ecdsa_numbers(&bytes, 48));
            assert_eq!(octets(&wrap(OCTET_STRING, &bytes)), Some(bytes.as_slice()));
        }
    }
}
