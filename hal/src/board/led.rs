//! The status light.

use std::fs;
use std::io;

/// What the light says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Light {
    /// Everything runs.
    On,
    /// Something does not.
    Off,
}

/// Sets a light of this name.
///
/// # Errors
/// There is none, or the kernel refuses.
pub fn set(name: &str, light: Light) -> io::Result<()> {
    fs::write(
        format!("/sys/class/leds/{name}/brightness"),
        match light {
            Light::On => "1",
            Light::Off => "0",
        },
    )
}
