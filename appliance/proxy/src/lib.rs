//! Listeners, TLS, routing, stages and upstreams.
