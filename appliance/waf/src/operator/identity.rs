//! Numbers with check digits: cards and social insurance. A pattern finds candidates, arithmetic judges them.

use super::pattern::{Found, Pattern};
use super::{Captures, OperatorKind};

/// How many candidates of one value are judged.
const CANDIDATES: usize = 1_000;

/// One of the operators that verify numbers.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) pattern: Pattern,
    pub(super) kind: OperatorKind,
}

impl Identity {
    /// Whether the value has a candidate that is right.
    pub(super) fn evaluate(&self, value: &[u8], captures: &mut Captures) -> bool {
        let mut steps = captures.step_limit();
        let mut next = 0;
        for _ in 0..CANDIDATES {
            if next >= value.len() {
                return false;
            }
            let (start, end) = match self.pattern.find(value, next, true, &mut steps) {
                Found::Groups(groups) => match groups.first() {
                    Some(Some(place)) => *place,
                    _ => return false,
                },
                Found::Exhausted => {
                    captures.exceed_limit();
                    return false;
                }
                Found::Nothing | Found::Somewhere => return false,
            };
            let candidate = &value[start..end];
            let digits: Vec<u8> = candidate
                .iter()
                .filter(|byte| byte.is_ascii_digit())
                .map(|byte| byte - b'0')
                .collect();
            if self.is_right(&digits) {
                if captures.wanted() {
                    captures.set(0, candidate);
                }
                return true;
            }
            next = start + 1;
        }
        false
    }

    fn is_right(&self, digits: &[u8]) -> bool {
        match self.kind {
            OperatorKind::VerifyCc => luhn(digits),
            OperatorKind::VerifyCpf => cpf(digits),
            OperatorKind::VerifySsn => ssn(digits),
            OperatorKind::VerifySvnr => svnr(digits),
            _ => false,
        }
    }
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let weighted = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| if index % 2 == 1 { doubled(*digit) } else { *digit });
    !digits.is_empty() && weighted.map(u32::from).sum::<u32>().is_multiple_of(10)
}

/// Whether all digits are the same, or each is one more than the one before it: numbers that people write for show.
fn is_for_show(digits: &[u8]) -> bool {
    let steps = |step: u8| digits.windows(2).all(|pair| (pair[0] + step) % 10 == pair[1]);
    steps(0) || steps(1)
}

/// The Brazilian taxpayers' number: nine digits and two check digits modulo 11.
fn cpf(digits: &[u8]) -> bool {
    let check = |length: usize| {
        let weights = (2..=length + 1).rev();
        let sum: usize = digits[..length]
            .iter()
            .zip(weights)
            .map(|(digit, weight)| usize::from(*digit) * weight)
            .sum();
        match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        }
    };
    digits.len() == 11
        && !is_for_show(digits)
        && usize::from(digits[9]) == check(9)
        && usize::from(digits[10]) == check(10)
}

/// The social security number of the United States: area, group and serial must be ones that are given out.
fn ssn(digits: &[u8]) -> bool {
    let number = |part: &[u8]| part.iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    if digits.len() != 9 || is_for_show(digits) {
        return false;
    }
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    (1..740).contains(&area) && area != 666 && group != 0 && serial != 0
}

/// The Austrian social insurance number: the fourth digit checks the others.
fn svnr(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    if digits.len() != 10 || is_for_show(digits) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(*digit) * weight)
        .sum();
    // A remainder of 10 is never given out; ModSecurity takes it for 0.
    let check = match sum % 11 {
        10 => 0,
        rest => rest,
    };
    u32::from(digits[3]) == check
}
