//! Injection detection equal to libinjection: `@detectSQLi` and `@detectXSS`.
