//! What must not be told: secrets in what rules matched. Names decide first (a password is one whatever it looks like), then what is
//! known to be a secret of this request, then what looks like one. Rather too much of a request is hidden than too little; but what
//! does not come from the request (who, when, which rule, what the rule says) is never touched, or a client could make its own
//! record say nothing.

use super::secret::{HIDDEN, KEY, cards, decoded, is_key, is_secret, pairs, tokens};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use redan_http1::RequestHead;
use redan_waf::engine::Event;
use serde_json::Value;
use std::ops::Range;

/// Parts of a path after which a secret often stands, besides those of names.
const BEFORE_SECRETS: &[&str] = &["activat", "confirm", "invit", "magic", "reset", "unsubscribe", "verif"];
/// Shorter values are hidden where they have their name beside them, not wherever they occur.
const SHORT: usize = 4;
/// Shorter ones are hidden elsewhere only where they stand alone, not within a word.
const COMMON: usize = 8;
/// Of a longer secret only so many characters are looked for; what comes after them is hidden to the end of the text.
const LONG: usize = 512;
/// Secrets of one request that are looked for.
const MOST: usize = 128;

/// The collection and the key of what matched.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or((name, ""))
}

/// What is known to be secret of a request.
#[derive(Debug, Default)]
pub(super) struct Masks {
    /// The longest first.
    secrets: Vec<String>,
    finder: Option<AhoCorasick>,
    /// There are secrets that cannot be looked for: nothing of the request is told.
    blind: bool,
    key_header: String,
}

/// The texts of an event, without secrets.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) message: String,
    pub(super) tags: Vec<String>,
    pub(super) value: String,
    pub(super) data: String,
}

impl Masks {
    /// Finds the secrets in a request's head and among the arguments of its body.
    pub(super) fn of<N: AsRef<str>, V: AsRef<str>>(
        head: &RequestHead,
        key_header: &str,
        arguments: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut masks = Self {
            secrets: Vec::new(),
            finder: None,
            blind: false,
            key_header: key_header.to_owned(),
        };
        // What is named a secret first: there is room for so many.
        let mut cookies = Vec::new();
        for field in head.fields().iter() {
            let name = field.name().as_str();
            let value = String::from_utf8_lossy(field.value().as_bytes());
            if name.eq_ignore_ascii_case("cookie") {
                let pairs = value.split(';').map(|pair| pair.split_once('=').unwrap_or(("", pair)));
                cookies.extend(pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())));
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
        for (name, value) in arguments {
            if is_secret(name.as_ref()) {
                masks.add(value.as_ref());
            }
        }
        let (named, others): (Vec<_>, Vec<_>) = cookies.into_iter().partition(|(name, _)| is_secret(name));
        for (_, value) in named.iter().chain(others.iter().filter(|(_, value)| is_key(value))) {
            if value.len() >= KEY {
                masks.add(value);
            }
        }
        // A secret that holds another one goes first, so that no part of it is left.
        masks.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        if !masks.secrets.is_empty() {
            let mut builder = AhoCorasick::builder();
            builder
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .match_kind(MatchKind::LeftmostLongest);
            masks.finder = builder.build(&masks.secrets).ok();
            masks.blind = masks.finder.is_none();
        }
        masks
    }

