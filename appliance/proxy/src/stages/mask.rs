//! Stage: what a client sees instead of an error.

use crate::snapshot::Published;
use redan_http1::{Fields, Status};
use redan_types::IncidentId;
use std::borrow::Cow;

/// A page in place of a response.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) content_type: &'a str,
    pub(crate) body: Cow<'a, str>,
}

/// The page for a status. It says what the status says and which incident to name to an operator, and nothing about why: the reason
/// stands in the log under that incident. The service's own page takes the place of the built-in one when no upstream answers.
pub(crate) fn page<'a>(
    service: Option<&'a Published>,
    status: u16,
    asked: Option<&Fields>,
    incident: IncidentId,
) -> Page<'a> {
    if matches!(status, 502..=504)
        && let Some(fallback) = service.and_then(|service| service.fallback.as_ref())
    {
        return Page {
            content_type: &fallback.content_type,
            body: Cow::Borrowed(&fallback.body),
        };
    }
    let reason = Status::new(status).map_or("", Status::reason);
    let reason = if reason.is_empty() { "Error" } else { reason };
    if asked.is_some_and(wants_json) {
        Page {
            content_type: "application/json",
            body: format!("{{\"status\":{status},\"error\":\"{reason}\",\"incident\":\"{incident}\"}}\n").into(),
        }
    } else {
        Page {
            content_type: "text/html; charset=utf-8",
            body: format!(
                "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
                 <title>{status} {reason}</title>\n<h1>{status} {reason}</h1>\n\
                 <p>The request was not answered. If this should not be so, tell the operator the incident \
                 <code>{incident}</code>.</p>\n</html>\n"
            )
            .into(),
        }
    }
}

/// Whether the client would rather have JSON: it names it, and HTML not at all or later.
fn wants_json(asked: &Fields) -> bool {
    let Some(accept) = asked.get("accept").and_then(redan_http1::FieldValue::as_str) else {
        return false;
    };
    let at = |what: &str| accept.find(what).unwrap_or(usize::MAX);
    at("json") < at("text/html")
}

#[cfg(test)]
mod tests {
    use super::page;
    use redan_http1::{Limits, parse_request};
    use redan_types::IncidentId;

    fn content_type(accept: &str) -> String {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
        let head = parse_request(head.as_bytes(), &Limits::default())
            .unwrap()
            .unwrap()
            .head;
        let page = page(None, 403, Some(head.fields()), IncidentId([7; 8]));
        assert!(page.body.contains("0707070707070707"));
        page.content_type.to_owned()
    }

    #[test]
    fn the_page_comes_in_the_form_that_the_client_wants() {
        assert_eq!(content_type("Accept: application/json\r\n"), "application/json");
        assert_eq!(
            content_type("Accept: application/problem+json, text/html\r\n"),
            "application/json"
        );
        assert_eq!(
            content_type("Accept: text/html, application/json\r\n"),
            "text/html; charset=utf-8"
        );
        assert_eq!(content_type("Accept: */*\r\n"), "text/html; charset=utf-8");
        assert_eq!(content_type(""), "text/html; charset=utf-8");
    }
}
