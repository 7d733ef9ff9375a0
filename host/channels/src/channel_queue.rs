//! What waits for a function that channels wake.
//!
//! Publishers only push, under the lock of their channel, and never wait. When
//! there are more publications than may wait, the oldest are dropped and counted.
//! Bounded by the function's `channel_queue` and `channel_queue_bytes`.

use std::collections::VecDeque;

use openline_broker::publication::Publication;
use openline_core::name::ChannelName;
use tokio::sync::Notify;

use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// Publications of one call. A call costs a few microseconds, which so many share,
/// and one that fails loses no more than these.
const CALL_PUBLICATIONS_MAX: usize = 64;
/// Their bytes; one publication always fits. They are copied into the guest's
/// memory, so a function with little of it (`memory`) must have room for them.
const CALL_BYTES_MAX: usize = 1 << 20;
/// Publications that are looked through for those of one channel, so that many
/// channels that wait cost no more than this.
const LOOK_MAX: usize = 1_024;

/// Numbers the queues of the process.
static QUEUES: AtomicU64 = AtomicU64::new(1);

/// The queue of a function that channels wake.
#[derive(Debug)]
pub struct ChannelQueue {
    number: u64,
    waiting: Mutex<Waiting>,
    changed: Notify,
    is_served: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    publications: VecDeque<Publication>,
    bytes: usize,
    lost: u64,
    lost_ever: u64,
    failed_ever: u64,
    most: Most,
    /// Whether the function subscribes to anything.
    is_wanted: bool,
    /// How often all that waited was forgotten.
    forgotten: u64,
    is_closed: bool,
}

/// What became of a function's publications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that wait.
    pub waiting: usize,
    /// Those that were dropped because too many waited.
    pub lost: u64,
    /// Those of calls that have failed.
    pub failed: u64,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Publications.
    pub publications: usize,
    /// Their bytes. One publication always fits.
    pub bytes: usize,
    /// Calls of the handler in a second.
    pub calls_per_second: u32,
}

/// Publications for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Their channel.
    pub channel: ChannelName,
    /// In the channel's order; never empty.
    pub publications: Vec<Publication>,
    /// How many, of any channel, were dropped since the last batch.
    pub lost: u64,
    /// How often all was forgotten before it was taken.
    forgotten: u64,
}

impl Default for ChannelQueue {
    fn default() -> Self {
        Self {
            number: QUEUES.fetch_add(1, Ordering::Relaxed),
            waiting: Mutex::new(Waiting {
                publications: VecDeque::new(),
                bytes: 0,
                lost: 0,
                lost_ever: 0,
                failed_ever: 0,
                most: Most {
                    publications: 1,
                    bytes: 0,
                    calls_per_second: 1,
                },
                is_wanted: true,
                forgotten: 0,
                is_closed: false,
            }),
            changed: Notify::new(),
            is_served: AtomicBool::new(false),
        }
    }
}

impl ChannelQueue {
    /// Its number, which no other queue of the process has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether the caller is the first that wants to serve it.
    pub fn begin(&self) -> bool {
        !self.is_served.swap(true, Ordering::AcqRel)
    }

    /// Changes how much may wait. What waits beyond it is dropped.
    pub fn set_most(&self, most: Most) {
        let mut waiting = self.waiting.lock();
        waiting.most = most;
        waiting.shed();
    }

    /// Calls that may be made in a second.
    pub fn calls_per_second(&self) -> u32 {
        self.waiting.lock().most.calls_per_second
    }

    pub(crate) fn push(&self, publication: &Publication) {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed || !waiting.is_wanted {
            return;
        }
        waiting.bytes += publication.cost();
        waiting.publications.push_back(publication.clone());
        waiting.shed();
        drop(waiting);
        self.changed.notify_one();
    }

    /// The next batch; `None` when there will be none any more. Only one caller
    /// may wait at a time.
    pub async fn next(&self) -> Option<Batch> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if waiting.is_closed {
                    return None;
                }
                if let Some(batch) = waiting.take() {
                    return Some(batch);
                }
            }
            // A push since then has left a permit.
            self.changed.notified().await;
        }
    }

    /// Notes that a call with so many publications has failed.
    pub fn note_failed(&self, publications: usize) {
        let publications = u64::try_from(publications).unwrap_or(u64::MAX);
        let mut waiting = self.waiting.lock();
        waiting.failed_ever = waiting.failed_ever.saturating_add(publications);
    }

    /// What became of its publications so far.
    pub fn counts(&self) -> Counts {
        let waiting = self.waiting.lock();
        Counts {
            waiting: waiting.publications.len(),
            lost: waiting.lost_ever,
            failed: waiting.failed_ever,
        }
    }

    /// How many publications wait.
    pub fn len(&self) -> usize {
        self.waiting.lock().publications.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the function subscribes to anything. If not, it forgets what waits,
    /// and takes nothing from channels that do not know yet: a publication may be on
    /// its way to the disk.
    pub(crate) fn set_wanted(&self, is_wanted: bool) {
        let mut waiting = self.waiting.lock();
        waiting.is_wanted = is_wanted;
        if !is_wanted {
            waiting.clear();
        }
    }

    /// Whether a batch is still to be handed over: nothing was forgotten since it
    /// was taken.
    pub fn wants(&self, batch: &Batch) -> bool {
        self.waiting.lock().forgotten == batch.forgotten
    }

    /// Takes nothing any more, and forgets what waits.
    pub fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.clear();
        waiting.is_closed = true;
        drop(waiting);
        self.changed.notify_one();
    }
}

impl Waiting {
    fn clear(&mut self) {
        self.publications = VecDeque::new();
        (self.bytes, self.lost) = (0, 0);
        self.forgotten += 1;
    }

    /// Drops the oldest until the rest may wait.
    fn shed(&mut self) {
        while self.publications.len() > self.most.publications
            || (self.bytes > self.most.bytes && self.publications.len() > 1)
        {
            let Some(oldest) = self.publications.pop_front() else {
                return;
            };
            self.bytes -= oldest.cost();
            self.lost += 1;
            self.lost_ever += 1;
        }
    }

    /// The oldest with those of the same channel that fit into a batch.
    fn take(&mut self) -> Option<Batch> {
        let first = self.publications.pop_front()?;
        let channel = first.channel.clone();
        let mut bytes = first.cost();
        self.bytes -= bytes;
        let mut publications = vec![first];
        let mut at = 0;
        while at < self.publications.len().min(LOOK_MAX) {
            let next = &self.publications[at];
            if next.channel != channel {
                at += 1;
                continue;
            }
            let cost = next.cost();
            let is_full = publications.len() == CALL_PUBLICATIONS_MAX;
            // What comes after one that does not fit must not overtake it.
            if is_full || bytes + cost > CALL_BYTES_MAX {
                break;
            }
            bytes += cost;
            self.bytes -= cost;
            publications.extend(self.publications.remove(at));
        }
        Some(Batch {
            channel,
            publications,
            lost: std::mem::take(&mut self.lost),
            forgotten: self.forgotten,
        })
    }
}

#[cfg(test)]
#[path = "channel_queue_tests.rs"]
mod tests;
