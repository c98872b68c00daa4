//! What must not be told: secrets in what rules matched. Names decide first (a password is one whatever it looks like), then what is
//! known to be a secret of this request, then what looks like one. Rather too much is hidden than too little.

use redan_http1::RequestHead;
use serde_json::Value;

/// What stands in place of a secret.
const HIDDEN: &str = "***";
/// Parts of names whose values are secrets, in lower case.
const PARTS: &[&str] = &[
    "apikey",
    "api_key",
    "api-key",
    "authorization",
    "card",
    "cookie",
    "credential",
    "cvc",
    "cvv",
    "jwt",
    "pass",
    "private_key",
    "private-key",
    "privatekey",
    "pwd",
    "secret",
    "session",
    "sessid",
    "token",
];
/// Names whose values are secrets, in lower case.
const NAMES: &[&str] = &["auth", "iban", "otp", "pin", "sid", "ssn"];
/// Shorter values are hidden where they have their name beside them, not wherever they occur.
const SHORT: usize = 4;
/// What is this long and has letters and digits without a space is taken for a token.
const TOKEN: usize = 32;
/// Secrets of one request that are looked for.
const MOST: usize = 64;

/// Whether the value of this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // The last part of a path as JSON bodies have it: `json.user.pin`.
    let last = name.rsplit(['.', '[', ':']).next().unwrap_or_default();
    let last = last.trim_end_matches(']');
    PARTS.iter().any(|part| name.contains(part)) || NAMES.contains(&last)
}

/// What is known to be secret of a request.
#[derive(Debug, Default)]
pub(super) struct Masks {
    secrets: Vec<String>,
    key_header: String,
}

impl Masks {
    /// Finds the secrets in a request's head.
    pub(super) fn of(head: &RequestHead, key_header: &str) -> Self {
        let mut masks = Self {
            secrets: Vec::new(),
            key_header: key_header.to_owned(),
        };
        for field in head.fields().iter() {
            let name = field.name().as_str();
            let value = String::from_utf8_lossy(field.value().as_bytes());
            if name.eq_ignore_ascii_case("cookie") {
                for pair in value.split(';') {
                    masks.add(pair.split_once('=').map_or(pair, |(_, value)| value));
                }
            } else if masks.is_secret_header(name) {
                masks.add(&value);
                if let Some((_, credential)) = value.split_once(' ') {
                    masks.add(credential);
                }
            }
        }
        for pair in head.query().unwrap_or_default().split('&') {
            if let Some((name, value)) = pair.split_once('=')
                && is_secret(&decoded(name))
            {
                masks.add(value);
                masks.add(&decoded(value));
            }
        }
        // A secret that holds another one goes first, so that no part of it is left.
        masks.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        masks
    }

    fn add(&mut self, secret: &str) {
        let secret = secret.trim().trim_matches('"').to_ascii_lowercase();
        if secret.len() >= SHORT && self.secrets.len() < MOST && !self.secrets.contains(&secret) {
            self.secrets.push(secret);
        }
    }

    fn is_secret_header(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.key_header) || is_secret(name)
    }

    /// Whether the value of what a rule matched must not be told at all.
    pub(super) fn hides(&self, collection: &str, key: &str) -> bool {
        match collection {
            // The text of all elements, without their names.
            "XML" => true,
            name if name.starts_with("REQUEST_COOKIES") => !name.ends_with("_NAMES"),
            "REQUEST_HEADERS" | "RESPONSE_HEADERS" => self.is_secret_header(key),
            // What a rule computed: names there are the rule's, not the request's.
            "TX" | "IP" | "GLOBAL" | "RULE" => false,
            _ => is_secret(key),
        }
    }

    /// A text without secrets, of at most `most` characters.
    pub(super) fn text(&self, text: &str, most: usize) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = without(&text, secret);
        }
        let text = tokens(&cards(&pairs(&text)));
        text.chars().take(most).collect()
    }

    /// An audit record without secrets. `hidden` says for each message whether its value must not be told.
    pub(super) fn audit(&self, record: &str, hidden: &[bool]) -> String {
        let Ok(mut record) = serde_json::from_str::<Value>(record) else {
            return String::new();
        };
        if let Some(transaction) = record.get_mut("transaction") {
            if let Some(messages) = transaction.get_mut("messages").and_then(Value::as_array_mut) {
                for (message, hidden) in messages.iter_mut().zip(hidden) {
                    if !hidden {
                        continue;
                    }
                    for key in ["match", "data"] {
                        if let Some(detail) = message.get_mut("details").and_then(|details| details.get_mut(key)) {
                            *detail = Value::from(HIDDEN);
                        }
                    }
                }
            }
            for side in ["request", "response"] {
                let headers = transaction.get_mut(side).and_then(|side| side.get_mut("headers"));
                for (name, value) in headers.and_then(Value::as_object_mut).into_iter().flatten() {
                    if self.is_secret_header(name) {
                        *value = Value::from(HIDDEN);
                    }
                }
            }
        }
        self.everywhere(&mut record);
        record.to_string()
    }

    fn everywhere(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text, 4_096),
            Value::Array(values) => values.iter_mut().for_each(|value| self.everywhere(value)),
            Value::Object(values) => values.values_mut().for_each(|value| self.everywhere(value)),
            Value::Bool(_) | Value::Null | Value::Number(_) => {}
        }
    }
}

