//! What of a space's channels ends with time: publications, members, values, and
//! channels that nobody uses.
//!
//! One sweep looks at [`SWEPT_MAX`] channels and puts about [`TOLD_MAX`] messages
//! into outboxes; what is left waits for the next one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use openline_broker::moment::Moment;
use openline_core::message::Compress;
use openline_core::name::ChannelName;

use crate::audience;
use crate::entry::{self, Delivery, Except, State};
use crate::space::Space;
use crate::sweeps::Swept;
use crate::sync::Ordering;
use crate::time::now;
use crate::wakeups::Wakeups;

/// Channels that one sweep looks at, so that it does not keep its thread.
pub(crate) const SWEPT_MAX: usize = 4_096;

/// Messages that one sweep puts into outboxes, for the same reason: some
/// milliseconds. A single publication may have more receivers, and is not divided.
const TOLD_MAX: usize = 65_536;

/// As how many messages a publication counts that has fewer receivers: to remove a
/// value takes about as long as to put so many into outboxes.
const REMOVAL: usize = 8;

/// How long a sweep leaves a channel alone that had something due which the store
/// did not take.
const AGAIN: Duration = Duration::from_millis(500);

impl Space {
    /// Has the sweeps look at it, if it has anything for them.
    pub(crate) fn list(self: &Arc<Self>) {
        if !self.due.lock().is_empty() && !self.is_listed.swap(true, Ordering::AcqRel) {
            let space: Weak<Self> = Arc::downgrade(self);
            self.sweeps.add(space);
        }
    }

    /// Does what has become due, for at most [`SWEPT_MAX`] channels and about
    /// [`TOLD_MAX`] messages; whether there is more.
    pub fn sweep(self: &Arc<Self>) -> bool {
        let now = now();
        let mut told = 0;
        for _ in 0..SWEPT_MAX {
            if told >= TOLD_MAX {
                return true;
            }
            let name = {
                let mut due = self.due.lock();
                match due.first() {
                    Some((at, _)) if *at <= now => {}
                    _ => return false,
                }
                due.pop_first().map(|(_, name)| name)
            };
            if let Some(name) = name {
                told += self.expire(&name, TOLD_MAX - told);
            }
        }
        true
    }

    /// Does what has become due in one channel; about how many messages that were,
    /// of which there may be so many, or those of one publication.
    fn expire(self: &Arc<Self>, name: &ChannelName, told_max: usize) -> usize {
        let mut wakeups = Wakeups::default();
        let told = self.with(name, false, |entry, state, now| {
            state.due = None;
            let counts = state.terms.recovery;
            let State {
                channel,
                subscribers,
                listenings,
                ..
            } = state;
            let Some(channel) = channel else { return 0 };
            let (mut events, mut removed) = (Vec::new(), 0);
            let receivers = subscribers.len() + listenings.as_ref().map_or(0, |all| all.len());
            let expired = channel.expire(
                (now, told_max / receivers.max(1)),
                |publication| {
                    removed += 1;
                    let delivery = Delivery {
                        compress: Compress::Configured,
                        except: &Except::NOBODY,
                        counts,
                    };
                    audience::tell(listenings, publication, &Except::NOBODY);
                    entry::deliver(subscribers, publication, delivery, &mut wakeups)
                },
                |event| events.push(event),
            );
            for event in &events {
                entry::tell(subscribers, name, event, &mut wakeups);
            }
            let mut has_more = expired.has_more;
            if let Some(keeper) = self.keeper() {
                has_more &= keeper.write(entry, state, expired.changes, None);
            }
            // What is still due could not be done: not again at once.
            state.not_before = match has_more {
                true => Moment::default(),
                false => now.plus(AGAIN),
            };
            removed * receivers.max(REMOVAL) + events.len() * receivers
        });
        told.unwrap_or_default()
    }
}

impl Swept for Space {
    fn sweep(self: Arc<Self>) -> bool {
        Self::sweep(&self)
    }

    fn unlist(&self) {
        self.is_listed.store(false, Ordering::Release);
    }

    fn list(self: Arc<Self>) {
        Self::list(&self);
    }
}
