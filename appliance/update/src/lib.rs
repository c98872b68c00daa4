//! A new version of the image: the signed bundle that carries it, the slot and the boot partition that it is written to, and how
//! it becomes permanent or is given up.
//!
//! * [`bundle`]: the file `redan-<version>.update`, its reader and its writer; no I/O.
//! * [`version`]: versions and the names of boot entries that hold them.
//! * [`esp`]: the boot partition.
//! * [`install`]: a bundle becomes a slot and a boot entry.
//! * [`storage`]: what a partition must be able to do; a file can.
//! * [`service`]: what the console, sticks and the supervisor ask; `main.rs` wires it.
//!
//! The process has two partitions, the other slot and the boot partition, as descriptors, and neither files nor a network. A version
//! that was installed is tried once. The supervisor says when it has proved itself, and then its entry becomes permanent; otherwise
//! the boot loader goes back to the one before at the next start, and that one says so.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod esp;
pub mod install;
pub mod service;
pub mod storage;
pub mod version;
