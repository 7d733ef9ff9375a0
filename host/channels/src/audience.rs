//! The functions that the channels of one space wake, and which channels those are.
//!
//! Asked under the lock of a channel when the channel is made, or when an audience
//! has changed. Bounded by the functions and their subscriptions.

use std::fmt;
use std::sync::Arc;

use openline_broker::publication::Publication;
use openline_core::channel::Subscription;
use openline_core::name::ChannelName;

use crate::channel_queue::ChannelQueue;
use crate::entry::Except;
use crate::sync::{AtomicBool, Ordering, RwLock};

/// The queue of a function that a channel wakes, and whether the function wants its
/// own publications.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) queue: Arc<ChannelQueue>,
    pub(crate) own: bool,
}

/// Those of one channel; `None` if there are none.
pub(crate) type Listenings = Option<Arc<[Listening]>>;

/// Gives a publication to the functions that its channel wakes.
pub(crate) fn tell(listenings: &Listenings, publication: &Publication, except: &Except) {
    for listening in listenings.iter().flat_map(|all| all.iter()) {
        let queue = &listening.queue;
        if listening.own || except.queue != Some(queue.number()) {
            queue.push(publication);
        }
    }
}

/// The functions that the channels of one space wake.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    hearers: RwLock<Vec<Hearer>>,
    /// Whether there are any: asked at each publish.
    is_there: AtomicBool,
}

/// A function that channels wake.
#[derive(Debug)]
pub(crate) struct Hearer {
    pub(crate) queue: Arc<ChannelQueue>,
    pub(crate) subscriptions: Arc<[Subscription]>,
    /// Which of the space's channels are the function's.
    pub(crate) belonging: Belonging,
}

/// Which channels of a space are a function's.
pub(crate) enum Belonging {
    /// All: the space is its own.
    All,
    /// Those of which this is true: the space is shared. Asked under the lock of a
    /// channel.
    If(Box<dyn Fn(&ChannelName) -> bool + Send + Sync>),
}

impl Audience {
    /// Replaces what a function subscribes to; whether that changes anything.
    pub(crate) fn set(&self, hearer: Hearer) -> bool {
        let mut hearers = self.hearers.write();
        let is_it = |it: &Hearer| Arc::ptr_eq(&it.queue, &hearer.queue);
        let is_empty = hearer.subscriptions.is_empty();
        if is_empty && !hearers.iter().any(is_it) {
            return false;
        }
        hearers.retain(|it| !is_it(it));
        if !is_empty {
            hearers.push(hearer);
        }
        self.is_there.store(!hearers.is_empty(), Ordering::Release);
        true
    }

    /// The functions that a channel wakes.
    pub(crate) fn of(&self, name: &ChannelName) -> Listenings {
        if !self.is_there.load(Ordering::Acquire) {
            return None;
        }
        let wants = |it: &Hearer| {
            let own = wanted(&it.subscriptions, name)?;
            let is_its = match &it.belonging {
                Belonging::All => true,
                Belonging::If(is_its) => is_its(name),
            };
            is_its.then(|| Listening {
                queue: Arc::clone(&it.queue),
                own,
            })
        };
        let all: Vec<_> = self.hearers.read().iter().filter_map(wants).collect();
        (!all.is_empty()).then(|| all.into())
    }
}

impl fmt::Debug for Belonging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "All",
            Self::If(_) => "If",
        })
    }
}

/// Whether subscriptions have a channel, and with the function's own publications.
fn wanted(subscriptions: &[Subscription], channel: &ChannelName) -> Option<bool> {
    let matching = subscriptions
        .iter()
        .filter(|it| it.pattern.matches(channel));
    matching.map(|it| it.own).reduce(|one, other| one || other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_wanted_by_any_pattern_and_with_its_own_by_any_that_says_so() {
        let subscription = |pattern: &str, own| Subscription {
            pattern: openline_core::channel::ChannelPattern::new(pattern).unwrap(),
            own,
        };
        let all = [subscription("room:*", false), subscription("room:a", true)];
        let name = |text: &str| ChannelName::new(text).unwrap();
        assert_eq!(wanted(&all, &name("room:a")), Some(true));
        assert_eq!(wanted(&all, &name("room:b")), Some(false));
        assert_eq!(wanted(&all, &name("other")), None);
    }
}
