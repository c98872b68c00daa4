//! Capability sets and giving them up.
#![forbid(unsafe_code)]

use rustix::io::Errno;
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A set of capabilities (capabilities(7)), one bit each.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Capabilities(u64);

impl Capabilities {
    /// No capability at all.
    pub const NONE: Self = Self(0);
    /// `CAP_NET_ADMIN`: interfaces, routes and the packet filter of the network namespace.
    pub const NET_ADMIN: Self = Self(1 << 12);

    /// The set of these bits, as `/proc/self/status` shows them.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    const fn set(self) -> CapabilitySet {
        CapabilitySet::from_bits_retain(self.0)
    }

    /// Takes every capability but these out of the bounding set, so that no program executed later can gain one.
    pub(crate) fn bound(self) -> Result<(), Errno> {
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            match capability_is_in_bounding_set(one) {
                Ok(true) if !self.set().contains(one) => remove_capability_from_bounding_set(one)?,
                Ok(_) => {}
                // The kernel knows no capability of this number, nor of a higher one.
                Err(Errno::INVAL) => break,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Makes these the permitted and effective set; nothing is inheritable or ambient.
    pub(crate) fn keep_only(self) -> Result<(), Errno> {
        let sets = CapabilitySets {
            effective: self.set(),
            permitted: self.set(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)?;
        clear_ambient_capability_set()
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("none"),
            Self::NET_ADMIN => f.write_str("CAP_NET_ADMIN"),
            Self(bits) => write!(f, "{bits:#x}"),
        }
    }
}

/// User id 0 means nothing any more, for this process and all it executes: no capability comes from being root, none changes by
/// changing the user id (what is kept is set explicitly afterwards), none becomes ambient; locked.
pub(crate) fn lock_secure_bits() -> Result<(), Errno> {
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )
}
