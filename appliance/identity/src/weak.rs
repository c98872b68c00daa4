//! How hard a password is to guess for somebody who knows how people choose them. There is no list of words here: what a program
//! tries first follows patterns, and patterns can be seen without one.
//!
//! A password is read as a row of parts: words, numbers, years, steps on the keyboard, repetitions, single characters. Each part has
//! a price in bits, which is the logarithm of what a guesser has to try for it; the price of the password is their sum. The prices
//! are low: a word is one of a few thousand that come first, whatever word it is, and a part that stands twice costs once.

use std::collections::HashSet;

/// Bits that a password must have: 2^36 guesses at 5 logins a second take four centuries; against a stolen hash, each costs 19 MiB.
const ENOUGH: f64 = 36.0;

/// A common word of a language.
const WORD: f64 = 14.0;

/// Letters after which a row of them is thought to hold another word.
const WORD_LENGTH: f64 = 6.0;

/// A letter, where the letters are too few to be a word.
const LETTER: f64 = 4.7;

/// A digit of a number that follows no pattern.
const DIGIT: f64 = 3.3;

/// A sign, where it stands alone.
const SIGN: f64 = 3.5;

/// A part that is known already, or follows from the one before.
const KNOWN: f64 = 2.0;

/// A step pattern (`1234`, `qwerty`, `dcba`): where it begins, which way it goes, how far.
const STEPS: f64 = 6.0;

/// A year that somebody remembers.
const YEAR: f64 = 6.0;

/// The shortest row that counts as a step pattern.
const ROW: usize = 4;

/// The longest password whose patterns are searched, in characters: a longer one repeats itself or is long enough.
const LONGEST: usize = 128;

/// Rows and columns of keys as they lie beside each other, and the alphabet.
const ROWS: [&str; 15] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop[]",
    "qwertzuiopü",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "yxcvbnm,.-",
    "azertyuiop",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
];

/// Words that a guesser knows about an appliance and its users, and passwords that its operators refuse.
#[derive(Clone, Debug, Default)]
pub struct Known {
    words: Vec<String>,
    refused: HashSet<String>,
}

impl Known {
    /// From names (of users, hosts, services) and from passwords that nobody may have, in any case and spelling.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, refused: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words: Vec<String> = names
            .into_iter()
            .chain(["redan"])
            .map(str::to_lowercase)
            .filter(|name| name.chars().count() >= 3)
            .collect();
        // Of two that contain one another, the longer is taken out first.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        Self {
            words,
            refused: refused.into_iter().map(plain).filter(|text| !text.is_empty()).collect(),
        }
    }

    /// Whether the operators refuse this password, or one that it only decorates.
    pub(crate) fn refuses(&self, folded: &str) -> bool {
        self.refused.contains(&plain(folded)) || self.refused.contains(&plain(core(folded)))
    }

    /// What remains of a password without what is known about it, in pieces.
    fn without(&self, folded: &str, user: &str) -> String {
        let user = user.to_lowercase();
        let parts = user.split(|c: char| !c.is_alphanumeric());
        let own = parts.filter(|part| part.chars().count() >= 3).map(str::to_owned);
        let mut left = folded.to_owned();
        for word in std::iter::once(user.clone())
            .chain(own)
            .chain(self.words.iter().cloned())
        {
            if !word.is_empty() {
                // What stood on both sides of it does not become one word.
                left = left.replace(&word, "\u{0}");
            }
        }
        left
    }
}

/// How a password is too easy to guess.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weakness {
    /// Without names that a guesser knows it would not be strong.
    Names,
    /// Words, numbers and patterns that come first.
    Pattern,
}

/// What is weak about a password, if anything.
pub(crate) fn weakness(password: &str, user: &str, known: &Known) -> Option<Weakness> {
    let capitals = surprising_capitals(password);
    let folded = password.to_lowercase();
    let price = |text: &str| bits(text) + capitals;
    if price(&folded).min(price(&unmasked(&folded)) + KNOWN) < ENOUGH {
        return Some(Weakness::Pattern);
    }
    let left = known.without(&folded, user);
    let masked = known.without(&unmasked(&folded), user);
    (price(&left).min(price(&masked) + KNOWN) < ENOUGH).then_some(Weakness::Names)
}

