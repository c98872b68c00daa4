//! `/run/redan/boot`: what the first program tells the supervisor. Lines of `key=value`, every key once.
//!
//! The file is made before the supervisor starts and never changed by the first program afterwards; whoever opens the data
//! partition later (with the recovery key) replaces it as a whole.

use crate::Version;
use std::fmt;
use std::str::FromStr;

/// Where it is.
pub const PATH: &str = "/run/redan/boot";
/// Where the recovery key is, for as long as nobody has acknowledged having written it down: one line.
pub const RECOVERY: &str = "/run/redan/recovery";
/// Where the trailer of the slot that runs is, as it stands on the disk: the approvals are for whoever seals.
pub const TRAILER: &str = "/run/redan/trailer";
/// Where the maker's key is that approvals are checked with: P-256, 65 bytes, uncompressed.
pub const APPROVER: &str = "/run/redan/approver";

/// What the first program found and did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// The slot that runs.
    pub slot: Slot,
    /// The disk with the slots, as the kernel calls it, e.g. `vda`.
    pub disk: String,
    /// The device of the other slot; empty where there is none.
    pub other_slot: String,
    /// The device of the firmware's system partition; empty where there is none.
    pub esp: String,
    /// The image's version.
    pub version: Version,
    /// The image's security version.
    pub security: u32,
    /// The root hash, in hexadecimal.
    pub root: String,
    /// The data partition.
    pub data: Data,
    /// Milliseconds from the start of the kernel to the start of the first program, and to the end of its work.
    pub times: (u64, u64),
}

/// One of the two slots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

/// How the data partition is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// It was made at this start; [`RECOVERY`] has its recovery key.
    New,
    /// The TPM opened it.
    Opened,
    /// The recovery key opened it.
    Recovered,
    /// It is closed, for this reason.
    Locked(String),
}

/// The file is not as the first program writes it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("/run/redan/boot has no usable line for {0}")]
pub struct FactsError(pub &'static str);

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data, reason) = match &self.data {
            Data::New => ("new", ""),
            Data::Opened => ("tpm", ""),
            Data::Recovered => ("recovery", ""),
            Data::Locked(reason) => ("locked", reason.as_str()),
        };
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(f, "slot={}", self.slot)?;
        writeln!(f, "disk={}", self.disk)?;
        writeln!(f, "other-slot={}", self.other_slot)?;
        writeln!(f, "esp={}", self.esp)?;
        writeln!(f, "version={}", self.version)?;
        writeln!(f, "security-version={}", self.security)?;
        writeln!(f, "root-hash={}", self.root)?;
        writeln!(f, "data={data}")?;
        writeln!(f, "data-reason={reason}")?;
        writeln!(f, "began={}", self.times.0)?;
        writeln!(f, "ended={}", self.times.1)
    }
}

impl FromStr for Facts {
    type Err = FactsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = |key: &'static str| {
            let mut lines = text
                .lines()
                .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            match (lines.next(), lines.next()) {
                (Some(value), None) => Ok(value),
                _ => Err(FactsError(key)),
            }
        };
        let number = |key| value(key)?.parse::<u64>().map_err(|_| FactsError(key));
        Ok(Self {
            slot: match value("slot")? {
                "a" => Slot::A,
                "b" => Slot::B,
                _ => return Err(FactsError("slot")),
            },
            disk: value("disk")?.to_owned(),
            other_slot: value("other-slot")?.to_owned(),
            esp: value("esp")?.to_owned(),
            version: Version::parse(value("version")?).map_err(|_| FactsError("version"))?,
            security: value("security-version")?
                .parse()
                .map_err(|_| FactsError("security-version"))?,
            root: value("root-hash")?.to_owned(),
            data: match value("data")? {
                "new" => Data::New,
                "tpm" => Data::Opened,
                "recovery" => Data::Recovered,
                "locked" => Data::Locked(value("data-reason")?.to_owned()),
                _ => return Err(FactsError("data")),
            },
            times: (number("began")?, number("ended")?),
        })
    }
}

impl Slot {
    /// The other one, which an update is written to.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Data, Facts, FactsError, Slot};
    use crate::Version;

    fn facts(data: Data) -> Facts {
        Facts {
            slot: Slot::B,
            disk: "vda".to_owned(),
            other_slot: "/dev/vda2".to_owned(),
            esp: String::new(),
            version: Version {
                major: 0,
                minor: 1,
                patch: 0,
            },
            security: 1,
            root: "ab".repeat(32),
            data,
            times: (2_000, 2_900),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for data in [
            Data::New,
            Data::Opened,
            Data::Recovered,
            Data::Locked("PCR 7 differs".to_owned()),
        ] {
            let facts = facts(data);
            assert_eq!(facts.to_string().parse(), Ok(facts));
        }
    }

    #[test]
    fn a_reason_cannot_add_a_line() {
        let facts = facts(Data::Locked("why\nslot=a".to_owned()));
        let read: Facts = facts.to_string().parse().unwrap();
        assert_eq!(read.slot, Slot::B);
        assert_eq!(read.data, Data::Locked("why slot=a".to_owned()));
    }

    #[test]
    fn a_line_that_stands_twice_counts_as_none() {
        let text = format!("{}slot=a\n", facts(Data::New));
        assert_eq!(text.parse::<Facts>(), Err(FactsError("slot")));
    }
}
