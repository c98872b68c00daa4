//! Digests. Not for security: rules compare values with published digests of known bad ones.

use std::borrow::Cow;

use md5::Md5;
use sha1::{Digest, Sha1};

pub(super) fn md5(value: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(Md5::digest(value).to_vec())
}

pub(super) fn sha1(value: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(Sha1::digest(value).to_vec())
}