/// The text with every occurrence of `secret` (in lower case) hidden, also one that was cut off at the end.
fn without(text: &str, secret: &str) -> String {
    let lowered = text.to_ascii_lowercase();
    let mut left = String::new();
    let mut at = 0;
    while let Some(found) = lowered.get(at..).and_then(|rest| rest.find(secret)) {
        left.push_str(text.get(at..at + found).unwrap_or_default());
        left.push_str(HIDDEN);
        at += found + secret.len();
    }
    let rest = text.get(at..).unwrap_or_default();
    let low = rest.to_ascii_lowercase();
    let cut = secret
        .char_indices()
        .map(|(index, _)| index)
        .filter(|index| *index >= SHORT)
        .rev()
        .find(|index| secret.get(..*index).is_some_and(|start| low.ends_with(start)));
    match cut {
        Some(length) => {
            left.push_str(rest.get(..rest.len() - length).unwrap_or_default());
            left.push_str(HIDDEN);
        }
        None => left.push_str(rest),
    }
    left
}

/// Hides the value in `name=value`, `name: value` and `"name": "value"` where the name is a secret's.
fn pairs(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at);
        let (sign, after) = after.split_at(1);
        out.push_str(before);
        out.push_str(sign);
        let quote = |c: char| matches!(c, '"' | '\'' | '\\' | ' ');
        let named = out.get(..out.len() - 1).unwrap_or_default().trim_end_matches(quote);
        let start = named
            .char_indices()
            .rev()
            .take_while(|(_, c)| c.is_alphanumeric() || "_-.[]$%".contains(*c))
            .last()
            .map_or(named.len(), |(index, _)| index);
        let name = named.get(start..).unwrap_or_default();
        rest = after;
        if name.is_empty() || !is_secret(&decoded(name)) {
            continue;
        }
        let value = after.trim_start_matches(quote);
        let (opening, value_at) = after.split_at(after.len() - value.len());
        out.push_str(opening);
        let end = match opening
            .trim_end_matches('\\')
            .chars()
            .rev()
            .find(|c| *c != ' ' && *c != '\\')
        {
            Some(mark @ ('"' | '\'')) => value_at.find(mark),
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
fn cards(text: &str) -> String {
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
fn tokens(text: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/' | '=' | '.');
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        // A path has its slashes, a host its dots: only what is long between them counts.
        for piece in run.split_inclusive(['/', '.']) {
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
fn decoded(text: &str) -> String {
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
    use super::{Masks, cards, pairs, tokens};
    use proptest::prelude::{prop_assert, proptest};
    use redan_http1::{Limits, parse_request};

    fn masks() -> Masks {
        let head = b"GET /a?q=1&password=hunter2%21&t=x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer tok-en-12\r\n\
            Cookie: theme=dark; id=\"abcdef99\"\r\nX-Own: k-e-y-1\r\n\r\n";
        let head = parse_request(head, &Limits::default()).unwrap().unwrap().head;
        Masks::of(&head, "x-own")
    }

    #[test]
    fn secrets_of_the_request_are_hidden_wherever_they_occur() {
        let masks = masks();
        for secret in ["hunter2%21", "hunter2!", "TOK-EN-12", "abcdef99", "k-e-y-1"] {
            let told = masks.text(&format!("Matched Data: {secret} found in {secret}"), 500);
            assert_eq!(told, "Matched Data: *** found in ***");
        }
        assert_eq!(masks.text("begins with tok-en-", 500), "begins with ***");
        assert_eq!(
            masks.text("<script>alert(1)</script>", 500),
            "<script>alert(1)</script>"
        );
    }

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
        ] {
            assert_eq!(pairs(text), told);
        }
    }

    #[test]
    fn card_numbers_and_tokens_are_hidden_and_other_numbers_are_not() {
        assert_eq!(cards("pay 4111 1111 1111 1111 now"), "pay *** now");
        assert_eq!(cards("order 4111111111111112"), "order 4111111111111112");
        assert_eq!(
            tokens("x=0123456789abcdef0123456789abcdef"),
            "x=0123456789abcdef0123456789abcdef"
        );
        assert_eq!(tokens("x 0123456789abcdef0123456789abcdef"), "x ***");
        assert_eq!(
            tokens("/usr/share/modsecurity/rules/one.conf"),
            "/usr/share/modsecurity/rules/one.conf"
        );
    }

    #[test]
    fn cookies_passwords_and_keys_are_hidden_by_name() {
        let masks = masks();
        for (collection, key) in [
            ("REQUEST_COOKIES", "theme"),
            ("ARGS", "json.user.password"),
            ("ARGS_POST", "user[pin]"),
            ("REQUEST_HEADERS", "authorization"),
            ("REQUEST_HEADERS", "X-Own"),
            ("XML", "/*"),
        ] {
            assert!(masks.hides(collection, key), "{collection}:{key}");
        }
        for (collection, key) in [("ARGS", "q"), ("REQUEST_HEADERS", "User-Agent"), ("ARGS", "opinion")] {
            assert!(!masks.hides(collection, key), "{collection}:{key}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_and_a_secret_never_gets_through(before in ".{0,40}", after in ".{0,40}") {
            let told = masks().text(&format!("{before}hunter2%21{after}"), 500);
            prop_assert!(!told.to_ascii_lowercase().contains("hunter2%21"));
        }
    }
}
