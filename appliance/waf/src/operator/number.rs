//! Comparisons of numbers.

use super::OperatorKind;
use crate::bytes::is_white_space;

/// The decimal number at the start of the text, behind white space and a sign; 0 if there is none, as in ModSecurity. A number too
/// large for 64 bits stays as large as they hold: taking it for 0 would let it pass under a limit.
pub(super) fn parse(text: &[u8]) -> i64 {
    let text = &text[text.iter().take_while(|byte| is_white_space(**byte)).count()..];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let number = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |number, byte| {
            number.saturating_mul(10).saturating_add(i64::from(byte - b'0'))
        });
    if negative { -number } else { number }
}

/// Whether the value compares so with the argument.
pub(super) fn compare(kind: OperatorKind, value: &[u8], argument: i64) -> bool {
    let value = parse(value);
    match kind {
        OperatorKind::Eq => value == argument,
        OperatorKind::Ge => value >= argument,
        OperatorKind::Gt => value > argument,
        OperatorKind::Le => value <= argument,
        OperatorKind::Lt => value < argument,
        _ => false,
    }
}
