//! The web application firewall: compiles SecLang rule sets (the OWASP Core Rule Set unmodified) and runs transactions through them.
//!
//! No I/O, no clock of its own, no `unsafe`: rule files arrive as bytes, collections and time through traits. The manager compiles off
//! the data path, the proxy calls the compiled rules.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod injection;
pub mod operator;
pub mod transform;
