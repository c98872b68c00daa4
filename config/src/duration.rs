//! Durations, which the document writes with their unit.

use std::time::Duration;

use crate::read::{Node, Read, Reader, Shape, Tree};
use crate::suggest;
use crate::value::{integer, parsed, shown};

/// The units of time that the document uses, in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration as the document writes it: `90d`, `15m`, `250ms`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    UNITS
        .iter()
        .find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit))
        .map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / unit))
}

/// Reads a duration in the document's form.
///
/// # Errors
/// Says what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let near = suggest::closest(unit, UNITS.iter().map(|(name, _)| *name)).filter(|_| !unit.is_empty());
        let meant = near
            .map(|near| format!("; did you mean \"{digits}{near}\"?"))
            .unwrap_or_default();
        return Err(format!(
            "{:?} is not a duration with the unit ms, s, m, h or d{meant}",
            shown(text)
        ));
    };
    let number: Option<u64> = digits
        .parse()
        .ok()
        .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    number
        .and_then(|number| number.checked_mul(*unit))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{:?} is not a duration", shown(text)))
}

impl Read for Duration {
    fn shape() -> Shape {
        Shape::Value("a duration such as `\"250ms\"`, `\"30s\"`, `\"15m\"`, `\"90d\"`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        if let Some(number) = integer(node) {
            let help = format!("write \"{number}s\" for seconds");
            reader.wrong(node, "a duration needs its unit", "expected a duration", Some(help));
            return None;
        }
        parsed(
            node,
            reader,
            "a duration",
            "\"30s\", \"250ms\" or \"15m\"",
            parse_duration,
        )
    }

    fn tree(&self) -> Tree {
        Tree::Value(duration_text(*self))
    }
}
