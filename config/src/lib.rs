//! The configuration language of `redan.toml`: types, defaults, checks, diff and reference. No I/O.
//!
//! [`Appliance::parse`] gives either a value in which every reference resolves, or all [`Mistakes`], each printed as rustc prints its own. The
//! types, their readers and the reference come from one definition each (`section!` in `section.rs`); `check` holds what concerns several keys at
//! once. The manager slices an [`Appliance`] for the services; `redan config` and the console show mistakes and [`diff`]s.
#![forbid(unsafe_code)]

mod check;
mod diff;
mod document;
mod duration;
mod identity;
mod mistake;
mod network;
mod pattern;
mod read;
mod reference;
mod resolve;
mod scalar;
mod secrets;
mod section;
mod service;
mod suggest;
mod value;
mod waf;

pub use diff::{Change, ChangeKind, diff};
pub use document::{Appliance, Blocklist, Console, Limits, System};
pub use duration::{duration_text, parse_duration};
pub use identity::{ApiKeys, Identity, Lockout, Passwords, Role, Sessions, User};
pub use mistake::{Kind, Mistake, Mistakes};
pub use network::{Group, Interface, Mtu, Policy, Zone};
pub use pattern::PathPrefix;
pub use reference::reference;
pub use resolve::{BUILT_IN_ROLES, ResolvedPolicy};
pub use scalar::{
    Action, Addresses, Certificate, Endpoint, FieldName, FieldValue, GroupName, InterfaceAddress, KeyKind, Method,
    OperatorKey, PageType, Place, PortMatch, Ports, Size, TlsVersion, UpstreamName,
};
pub use secrets::{Secrets, TransitKey};
pub use service::{AccessRule, Fallback, Headers, Health, Listen, Rate, RequestLimits, Route, Service, Tls, Upstream};
pub use waf::{
    Beyond, CustomRules, ExceptionPath, FolderPath, Moment, Parameter, RuleIds, RuleSet, RuleSetName, RuleText, Waf,
    WafException, WafMode,
};

/// The largest document, in bytes.
pub const LARGEST: usize = 1 << 20;

impl Appliance {
    /// Reads and checks a whole document; `file` is its name in messages.
    ///
    /// # Errors
    /// All mistakes, with the warnings.
    pub fn parse(text: &str, file: &str) -> Result<Self, Mistakes> {
        Self::parse_with_warnings(text, file).map(|(appliance, _)| appliance)
    }

    /// Like [`Appliance::parse`], with the warnings of a good document.
    ///
    /// # Errors
    /// All mistakes, with the warnings.
    pub fn parse_with_warnings(text: &str, file: &str) -> Result<(Self, Mistakes), Mistakes> {
        check::document(text, file)
    }
}