    fn add(&mut self, secret: &str) {
        let secret = secret.trim().trim_matches('"').to_ascii_lowercase();
        let secret: String = secret.chars().take(LONG).collect();
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

    /// What an event says.
    pub(super) fn event(&self, event: &Event) -> Told {
        let (collection, key) = split(&event.matched.name);
        let hidden = self.hides(collection, key);
        let tags = event.tags.iter().zip(&event.made.tags);
        Told {
            message: self.within(&event.message, &event.made.message, false),
            tags: tags.map(|(tag, made)| self.within(tag, made, false)).collect(),
            value: if hidden {
                HIDDEN.to_owned()
            } else {
                self.masked(&event.matched.value)
            },
            data: self.within(&event.data, &event.made.data, hidden),
        }
    }

    /// A rule's text with secrets hidden in what its macros made; all of that if `hidden`. The rule's own words stay.
    fn within(&self, text: &str, made: &[Range<usize>], hidden: bool) -> String {
        let mut told = String::new();
        let mut at = 0;
        for range in made {
            told.push_str(text.get(at..range.start).unwrap_or_default());
            at = range.end;
            let value = text.get(range.clone()).unwrap_or_default();
            if hidden {
                told.push_str(HIDDEN);
                continue;
            }
            // The word before may be the name of the value: `password=%{…}`.
            let word = told.trim_end().rfind(char::is_whitespace).map_or(0, |at| at + 1);
            let name = told.get(word..).unwrap_or_default().to_owned();
            let together = self.masked(&format!("{name}{value}"));
            match together.strip_prefix(name.as_str()) {
                Some(value) => told.push_str(value),
                None => told.push_str(&self.masked(value)),
            }
        }
        told.push_str(text.get(at..).unwrap_or_default());
        told
    }

    /// A text of the request without secrets, of at most `most` characters.
    pub(super) fn text(&self, text: &str, most: usize) -> String {
        self.masked(text).chars().take(most).collect()
    }

    fn masked(&self, text: &str) -> String {
        if self.blind && !text.is_empty() {
            return HIDDEN.to_owned();
        }
        tokens(&cards(&pairs(&self.without(text))))
    }

    /// The text with every occurrence of a known secret hidden, also of one that was cut off at the end.
    fn without(&self, text: &str) -> String {
        let mut left = String::new();
        let (mut told, mut from) = (0, 0);
        let next = |from: usize| {
            let input = Input::new(text).range(from..);
            let found = self.finder.as_ref()?.find(input)?;
            Some(found.range())
        };
        while let Some(place) = next(from) {
            if place.len() < COMMON && within_word(text, &place) {
                // Another one may begin within it.
                from = place.start + 1;
                continue;
            }
            left.push_str(text.get(told..place.start).unwrap_or_default());
            left.push_str(HIDDEN);
            if place.len() >= LONG {
                // Only its beginning is known.
                return left;
            }
            (told, from) = (place.end, place.end);
        }
        let rest = text.get(told..).unwrap_or_default();
        let longest = self.secrets.first().map_or(0, String::len);
        let low = rest
            .as_bytes()
            .iter()
            .rev()
            .take(longest)
            .rev()
            .map(u8::to_ascii_lowercase);
        let low: Vec<u8> = low.collect();
        let cut = |secret: &String| {
            let starts = secret.char_indices().map(|(index, _)| index).rev();
            let mut starts = starts.filter(|index| *index >= SHORT && secret.len() >= COMMON);
            starts.find(|index| {
                secret
                    .as_bytes()
                    .get(..*index)
                    .is_some_and(|start| low.ends_with(start))
            })
        };
        match self.secrets.iter().filter_map(cut).max() {
            Some(length) => {
                left.push_str(rest.get(..rest.len() - length).unwrap_or_default());
                left.push_str(HIDDEN);
            }
            None => left.push_str(rest),
        }
        left
    }

    /// A path without secrets: neither in parameters of it nor in the part after one that announces a secret.
    pub(super) fn path(&self, path: &str) -> String {
        let mut announced = false;
        let parts = path.split('/').map(|part| {
            let announces = {
                let lowered = part.to_ascii_lowercase();
                is_secret(part) || BEFORE_SECRETS.iter().any(|word| lowered.contains(word))
            };
            let secret = announced && is_key(part);
            announced = announces;
            if secret { HIDDEN.to_owned() } else { self.masked(part) }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    fn uri(&self, uri: &str) -> String {
        match uri.split_once('?') {
            Some((path, query)) => format!("{}?{}", self.path(path), self.masked(query)),
            None => self.path(uri),
        }
    }

    /// An audit record without secrets: what is from the request or the response in it is masked, and nothing else. `events` are those
    /// that its messages tell.
    pub(super) fn audit(&self, record: &str, events: &[(&Event, &Told)]) -> String {
        let Ok(mut record) = serde_json::from_str::<Value>(record) else {
            return String::new();
        };
        let Some(transaction) = record.get_mut("transaction") else {
            return String::new();
        };
        if let Some(messages) = transaction.get_mut("messages").and_then(Value::as_array_mut) {
            // A message without its event could not be masked.
            messages.truncate(events.len());
            for (message, (event, told)) in messages.iter_mut().zip(events) {
                self.message(message, event, told);
            }
        }
        for side in ["request", "response"] {
            let Some(side) = transaction.get_mut(side) else {
                continue;
            };
            if let Some(Value::String(uri)) = side.get_mut("uri") {
                *uri = self.uri(uri);
            }
            if let Some(Value::String(body)) = side.get_mut("body") {
                *body = self.text(body, FIELD);
            }
            let headers = side.get_mut("headers").and_then(Value::as_object_mut);
            for (name, value) in headers.into_iter().flatten() {
                *value = match value {
                    Value::String(value) if !self.is_secret_header(name) => Value::from(self.text(value, FIELD)),
                    _ => Value::from(HIDDEN),
                };
            }
        }
        record.to_string()
    }

    fn message(&self, message: &mut Value, event: &Event, told: &Told) {
        let (collection, key) = split(&event.matched.name);
        let (mut name, key) = (collection.to_owned(), self.masked(key));
        if !key.is_empty() {
            name = format!("{name}:{key}");
        }
        if let Some(place) = message.get_mut("message") {
            *place = Value::from(told.message.as_str());
        }
        // What a rule's `sanitise…` actions have hidden already stays hidden.
        let masked = |details: &Value, key: &str, text: &str| {
            let said = details.get(key).and_then(Value::as_str);
            said.is_some_and(|said| said.contains(text))
        };
        if let Some(details) = message.get_mut("details") {
            let value = if masked(details, "match", "Matched \"***\"") {
                HIDDEN
            } else {
                &told.value
            };
            let data = if masked(details, "data", HIDDEN) {
                HIDDEN
            } else {
                &told.data
            };
            let matched = format!("Matched {value:?} at {name}");
            for (key, text) in [("match", &*matched), ("data", data)] {
                if let Some(place) = details.get_mut(key) {
                    *place = Value::from(text.chars().take(FIELD).collect::<String>());
                }
            }
            if let Some(place) = details.get_mut("tags") {
                *place = Value::from(told.tags.clone());
            }
        }
    }
}

/// Characters of a field in an audit record.
const FIELD: usize = 4_096;

/// Whether what stands at a place in a text is part of a longer word.
fn within_word(text: &str, place: &Range<usize>) -> bool {
    let before = text.get(..place.start).and_then(|before| before.chars().next_back());
    let after = text.get(place.end..).and_then(|after| after.chars().next());
    before.is_some_and(char::is_alphanumeric) || after.is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::Masks;
    use proptest::prelude::{prop_assert, proptest};
    use redan_http1::{Limits, parse_request};

    fn masks() -> Masks {
        let head = b"GET /a?q=1&password=hunter2%21&t=x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer tok-en-12\r\n\
            Cookie: theme=dark; id=\"abcdef99\"\r\nX-Own: k-e-y-1\r\n\r\n";
        let head = parse_request(head, &Limits::default()).unwrap().unwrap().head;
        Masks::of(&head, "x-own", [("json.user.kennwort", "sesam-öffne")])
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
    fn a_secret_of_the_body_is_hidden_elsewhere_too_and_common_words_are_not() {
        let masks = masks();
        assert_eq!(masks.text("<sesam-öffne>", 500), "<***>");
        // A cookie's value is a secret where it looks like one.
        assert_eq!(masks.text("the dark side", 500), "the dark side");
        let head = b"GET /?pin=4711 HTTP/1.1\r\nHost: a\r\nCookie: a=10.77.1.2; b=attack; c=942100; d=POST\r\n\r\n";
        let head = parse_request(head, &Limits::default()).unwrap().unwrap().head;
        let masks = Masks::of(&head, "x-own", [("q", "x"); 0]);
        let told = "attack from 10.77.1.2, rule 942100, POST";
        assert_eq!(masks.text(told, 500), told);
        assert_eq!(masks.text("47110 is no 4711", 500), "47110 is no ***");
        let long = "k".repeat(2_000);
        let masks = Masks::of(&head, "x-own", [("secret", long.as_str())]);
        assert_eq!(masks.text(&format!("a {long} b"), 9_000), "a ***");
    }

    #[test]
    fn secrets_in_paths_are_hidden() {
        for (path, told) in [
            ("/shop;jsessionid=ab12/cart", "/shop;jsessionid=***/cart"),
            ("/account/reset/Zx81kLm09q", "/account/reset/***"),
            ("/password-reset/abcdef12/done", "/password-reset/***/done"),
            ("/a/0123456789abcdef0123456789abcd01", "/a/***"),
            ("/login/reset/form", "/login/reset/form"),
            ("/orders/2024/12345678", "/orders/2024/12345678"),
            ("/hunter2%21/x", "/***/x"),
        ] {
            assert_eq!(masks().path(path), told);
        }
        assert_eq!(masks().uri("/reset/ab12cd34?x=1&pwd=2"), "/reset/***?x=1&pwd=***");
    }

    #[test]
    fn a_rules_own_words_stay_whatever_the_request_says() {
        let head =
            b"GET / HTTP/1.1\r\nHost: a\r\nCookie: session=Matched; token=language-sql; sid=942100942100\r\n\r\n";
        let head = parse_request(head, &Limits::default()).unwrap().unwrap().head;
        let masks = Masks::of(&head, "x-own", [("password", "found within")]);
        let made = |range: std::ops::Range<usize>| vec![range; 1];
        let text = "Matched found within language-sql";
        assert_eq!(masks.within(text, &[], false), text);
        assert_eq!(
            masks.within("Matched: language-sql", &made(9..21), false),
            "Matched: ***"
        );
        assert_eq!(
            masks.within("Matched: abc found", &made(9..12), true),
            "Matched: *** found"
        );
        assert_eq!(masks.within("pin=12 of q", &made(4..6), false), "pin=*** of q");
    }

    #[test]
    fn cookies_passwords_and_keys_are_hidden_by_name() {
        let masks = masks();
        for (collection, key) in [
            ("REQUEST_COOKIES", "theme"),
            ("ARGS", "json.user.password"),
            ("ARGS_POST", "user[pin]"),
            ("ARGS", "json.pin.array_0"),
            ("ARGS", "json.pin.array_0.array_12"),
            ("ARGS", "user[pin][]"),
            ("ARGS", "mfa_code"),
            ("ARGS", "mfaCode"),
            ("ARGS", "totp"),
            ("ARGS", "Kennwort"),
            ("ARGS", "csrf_field"),
            ("ARGS", "userPin"),
            ("REQUEST_HEADERS", "authorization"),
            ("REQUEST_HEADERS", "X-Own"),
            ("XML", "/*"),
        ] {
            assert!(masks.hides(collection, key), "{collection}:{key}");
        }
        for (collection, key) in [
            ("ARGS", "q"),
            ("REQUEST_HEADERS", "User-Agent"),
            ("ARGS", "opinion"),
            ("ARGS", "json.spinner.array_0"),
            ("ARGS", "author"),
        ] {
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
