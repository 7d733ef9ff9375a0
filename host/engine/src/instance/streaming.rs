//! A seat whose call has returned, and whose answer still comes: it keeps the instance
//! until that has ended.
//!
//! Bounded by the seats of the instance.

use super::exchange::Streams;
use super::seat::Seat;
use crate::sync::Ordering;

/// A seat of an answer that is being written.
#[derive(Debug)]
pub(crate) struct Streaming(Seat);

impl Streaming {
    pub(crate) fn new(seat: Seat) -> Self {
        seat.instance.streams.fetch_add(1, Ordering::Relaxed);
        Self(seat)
    }
}

impl Streams for Streaming {
    fn has_failed(&self) -> bool {
        self.0.instance.broken.load(Ordering::Acquire)
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let instance = &self.0.instance;
        instance.streams.fetch_sub(1, Ordering::Release);
        // It may be idle now, or was told to end.
        instance.poller.wake();
    }
}
