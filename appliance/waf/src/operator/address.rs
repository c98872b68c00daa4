//! Lists of addresses and networks.

use std::net::IpAddr;

use super::OperatorError;

/// Ranges of addresses, apart by family: an IPv4 address is not the IPv6 address that it could be mapped to.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    four: Vec<(u32, u32)>,
    six: Vec<(u128, u128)>,
}

impl Addresses {
    /// Reads a list separated by commas.
    pub(super) fn parse(argument: &[u8], operator: &'static str) -> Result<Self, OperatorError> {
        let mut addresses = Self::default();
        for word in String::from_utf8_lossy(argument).split(',') {
            addresses.add(word.trim(), operator)?;
        }
        Ok(addresses.sorted())
    }

    /// Reads a file: an address a line, or several with commas; `#` starts a comment.
    pub(super) fn add_file(&mut self, content: &[u8], operator: &'static str) -> Result<(), OperatorError> {
        for line in String::from_utf8_lossy(content).lines() {
            let line = line.split('#').next().unwrap_or_default();
            for word in line
                .split([',', ' ', '\t'])
                .map(str::trim)
                .filter(|word| !word.is_empty())
            {
                self.add(word, operator)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, word: &str, operator: &'static str) -> Result<(), OperatorError> {
        let malformed = || OperatorError::Address {
            operator,
            word: word.to_owned(),
        };
        let (address, prefix) = match word.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().map_err(|_| malformed())?)),
            None => (word, None),
        };
        match address.parse().map_err(|_| malformed())? {
            IpAddr::V4(address) => {
                let prefix = prefix.unwrap_or(32);
                if prefix > 32 {
                    return Err(malformed());
                }
                let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
                self.four.push((address.to_bits() & !host, address.to_bits() | host));
            }
            IpAddr::V6(address) => {
                let prefix = prefix.unwrap_or(128);
                if prefix > 128 {
                    return Err(malformed());
                }
                let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
                self.six.push((address.to_bits() & !host, address.to_bits() | host));
            }
        }
        Ok(())
    }

    /// Sorts the ranges and joins those that overlap, for the search.
    pub(super) fn sorted(mut self) -> Self {
        join(&mut self.four);
        join(&mut self.six);
        self
    }

    /// Whether the value is an address of one of the ranges. What is no address is in none.
    pub(super) fn contain(&self, value: &[u8]) -> bool {
        match std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.trim().parse().ok())
        {
            Some(IpAddr::V4(address)) => within(&self.four, address.to_bits()),
            Some(IpAddr::V6(address)) => within(&self.six, address.to_bits()),
            None => false,
        }
    }
}

fn join<T: Copy + Ord>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlap = next.0 <= kept.1;
        if overlap {
            kept.1 = kept.1.max(next.1);
        }
        overlap
    });
}

fn within<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= address);
    after
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|range| address <= range.1)
}
