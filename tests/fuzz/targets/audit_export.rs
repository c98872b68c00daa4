//! An export as an auditor may be handed it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_audit::export::{Options, verify};

fuzz_target!(|data: &[u8]| {
    if let Ok(report) = verify(data, &Options::default()) {
        // Nobody can have signed what the fuzzer made.
        assert!(!report.is_good());
    }
});
