//! The console: REST API, event stream and web pages.
#![forbid(unsafe_code)]

fn main() {}
