//! Drivers: the modules that the image lists, in its order; afterwards no module is ever loaded again.

use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::{self, File};
use std::path::Path;

/// Written when the image was made: one path a line, what a module needs before it. A module whose hardware is absent is loaded in
/// vain and costs a few kilobytes.
const LIST: &str = "/usr/share/redan/modules";
/// `MODULE_INIT_COMPRESSED_FILE` (linux/module.h): the kernel decompresses, so that its signature check sees the file.
const COMPRESSED: u32 = 4;
const DISABLE: &str = "/proc/sys/kernel/modules_disabled";

/// Loads what is listed; says what could not be loaded.
pub(super) fn load() -> Vec<String> {
    let list = fs::read_to_string(LIST).unwrap_or_default();
    let paths = list.lines().map(str::trim).filter(|line| line.starts_with('/'));
    paths
        .filter_map(|path| {
            let loaded = load_one(Path::new(path));
            loaded
                .err()
                .map(|why| format!("the module {path} cannot be loaded: {why}"))
        })
        .collect()
}

/// Forbids further modules for good.
pub(super) fn close() -> Option<String> {
    fs::write(DISABLE, "1")
        .err()
        .map(|error| format!("loading modules cannot be forbidden: {error}"))
}

fn load_one(path: &Path) -> Result<(), std::io::Error> {
    let file = File::open(path)?;
    let is_plain = path.extension().is_some_and(|extension| extension == "ko");
    let flags = if is_plain { 0 } else { COMPRESSED };
    let parameters: &CStr = c"";
    match rustix::system::finit_module(&file, parameters, i32::try_from(flags).unwrap_or(0)) {
        // Built in or loaded by the initramfs already; or there is no such hardware.
        Ok(()) | Err(Errno::EXIST | Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
