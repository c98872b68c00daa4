//! What Redan asks of hardware, and the drivers that answer.
//!
//! [`keys`] holds the key devices: where private keys live and are used, and what seals the store to one machine. A driver may
//! touch its own device or its own file and nothing else; it knows nothing of the store, of users or of messages. The vault is
//! the only process that opens a key device. What each of them does was tried and stands in `CONFORMANCE.md`.
//!
//! [`board`] holds what is soldered to the machine besides: buttons, lights, sensors. The supervisor is the only process that opens
//! them. [`memory`] is the one place with unsafe code: pages for the keys that open everything else.
#![deny(unsafe_code)]

pub mod board;
pub mod keys;
pub mod memory;