/// The price of a text in lower case.
fn bits(text: &str) -> f64 {
    let characters: Vec<char> = text.chars().take(LONGEST).collect();
    // `112233`: each twice.
    let mut single = characters.clone();
    single.dedup();
    once(&characters).min(once(&single) + KNOWN)
}

/// The price of a text, or of the group that it repeats.
fn once(text: &[char]) -> f64 {
    let group = repeated(text).and_then(|group| text.get(..group));
    group.map_or_else(|| price(text), |group| price(group) + KNOWN)
}

fn price(characters: &[char]) -> f64 {
    let mut seen: HashSet<&[char]> = HashSet::new();
    let (mut sum, mut rest) = (0.0, characters);
    while let Some(first) = rest.first() {
        let (length, price) = part(rest, *first);
        let (part, after) = rest.split_at(length.max(1));
        sum += if part.first() == Some(&'\u{0}') || !seen.insert(part) {
            KNOWN.min(price)
        } else {
            price
        };
        rest = after;
    }
    sum
}

/// The length and the price of the part that a text begins with.
fn part(text: &[char], first: char) -> (usize, f64) {
    let same = text.iter().take_while(|c| **c == first).count();
    if same >= 3 {
        return (same, SIGN + KNOWN);
    }
    let steps = stepping(text);
    if steps >= ROW {
        return (steps, STEPS);
    }
    if first.is_alphabetic() {
        let mut length = text.iter().take_while(|c| c.is_alphabetic()).count();
        // A pattern within the letters is a part of its own.
        if let Some(at) = (1..length).find(|at| text.get(*at..).is_some_and(|rest| stepping(rest) >= ROW)) {
            length = at;
        }
        let letters = count(length);
        let word = WORD * (letters / WORD_LENGTH).max(1.0);
        return (length, word.min(letters * LETTER));
    }
    if first.is_ascii_digit() {
        let mut length = text.iter().take_while(|c| c.is_ascii_digit()).count();
        if let Some(at) = (1..length).find(|at| text.get(*at..).is_some_and(|rest| stepping(rest) >= ROW)) {
            length = at;
        }
        let year = length == 4 && matches!(text, ['1', '9', ..] | ['2', '0', ..]);
        return (length, if year { YEAR } else { count(length) * DIGIT });
    }
    (same, SIGN + count(same) - 1.0)
}

/// How many characters follow one another on a row of keys or in the alphabet, forwards or backwards.
fn stepping(text: &[char]) -> usize {
    let along = |row: &mut dyn Iterator<Item = char>| -> usize {
        let row: Vec<char> = row.collect();
        let starts = row.iter().enumerate().filter(|(_, key)| Some(*key) == text.first());
        starts
            .map(|(at, _)| row.iter().skip(at).zip(text).take_while(|(key, c)| key == c).count())
            .max()
            .unwrap_or(0)
    };
    ROWS.iter()
        .flat_map(|row| [along(&mut row.chars()), along(&mut row.chars().rev())])
        .max()
        .unwrap_or(0)
}

/// The length of the group that a text consists of, where it is one group again and again; the last may be cut off.
fn repeated(text: &[char]) -> Option<usize> {
    (1..=text.len() / 2).find(|group| {
        text.iter()
            .zip(text.iter().skip(*group))
            .all(|(character, later)| character == later)
    })
}

/// Capitals elsewhere than at the beginning of a word, in a text that has small letters too.
fn surprising_capitals(password: &str) -> f64 {
    let characters: Vec<char> = password.chars().take(LONGEST).collect();
    if !characters.iter().any(|c| c.is_lowercase()) {
        return 0.0;
    }
    let surprising = characters.windows(2).filter(|pair| match pair {
        [before, c] => c.is_uppercase() && before.is_alphabetic(),
        _ => false,
    });
    count(surprising.count()) * KNOWN
}

/// Letters in place of the digits and signs that stand for them within words: `p@ssw0rd`.
fn unmasked(folded: &str) -> String {
    let characters: Vec<char> = folded.chars().collect();
    let letter = |at: Option<usize>| {
        at.and_then(|at| characters.get(at))
            .is_some_and(|c| c.is_alphabetic() || mask(*c).is_some())
    };
    let plain = characters.iter().enumerate().map(|(at, c)| match mask(*c) {
        Some(letter_for) if letter(at.checked_sub(1)) && letter(Some(at + 1)) => letter_for,
        _ => *c,
    });
    plain.collect()
}

