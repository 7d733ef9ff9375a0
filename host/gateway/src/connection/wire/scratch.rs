//! The buffers that a thread reads into and writes from: one of each, whatever
//! the number of connections, and one to compress into.
//!
//! A connection borrows one within a poll, and keeps only what is left in it.
//! Bounded by [`READ_BYTES`], [`WRITE_BYTES`] and [`DEFLATED_BYTES`] for each
//! thread.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// The read buffer of a thread, in bytes: as much as a batch may have, so that
/// one read can fill it. It is cleared once, when it is made.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Room in the write buffer of a thread, in bytes. See
/// [`writing`](super::writing).
pub(super) const WRITE_BYTES: usize = 32 * 1024;

/// The largest message that is compressed at once, in bytes, and room for what
/// becomes of it.
pub(super) const DEFLATED_BYTES: usize = 16 * 1024;

type Slot = LocalKey<Cell<Vec<u8>>>;

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static DEFLATED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A borrowed buffer. Dropping it gives it back to the thread.
#[derive(Debug)]
pub(super) struct Scratch {
    buffer: Vec<u8>,
    slot: &'static Slot,
}

/// A buffer of [`READ_BYTES`], with anything in it.
pub(super) fn read() -> Scratch {
    borrow(&READ, || vec![0; READ_BYTES])
}

/// An empty buffer with room for [`WRITE_BYTES`].
pub(super) fn write() -> Scratch {
    let mut scratch = borrow(&WRITE, || Vec::with_capacity(WRITE_BYTES));
    scratch.clear();
    scratch
}

/// An empty buffer with room for a message that is compressed at once. A
/// message that cannot be compressed takes a few bytes more.
pub(super) fn deflated() -> Scratch {
    let mut scratch = borrow(&DEFLATED, || Vec::with_capacity(DEFLATED_BYTES + 64));
    scratch.clear();
    scratch
}

/// If the thread's buffer is borrowed already, this makes another one.
fn borrow(slot: &'static Slot, make: fn() -> Vec<u8>) -> Scratch {
    let mut buffer = slot.take();
    if buffer.capacity() == 0 {
        buffer = make();
    }
    Scratch { buffer, slot }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.buffer
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.slot.set(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_one_buffer_and_a_second_one_only_meanwhile() {
        let first = read();
        let place = first.as_ptr();
        assert_eq!(first.len(), READ_BYTES);
        let second = read();
        assert_eq!(second.len(), READ_BYTES);
        assert_ne!(second.as_ptr(), place);
        drop(second);
        drop(first);
        assert_eq!(read().as_ptr(), place);
    }

    #[test]
    fn what_was_written_is_gone_and_its_room_is_not() {
        let mut first = write();
        first.extend([7; WRITE_BYTES]);
        let place = first.as_ptr();
        drop(first);
        let again = write();
        assert!(again.is_empty() && again.capacity() == WRITE_BYTES);
        assert_eq!(again.as_ptr(), place);
    }
}
