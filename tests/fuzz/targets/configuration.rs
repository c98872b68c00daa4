//! A document: every mistake lies within it, and a good one has no difference from itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_config::{Appliance, diff};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Appliance::parse(text, "fuzz.toml") {
        Ok(appliance) => assert!(diff(&appliance, &appliance).is_empty()),
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
});
