//! Stage: the fields of a response. The same for what an upstream sent and for the proxy's own pages, over HTTP/1.1 and HTTP/2.

use crate::rate::Standing;
use redan_http1::{Field, FieldLines, FieldName, FieldValue, Fields, Limits, Method, parse_response};
use redan_ipc::slice::HeaderPolicy;

const CONTENT_TYPE: FieldName<'static> = FieldName::constant("content-type");
const CACHE_CONTROL: FieldName<'static> = FieldName::constant("cache-control");
const NO_STORE: FieldValue<'static> = FieldValue::constant("no-store");
const LIMIT: FieldName<'static> = FieldName::constant("ratelimit-limit");
const LOCATION: FieldName<'static> = FieldName::constant("location");
const POLICY: FieldName<'static> = FieldName::constant("ratelimit-policy");
const REMAINING: FieldName<'static> = FieldName::constant("ratelimit-remaining");
const REQUEST_ID: FieldName<'static> = FieldName::constant("x-request-id");
const RESET: FieldName<'static> = FieldName::constant("ratelimit-reset");
const RETRY_AFTER: FieldName<'static> = FieldName::constant("retry-after");
const AUTHENTICATE: FieldName<'static> = FieldName::constant("www-authenticate");
const BEARER: FieldValue<'static> = FieldValue::constant("Bearer");

/// Where fields are written to.
pub(crate) trait Sink {
    /// Writes those of an upstream's fields that are passed on and that `keep` wants.
    fn forward_if(&mut self, fields: &Fields, keep: impl FnMut(&Field<'_>) -> bool);
    /// Writes all of these fields; `lines` are the same, rendered.
    fn block(&mut self, fields: &Fields, lines: &FieldLines);
    /// Writes a field.
    fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>);
    /// Writes a field whose value is a number.
    fn number(&mut self, name: FieldName<'_>, value: u64);
}

/// What the proxy itself has to say in a response.
#[derive(Debug)]
pub(crate) struct Own<'a> {
    pub(crate) id: &'a [u8; 16],
    pub(crate) standing: Option<Standing>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) authenticate: bool,
    /// Set for a page of the proxy.
    pub(crate) content_type: Option<&'a str>,
    /// Where the client is sent.
    pub(crate) location: Option<&'a str>,
}

/// A service's header policy, checked. What it writes is kept in the codec's own form, so that nothing is checked again for each
/// response.
#[derive(Debug, Default)]
pub(crate) struct HeaderPlan {
    set: Fields,
    set_lines: FieldLines,
    default: Fields,
    default_lines: FieldLines,
    remove: Vec<String>,
    /// A bit for the length of each name above: most fields of a response have another, and are through without a comparison.
    lengths: u64,
}

impl HeaderPlan {
    /// Checks a policy; the first mistake otherwise.
    pub(crate) fn compile(policy: &HeaderPolicy) -> Result<Self, String> {
        if policy.default.len() > Self::DEFAULTS {
            return Err(format!("more than {} default headers", Self::DEFAULTS));
        }
        let (set, default) = (checked(&policy.set)?, checked(&policy.default)?);
        let fields = set
            .iter()
            .chain(default.iter())
            .map(|field| field.name().as_bytes().len());
        let lengths = fields.chain(policy.remove.iter().map(String::len));
        Ok(Self {
            set_lines: FieldLines::of(&set),
            default_lines: FieldLines::of(&default),
            remove: policy.remove.clone(),
            lengths: lengths.fold(0, |mask, length| mask | length_bit(length)),
            set,
            default,
        })
    }

    /// As many as a mask of the seen ones has bits.
    const DEFAULTS: usize = 64;

    /// Whether an upstream's field goes on; notes in `seen` which defaults it makes unnecessary.
    fn keeps(&self, field: &Field<'_>, seen: &mut u64) -> bool {
        if self.lengths & length_bit(field.name().as_bytes().len()) == 0 {
            return true;
        }
        let name = field.name();
        for (place, default) in self.default.iter().enumerate() {
            if default.name().same(name) {
                *seen |= 1 << place;
            }
        }
        !self.remove.iter().any(|removed| field.is(removed)) && !self.set.iter().any(|set| set.name().same(name))
    }

    /// An upstream's trailers as they go on, held to the policy of the head: what is removed or set there, and what only the proxy
    /// says, would come back after the content otherwise. A default has its place in the head too.
    pub(crate) fn trailers(&self, mut trailers: Fields) -> Option<Fields> {
        trailers.retain(|field| {
            let name = field.name();
            let mut fixed = self.set.iter().chain(self.default.iter());
            let fixed = fixed.any(|other| other.name().same(name));
            !fixed && !self.remove.iter().any(|removed| field.is(removed)) && !is_own_name(field)
        });
        (!trailers.is_empty()).then_some(trailers)
    }
}

