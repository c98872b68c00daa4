//! From a recorded match to the narrowest exception for it.

use redan_types::Timestamp;

use super::{Exception, LONGEST_PATH, Parameter, Place, Record};

/// An exception that would spare a request one match.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposal {
    /// The exception.
    pub exception: Exception,
    /// Why it is wider than one part of the request, if it is: the rule does not run at all on the path.
    pub wider: Option<&'static str>,
}

/// Why there is no exception for a match.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoException {
    /// There is no such match.
    #[error("the event has no such match")]
    NoMatch,
    /// The rule sums up what others found.
    #[error("this rule only sums up what other rules found: make exceptions for those")]
    Sum,
    /// A limit, not a rule.
    #[error("no rule refused this but a limit: change the limit")]
    Limit,
    /// The path is a secret from its first part on.
    #[error("the path of this request begins with what may be a secret, which is not kept")]
    Masked,
    /// The path is no text, or too long to be named.
    #[error("the path of this request cannot be named: it is no text, or longer than {LONGEST_PATH} bytes")]
    Path,
}

/// The narrowest exception for a match of a record: this rule, this path, this part of the request.
///
/// # Errors
///
/// Where no exception can or should be made.
pub fn propose(record: &Record, at: usize, expires: Option<Timestamp>, reason: &str) -> Result<Proposal, NoException> {
    let found = record.matches.get(at).ok_or(NoException::NoMatch)?;
    if found.rule == 0 {
        return Err(NoException::Limit);
    }
    if found.sums_up() {
        return Err(NoException::Sum);
    }
    let path = &record.path;
    let odd = |c: char| c == '\u{fffd}' || c.is_control();
    if !path.starts_with('/') || path.len() > LONGEST_PATH || path.chars().any(odd) {
        return Err(NoException::Path);
    }
    let (parameter, wider) = parameter(&found.collection, &found.key);
    let (path, wider) = match path.find("***") {
        None => (Place::Exact(path.clone()), wider),
        Some(at) => {
            // What is before the masked part, to the end of the folder; everything would be too much.
            let folder = path.get(..at).and_then(|before| before.rfind('/')).unwrap_or(0);
            if folder == 0 {
                return Err(NoException::Masked);
            }
            let prefix = path.get(..=folder).unwrap_or_default().to_owned();
            let masked = "the path holds a secret, which is not kept: it means all paths that begin like this one";
            (Place::Prefix(prefix), Some(wider.unwrap_or(masked)))
        }
    };
    let exception = Exception {
        service: record.service.clone(),
        rules: vec![(found.rule, found.rule)],
        path,
        parameter,
        expires,
        reason: reason.to_owned(),
    };
    Ok(Proposal { exception, wider })
}

/// The part that a rule would have to leave out; or why it cannot be named.
fn parameter(collection: &str, key: &str) -> (Option<Parameter>, Option<&'static str>) {
    if collection.is_empty() {
        return (None, Some("the rule looks at no part of the request"));
    }
    if collection.starts_with('&') {
        return (None, Some("the rule counts, and looks at no single value"));
    }
    if matches!(
        collection,
        "TX" | "GLOBAL" | "IP" | "SESSION" | "USER" | "RESOURCE" | "RULE" | "ENV"
    ) {
        return (None, Some("the rule looks at what another rule made"));
    }
    if matches!(
        collection,
        "MATCHED_VAR" | "MATCHED_VARS" | "MATCHED_VAR_NAME" | "MATCHED_VARS_NAMES"
    ) {
        return (None, Some("the rule looks at what matched before"));
    }
    // Replaced bytes and masked secrets: the name as it was is not known.
    if key.contains(['\u{fffd}', '*']) && collection != "XML" {
        return (None, Some("the name of the part is not known as it was sent"));
    }
    match Parameter::new(collection, key) {
        // A name that is empty would mean all of them.
        Ok(parameter) if key.is_empty() && parameter.is_collection() => (None, Some("the part has an empty name")),
        Ok(parameter) => (Some(parameter), None),
        Err(_) => (None, Some("the name of the part is too long or too odd to be named")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RecordMatch, Sum};
    use super::*;

    fn record(collection: &str, key: &str) -> Record {
        Record {
            id: 1,
            time: Timestamp(0),
            service: "shop".to_owned(),
            client: "192.0.2.1".parse().unwrap(),
            path: "/search".to_owned(),
            level: 1,
            inbound: Sum { score: 5, threshold: 5 },
            outbound: Sum::default(),
            stopped_by: Some(949_110),
            blocked: true,
            matches: vec![RecordMatch {
                rule: 942_100,
                phase: 2,
                collection: collection.to_owned(),
                key: key.to_owned(),
                excerpt: String::new(),
                points: 5,
                level: 1,
            }],
        }
    }

    #[test]
    fn the_proposal_names_rule_path_and_part() {
        let proposal = propose(&record("ARGS", "q"), 0, None, "why").unwrap();
        assert_eq!(proposal.wider, None);
        assert_eq!(
            proposal.exception.toml(),
            "[[services.shop.waf.exceptions]]\nrule = 942100\npath = \"/search\"\nparameter = \"ARGS:q\"\nreason = \"why\"\n"
        );
        let whole = propose(&record("XML", "/*"), 0, None, "").unwrap().exception;
        assert_eq!(whole.parameter.unwrap().to_string(), "XML");
        let single = propose(&record("REQUEST_URI", ""), 0, None, "").unwrap().exception;
        assert_eq!(single.parameter.unwrap().to_string(), "REQUEST_URI");
    }

    #[test]
    fn a_part_that_cannot_be_named_makes_it_wider_and_that_is_said() {
        for (collection, key) in [
            ("&REQUEST_HEADERS", "Host"),
            ("TX", "allowed_methods"),
            ("ARGS", "a\u{fffd}"),
            ("ARGS", "card_***"),
            ("ARGS", "a\nb"),
            ("ARGS", ""),
        ] {
            let proposal = propose(&record(collection, key), 0, None, "").unwrap();
            assert!(
                proposal.wider.is_some() && proposal.exception.parameter.is_none(),
                "{collection}:{key}"
            );
        }
    }

    #[test]
    fn a_path_with_a_secret_gives_the_folder_before_it_and_says_that_this_is_wider() {
        let mut masked = record("ARGS", "q");
        masked.path = "/account/reset/***/x".to_owned();
        let proposal = propose(&masked, 0, None, "").unwrap();
        assert_eq!(proposal.exception.path, Place::Prefix("/account/reset/".to_owned()));
        assert!(proposal.wider.is_some() && proposal.exception.parameter.is_some());
        masked.path = "/***".to_owned();
        assert_eq!(propose(&masked, 0, None, ""), Err(NoException::Masked));
    }

    #[test]
    fn sums_limits_and_unnameable_paths_get_none() {
        let mut sum = record("TX", "blocking_inbound_anomaly_score");
        sum.matches[0].points = 0;
        assert_eq!(propose(&sum, 0, None, ""), Err(NoException::Sum));
        let mut limit = record("", "");
        limit.matches[0].rule = 0;
        assert_eq!(propose(&limit, 0, None, ""), Err(NoException::Limit));
        let mut odd = record("ARGS", "q");
        odd.path = "/a\u{fffd}".to_owned();
        assert_eq!(propose(&odd, 0, None, ""), Err(NoException::Path));
        assert_eq!(propose(&odd, 1, None, ""), Err(NoException::NoMatch));
    }
}
