//! The configuration language: types, defaults, checks, diff.
