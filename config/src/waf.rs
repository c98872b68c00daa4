//! The web application firewall of a service, and the rule sets that services name.

use std::fmt;

use redan_types::{RouteName, Timestamp};
use toml::de::DeValue;

use crate::read::{Node, Read, Reader, Shape, Tree};
use crate::scalar::Size;
use crate::section::{section, words};
use crate::value::{integer, parsed, shown};

section! {
    /// A rule set for the web application firewall: a folder with SecLang rule files (`*.conf`, loaded in the order of their names) and the
    /// data files that they name (`*.data`), either in the folder itself or in its subfolder `rules`.
    pub struct RuleSet {
        /// The folder. Its files must be readable by everybody on the machine.
        "directory" => directory: FolderPath;
        /// The file with the rule set's own settings, loaded first. Absent: `crs-setup.conf` or `crs-setup.conf.example` in the folder, if
        /// there is one.
        "setup" => setup: Option<FolderPath>;
    }
}

section! {
    /// The web application firewall of a service. Without this table requests are not inspected.
    pub struct Waf {
        /// What happens to what the rules refuse.
        "mode" => mode: WafMode;
        /// The rule set. `"crs"` is the OWASP Core Rule Set where it is installed; another one is named in `[rule-sets]`.
        "rules" => rules: RuleSetName = "'crs'";
        /// The Core Rule Set's paranoia level: higher finds more, and more that is none.
        "paranoia" => paranoia: u8 = "1", "1" ..= "4";
        /// Rules up to this paranoia level are recorded without counting. Absent: as `paranoia`.
        "detection-paranoia" => detection_paranoia: Option<u8>, "1" ..= "4";
        /// A request with this anomaly score or more is refused; a finding that is critical counts 5.
        "inbound-threshold" => inbound_threshold: u32 = "5", "1" ..= "10000";
        /// A response with this anomaly score or more is refused.
        "outbound-threshold" => outbound_threshold: u32 = "4", "1" ..= "10000";
        /// Whether the score is also judged before the body has come.
        "early-blocking" => early_blocking: bool = "false";
        /// Percent of the requests that are inspected.
        "sampling" => sampling: u8 = "100", "1" ..= "100";
        /// Whether bodies of responses are inspected, too (text, HTML, XML and JSON, the first MiB). Upstreams are then asked not to compress.
        "response-bodies" => response_bodies: bool = "false";
        /// Bytes of a request's body that are inspected. They are held in memory until they have been.
        "request-body" => request_body: Size = "'1MiB'", "'1KiB'" ..= "'64MiB'";
        /// What happens to a request whose body is longer.
        "request-body-beyond" => request_body_beyond: Beyond = "'refuse'";
        /// Whether command and code injection is looked for by further rules, for services that accept code.
        "code-injection" => code_injection: bool = "false";
        /// Rules of one's own.
        "custom" => custom: CustomRules = "{}";
        /// What is not to be found, where, and until when.
        "exceptions" => exceptions: Vec<WafException> = "[]";
    }
}

section! {
    /// Rules of one's own, in SecLang.
    pub struct CustomRules {
        /// Texts that are loaded before the rule set, for instance to switch rules off for a path (`ctl:`).
        "before" => before: Vec<RuleText> = "[]";
        /// Texts that are loaded after the rule set, for instance to change its rules (`SecRuleUpdate…`).
        "after" => after: Vec<RuleText> = "[]";
    }
}

section! {
    /// Something that the rules find and that is harmless: rules are switched off for a path, or for one parameter there.
    pub struct WafException {
        /// Which rules: an id, a range of ids, or a list of both.
        "rule" => rule: RuleIds;
        /// Where: this path, or with a `*` at its end every path that begins so.
        "path" => path: ExceptionPath;
        /// Which part of the request the rules shall not look at. Absent: they do not run at all there.
        "parameter" => parameter: Option<Parameter>;
        /// The exception ends then. Absent: never.
        "expires" => expires: Option<Moment>;
        /// Why.
        "reason" => reason: String;
    }
}

