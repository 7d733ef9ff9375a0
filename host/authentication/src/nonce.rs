//! The nonces that were used: a signed request with a nonce passes once.
//!
//! A nonce is remembered until its date is too old to pass anyway, so for at
//! most twice the window. It is remembered only after its signature was found
//! good, so strangers cannot fill the memory; while it is full, requests are
//! refused, because forgetting a nonce early would let it pass again.
//!
//! **The verifiers of all triggers of a function share a memory**, and it
//! outlives each of them: whatever becomes of a trigger's name, table and place, a
//! nonce stays used. Each verifier has a [`Share`]. The widest window of all
//! shares says how long a nonce is remembered, because the request may come to any
//! of them; the largest `nonces_max` bounds their number, so that no trigger is
//! refused what its own table promises.
//!
//! **When a reload changes the widest window**, the nonces that are there stay for
//! as much longer as it has grown. A wider window would let dates pass whose
//! nonces are forgotten already: these dates are refused. A window that is made
//! narrower and wider again keeps those of that time for longer than they need.
//!
//! **When the clock jumps** ahead, nonces end early. So dates whose nonces would
//! have ended with the latest that is forgotten are refused; with a clock that is
//! right, such dates are too old anyway. After a jump back that lasts until the
//! time has come again.
//!
//! **After a restart** the memory is empty, unless the host gives back what
//! [`Nonces::export`] wrote. Without it, requests whose date is not after the
//! start are refused: their nonces may have passed before. So callers are
//! refused for the second of the start, and those whose clock is behind for as
//! long as it is behind. One gap is left: a caller whose clock is *ahead* has
//! dated a request after the start, and that request passes a second time if the
//! host did not keep its nonces. So does one that passed before a start at which
//! the host's own clock is behind. Export often, or keep `window` small, where
//! that matters.

use std::sync::Arc;
use std::time::Duration;

use openline_core::authentication::UnixTime;
use parking_lot::Mutex;

use crate::expiring::{Expiring, Mark};

/// The nonces of one function.
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
    /// So a wider window moves all of them at once, however many there are.
    entries: Expiring<()>,
    later: Duration,
    /// What each verifier needs. One whose configuration is not in force yet, or
    /// never will be, counts until it is dropped.
    shares: Vec<Needs>,
    /// The number of the next share.
    next: u64,
    /// The widest window of the shares; without any, that of the last one. `None`
    /// before the first.
    window: Option<Duration>,
    /// The latest end of those that are forgotten.
    ended: Option<UnixTime>,
    /// Nonces of dates up to this one may be forgotten, although the window takes
    /// these dates.
    forgotten: Option<UnixTime>,
}

/// What one verifier needs.
#[derive(Clone, Copy, Debug)]
struct Needs {
    share: u64,
    window: Duration,
    nonces_max: usize,
}

/// A verifier's part in a memory. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    nonces: Arc<Nonces>,
    id: u64,
    window: Duration,
}

/// A nonce that a request has used up.
#[derive(Debug)]
pub(crate) struct Taken {
    mark: Mark,
    /// As it is written in the memory.
    end: UnixTime,
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
    /// While its date is within the widest window.
    Window,
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
    #[error("the nonces of its date are forgotten: `window` has grown, or the clock was ahead")]
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

const SECOND: Duration = Duration::from_secs(1);

/// The first moment at which a date is too old.
fn end(date: UnixTime, window: Duration) -> UnixTime {
    date.plus(window + SECOND)
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
    /// last request, ended. The widest window is the same, or narrower.
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

    /// How many are remembered, some ended ones included.
    pub fn count(&self) -> usize {
        self.used.lock().entries.count()
    }
}

impl Share {
    /// A part for a verifier with these values. Prepares the memory for its
    /// window; nothing that the others decide becomes wrong. Takes the same time
    /// whatever is remembered.
    pub(crate) fn new(nonces: Arc<Nonces>, window: Duration, nonces_max: usize) -> Self {
        // Moments are whole seconds.
        let window = Duration::from_secs(window.as_secs());
        let id = nonces.used.lock().join(window, nonces_max);
        Self { nonces, id, window }
    }

