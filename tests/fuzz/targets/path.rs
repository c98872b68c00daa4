//! A path: what is forwarded means the same when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_identity::path::normalise;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = normalise(text) {
        let again = normalise(path.forward()).expect("a normal path is not ambiguous");
        assert_eq!(again.forward(), path.forward());
        assert!(!path.decoded().split('/').any(|segment| segment == ".." || segment == "."));
    }
});