words!(
    /// What happens to what the rules refuse.
    pub enum WafMode {
        /// It is refused.
        Block = "block",
        /// It passes and is recorded.
        Detect = "detect",
        /// Nothing is inspected.
        Off = "off",
    }
);

words!(
    /// What happens to a body that is longer than what is inspected.
    pub enum Beyond {
        /// The rest passes without being inspected.
        Pass = "pass",
        /// The request is refused.
        Refuse = "refuse",
    }
);

/// The name of a rule set.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleSetName(String);

impl RuleSetName {
    /// The OWASP Core Rule Set, which needs no entry in the document.
    pub const CRS: &'static str = "crs";

    /// Parses a name under the rules of a route's.
    ///
    /// # Errors
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, redan_types::NameError> {
        RouteName::parse(text).map(|name| Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An absolute path of a folder or file.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FolderPath(String);

impl FolderPath {
    /// Parses a path.
    ///
    /// # Errors
    /// Anything but an absolute path of at most 255 characters without `.` and `..`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let clean = text.len() <= 255
            && text.len() > 1
            && text.starts_with('/')
            && text.chars().all(|character| !character.is_control())
            && !text.split('/').any(|part| matches!(part, "." | ".."));
        if clean {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(format!(
                "{:?} is not an absolute path without \".\" and \"..\"",
                shown(text)
            ))
        }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A SecLang text: at most 256 KiB.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleText(pub String);

impl RuleText {
    const LONGEST: usize = 256 << 10;
}

/// Ids of rules: single ones and ranges.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleIds(Vec<(u32, u32)>);

impl RuleIds {
    /// The ids from the first to the last of each range.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    fn parse(text: &str) -> Result<(u32, u32), String> {
        let id = |text: &str| text.trim().parse::<u32>().ok().filter(|id| *id > 0);
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (id(first), id(last)),
            None => (id(text), id(text)),
        };
        match (first, last) {
            (Some(first), Some(last)) if first <= last => Ok((first, last)),
            _ => Err(format!("{:?} is neither a rule's id nor a range of ids", shown(text))),
        }
    }

    fn read_one(node: &Node<'_>, reader: &mut Reader) -> Option<(u32, u32)> {
        if node.get_ref().is_integer() {
            let id = integer(node).and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0);
            if id.is_none() {
                reader.wrong(node, "not the id of a rule", "expected a number such as 942100", None);
            }
            return id.map(|id| (id, id));
        }
        parsed(
            node,
            reader,
            "a rule's id or a range",
            "942100 or \"942100-942199\"",
            Self::parse,
        )
    }
}

impl fmt::Display for RuleIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

/// The paths of an exception.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExceptionPath {
    /// This path.
    Exact(String),
    /// Every path that begins so.
    Prefix(String),
}

impl ExceptionPath {
    /// Parses a path. What would end a text or begin a macro in SecLang is refused: an exception must not say more than it seems to.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, prefix) = text.strip_suffix('*').map_or((text, false), |path| (path, true));
        if !path.starts_with('/') {
            return Err(format!("{:?} does not begin with '/'", shown(text)));
        }
        let odd =
            |c: char| c.is_control() || c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '%' | '*' | '?' | '#');
        if let Some(odd) = path.chars().find(|c| odd(*c)) {
            return Err(format!("{odd:?} cannot stand in the path of an exception"));
        }
        if path.len() > 1_024 {
            return Err("the path of an exception has at most 1024 bytes".to_owned());
        }
        Ok(if prefix {
            Self::Prefix(path.to_owned())
        } else {
            Self::Exact(path.to_owned())
        })
    }
}

impl fmt::Display for ExceptionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Prefix(path) => write!(f, "{path}*"),
        }
    }
}

/// A part of a request as rules name it, for instance `ARGS:q`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter(String);

