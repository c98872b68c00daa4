//! Mistakes and differences of documents, as the messages carry them.

use redan_config::{Appliance, Mistakes, diff};
use redan_ipc::messages::manager::{Change, ChangeKind, Mistake};

/// The name of a document in messages: it came over a wire and has no file.
const NAME: &str = "redan.toml";

/// Reads a document.
///
/// # Errors
/// All mistakes, and the warnings.
pub fn parse(text: &str) -> Result<Appliance, Vec<Mistake>> {
    Appliance::parse(text, NAME).map_err(|mistakes| listed(&mistakes))
}

/// All mistakes and warnings of a document; none of them fatal where it may be committed.
#[must_use]
pub fn check(text: &str) -> Vec<Mistake> {
    match Appliance::parse_with_warnings(text, NAME) {
        Ok((_, warnings)) => listed(&warnings),
        Err(mistakes) => listed(&mistakes),
    }
}

/// What changes from one document to another.
#[must_use]
pub fn changes(from: &Appliance, to: &Appliance) -> Vec<Change> {
    let kind = |kind| match kind {
        redan_config::ChangeKind::Added => ChangeKind::Added,
        redan_config::ChangeKind::Changed => ChangeKind::Changed,
        redan_config::ChangeKind::Removed => ChangeKind::Removed,
    };
    let changes = diff(from, to).into_iter();
    changes
        .map(|change| Change {
            kind: kind(change.kind),
            path: change.path,
            text: change.text,
        })
        .collect()
}

fn listed(mistakes: &Mistakes) -> Vec<Mistake> {
    let one = |mistake: &redan_config::Mistake, fatal: bool| Mistake {
        line: number(mistake.line),
        column: number(mistake.column),
        length: number(mistake.length),
        message: mistake.message.clone(),
        help: mistake.help.clone(),
        rendered: mistakes.render(mistake, if fatal { "error" } else { "warning" }),
        fatal,
    };
    let errors = mistakes.errors.iter().map(|mistake| one(mistake, true));
    errors
        .chain(mistakes.warnings.iter().map(|mistake| one(mistake, false)))
        .collect()
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{changes, check, parse};

    const GOOD: &str = include_str!("../../../config/examples/evaluation-bare.toml");

    #[test]
    fn a_mistake_carries_its_place_and_its_excerpt() {
        let mistakes = parse(&GOOD.replace("hostname", "hostnam")).unwrap_err();
        let mistake = mistakes.iter().find(|mistake| mistake.fatal).unwrap();
        assert_eq!(mistake.line, 5);
        assert!(mistake.rendered.starts_with("error: "), "{}", mistake.rendered);
        assert!(check(GOOD).iter().all(|mistake| !mistake.fatal));
    }

    #[test]
    fn a_change_is_told_in_words() {
        let (from, to) = (
            parse(GOOD).unwrap(),
            parse(&GOOD.replace("guest = 600", "guest = 700")).unwrap(),
        );
        let changes = changes(&from, &to);
        assert_eq!(changes.len(), 1);
        assert!(changes[0].text.contains("700"), "{}", changes[0].text);
    }
}
