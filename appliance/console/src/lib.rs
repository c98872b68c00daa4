//! The console: REST API, event stream and web pages.
