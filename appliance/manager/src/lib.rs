//! The configuration's transactions: parse, slice, prepare, commit, confirm.
