//! A strict HTTP/1.1 codec, sans-io.
