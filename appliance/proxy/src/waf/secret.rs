//! What a secret looks like: by its name, by its form, by the name beside it.

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "***";
/// Parts of names whose values are secrets, in lower case.
const PARTS: &[&str] = &[
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "card",
    "contrase",
    "cookie",
    "credential",
    "csrf",
    "cvc",
    "cvv",
    "geheim",
    "jwt",
    "kennwort",
    "otpcode",
    "pass",
    "private_key",
    "private-key",
    "privatekey",
    "pwd",
    "saml",
    "secret",
    "session",
    "sessid",
    "signature",
    "token",
    "totp",
    "wachtwoord",
    "xsrf",
];
/// Words of names whose values are secrets, in lower case.
const WORDS: &[&str] = &[
    "2fa",
    "assertion",
    "auth",
    "bearer",
    "iban",
    "mfa",
    "nonce",
    "otp",
    "pin",
    "puk",
    "pw",
    "sid",
    "sig",
    "ssn",
    "tan",
];
/// A cookie's value of this length is a secret wherever it occurs, if its name says so or it looks like one.
pub(super) const KEY: usize = 8;
/// What is this long and has letters and digits without a space is taken for a token.
const TOKEN: usize = 32;

/// Whether the value of this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    // The last part of a path as JSON bodies and forms have it, without places in lists: `json.user.pin.array_0`, `user[pin][]`.
    let is_place = |part: &str| {
        let number = part.strip_prefix("array_").unwrap_or(part);
        number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut parts = name.rsplit(['.', '[', ':']).map(|part| part.trim_end_matches(']'));
    let last = parts
        .find(|part| !part.is_empty() && !is_place(part))
        .unwrap_or_default();
    let lowered = name.to_ascii_lowercase();
    PARTS.iter().any(|part| lowered.contains(part)) || words(last).iter().any(|word| WORDS.contains(&word.as_str()))
}

/// The words of a name, in lower case: `mfa_code`, `mfaCode` and `MFA-code` have the same two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in name.chars() {
        let begins = small && c.is_ascii_uppercase();
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(c.to_ascii_lowercase());
        }
    }
    words
}

/// Whether a value looks like a key that a machine made, not like a word that somebody chose.
pub(super) fn is_key(value: &str) -> bool {
    let value = value.trim_matches('"');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=%:|!".contains(c);
    value.len() >= KEY
        && value.chars().all(plain)
        && value.contains(|c: char| c.is_ascii_digit())
        && value.contains(|c: char| c.is_ascii_alphabetic())
}

/// The first sign between a name and its value: where it is, and its length, since it may be percent-encoded, also more than once.
fn sign(text: &str) -> Option<(usize, usize)> {
    text.match_indices(['=', ':', '%']).find_map(|(at, sign)| {
        if sign != "%" {
            return Some((at, 1));
        }
        let mut encoded = text.get(at + 1..)?;
        while let Some(more) = encoded.strip_prefix("25") {
            encoded = more;
        }
        let code = encoded.get(..2)?;
        let is_sign = code.eq_ignore_ascii_case("3d") || code.eq_ignore_ascii_case("3a");
        is_sign.then(|| (at, text.len() - at - encoded.len() + 2))
    })
}

/// Where an encoded `&` begins, percent-encoded perhaps more than once.
fn encoded_and(text: &str) -> Option<usize> {
    text.match_indices('%').map(|(at, _)| at).find(|at| {
        let mut encoded = text.get(at + 1..).unwrap_or_default();
        while let Some(more) = encoded.strip_prefix("25") {
            encoded = more;
        }
        encoded.starts_with("26")
    })
}

