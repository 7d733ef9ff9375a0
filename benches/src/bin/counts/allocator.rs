//! An allocator that counts what the thread it serves asks for, and on demand
//! notes who asked. Underneath is mimalloc, the host's allocator, so that the
//! instructions counted are the host's as well. Bounded: two numbers for each
//! thread, and the notes of one short run.
//!
//! Our own and not one of the crates that do this, because those either count
//! only the system's allocator (`stats_alloc` without a nightly compiler,
//! `allocation-counter`) or only for their own benchmarks (`divan`).
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; the argument is below"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};

use mimalloc::MiMalloc;

/// The system's allocator, counted.
pub(crate) struct Counting;

/// The memory that a thread has asked for since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// Pieces of memory, a piece that grew or shrank counted once more.
    pub(crate) allocations: u64,
    /// The bytes of all of them.
    pub(crate) bytes: u64,
}

thread_local! {
    // Neither of the first two needs a destructor or an allocation: an
    // allocator could not use them otherwise.
    static ASKED: Cell<Asked> = const { Cell::new(Asked { allocations: 0, bytes: 0 }) };
    static NOTING: Cell<bool> = const { Cell::new(false) };
    static NOTES: RefCell<Vec<(usize, Backtrace)>> = const { RefCell::new(Vec::new()) };
}

/// The memory that this thread has asked for so far.
pub(crate) fn asked() -> Asked {
    ASKED.get()
}

/// From now on notes for each piece of memory who asked this thread for it.
pub(crate) fn note() {
    NOTING.set(true);
}

/// The notes: the bytes of each piece and the call stack. Ends the noting.
pub(crate) fn notes() -> Vec<(usize, Backtrace)> {
    NOTING.set(false);
    NOTES.take()
}

fn count(bytes: usize) {
    let before = ASKED.get();
    ASKED.set(Asked {
        allocations: before.allocations + 1,
        bytes: before.bytes + bytes as u64,
    });
    // Off while it notes: noting allocates.
    if NOTING.replace(false) {
        NOTES.with_borrow_mut(|notes| notes.push((bytes, Backtrace::force_capture())));
        NOTING.set(true);
    }
}

// SAFETY: each call is handed to mimalloc as it came, which is an allocator;
// so what holds for its pointers and layouts holds here. Counting does not
// touch the memory, does not allocate unless notes are asked for, and then does
// so by this allocator with noting switched off, so that it ends; it does not
// unwind: the additions cannot overflow in the time a process lives.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is the one asked for here.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above; the pointer is mimalloc's.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}