const fn mask(character: char) -> Option<char> {
    match character {
        '0' => Some('o'),
        '1' | '!' => Some('i'),
        '3' => Some('e'),
        '4' | '@' => Some('a'),
        '5' | '$' => Some('s'),
        '7' => Some('t'),
        _ => None,
    }
}

/// A text as lists are compared: small letters, without masks.
fn plain(text: &str) -> String {
    unmasked(&text.trim().to_lowercase())
}

/// A text without the digits and signs around it.
fn core(folded: &str) -> &str {
    folded.trim_matches(|c: char| !c.is_alphabetic())
}

/// A count of characters, of which there are at most [`LONGEST`].
fn count(length: usize) -> f64 {
    f64::from(u32::try_from(length).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Known, Weakness, weakness};
    use proptest::prelude::{prop_assert, proptest};

    fn weak(password: &str) -> Option<Weakness> {
        let known = Known::new(["shop.example", "shop", "corner"], []);
        weakness(password, "ann.miller", &known)
    }

    #[test]
    fn a_word_with_digits_or_signs_around_it_is_weak() {
        for password in [
            "password1234",
            "Password1234!",
            "p@ssw0rd1234",
            "letmein2024!",
            "Welcome2026!!",
            "Summer2026!!!",
            "administrator",
            "administrator1",
            "iloveyou12345",
            "changeme1234",
            "123monkey456",
            "Dragon!!2019",
        ] {
            assert_eq!(weak(password), Some(Weakness::Pattern), "{password}");
        }
    }

    #[test]
    fn steps_repetitions_and_numbers_are_weak() {
        for password in [
            "qwertyuiop12",
            "1qaz2wsx3edc1qaz",
            "asdfghjkl123",
            "abcdefghijkl",
            "lkjihgfedcba",
            "aaaaaaaaaaaaaaa",
            "éééééééééééé",
            "abcabcabcabcabc",
            "passwordpassword",
            "123456789012",
            "112233445566",
            "31-12-1999-1",
            "qwerty123456",
            "zxcvbnm,./12",
        ] {
            assert_eq!(weak(password), Some(Weakness::Pattern), "{password}");
        }
    }

    #[test]
    fn what_is_built_on_names_is_weak() {
        for password in [
            "ann.miller likes",
            "annmillerann likes tea",
            "redan password 17",
            "corner shop password",
            "r3dan appliance-7",
        ] {
            assert!(weak(password).is_some(), "{password}");
        }
        assert_eq!(
            weak("our shop and corner 73 bees"),
            None,
            "a name among enough that is none"
        );
    }

    #[test]
    fn phrases_and_what_a_password_manager_makes_are_strong() {
        for password in [
            "correct horse battery",
            "tea with lemon, hot",
            "a long password for this test",
            "a long enough secret",
            "gliding-marble-onset",
            "x7Kq-m2Vp-9dWz",
            "kJ8$wQz!pL2v",
            "4k2mz-9qx7c-wd3ht-m8v0r",
            "Wh1ch w4y to the harbour?",
        ] {
            assert_eq!(weak(password), None, "{password}");
        }
    }

    #[test]
    fn a_refused_password_is_refused_in_any_dress() {
        let known = Known::new([], ["Blue Harbour Lamp", "letmein"]);
        for password in [
            "blue harbour lamp",
            "BLUE HARBOUR LAMP 42!",
            "Blue H4rbour Lamp",
            "letmein1999",
        ] {
            assert!(known.refuses(&password.to_lowercase()), "{password}");
        }
        assert!(!known.refuses("blue harbour lamps"));
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in "\\PC{0,200}", user in "[a-z.]{0,20}") {
            let known = Known::new(["shop"], [text.as_str()]);
            let answer = weakness(&text, &user, &known);
            prop_assert!(answer.is_some() || text.chars().count() >= 6, "{text}");
            prop_assert!(text.trim().is_empty() || known.refuses(&text.to_lowercase()));
        }
    }
}
