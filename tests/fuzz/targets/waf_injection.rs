//! Injection detection: a verdict for every value, and none that the operators' prefilters would have spared.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_waf::injection::{detect_sqli, detect_xss};

fuzz_target!(|value: &[u8]| {
    if let Some(fingerprint) = detect_sqli(value) {
        assert!((1..=5).contains(&fingerprint.as_bytes().len()));
        assert!(!value.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
    }
    if detect_xss(value) {
        assert!(value.contains(&b'<') || value.contains(&b'='));
    }
});
