//! Board devices: what is soldered to the machine besides its processor, and what a board file says of it.
//!
//! | module | what |
//! |---|---|
//! | [`file`](mod@file) | the board file: which device is where |
//! | [`lm75`] | temperature over I²C, on any bus that `embedded-hal` knows |
//! | [`button`] | the events of power and reset buttons |
//! | [`sensors`] | everything that can be read, with what is absent |
//! | [`led`] | the status light |
//!
//! The supervisor opens the devices; they are the kernel's files and the kernel's structures. What a board file names and is absent is
//! reported and never fatal.

pub mod button;
pub mod file;
pub mod led;
pub mod lm75;
pub mod sensors;
