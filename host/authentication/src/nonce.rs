//! The nonces that were used: a signed request with a nonce passes once.
//!
//! A nonce is remembered until its date is too old to pass anyway, so for at
//! most twice the window. It is remembered only after its signature was found
//! good, so strangers cannot fill the memory; while it is full, requests are
//! refused, because forgetting a nonce early would let it pass again.
//!
//! **After a restart** the memory is empty, unless the host gives back what
//! [`Nonces::export`] wrote. Without it, requests whose date is not after the
//! start are refused: their nonces may have passed before. So callers are
//! refused for the second of the start, and those whose clock is behind for as
//! long as it is behind. One gap is left: a caller whose clock is *ahead* has
//! dated a request after the start, and that request passes a second time if the
//! host did not keep its nonces. Export often, or keep `window` small, where that
//! matters.

use openline_core::authentication::UnixTime;
use parking_lot::Mutex;

use crate::expiring::{Expiring, Mark};

/// The nonces of one trigger.
#[derive(Debug)]
pub struct Nonces {
    /// Locked for one look-up, after the hash was made.
    used: Mutex<Expiring<()>>,
    /// Dates up to this one are refused.
    start: Option<UnixTime>,
}

/// Why a nonce does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NonceError {
    #[error("the nonce was used before")]
    Used,
    #[error("no more nonces can be remembered: `nonces_max` is reached")]
    Full,
    #[error(
        "the date is not after the start of the host, which does not know the nonces before it"
    )]
    BeforeStart,
}

/// A nonce that was exported: its mark, and when it ends. Neither reveals the
/// nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportedNonce {
    /// 128 bits of a hash.
    pub mark: [u8; 16],
    /// When it may be forgotten.
    pub end: UnixTime,
}

impl Nonces {
    /// A memory of `nonces_max` for a host that starts at `now` and does
    /// not know what passed before.
    pub fn new(nonces_max: usize, now: UnixTime) -> Self {
        Self {
            start: Some(now),
            ..Self::empty(nonces_max)
        }
    }

    /// A memory that continues where an export, taken after the last request,
    /// ended.
    pub fn import(
        nonces_max: usize,
        exported: impl IntoIterator<Item = ExportedNonce>,
        now: UnixTime,
    ) -> Self {
        let nonces = Self::empty(nonces_max);
        let mut used = nonces.used.lock();
        let mut entries = exported.into_iter();
        let fits = |ExportedNonce { mark, end }: ExportedNonce| {
            used.insert(Mark::from_bytes(mark), (), end, now).is_ok()
        };
        let all = entries.all(fits);
        drop(used);
        Self {
            // The limit is smaller than before, and some of them are lost.
            start: (!all).then_some(now),
            ..nonces
        }
    }

    fn empty(nonces_max: usize) -> Self {
        Self {
            used: Mutex::new(Expiring::new(nonces_max)),
            start: None,
        }
    }

    /// All nonces that still matter, in no order. Holds the lock while it copies
    /// them, so it is not for a thread that serves.
    pub fn export(&self, now: UnixTime) -> Vec<ExportedNonce> {
        let used = self.used.lock();
        let exported = used.iter(now).map(|(mark, (), end)| ExportedNonce {
            mark: mark.bytes(),
            end,
        });
        exported.collect()
    }

    /// Uses a nonce of a key: of two requests with it, one passes. `end` is when
    /// its date is too old.
    pub(crate) fn take(
        &self,
        key: &str,
        nonce: &str,
        date: UnixTime,
        end: UnixTime,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        if self.start.is_some_and(|start| date <= start) {
            return Err(NonceError::BeforeStart);
        }
        let mark = Mark::of(&[key, nonce]);
        let mut used = self.used.lock();
        if used.get(mark, now).is_some() {
            return Err(NonceError::Used);
        }
        let entered = used.insert(mark, (), end, now);
        entered.map_err(|_| NonceError::Full)
    }

    /// How many are remembered, some ended ones included.
    pub fn count(&self) -> usize {
        self.used.lock().count()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime(seconds)
    }

    fn take(nonces: &Nonces, nonce: &str, date: u64) -> Result<(), NonceError> {
        nonces.take("key", nonce, at(date), at(date + 900), at(date))
    }

    #[test]
    fn a_nonce_of_a_key_passes_once() {
        let nonces = Nonces::new(100, at(999));
        assert_eq!(take(&nonces, "a", 1000), Ok(()));
        assert_eq!(take(&nonces, "a", 1000), Err(NonceError::Used));
        assert_eq!(take(&nonces, "a", 1001), Err(NonceError::Used));
        assert_eq!(take(&nonces, "b", 1000), Ok(()));
        let other = nonces.take("other", "a", at(1000), at(1900), at(1000));
        assert_eq!(other, Ok(()), "keys have nonces of their own");
        assert_eq!(take(&nonces, "a", 1900), Ok(()), "after its end");
    }

    #[test]
    fn of_many_at_once_one_passes() {
        let (nonces, passed) = (Nonces::new(100, at(0)), AtomicUsize::new(0));
        for round in 0..50 {
            let barrier = Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        if take(&nonces, &round.to_string(), 1000).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(passed.load(Ordering::Relaxed), round + 1);
        }
    }

    #[test]
    fn a_full_memory_refuses_until_entries_end() {
        let nonces = Nonces::new(16, at(0));
        for number in 0..16 {
            assert_eq!(take(&nonces, &number.to_string(), 1000), Ok(()));
        }
        assert_eq!(take(&nonces, "new", 1000), Err(NonceError::Full));
        assert_eq!(
            take(&nonces, "7", 1000),
            Err(NonceError::Used),
            "none was forgotten"
        );
        assert_eq!(take(&nonces, "new", 1899), Err(NonceError::Full));
        assert_eq!(take(&nonces, "new", 2000), Ok(()));
    }

    #[test]
    fn after_a_restart_nothing_passes_twice() {
        let before = Nonces::new(100, at(999));
        take(&before, "a", 1000).unwrap();
        let after = Nonces::new(100, at(1002));
        assert_eq!(take(&after, "a", 1000), Err(NonceError::BeforeStart));
        assert_eq!(take(&after, "b", 1002), Err(NonceError::BeforeStart));
        assert_eq!(take(&after, "b", 1003), Ok(()));
        let exported = before.export(at(1001));
        let after = Nonces::import(100, exported.clone(), at(1002));
        assert_eq!(take(&after, "a", 1000), Err(NonceError::Used));
        assert_eq!(take(&after, "b", 1000), Ok(()), "a slow clock is no harm");
        assert_eq!(before.export(at(1900)), []);
        // A limit that is too small for the import makes the start strict.
        let entry = |byte: u8| ExportedNonce {
            mark: [byte; 16],
            end: at(1900),
        };
        let after = Nonces::import(2, (0..2).map(entry), at(1002));
        assert_eq!(after.start, None);
        let after = Nonces::import(1, (0..2).map(entry), at(1002));
        assert_eq!(take(&after, "b", 1002), Err(NonceError::BeforeStart));
    }
}
