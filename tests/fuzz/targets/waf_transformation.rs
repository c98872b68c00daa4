//! A value through a transformation: no panic, no more than a few times its length, and untouched where the bytes alone promise it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_waf::bytes::ByteSet;
use redan_waf::transform::Transformation;

fuzz_target!(|data: &[u8]| {
    let Some((choice, value)) = data.split_first() else { return };
    let transformation = Transformation::EVERY[usize::from(*choice) % Transformation::EVERY.len()];
    let result = transformation.apply(value);
    assert!(result.len() <= value.len() * 4 + 64, "{transformation:?}");
    if transformation.leaves_alone(ByteSet::of(value)) {
        assert_eq!(&*result, value, "{transformation:?}");
    }
});
