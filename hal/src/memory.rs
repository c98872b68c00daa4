//! Memory for the few keys that open everything else: never in swap, never in a core dump, between guard pages, wiped at the end.
//!
//! What a compiler or a library copies to a stack or a heap is not in here; for that the vault locks all of its memory
//! ([`lock_everything`]) and is not dumpable (its sandbox). This is for what lives as long as the process.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::mm::{
    Advice, MapFlags, MlockAllFlags, MprotectFlags, ProtFlags, madvise, mlock, mlockall, mmap_anonymous, mprotect,
    munmap,
};
use rustix::process::{Resource, getrlimit};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use zeroize::Zeroize;

/// A whole number of pages on every machine: the largest pages that Linux is built for are 64 KiB, and the size of those that are in
/// use cannot be asked for within the vault's sandbox.
pub const PAGES: usize = 64 << 10;

/// Bytes in pages of their own.
pub struct Locked {
    /// The beginning: a guard, the content's pages, a guard, each of [`PAGES`] bytes.
    base: NonNull<c_void>,
    length: usize,
    locked: bool,
}

// SAFETY: the pages belong to this value alone, and are reached through `&self` and `&mut self` only, like a `Box`'s.
unsafe impl Send for Locked {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Locked {}

impl Locked {
    /// Pages for `length` bytes, all zero; `length` is at most [`PAGES`].
    ///
    /// # Errors
    /// The system gives no memory. That it does not lock it is no error: [`Locked::is_locked`] tells.
    pub fn zeroed(length: usize) -> Result<Self, Errno> {
        if length > PAGES {
            return Err(Errno::INVAL);
        }
        // SAFETY: a new private mapping at an address of the kernel's choice; nothing else refers to it.
        let base = unsafe { mmap_anonymous(null_mut(), 3 * PAGES, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let base = NonNull::new(base).ok_or(Errno::NOMEM)?;
        let mut made = Self {
            base,
            length,
            locked: false,
        };
        let content = made.content();
        // SAFETY: the middle page of the mapping made above, which this value owns.
        unsafe { mprotect(content, PAGES, MprotectFlags::READ | MprotectFlags::WRITE) }?;
        // SAFETY: as above; locking changes no content.
        made.locked = unsafe { mlock(content, PAGES) }.is_ok();
        // SAFETY: as above; the advice changes no content.
        unsafe { madvise(content, PAGES, Advice::LinuxDontDump) }?;
        Ok(made)
    }

    /// Moves `secret` there and wipes it where it was.
    ///
    /// # Errors
    /// As [`Locked::zeroed`].
    pub fn new(secret: &mut [u8]) -> Result<Self, Errno> {
        let made = Self::zeroed(secret.len()).map(|mut made| {
            made.expose_mut().copy_from_slice(secret);
            made
        });
        secret.zeroize();
        made
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        // SAFETY: the middle page is mapped readable for as long as this value lives, holds `length` initialised bytes (the kernel
        // gave zeroes), and is written through `&mut self` only.
        unsafe { std::slice::from_raw_parts(self.content().cast::<u8>(), self.length) }
    }

    /// The bytes, to be filled.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `expose`, and this borrow is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.content().cast::<u8>(), self.length) }
    }

    /// Whether the system keeps the page out of swap.
    #[must_use]
    pub const fn is_locked(&self) -> bool {
        self.locked
    }

    fn content(&self) -> *mut c_void {
        self.base.as_ptr().wrapping_byte_add(PAGES)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.expose_mut().zeroize();
        // SAFETY: the mapping was made by `zeroed` with this length, and nothing refers to it any more. Unmapping unlocks it.
        let _ = unsafe { munmap(self.base.as_ptr(), 3 * PAGES) };
    }
}

impl std::fmt::Debug for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Locked({} bytes)", self.length)
    }
}

/// Keeps all of the process's memory out of swap, now and later; says why where it does not.
///
/// # Errors
/// In words: the limit of locked memory is lower than that of data (then a later allocation would fail instead of being swapped, and
/// the process would end), or the system refuses.
pub fn lock_everything() -> Result<(), String> {
    let most = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
    let (locked, data) = (most(Resource::Memlock), most(Resource::Data));
    if locked < data {
        return Err(format!(
            "memory may be swapped: at most {} MiB may be locked",
            locked >> 20
        ));
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|errno| format!("memory may be swapped: the kernel does not lock it: {errno}"))
}

#[cfg(test)]
mod tests {
    use super::{Locked, PAGES};

    /// The lines of `/proc/self/smaps` about the mapping that holds `address`, and those before and after it.
    fn mapping(address: usize) -> (Vec<String>, String, String) {
        let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut all: Vec<Vec<String>> = Vec::new();
        for line in text.lines() {
            let range = line.split(' ').next().and_then(|first| first.split_once('-'));
            let is_head = range.is_some_and(|(from, _)| usize::from_str_radix(from, 16).is_ok());
            if is_head {
                all.push(Vec::new());
            }
            all.last_mut().unwrap().push(line.to_owned());
        }
        let holds = |lines: &Vec<String>| {
            let (from, to) = lines[0].split(' ').next().unwrap().split_once('-').unwrap();
            let at = |text| usize::from_str_radix(text, 16).unwrap();
            (at(from)..at(to)).contains(&address)
        };
        let place = all.iter().position(holds).unwrap();
        (all[place].clone(), all[place - 1][0].clone(), all[place + 1][0].clone())
    }

    #[test]
    fn a_key_lies_between_guard_pages_and_stays_out_of_swap_and_dumps() {
        let mut secret = *b"a key that nobody else may see..";
        let locked = Locked::new(&mut secret).unwrap();
        assert_eq!(secret, [0; 32], "the first copy is wiped");
        assert_eq!(locked.expose(), b"a key that nobody else may see..");
        let (lines, before, after) = mapping(locked.expose().as_ptr().addr());
        let flags = lines.iter().find(|line| line.starts_with("VmFlags:")).unwrap();
        assert!(flags.split(' ').any(|flag| flag == "dd"), "not dumped: {flags}");
        if locked.is_locked() {
            assert!(flags.split(' ').any(|flag| flag == "lo"), "locked: {flags}");
        }
        for guard in [before, after] {
            assert!(guard.contains("---p"), "a guard page: {guard}");
        }
    }

    #[test]
    fn more_than_the_pages_hold_is_refused() {
        assert!(Locked::zeroed(PAGES + 1).is_err());
        assert_eq!(Locked::zeroed(0).unwrap().expose(), b"");
    }
}