/// Fields of our own in the codec's form: written as a head and read by the parser that reads everything else.
pub(crate) fn checked(pairs: &[(String, String)]) -> Result<Fields, String> {
    let mut head = b"HTTP/1.1 204 No Content\r\n".to_vec();
    for (name, value) in pairs {
        FieldName::new(name).map_err(|error| format!("header {name:?}: {error}"))?;
        FieldValue::new(value.as_bytes()).map_err(|error| format!("header {name}: {error}"))?;
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    match parse_response(&head, Method::Get, None, &Limits::default()) {
        Ok(Some(parsed)) if parsed.head.fields().end_to_end().count() == pairs.len() => {
            Ok(parsed.head.fields().clone())
        }
        Ok(_) => Err("one of the headers is not passed on by a proxy".into()),
        Err(refusal) => Err(format!("the headers cannot be sent: {refusal}")),
    }
}

/// Writes all fields of a response but those of its framing.
pub(crate) fn write(plan: Option<&HeaderPlan>, upstream: Option<&Fields>, own: &Own<'_>, sink: &mut impl Sink) {
    let mut seen = 0_u64;
    if let Some(fields) = upstream {
        sink.forward_if(fields, |field| {
            !is_ours(field, own) && plan.is_none_or(|plan| plan.keeps(field, &mut seen))
        });
    }
    if let Some(plan) = plan {
        sink.block(&plan.set, &plan.set_lines);
        if seen == 0 {
            sink.block(&plan.default, &plan.default_lines);
        }
        for (place, field) in plan.default.iter().enumerate() {
            if seen != 0 && seen & (1 << place) == 0 {
                sink.field(field.name(), field.value());
            }
        }
    }
    if let Some(standing) = own.standing {
        sink.number(LIMIT, standing.limit.into());
        sink.number(REMAINING, standing.remaining.into());
        sink.number(RESET, standing.reset);
        let mut text = [0_u8; 16];
        if let Ok(policy) = FieldValue::new(policy(standing.limit, &mut text)) {
            sink.field(POLICY, policy);
        }
    }
    if let Some(seconds) = own.retry_after {
        sink.number(RETRY_AFTER, seconds);
    }
    if let Some(location) = own.location.and_then(|text| FieldValue::new(text.as_bytes()).ok()) {
        sink.field(LOCATION, location);
    }
    if own.authenticate {
        sink.field(AUTHENTICATE, BEARER);
    }
    if let Some(content_type) = own.content_type.and_then(|text| FieldValue::new(text.as_bytes()).ok()) {
        sink.field(CONTENT_TYPE, content_type);
        sink.field(CACHE_CONTROL, NO_STORE);
    }
    if let Ok(id) = FieldValue::new(own.id) {
        sink.field(REQUEST_ID, id);
    }
}

/// `limit;w=60`, without the machinery of formatting: this is written into every response of a service with quotas.
fn policy(limit: u32, text: &mut [u8; 16]) -> &[u8] {
    const WINDOW: &[u8; 5] = b";w=60";
    let (digits, window) = text.split_at_mut(16 - WINDOW.len());
    window.copy_from_slice(WINDOW);
    let (mut left, mut start) = (limit, digits.len());
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        start = place;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    text.get(start..).unwrap_or_default()
}

/// The bit of a name's length in a mask; all long names share one.
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Fields that only the proxy writes: those about quotas where it has one to tell of.
fn is_ours(field: &Field<'_>, own: &Own<'_>) -> bool {
    is_own_name(field) && (own.standing.is_some() || field.is("x-request-id"))
}

fn is_own_name(field: &Field<'_>) -> bool {
    match field.name().as_bytes().len() {
        12 => field.is("x-request-id"),
        15 => field.is("ratelimit-limit") || field.is("ratelimit-reset"),
        16 => field.is("ratelimit-policy"),
        19 => field.is("ratelimit-remaining"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderPlan, Own, Sink, policy, write};
    use proptest::prelude::{prop, proptest};
    use redan_http1::{Field, FieldLines, FieldName, FieldValue, Fields, Limits, Method, parse_response};
    use redan_ipc::slice::HeaderPolicy;

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn forward_if(&mut self, fields: &Fields, mut keep: impl FnMut(&Field<'_>) -> bool) {
            for field in fields.end_to_end().filter(|field| keep(field)) {
                self.field(field.name(), field.value());
            }
        }

        fn block(&mut self, fields: &Fields, _: &FieldLines) {
            for field in fields.iter() {
                self.field(field.name(), field.value());
            }
        }

        fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
            let line = format!("{}: {}", name.as_str().to_lowercase(), value.as_str().unwrap());
            self.0.push(line);
        }

        fn number(&mut self, name: FieldName<'_>, value: u64) {
            self.0.push(format!("{}: {value}", name.as_str()));
        }
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn lines(policy: &HeaderPolicy, response: &str) -> Vec<String> {
        let head = parse_response(response.as_bytes(), Method::Get, None, &Limits::default());
        let head = head.unwrap().unwrap().head;
        let own = Own {
            id: b"0123456789abcdef",
            standing: None,
            retry_after: None,
            authenticate: false,
            content_type: None,
            location: None,
        };
        let mut lines = Lines::default();
        write(
            Some(&HeaderPlan::compile(policy).unwrap()),
            Some(head.fields()),
            &own,
            &mut lines,
        );
        lines.0
    }

    #[test]
    fn a_policy_sets_defaults_and_removes() {
        let policy = HeaderPolicy {
            set: pairs(&[("X-Content-Type-Options", "nosniff")]),
            default: pairs(&[("X-Frame-Options", "DENY"), ("Referrer-Policy", "no-referrer")]),
            remove: vec!["server".into()],
        };
        let response = "HTTP/1.1 200 OK\r\nServer: nginx/1.22\r\nx-content-type-options: off\r\nx-frame-options: SAMEORIGIN\r\n\
            Set-Cookie: a=b; Path=/\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(
            lines(&policy, response),
            [
                "x-frame-options: SAMEORIGIN",
                "set-cookie: a=b; Path=/",
                "x-content-type-options: nosniff",
                "referrer-policy: no-referrer",
                "x-request-id: 0123456789abcdef",
            ]
        );
    }

    #[test]
    fn a_quota_is_written_as_a_policy_of_a_minute() {
        for limit in [0, 7, 10, 65_535, u32::MAX] {
            assert_eq!(policy(limit, &mut [0; 16]), format!("{limit};w=60").as_bytes());
        }
    }

    #[test]
    fn trailers_are_held_to_the_policy_of_the_head() {
        let policy = HeaderPolicy {
            set: pairs(&[("X-Content-Type-Options", "nosniff")]),
            default: pairs(&[("X-Frame-Options", "DENY")]),
            remove: vec!["server".into()],
        };
        let plan = HeaderPlan::compile(&policy).unwrap();
        let kept = |names: &[&str]| {
            let lines: String = names.iter().map(|name| format!("{name}: theirs\r\n")).collect();
            let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            let head = parse_response(head.as_bytes(), Method::Get, None, &Limits::default());
            let kept = plan.trailers(head.unwrap().unwrap().head.fields().clone())?;
            Some(
                kept.iter()
                    .map(|field| field.name().as_str().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let all = [
            "Server",
            "x-content-type-options",
            "X-Frame-Options",
            "X-Request-Id",
            "RateLimit-Limit",
            "grpc-status",
        ];
        assert_eq!(kept(&all), Some(vec!["grpc-status".to_owned()]));
        assert_eq!(kept(&all[..5]), None);
    }

    #[test]
    fn a_policy_cannot_touch_the_framing() {
        for name in ["Content-Length", "transfer-encoding", "Connection", "a b", ""] {
            let policy = HeaderPolicy {
                set: pairs(&[(name, "x")]),
                default: Vec::new(),
                remove: Vec::new(),
            };
            assert!(HeaderPlan::compile(&policy).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_set_stands_exactly_once_and_what_is_removed_not_at_all(
            sent in prop::collection::vec("[A-Da-d]", 0..8),
            set in prop::collection::hash_set("[a-b]", 0..2),
            remove in prop::collection::hash_set("[c]", 0..2),
        ) {
            let policy = HeaderPolicy {
                set: set.iter().map(|name| (name.clone(), "ours".to_owned())).collect(),
                default: Vec::new(),
                remove: remove.iter().cloned().collect(),
            };
            let fields: String = sent.iter().map(|name| format!("{name}: theirs\r\n")).collect();
            let lines = lines(&policy, &format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
            for name in &set {
                let of_name: Vec<_> = lines.iter().filter(|line| line.starts_with(&format!("{name}:"))).collect();
                assert_eq!(of_name, [&format!("{name}: ours")]);
            }
            for name in &remove {
                assert!(!lines.iter().any(|line| line.starts_with(&format!("{name}:"))));
            }
        }
    }
}
