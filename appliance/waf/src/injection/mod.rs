//! Injection detection with the verdicts of libinjection: `@detectSQLi` and `@detectXSS`.
//!
//! The code is our own and safe; the word and fingerprint tables are libinjection's, as the crate `libinjectionrs` publishes them
//! (its own verdicts differ from the C library's and are not used). The tests compare every verdict with the C library's where one
//! is installed. Pure functions of the value; the operators call them.

mod markup;
mod sql;

pub use markup::detect_xss;
pub use sql::{Fingerprint, detect_sqli};
