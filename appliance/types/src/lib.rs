//! Newtypes that cross the boundaries between Redan's crates and processes.
//!
//! A value that means something is never a bare `String` or `u32`: each type here is made by a parsing constructor, so holding
//! one proves that it is well formed. There is no logic beyond parsing and printing, no I/O and no clock. Every other crate may
//! use this one; it uses none of them.
#![forbid(unsafe_code)]

mod id;
mod key;
mod name;
mod net;
mod pattern;
mod process;
mod secret;
mod time;

pub use id::{Generation, IncidentId, KeyId, RecordId};
pub use key::{Algorithm, OaepHash, Operation, Scheme};
pub use name::{InterfaceName, KeyName, NameError, PolicyName, RoleName, RouteName, ServiceName, UserName, ZoneName};
pub use net::{Cidr, HostName, NetError, Port, Protocol};
pub use pattern::{PathPattern, PatternError, Segment, path_segments};
pub use process::{Mode, Process};
pub use secret::{SecretBytes, SecretString};
pub use time::Timestamp;
