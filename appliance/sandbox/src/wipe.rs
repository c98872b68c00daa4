//! Memory that holds nothing once it was given back.
//!
//! Requests, passwords and keys pass through many short-lived copies in libraries that know nothing of secrets: headers, parsed
//! bodies, formatted text. Wiping what is freed catches all of them in one place, at the price of writing freed memory once more.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};

/// An allocator that overwrites memory with zeros before it goes back to the one within.
#[derive(Debug)]
pub struct Wiping<A>(pub A);

// SAFETY: every block comes from the allocator within and goes back to it with its own layout. It is written to only between the
// owner's giving it back and that. `realloc` is the trait's own, which allocates, copies and frees: growing a block in place would
// be sound as well, but where it moves the allocator within would leave the old block as it was.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract for us, which is the same.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back a block of this size, which nobody uses any more.
        unsafe { block.write_bytes(0, layout.size()) };
        // The block escapes, so that the writes are not taken for ones that nobody sees.
        let block = std::hint::black_box(block);
        // SAFETY: the caller keeps the contract for us.
        unsafe { self.0.dealloc(block, layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::Wiping;
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::Mutex;

    /// Notes what blocks hold when they come back.
    struct Witness(Mutex<Vec<Vec<u8>>>);

    // SAFETY: all of it is the system's allocator; a block is read before it goes back.
    unsafe impl GlobalAlloc for Witness {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's contract.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the test wrote to all of it.
            let held = unsafe { std::slice::from_raw_parts(block, layout.size()) }.to_vec();
            self.0.lock().unwrap().push(held);
            // SAFETY: the test gives it back as it got it.
            unsafe { System.dealloc(block, layout) };
        }
    }

    #[test]
    fn what_is_given_back_or_outgrown_holds_nothing() {
        let allocator = Wiping(Witness(Mutex::default()));
        let layout = Layout::from_size_align(48, 8).unwrap();
        // SAFETY: a size that is not 0.
        let block = unsafe { allocator.alloc(layout) };
        // SAFETY: within the block's size.
        unsafe { block.write_bytes(0xaa, 48) };
        // SAFETY: the block's own layout.
        let grown = unsafe { allocator.realloc(block, layout, 96) };
        // SAFETY: it was written before, and copied.
        assert_eq!(unsafe { std::slice::from_raw_parts(grown, 48) }, [0xaa; 48]);
        // SAFETY: within the block's size.
        unsafe { grown.write_bytes(0xbb, 96) };
        // SAFETY: the layout that it has now.
        unsafe { allocator.dealloc(grown, Layout::from_size_align(96, 8).unwrap()) };
        assert_eq!(*allocator.0.0.lock().unwrap(), [vec![0; 48], vec![0; 96]]);
    }
}
