//! The nonces that were used: a signed request with a nonce passes once.
//!
//! A nonce is remembered until its date is too old to pass anyway, so for at
//! most twice the window. It is remembered only after its signature was found
//! good, so strangers cannot fill the memory; while it is full, requests are
//! refused, because forgetting a nonce early would let it pass again.
//!
//! **When a reload changes the window** or the limit, the verifier of the new
//! configuration goes on with the nonces of the one before it
//! ([`Nonces::change_window`]). A longer window would let dates pass whose nonces
//! are forgotten already: these dates are refused. The nonces that are there stay
//! for as much longer as the window has grown. A window that is made shorter and
//! longer again keeps those of that time for longer than they need.
//!
//! **After a restart** the memory is empty, unless the host gives back what
//! [`Nonces::export`] wrote. Without it, requests whose date is not after the
//! start are refused: their nonces may have passed before. So callers are
//! refused for the second of the start, and those whose clock is behind for as
//! long as it is behind. One gap is left: a caller whose clock is *ahead* has
//! dated a request after the start, and that request passes a second time if the
//! host did not keep its nonces. Export often, or keep `window` small, where that
//! matters.

use std::time::Duration;

use openline_core::authentication::UnixTime;
use parking_lot::Mutex;

use crate::expiring::{Expiring, Mark};

/// The nonces of one trigger.
#[derive(Debug)]
pub struct Nonces {
    /// Locked for one look-up, after the hash was made.
    used: Mutex<Used>,
    /// Dates up to this one are refused.
    start: Option<UnixTime>,
}

/// What is remembered.
#[derive(Debug)]
struct Used {
    /// The ends that they have are `later` than the ends that are written here.
    /// So a longer window moves all of them at once, however many there are.
    entries: Expiring<()>,
    later: Duration,
    /// The window of the latest verifier. One whose configuration is not in force
    /// yet, or never will be, counts as well.
    window: Duration,
    /// The latest end of those that were forgotten before the latest change.
    ended: Option<UnixTime>,
    /// Nonces of dates up to this one may be forgotten, although the window takes
    /// these dates.
    forgotten: Option<UnixTime>,
}

/// A nonce of a request whose signature is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nonce<'a> {
    /// The id of the caller's key: each has nonces of its own.
    pub(crate) key: &'a str,
    /// The nonce itself.
    pub(crate) text: &'a str,
    /// When the request was signed.
    pub(crate) date: UnixTime,
    /// How long it must be remembered.
    pub(crate) kept: Kept,
}

/// How long a nonce is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    /// While its date is within the window.
    Window(Duration),
    /// Until the moment at which its URL is not good any more.
    Until(UnixTime),
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
    #[error("the date is from the time before `window` grew, whose nonces are forgotten")]
    Forgotten,
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

/// The first moment at which a date is too old.
fn end(date: UnixTime, window: Duration) -> UnixTime {
    date.plus(window).plus(Duration::from_secs(1))
}

impl Nonces {
    /// The memory of a host that starts at `now` and does not know what passed
    /// before.
    pub fn new(now: UnixTime) -> Self {
        Self {
            start: Some(now),
            used: Mutex::new(Used::new(0)),
        }
    }

    /// A memory of `nonces_max` that continues where an export, taken after the
    /// last request, ended. The window is the same, or shorter.
    pub fn import(
        nonces_max: usize,
        exported: impl IntoIterator<Item = ExportedNonce>,
        now: UnixTime,
    ) -> Self {
        let mut used = Used::new(nonces_max);
        let mut entries = exported.into_iter();
        let fits = |ExportedNonce { mark, end }: ExportedNonce| {
            let mark = Mark::from_bytes(mark);
            used.entries.insert(mark, (), end, now).is_ok()
        };
        let all = entries.all(fits);
        Self {
            // The limit is smaller than before, and some of them are lost.
            start: (!all).then_some(now),
            used: Mutex::new(used),
        }
    }

    /// All nonces that still matter, in no order. Holds the lock while it copies
    /// them, so it is not for a thread that serves.
    pub fn export(&self, now: UnixTime) -> Vec<ExportedNonce> {
        let used = self.used.lock();
        let entries = used.entries.iter(now.minus(used.later));
        let exported = entries.map(|(mark, (), end)| ExportedNonce {
            mark: mark.bytes(),
            end: end.plus(used.later),
        });
        exported.collect()
    }

    /// Prepares the memory for a verifier with another window, before that one is
    /// made. `before` is the window of the verifier in force, which may go on with
    /// the memory: nothing that it decides becomes wrong, also if the other one
    /// never is in force. Once replaced, it ends what it has begun and decides
    /// nothing more. Takes the same time whatever is remembered.
    pub fn change_window(&self, before: Duration, after: Duration) {
        self.used.lock().change_window(before, after);
    }

    /// Uses a nonce: of two requests with it, one passes. Up to `nonces_max` are
    /// remembered.
    pub(crate) fn take(
        &self,
        nonce: &Nonce<'_>,
        nonces_max: usize,
        now: UnixTime,
    ) -> Result<(), NonceError> {
        if self.start.is_some_and(|start| nonce.date <= start) {
            return Err(NonceError::BeforeStart);
        }
        let mark = Mark::of(&[nonce.key, nonce.text]);
        let mut used = self.used.lock();
        used.entries.set_max(nonces_max);
        used.take(mark, nonce, now)
    }

    /// How many are remembered, some ended ones included.
    pub fn count(&self) -> usize {
        self.used.lock().entries.count()
    }
}

impl Used {
    fn new(nonces_max: usize) -> Self {
        Self {
            entries: Expiring::new(nonces_max),
            later: Duration::ZERO,
            window: Duration::ZERO,
            ended: None,
            forgotten: None,
        }
    }

    fn change_window(&mut self, before: Duration, after: Duration) {
        // Moments are whole seconds.
        let [before, after] = [before, after].map(|it| Duration::from_secs(it.as_secs()));
        // Read before `later` changes, by which they were late.
        let ended = self.entries.take_forgotten();
        self.ended = self.ended.max(ended.map(|end| end.plus(self.later)));
        // All entries are, or were, kept for this window at least.
        let before = before.max(self.window);
        if after > before {
            let second = Duration::from_secs(1);
            let date = self.ended.map(|end| end.minus(before).minus(second));
            self.forgotten = self.forgotten.max(date);
            self.later = self.later.saturating_add(after - before);
        }
        self.window = after;
    }

    fn take(&mut self, mark: Mark, nonce: &Nonce<'_>, now: UnixTime) -> Result<(), NonceError> {
        let end = match nonce.kept {
            Kept::Window(_) if self.forgotten.is_some_and(|last| nonce.date <= last) => {
                return Err(NonceError::Forgotten);
            }
            Kept::Window(window) => end(nonce.date, window.max(self.window)),
            Kept::Until(end) => end,
        };
        let (end, now) = (end.minus(self.later), now.minus(self.later));
        if self.entries.get(mark, now).is_some() {
            return Err(NonceError::Used);
        }
        let entered = self.entries.insert(mark, (), end, now);
        entered.map_err(|_| NonceError::Full)
    }
}

#[cfg(test)]
#[path = "nonce_tests.rs"]
mod tests;
