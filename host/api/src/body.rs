//! Bodies of requests, which are read completely into memory or not at all.
//!
//! Bounded in bytes, each and all together; by the host's `request_timeout` for
//! each piece; and by [`BYTES_PER_SECOND_MIN`] for the whole, or a body that
//! trickles would keep its room forever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use openline_gateway::reserved::RequestBody;
use tokio::time::Instant;

/// The slowest average rate of a body, after a head start of one
/// `request_timeout`: a slow mobile network manages it.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It has more bytes than it may.
    Large,
    /// All bodies together have.
    Full,
    /// It has broken off.
    Broken,
    /// It does not arrive in time.
    Late,
}

/// A body with its part of the room for all of them.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _room: Room,
}

/// A part of the room for bodies. Dropping it gives it back.
#[derive(Debug)]
struct Room {
    pot: Arc<AtomicUsize>,
    most: usize,
    taken: usize,
}

impl Room {
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let more = bytes.saturating_sub(self.taken);
        let taken = self
            .pot
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|after| *after <= self.most)
            });
        taken.map_err(|_| BodyError::Full)?;
        self.taken += more;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pot.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Reads a body of at most so many bytes.
pub(crate) async fn read(
    mut body: RequestBody,
    bytes_max: usize,
    (pot, most): (&Arc<AtomicUsize>, usize),
    patience: Duration,
) -> Result<Held, BodyError> {
    let told = body.size_hint();
    let least = usize::try_from(told.lower()).unwrap_or(usize::MAX);
    if least > bytes_max {
        return Err(BodyError::Large);
    }
    let mut room = Room {
        pot: Arc::clone(pot),
        most,
        taken: 0,
    };
    let begun = Instant::now();
    let mut bytes = BytesMut::new();
    loop {
        let earned = Duration::from_millis(bytes.len() as u64 * 1000 / BYTES_PER_SECOND_MIN);
        let due = (begun + patience + earned).min(Instant::now() + patience);
        let frame = match tokio::time::timeout_at(due, body.frame()).await {
            Err(_) => return Err(BodyError::Late),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers have no meaning here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > bytes_max {
            return Err(BodyError::Large);
        }
        room.grow(bytes.len() + data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Held {
        bytes: bytes.freeze(),
        _room: room,
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn of(length: usize, bytes_max: usize, most: usize) -> Result<usize, BodyError> {
        let pot = Arc::default();
        let body = Full::new(Bytes::from(vec![0; length]));
        let body = body.map_err(|never| match never {}).boxed();
        let held = read(body, bytes_max, (&pot, most), Duration::from_secs(5)).await;
        let read = held.map(|held| held.bytes.len());
        assert_eq!(pot.load(Ordering::Relaxed), 0);
        read
    }

    #[tokio::test]
    async fn a_body_at_its_bounds_and_past_them() {
        assert_eq!(of(0, 10, 10).await, Ok(0));
        assert_eq!(of(10, 10, 10).await, Ok(10));
        assert_eq!(of(11, 10, 100).await, Err(BodyError::Large));
        assert_eq!(of(10, 10, 9).await, Err(BodyError::Full));
    }
}