/// Hides the value in `name=value`, `name: value` and `"name": "value"` where the name is a secret's; also where the sign is encoded.
pub(super) fn pairs(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((at, length)) = sign(rest) {
        let (before, after) = rest.split_at(at);
        let (sign, after) = after.split_at(length);
        out.push_str(before);
        out.push_str(sign);
        let quote = |c: char| matches!(c, '"' | '\'' | '\\' | ' ');
        let named = out
            .get(..out.len() - length)
            .unwrap_or_default()
            .trim_end_matches(quote);
        let start = named
            .char_indices()
            .rev()
            .take_while(|(_, c)| c.is_alphanumeric() || "_-.[]$%".contains(*c))
            .last()
            .map_or(named.len(), |(index, _)| index);
        let name = named.get(start..).unwrap_or_default();
        rest = after;
        if name.is_empty() || !is_secret(&decoded(&decoded(name))) {
            continue;
        }
        let value = after.trim_start_matches(|c| quote(c) || c == '[');
        let (opening, value_at) = after.split_at(after.len() - value.len());
        out.push_str(opening);
        let end = match opening
            .trim_end_matches('\\')
            .chars()
            .rev()
            .find(|c| *c != ' ' && *c != '\\')
        {
            // All that a list holds.
            _ if opening.contains('[') => value_at.find(']'),
            Some(mark @ ('"' | '\'')) => value_at.find(mark),
            _ if length > 1 => {
                let end = value_at.find(|c: char| c.is_whitespace() || "&;,\"'<>{}()".contains(c));
                [end, encoded_and(value_at)].into_iter().flatten().min()
            }
            // A header's value goes to the end of its line.
            _ if sign == ":" => value_at.find(['\r', '\n', '&', '"', '\'', '}', '>']),
            _ => value_at.find(|c: char| c.is_whitespace() || "&;,\"'<>{}()".contains(c)),
        };
        if !value_at.is_empty() {
            out.push_str(HIDDEN);
        }
        rest = end.and_then(|end| value_at.get(end..)).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Hides numbers of payment cards: 13 to 19 digits, perhaps in groups, with a good check digit (ISO/IEC 7812-1).
pub(super) fn cards(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut String| {
        let digits: Vec<u32> = run.chars().filter_map(|c| c.to_digit(10)).collect();
        let tail: String = run.chars().rev().take_while(|c| !c.is_ascii_digit()).collect();
        if (13..=19).contains(&digits.len()) && luhn(&digits) {
            out.push_str(HIDDEN);
            out.extend(tail.chars().rev());
        } else {
            out.push_str(run);
        }
        run.clear();
    };
    for c in text.chars() {
        let continues = c.is_ascii_digit() || (!run.is_empty() && (c == ' ' || c == '-'));
        if continues {
            run.push(c);
        } else {
            flush(&mut run, &mut out);
            out.push(c);
        }
    }
    flush(&mut run, &mut out);
    out
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Hides long runs of letters and digits.
pub(super) fn tokens(text: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/' | '=' | '.');
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        // A path has its slashes, a host its dots, a value its name before it: only what is long between them counts.
        for piece in run.split_inclusive(['/', '.', '=']) {
            let secret = piece.len() >= TOKEN
                && piece.contains(|c: char| c.is_ascii_digit())
                && piece.contains(|c: char| c.is_ascii_alphabetic());
            out.push_str(if secret { HIDDEN } else { piece });
        }
        let next = after.chars().next().map_or(0, char::len_utf8);
        let (other, left) = after.split_at(next);
        out.push_str(other);
        rest = left;
    }
    out
}

/// Percent-decoding of names and values for comparison; what is no UTF-8 is replaced.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', ..) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, ..) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{cards, pairs, tokens};

    #[test]
    fn a_value_beside_its_name_is_hidden() {
        for (text, told) in [
            ("a=1&passwd=x&b=2", "a=1&passwd=***&b=2"),
            (
                "{\"user\":\"ann\",\"password\": \"a b\",\"n\":1}",
                "{\"user\":\"ann\",\"password\": \"***\",\"n\":1}",
            ),
            ("Authorization: Basic YTpi\r\nHost: a", "Authorization: ***\r\nHost: a"),
            ("user%5Bpassword%5D=x&c=d", "user%5Bpassword%5D=***&c=d"),
            ("q=select 1", "q=select 1"),
            ("pin=1234 opinion=good", "pin=*** opinion=good"),
            ("q=a%26pass%3Dx%26b=c", "q=a%26pass%3D***%26b=c"),
            ("u=%2Fa%253Fpin%253D12&b=c", "u=%2Fa%253Fpin%253D***&b=c"),
            ("{\"pin\":[\"4711\",\"4712\"],\"a\":1}", "{\"pin\":[\"***],\"a\":1}"),
            ("100%3 and %3", "100%3 and %3"),
        ] {
            assert_eq!(pairs(text), told);
        }
    }

    #[test]
    fn card_numbers_and_tokens_are_hidden_and_other_numbers_are_not() {
        assert_eq!(cards("pay 4111 1111 1111 1111 now"), "pay *** now");
        assert_eq!(cards("order 4111111111111112"), "order 4111111111111112");
        assert_eq!(tokens("x=0123456789abcdef0123456789abcdef&y"), "x=***&y");
        assert_eq!(tokens("x 0123456789abcdef0123456789abcdef"), "x ***");
        assert_eq!(
            tokens("/usr/share/modsecurity/rules/one.conf"),
            "/usr/share/modsecurity/rules/one.conf"
        );
    }
}