    /// Whose part it is.
    pub(crate) fn nonces(&self) -> &Arc<Nonces> {
        &self.nonces
    }

    /// Uses a nonce: of two requests with it, one passes.
    pub(crate) fn take(&self, nonce: &Nonce<'_>, now: UnixTime) -> Result<Taken, NonceError> {
        if self.nonces.start.is_some_and(|start| nonce.date <= start) {
            return Err(NonceError::BeforeStart);
        }
        let mark = Mark::of(&[nonce.key, nonce.text]);
        self.nonces.used.lock().take(mark, nonce, self.window, now)
    }

    /// Ends it before it is dropped: its verifier ends what it has begun, and
    /// decides nothing more.
    pub(crate) fn leave(&self) {
        self.nonces.used.lock().leave(self.id);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Nonces {
    /// Gives back a nonce that was used for nothing.
    pub(crate) fn give_back(&self, taken: &Taken) {
        self.used.lock().entries.remove(taken.mark, taken.end);
    }
}

impl Used {
    fn new(nonces_max: usize) -> Self {
        Self {
            entries: Expiring::new(nonces_max),
            later: Duration::ZERO,
            shares: Vec::new(),
            next: 0,
            window: None,
            ended: None,
            forgotten: None,
        }
    }

    fn join(&mut self, window: Duration, nonces_max: usize) -> u64 {
        self.note_ended();
        if let Some(before) = self.window
            && window > before
        {
            // All entries are, or were, kept for `before` at least.
            let date = self.ended.map(|end| end.minus(before + SECOND));
            self.forgotten = self.forgotten.max(date);
            self.later = self.later.saturating_add(window - before);
        }
        let share = self.next;
        self.next += 1;
        self.shares.push(Needs {
            share,
            window,
            nonces_max,
        });
        self.settle();
        share
    }

    fn leave(&mut self, share: u64) {
        self.shares.retain(|it| it.share != share);
        self.settle();
    }

    /// Takes over what the shares need together. Without any, all stays as it is
    /// for the next one.
    fn settle(&mut self) {
        let windows = self.shares.iter().map(|it| it.window);
        self.window = windows.max().or(self.window);
        if let Some(most) = self.shares.iter().map(|it| it.nonces_max).max() {
            self.entries.set_max(most);
        }
    }

    /// Notes which ends are past, before `later` changes, by which they were late.
    fn note_ended(&mut self) {
        let ended = self.entries.take_forgotten();
        self.ended = self.ended.max(ended.map(|end| end.plus(self.later)));
    }

    fn take(
        &mut self,
        mark: Mark,
        nonce: &Nonce<'_>,
        own: Duration,
        now: UnixTime,
    ) -> Result<Taken, NonceError> {
        self.note_ended();
        let end = match nonce.kept {
            Kept::Window if self.forgotten.is_some_and(|last| nonce.date <= last) => {
                return Err(NonceError::Forgotten);
            }
            // A verifier that has left may still end what it has begun.
            Kept::Window => end(
                nonce.date,
                self.window.map_or(own, |widest| widest.max(own)),
            ),
            Kept::Until(end) => end,
        };
        let is_forgotten = self.ended.is_some_and(|last| end <= last);
        let (end, now) = (end.minus(self.later), now.minus(self.later));
        if self.entries.get(mark, now).is_some() {
            return Err(NonceError::Used);
        }
        if is_forgotten {
            return Err(NonceError::Forgotten);
        }
        let entered = self.entries.insert(mark, (), end, now);
        entered.map_err(|_| NonceError::Full)?;
        Ok(Taken { mark, end })
    }
}

#[cfg(test)]
#[path = "nonce_tests.rs"]
mod tests;