impl Parameter {
    /// What an exception may be about.
    const COLLECTIONS: &[&str] = &[
        "ARGS",
        "ARGS_GET",
        "ARGS_GET_NAMES",
        "ARGS_NAMES",
        "ARGS_POST",
        "ARGS_POST_NAMES",
        "FILES",
        "FILES_NAMES",
        "MULTIPART_PART_HEADERS",
        "QUERY_STRING",
        "REQUEST_BASENAME",
        "REQUEST_BODY",
        "REQUEST_COOKIES",
        "REQUEST_COOKIES_NAMES",
        "REQUEST_FILENAME",
        "REQUEST_HEADERS",
        "REQUEST_HEADERS_NAMES",
        "REQUEST_LINE",
        "REQUEST_URI",
        "REQUEST_URI_RAW",
        "RESPONSE_BODY",
        "RESPONSE_HEADERS",
        "XML",
    ];

    /// Parses a part's name.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (collection, key) = text.split_once(':').map_or((text, None), |(c, k)| (c, Some(k)));
        if !Self::COLLECTIONS.contains(&collection) {
            // Suggestions are made among words as keys are written.
            let known: Vec<String> = Self::COLLECTIONS
                .iter()
                .map(|name| name.to_lowercase().replace('_', "-"))
                .collect();
            let near = crate::suggest::closest(collection, known.iter().map(String::as_str));
            let near = near.map(|near| near.to_uppercase().replace('-', "_"));
            let meant = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("{:?} is not a part of a request{meant}", shown(collection)));
        }
        match key {
            Some(key) if key.is_empty() || key.len() > 256 || key.chars().any(char::is_control) => Err(format!(
                "{:?} is not a name: 1 to 256 bytes without control characters",
                shown(key)
            )),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A point in time (RFC 3339).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub Timestamp);

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        let moment: jiff::Timestamp = text
            .parse()
            .map_err(|_| format!("{:?} is not a date and time with its zone (RFC 3339)", shown(text)))?;
        u64::try_from(moment.as_microsecond())
            .map(|micros| Self(Timestamp(micros)))
            .map_err(|_| "a time before 1970".to_owned())
    }
}

impl Read for Moment {
    fn shape() -> Shape {
        Shape::Value("a date and time, for instance `2027-01-31T12:00:00Z`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Datetime(written) = node.get_ref() else {
            return parsed(node, reader, "a date and time", "2027-01-31T12:00:00Z", Self::parse);
        };
        match Self::parse(&written.to_string()) {
            Ok(moment) => Some(moment),
            Err(error) => {
                let help = Some("for instance 2027-01-31T12:00:00Z".to_owned());
                reader.wrong(node, error, "expected a date and time with its zone", help);
                None
            }
        }
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.0.to_string())
    }
}

impl Read for RuleIds {
    fn shape() -> Shape {
        Shape::Value("a rule's id, a range such as `\"942100-942199\"`, or a list of these".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(list) = node.get_ref().as_array() else {
            return Self::read_one(node, reader).map(|range| Self(vec![range]));
        };
        if list.is_empty() || list.len() > 256 {
            reader.wrong(node, "a list of rules", "expected 1 to 256 ids or ranges", None);
            return None;
        }
        let ranges: Vec<_> = list.iter().map(|entry| Self::read_one(entry, reader)).collect();
        ranges.into_iter().collect::<Option<_>>().map(Self)
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}

impl Read for RuleText {
    fn shape() -> Shape {
        Shape::Value("a SecLang text".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let text = reader.text(node, "a string")?;
        if text.len() > Self::LONGEST {
            let label = format!("at most {} bytes", Self::LONGEST);
            reader.wrong(node, format!("a text of {} bytes", text.len()), label, None);
            return None;
        }
        Some(Self(text.to_owned()))
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.0.clone())
    }
}

impl fmt::Display for RuleSetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
