//! Listeners, TLS, routing, stages and upstreams.
#![forbid(unsafe_code)]

fn main() {}
