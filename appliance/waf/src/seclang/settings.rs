//! What the directives outside of rules set.

use super::{Problem, Switch};
use crate::{operator::DEFAULT_STEP_LIMIT, transform::UnicodeMap};

/// Whether rules run and what their verdicts do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum EngineMode {
    /// Rules run and are reported; nothing is stopped.
    Detection,
    /// No rule runs.
    #[default]
    Off,
    /// Rules run and may stop a transaction.
    On,
}

impl EngineMode {
    pub(crate) fn parse(what: &str, value: &[u8]) -> Result<Self, Problem> {
        match value.to_ascii_lowercase().as_slice() {
            b"on" => Ok(Self::On),
            b"off" => Ok(Self::Off),
            b"detectiononly" => Ok(Self::Detection),
            _ => Err(Problem::value(what, value, "On, Off or DetectionOnly")),
        }
    }
}

/// What happens to a body that is longer than its limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyLimitAction {
    /// What is within the limit is inspected, the rest passes.
    Partial,
    /// The transaction is refused.
    Reject,
}

impl BodyLimitAction {
    pub(crate) fn parse(what: &str, value: &[u8]) -> Result<Self, Problem> {
        match value.to_ascii_lowercase().as_slice() {
            b"reject" => Ok(Self::Reject),
            b"processpartial" => Ok(Self::Partial),
            _ => Err(Problem::value(what, value, "Reject or ProcessPartial")),
        }
    }
}

/// Which transactions get an audit record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AuditMode {
    Off,
    On,
    Relevant,
}

impl AuditMode {
    pub(crate) fn parse(what: &str, value: &[u8]) -> Result<Self, Problem> {
        match value.to_ascii_lowercase().as_slice() {
            b"on" => Ok(Self::On),
            b"off" => Ok(Self::Off),
            b"relevantonly" => Ok(Self::Relevant),
            _ => Err(Problem::value(what, value, "On, Off or RelevantOnly")),
        }
    }
}

/// Whether the XML processor also makes arguments of elements with text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum XmlArgs {
    Off,
    /// Besides the `XML` collection.
    On,
    /// Instead of it.
    Only,
}

impl XmlArgs {
    pub(crate) fn parse(what: &str, value: &[u8]) -> Result<Self, Problem> {
        match value.to_ascii_lowercase().as_slice() {
            b"off" => Ok(Self::Off),
            b"on" => Ok(Self::On),
            b"onlyargs" => Ok(Self::Only),
            _ => Err(Problem::value(what, value, "On, Off or OnlyArgs")),
        }
    }
}

/// The settings of a rule set. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SecRuleEngine`.
    pub engine: EngineMode,
    /// `SecRequestBodyAccess`: whether request bodies are held and inspected.
    pub request_body_access: bool,
    /// `SecRequestBodyLimit`.
    pub request_body_limit: usize,
    /// `SecRequestBodyNoFilesLimit`: the same without what multipart bodies carry as files.
    pub request_body_no_files_limit: usize,
    /// `SecRequestBodyLimitAction`.
    pub request_body_limit_action: BodyLimitAction,
    /// `SecResponseBodyAccess`: whether response bodies are held and inspected.
    pub response_body_access: bool,
    /// `SecResponseBodyLimit`.
    pub response_body_limit: usize,
    /// `SecResponseBodyLimitAction`.
    pub response_body_limit_action: BodyLimitAction,
    /// `SecResponseBodyMimeType`, in lower case.
    pub response_body_mime_types: Vec<String>,
    /// `SecRequestBodyJsonDepthLimit`: how deep JSON may be nested.
    pub json_depth_limit: usize,
    /// `SecArgumentsLimit`: how many arguments are read.
    pub arguments_limit: usize,
    /// `SecArgumentSeparator`.
    pub argument_separator: u8,
    /// `SecCookieFormat`: whether cookies are of version 1 (quoted values).
    pub quoted_cookies: bool,
    /// `SecUploadFileLimit`: how many files a multipart body may carry.
    pub upload_file_limit: usize,
    /// `SecAuditLogParts`.
    pub audit_parts: String,
    /// `SecCollectionTimeout`: seconds that a persistent collection lives after its last change.
    pub collection_timeout: i64,
    /// `SecWebAppId`.
    pub web_app_id: String,
    /// `SecComponentSignature`s, in order.
    pub components: Vec<String>,
    /// From `SecPcreMatchLimit`: how many steps one evaluation of a backtracking pattern may take.
    pub pattern_steps: u64,
    /// `SecUnicodeMapFile`: what code points `t:urlDecodeUni` makes of bytes.
    pub(crate) unicode: Option<std::sync::Arc<UnicodeMap>>,
    pub(crate) audit: AuditMode,
    /// `SecAuditLogRelevantStatus`: a pattern for the response status.
    pub(crate) audit_relevant: Option<std::sync::Arc<crate::operator::Operator>>,
    pub(crate) xml_args: XmlArgs,
    /// `SecTmpSaveUploadedFiles`, `SecUploadKeepFiles`: whether `FILES_TMP_CONTENT` is filled.
    pub(crate) keep_files: Switch,
}

impl Default for Settings {
    /// The defaults of the reference manual; the engine is off until a rule file switches it on.
    fn default() -> Self {
        Self {
            engine: EngineMode::Off,
            request_body_access: false,
            request_body_limit: 134_217_728,
            request_body_no_files_limit: 1_048_576,
            request_body_limit_action: BodyLimitAction::Reject,
            response_body_access: false,
            response_body_limit: 524_288,
            response_body_limit_action: BodyLimitAction::Partial,
            response_body_mime_types: vec!["text/plain".into(), "text/html".into()],
            json_depth_limit: 10_000,
            arguments_limit: 1_000,
            argument_separator: b'&',
            quoted_cookies: false,
            upload_file_limit: 100,
            audit_parts: "ABCFHZ".into(),
            collection_timeout: 3_600,
            web_app_id: "default".into(),
            components: Vec::new(),
            pattern_steps: DEFAULT_STEP_LIMIT,
            unicode: None,
            audit: AuditMode::Off,
            audit_relevant: None,
            xml_args: XmlArgs::Off,
            keep_files: Switch::Off,
        }
    }
}
