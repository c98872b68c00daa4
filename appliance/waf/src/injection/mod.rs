//! Injection detection equal to libinjection: `@detectSQLi` and `@detectXSS`.

/// The fingerprint of an SQL injection, if the value is one.
#[must_use]
pub fn detect_sqli(value: &[u8]) -> Option<String> {
    let found = libinjectionrs::detect_sqli(value);
    found
        .is_injection()
        .then(|| found.fingerprint.map(|print| print.to_string()).unwrap_or_default())
}

/// Whether the value is a cross-site scripting attack.
#[must_use]
pub fn detect_xss(value: &[u8]) -> bool {
    libinjectionrs::detect_xss(value).is_injection()
}
