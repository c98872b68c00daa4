//! Drivers were loaded by the initramfs. No module is ever loaded after it.

use std::fs;

const DISABLED: &str = "/proc/sys/kernel/modules_disabled";

/// Forbids modules for good, where the initramfs has not; says where that is impossible.
pub(super) fn close() -> Option<String> {
    let closed = fs::read_to_string(DISABLED).is_ok_and(|text| text.trim() == "1");
    let written = if closed { Ok(()) } else { fs::write(DISABLED, "1") };
    written
        .err()
        .map(|error| format!("loading modules cannot be forbidden: {error}"))
}
