//! Buffers of the data path: each thread keeps its own, and a connection holds one only while bytes wait in it.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Room for the largest TLS record (16 KiB of content, RFC 8446 section 5.2 allows 256 bytes more, and its header) and a little more.
pub(crate) const SIZE: usize = 20 * 1024;

/// Buffers that a thread keeps for later, at most.
const KEPT: usize = 256;

/// A buffer that grew beyond this is not kept.
const LARGEST_KEPT: usize = 64 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A byte vector that goes back to its thread when dropped.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty buffer with room for [`SIZE`] bytes.
    pub(crate) fn take() -> Self {
        let kept = FREE.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| Vec::with_capacity(SIZE)))
    }

    /// Drops bytes from the front.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if bytes >= self.0.len() {
            self.0.clear();
        } else if bytes > 0 {
            self.0.drain(..bytes);
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if bytes.capacity() > LARGEST_KEPT || bytes.capacity() < SIZE {
            return;
        }
        bytes.clear();
        // At the end of the thread the list may be gone already; the buffer is then freed like anything else.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffer, SIZE};

    #[test]
    fn a_buffer_comes_back_empty() {
        let mut buffer = Buffer::take();
        buffer.extend_from_slice(b"secret");
        buffer.consume(3);
        assert_eq!(buffer.as_slice(), b"ret");
        let place = buffer.as_ptr();
        drop(buffer);
        let again = Buffer::take();
        assert!(again.is_empty());
        assert!(again.capacity() >= SIZE);
        assert_eq!(again.as_ptr(), place);
    }
}
