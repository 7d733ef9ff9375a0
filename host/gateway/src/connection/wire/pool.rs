//! The compressors and decompressors of a thread, for all connections that it
//! serves.
//!
//! Bounded by one decompressor and [`DEFLATERS_MAX`] compressors for each
//! thread; a connection borrows them within a poll, and keeps the decompressor
//! until its message is done.
//! Those that were not used between two calls of [`release_unused`] are freed.

use std::cell::{Cell, RefCell};
use std::thread;

use openline_channels::shared::VARIANTS;
use openline_websocket::{Deflater, Inflater};

/// The most compressors that a thread keeps: they differ by window and level,
/// and a host with more than two kinds is rare. Each has up to 373 KiB.
const DEFLATERS_MAX: usize = 4;

thread_local! {
    static INFLATER: Cell<Option<Box<Inflater>>> = const { Cell::new(None) };
    /// Whether it was used since [`release_unused`].
    static INFLATER_USED: Cell<bool> = const { Cell::new(false) };
    /// The one that was used last is the last.
    static DEFLATERS: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// The settings of a compressor: zlib's level, and a window as a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    level: u8,
    window_bits: u8,
}

/// A compressor that is borrowed within a poll. Dropping it gives it back,
/// unless that is because of a panic: then it may be in the middle of a message,
/// and the next one would have a part of that in it.
#[derive(Debug)]
pub(super) struct Lent {
    /// Taken only when it is dropped.
    deflater: Option<Box<Deflater>>,
    kind: Kind,
}

struct Kept {
    deflater: Box<Deflater>,
    kind: Kind,
    used: bool,
}

impl Kind {
    /// Compressors for a window that is not larger than the peer's. There are
    /// three sizes only, so that few compressors serve all peers and few
    /// variants of a publication are made: nearly all peers have the largest
    /// window, and a smaller one is within what was agreed on.
    pub(super) fn new(level: u8, window_bits: u8) -> Self {
        let window_bits = match window_bits {
            ..12 => 9,
            12..15 => 12,
            15.. => 15,
        };
        Self { level, window_bits }
    }

    /// Which of a publication's variants they make.
    pub(super) fn variant(self) -> usize {
        const { assert!(VARIANTS == 3) };
        match self.window_bits {
            ..12 => 0,
            12..15 => 1,
            15.. => 2,
        }
    }
}

impl Lent {
    /// Borrows a compressor, or makes one.
    pub(super) fn of(kind: Kind) -> Self {
        let kept = DEFLATERS.with_borrow_mut(|all| {
            let index = all.iter().rposition(|kept| kept.kind == kind)?;
            Some(all.remove(index).deflater)
        });
        Self {
            deflater: Some(kept.unwrap_or_else(|| made(kind))),
            kind,
        }
    }

    pub(super) fn deflater(&mut self) -> &mut Deflater {
        let kind = self.kind;
        self.deflater.get_or_insert_with(|| made(kind))
    }
}

fn made(kind: Kind) -> Box<Deflater> {
    #[cfg(test)]
    MADE.set(MADE.get() + 1);
    Box::new(Deflater::new(kind.level, kind.window_bits, false))
}

impl Drop for Lent {
    fn drop(&mut self) {
        let taken = self.deflater.take();
        let Some(deflater) = taken.filter(|_| !thread::panicking()) else {
            return;
        };
        let kept = Kept {
            deflater,
            kind: self.kind,
            used: true,
        };
        // A thread that ends keeps nothing.
        let _ = DEFLATERS.try_with(|all| {
            let mut all = all.borrow_mut();
            if all.len() == DEFLATERS_MAX {
                all.remove(0);
            }
            all.push(kept);
        });
    }
}

/// Borrows a decompressor, or makes one.
pub(super) fn inflater() -> Box<Inflater> {
    let kept = INFLATER.take();
    kept.unwrap_or_else(|| {
        Box::new(Inflater::new(
            openline_websocket::deflate::WINDOW_BITS_MAX,
            false,
        ))
    })
}

/// Gives a decompressor back that is not in the middle of a message.
pub(super) fn give_back(inflater: Box<Inflater>) {
    INFLATER_USED.set(true);
    INFLATER.set(Some(inflater));
}

/// Frees what this thread has not used since the last call.
pub(crate) fn release_unused() {
    if !INFLATER_USED.replace(false) {
        INFLATER.set(None);
    }
    DEFLATERS.with_borrow_mut(|all| {
        all.retain_mut(|kept| std::mem::take(&mut kept.used));
        all.shrink_to_fit();
    });
}

#[cfg(test)]
thread_local! {
    /// Compressors that this thread has made.
    pub(super) static MADE: Cell<usize> = const { Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Vec<Kind> {
        DEFLATERS.with_borrow(|all| all.iter().map(|kept| kept.kind).collect())
    }

    #[test]
    fn as_many_compressors_are_kept_as_may_be_and_not_one_more() {
        let kinds: Vec<_> = (1..=5).map(|level| Kind::new(level, 15)).collect();
        let all: Vec<_> = kinds.iter().map(|kind| Lent::of(*kind)).collect();
        drop(all);
        assert_eq!(DEFLATERS_MAX, 4);
        assert_eq!(kept(), kinds[1..]);
        // One that is used again is the last that has to go.
        drop(Lent::of(kinds[1]));
        drop(Lent::of(kinds[0]));
        assert_eq!(kept(), [kinds[3], kinds[4], kinds[1], kinds[0]]);
    }

    #[test]
    fn what_is_not_used_for_a_while_is_freed() {
        let kind = Kind::new(4, 15);
        let mut lent = Lent::of(kind);
        lent.deflater().deflate(b"compressed", &mut Vec::new());
        let place = std::ptr::from_ref(lent.deflater());
        drop(lent);
        give_back(inflater());
        release_unused();
        let mut lent = Lent::of(kind);
        assert_eq!(std::ptr::from_ref(lent.deflater()), place);
        drop(lent);
        release_unused();
        release_unused();
        assert_eq!(kept(), []);
        assert!(INFLATER.take().is_none());
    }

    #[test]
    fn windows_are_never_larger_than_what_was_agreed_on() {
        for bits in 9..=15 {
            let kind = Kind::new(4, bits);
            assert!(kind.window_bits <= bits && kind.window_bits >= 9, "{bits}");
        }
        assert_eq!(Kind::new(4, 15).window_bits, 15);
    }

    #[test]
    fn one_that_a_panic_may_have_left_in_the_middle_of_a_message_serves_no_other() {
        let kind = Kind::new(1, 15);
        let panicked = std::panic::catch_unwind(|| {
            let mut lent = Lent::of(kind);
            lent.deflater().deflate(b"a message", &mut Vec::new());
            panic!("a defect");
        });
        assert!(panicked.is_err());
        assert_eq!(kept(), []);
    }
}
