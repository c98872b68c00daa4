//! Identifiers made by the appliance itself.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A configuration version's number: 1 for the first, each commit one more.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $type:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        pub struct $type(pub [u8; $bytes]);

        impl $type {
            /// Parses the hexadecimal form that `Display` prints; `None` where it is anything else.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.as_bytes();
                if digits.len() != 2 * $bytes {
                    return None;
                }
                let mut bytes = [0; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let [high, low] = pair else { return None };
                    let high = char::from(*high).to_digit(16)?;
                    let low = char::from(*low).to_digit(16)?;
                    *byte = u8::try_from(high << 4 | low).ok()?;
                }
                Some(Self(bytes))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }
    };
}

hex_id!(
    /// What ties a refused or failed request's page to its entries in the log: random, and says nothing to a stranger.
    IncidentId, 8
);
hex_id!(
    /// A private key in the vault: the first half of the SHA-256 of its public key's `SubjectPublicKeyInfo`.
    KeyId, 16
);
hex_id!(
    /// A record of the vault that people point at: a session, an API key.
    RecordId, 8
);

#[cfg(test)]
mod tests {
    use super::IncidentId;

    #[test]
    fn an_identifier_reads_what_it_prints() {
        let id = IncidentId([0, 1, 0xab, 0xff, 4, 5, 6, 7]);
        assert_eq!(id.to_string(), "0001abff04050607");
        assert_eq!(IncidentId::parse(&id.to_string()), Some(id));
        assert_eq!(IncidentId::parse("0001abff0405060"), None);
        assert_eq!(IncidentId::parse("0001abff0405060g"), None);
    }
}
