//! Names of `TX` variables to numbers, so that a rule reaches its variable by index and not by name.

use std::collections::HashMap;

/// The numbered names of `TX` variables that rules mention literally. The first ten are the captures `TX:0` to `TX:9`.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    names: Vec<Vec<u8>>,
    numbers: HashMap<Vec<u8>, usize>,
}

impl Slots {
    /// How many slots hold captures.
    pub(crate) const CAPTURES: usize = 10;

    /// The number of a name, given out now if it is new.
    pub(crate) fn number(&mut self, name: &[u8]) -> usize {
        let name = name.to_ascii_lowercase();
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = self.names.len();
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// The number of a name (in lower case) if it has one.
    pub(crate) fn find(&self, lowercase: &[u8]) -> Option<usize> {
        self.numbers.get(lowercase).copied()
    }

    /// The name of a slot, in lower case.
    pub(crate) fn name(&self, slot: usize) -> &[u8] {
        self.names.get(slot).map_or(b"", Vec::as_slice)
    }

    /// The slots of the anomaly scores that single rules add to, by the names that the Core Rule Set gives them since its version 3:
    /// `…anomaly_score_pl1` to `…anomaly_score_pl4`. With their levels.
    pub(crate) fn scores(&self) -> Vec<(usize, u8)> {
        let level = |name: &Vec<u8>| match name.split_last() {
            Some((digit @ b'1'..=b'4', stem)) if stem.ends_with(b"anomaly_score_pl") => Some(digit - b'0'),
            _ => None,
        };
        let slots = self.names.iter().enumerate();
        slots.filter_map(|(slot, name)| Some((slot, level(name)?))).collect()
    }

    /// How many slots there are.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }
}

impl Default for Slots {
    fn default() -> Self {
        let mut slots = Self {
            names: Vec::new(),
            numbers: HashMap::new(),
        };
        for digit in b'0'..=b'9' {
            slots.number(&[digit]);
        }
        slots
    }
}
