//! The web application firewall: compiles SecLang rule sets (the OWASP Core Rule Set unmodified) and runs transactions through them.
//!
//! No I/O, no clock of its own, no `unsafe`: rule files arrive as bytes, collections and time through traits. The manager compiles off
//! the data path, the proxy calls the compiled rules.
//!
//! [`seclang`] reads rule files and compiles them, [`engine`] runs transactions, [`body`] takes request bodies apart, [`transform`],
//! [`operator`] and [`injection`] are the pure functions that rules are made of. [`pack`] is rules of our own, [`exception`] makes
//! exclusions of events, [`sample`] reads requests from text for tools.
#![forbid(unsafe_code)]

pub mod body;
pub mod bytes;
pub mod engine;
pub mod exception;
pub mod injection;
pub mod operator;
pub mod pack;
pub mod sample;
pub mod seclang;
pub mod transform;
