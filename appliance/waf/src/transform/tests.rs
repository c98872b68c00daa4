use proptest::prelude::*;

use super::*;

/// Bytes that transformations care about, often enough that sequences of them come up.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(&b"%u0041fF+\\x\\/*-<!>#&;.. \t\n\"'^,(\x00\x80\xc2\xa0\xff[]_=aAzZ019"[..]);
    prop::collection::vec(prop_oneof![8 => telling, 1 => any::<u8>()], 0..40)
}

proptest! {
    #[test]
    fn what_is_left_alone_is_returned_as_it_is(value in value(), index in 0..Transformation::EVERY.len()) {
        let transformation = Transformation::EVERY[index];
        let result = transformation.apply(&value);
        if transformation.leaves_alone(ByteSet::of(&value)) {
            prop_assert!(matches!(result, Cow::Borrowed(_)));
            prop_assert_eq!(&*result, &value[..], "{:?}", transformation);
        }
    }

    #[test]
    fn an_unchanged_value_is_borrowed(value in value(), index in 0..Transformation::EVERY.len()) {
        let transformation = Transformation::EVERY[index];
        if let Cow::Owned(changed) = transformation.apply(&value) {
            prop_assert!(changed != value || transformation == Transformation::Length);
        }
    }
}

#[test]
fn every_name_is_read_back_whatever_its_case() {
    for transformation in Transformation::EVERY {
        assert_eq!(Transformation::parse(transformation.name()), Some(transformation));
        assert_eq!(
            Transformation::parse(&transformation.name().to_uppercase()),
            Some(transformation)
        );
    }
    assert_eq!(
        Transformation::parse("normalisePath"),
        Some(Transformation::NormalizePath)
    );
    assert_eq!(Transformation::parse("none"), None);
}
