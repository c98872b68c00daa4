//! Buffers of the data path: each thread keeps its own, and a connection holds one only while bytes wait in it. What a buffer held
//! is overwritten before it is kept for the next connection.

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
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// The most that it was seen to hold, which is what is overwritten. Whoever fills it and takes from it does so in two steps.
    held: usize,
}

impl Buffer {
    /// An empty buffer with room for [`SIZE`] bytes.
    pub(crate) fn take() -> Self {
        let kept = FREE.with_borrow_mut(Vec::pop);
        Self {
            bytes: kept.unwrap_or_else(|| Vec::with_capacity(SIZE)),
            held: 0,
        }
    }

    fn note(&mut self) {
        self.held = self.held.max(self.bytes.len());
    }

    /// Drops bytes from the front.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.note();
        if bytes >= self.bytes.len() {
            self.bytes.clear();
        } else if bytes > 0 {
            self.bytes.drain(..bytes);
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Self::Target {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.note();
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.note();
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() > LARGEST_KEPT || bytes.capacity() < SIZE {
            return;
        }
        bytes.clear();
        bytes.resize(self.held.min(bytes.capacity()), 0);
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
