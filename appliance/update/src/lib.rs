//! A new version of the image: the signed bundle that carries it, the slot and the boot partition that it is written to, and how
//! it becomes permanent or is given up.
//!
//! * [`bundle`]: the file `redan-<version>.update`, its reader and its writer; no I/O.
//! * [`version`]: versions and the names of boot entries that hold them.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod version;
