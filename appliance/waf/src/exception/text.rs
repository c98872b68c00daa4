//! Exceptions as text: as rules, and as configuration.

use std::fmt::Write;

use super::{Exception, Parameter, Place};

impl Exception {
    /// The exception as a rule (or two) with this id, to be loaded before the rules that it is about. One that expires tells the time
    /// itself: it ends without anybody loading rules anew.
    ///
    /// Names are compared exactly, which the rule language only does by a pattern: `ARGS:q` would also be `ARGS:Q`.
    #[must_use]
    pub fn seclang(&self, id: u64) -> String {
        let mut actions = String::new();
        for (first, last) in &self.rules {
            let range = if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            };
            // Writing to a text cannot fail.
            let _ = match &self.parameter {
                Some(parameter) => write!(actions, ",ctl:ruleRemoveTargetById={range};{}", target(parameter)),
                None => write!(actions, ",ctl:ruleRemoveById={range}"),
            };
        }
        let operator = operator(&self.path);
        match self.expires {
            None => {
                format!("SecRule REQUEST_FILENAME \"{operator}\" \"id:{id},phase:1,pass,nolog,t:none{actions}\"\n")
            }
            Some(end) => format!(
                "SecRule REQUEST_FILENAME \"{operator}\" \"id:{id},phase:1,pass,nolog,t:none,chain\"\n    \
                 SecRule TIME_EPOCH \"@lt {}\" \"t:none{actions}\"\n",
                end.seconds()
            ),
        }
    }

    /// The exception as an entry of the configuration.
    #[must_use]
    pub fn toml(&self) -> String {
        let mut text = format!("[[services.{}.waf.exceptions]]\n", key(&self.service));
        text.push_str(&format!("rule = {}\n", self.rules_toml()));
        text.push_str(&format!("path = {}\n", string(&self.path.to_string())));
        if let Some(parameter) = &self.parameter {
            text.push_str(&format!("parameter = {}\n", string(&parameter.to_string())));
        }
        if let Some(end) = self.expires {
            // Whole seconds: the fraction says nothing to anybody.
            let end = redan_types::Timestamp(end.seconds().saturating_mul(1_000_000)).to_string();
            text.push_str(&format!("expires = {}\n", end.replace(".000Z", "Z")));
        }
        text.push_str(&format!("reason = {}\n", string(&self.reason)));
        text
    }

    fn rules_toml(&self) -> String {
        let one = |(first, last): &(u64, u64)| {
            if first == last {
                first.to_string()
            } else {
                format!("\"{first}-{last}\"")
            }
        };
        match self.rules.as_slice() {
            [only] => one(only),
            several => format!("[{}]", several.iter().map(one).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// What compares the path. A text stands as it is where nothing in it means something to the rule language.
fn operator(place: &Place) -> String {
    let plain = |path: &str| {
        path.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/_.~-@:+,=()".contains(&byte))
    };
    match place {
        Place::Exact(path) if plain(path) => format!("@streq {path}"),
        Place::Prefix(path) if plain(path) => format!("@beginsWith {path}"),
        Place::Exact(path) => format!("@rx ^{}$", pattern(path)),
        Place::Prefix(path) => format!("@rx ^{}", pattern(path)),
    }
}

/// The target that a rule shall not look at.
fn target(parameter: &Parameter) -> String {
    let collection = parameter.collection();
    if parameter.key().is_empty() {
        return collection.to_owned();
    }
    let case = if parameter.ignores_case() { "" } else { "(?-i)" };
    format!("{collection}:/{case}^{}$/", pattern(parameter.key()))
}

/// A pattern for exactly this text, with nothing in it that ends a quote, an argument or a list.
fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            pattern.push(char::from(byte));
        } else {
            let _ = write!(pattern, "\\x{byte:02x}");
        }
    }
    pattern
}

/// A key of TOML.
fn key(text: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !text.is_empty() && text.bytes().all(bare) {
        text.to_owned()
    } else {
        string(text)
    }
}

/// A string of TOML.
fn string(text: &str) -> String {
    let mut string = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => string.push_str("\\\""),
            '\\' => string.push_str("\\\\"),
            '\n' => string.push_str("\\n"),
            character if character.is_control() => {
                let _ = write!(string, "\\u{:04x}", u32::from(character));
            }
            character => string.push(character),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use redan_types::Timestamp;

    use super::*;

    fn exception(path: Place, parameter: Option<&str>) -> Exception {
        Exception {
            service: "shop".to_owned(),
            rules: vec![(942_100, 942_100)],
            path,
            parameter: parameter.map(|text| Parameter::parse(text).unwrap()),
            expires: None,
            reason: "a \"search\" box".to_owned(),
        }
    }

    #[test]
    fn a_plain_exception_reads_well() {
        let exact = exception(Place::Exact("/search".to_owned()), Some("ARGS:q"));
        assert_eq!(
            exact.seclang(7),
            "SecRule REQUEST_FILENAME \"@streq /search\" \"id:7,phase:1,pass,nolog,t:none,\
             ctl:ruleRemoveTargetById=942100;ARGS:/(?-i)^q$/\"\n"
        );
        assert_eq!(
            exact.toml(),
            "[[services.shop.waf.exceptions]]\nrule = 942100\npath = \"/search\"\nparameter = \"ARGS:q\"\n\
             reason = \"a \\\"search\\\" box\"\n"
        );
    }

    #[test]
    fn one_that_expires_says_when_in_both_forms() {
        let mut exception = exception(Place::Prefix("/api/".to_owned()), None);
        exception.rules = vec![(1, 2), (5, 5)];
        exception.expires = Some(Timestamp(1_795_305_600_250_000));
        assert_eq!(
            exception.seclang(7),
            "SecRule REQUEST_FILENAME \"@beginsWith /api/\" \"id:7,phase:1,pass,nolog,t:none,chain\"\n    \
             SecRule TIME_EPOCH \"@lt 1795305600\" \"t:none,ctl:ruleRemoveById=1-2,ctl:ruleRemoveById=5\"\n"
        );
        let toml = exception.toml();
        assert!(toml.contains("rule = [\"1-2\", 5]\n"), "{toml}");
        assert!(toml.contains("expires = 2026-11-22T00:00:00Z\n"), "{toml}");
    }

    #[test]
    fn odd_texts_cannot_end_what_they_stand_in() {
        let odd = exception(
            Place::Exact("/a\"b,%{tx.x}\n".to_owned()),
            Some("ARGS:x'\",;%{tx.y}/|\u{e9}"),
        );
        let rule = odd.seclang(7);
        assert_eq!(rule.matches('"').count(), 4, "{rule}");
        assert!(!rule.contains("%{") && !rule.trim_end().contains('\n'), "{rule}");
    }
}
