//! One channel as this node has it: what it remembers, and who is subscribed.
//!
//! Each channel has a lock of its own. Under it a publish is decided, takes its
//! position and is put into outboxes, and a subscription reads what was missed
//! and joins: each as one step, so every subscriber gets every publication once
//! and in order. Nothing waits under the lock. It is taken after the lock of a
//! connection's membership and before those of outboxes.
//!
//! Bounded by the channel's terms, `subscribers`, and the host's
//! `channel_bytes`, which the owner charges: with what the channel remembers, and
//! with the entry and its subscribers themselves.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use openline_broker::channel::Channel;
use openline_broker::filter::Filter;
use openline_broker::moment::Moment;
use openline_broker::position::Epoch;
use openline_broker::presence::{Member, PresenceEvent};
use openline_broker::publication::Publication;
use openline_core::channel::ChannelTerms;
use openline_core::dialect::DialectName;
use openline_core::event::SendOutcome;
use openline_core::message::Compress;
use openline_core::name::{ChannelName, ConnectionId};

use crate::audience::Listenings;
use crate::connection::{Connection, SubscribedChannel, Subscription};
use crate::durable::Writing;
use crate::forms::{self, Forms};
use crate::shared::SharedMessage;
use crate::space::Space;
use crate::sync::Mutex;
use crate::wakeups::Wakeups;

/// A channel in its space.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: ChannelName,
    pub(crate) space: Weak<Space>,
    pub(crate) state: Mutex<State>,
}

/// What is under the lock.
#[derive(Debug)]
pub(crate) struct State {
    /// It is no longer in its space: whoever has found it looks again.
    pub(crate) removed: bool,
    /// The generation of the space's table by which it got its terms.
    pub(crate) generation: u64,
    pub(crate) terms: Arc<ChannelTerms>,
    /// There as soon as something is to be remembered.
    pub(crate) channel: Option<Box<Channel>>,
    /// Of a durable channel, once something was written.
    pub(crate) writing: Option<Box<Writing>>,
    /// What it is charged with.
    pub(crate) charged: usize,
    /// When the space looks at it next.
    pub(crate) due: Option<Moment>,
    /// The space does not look at it before: it has just looked.
    pub(crate) not_before: Moment,
    pub(crate) subscribers: HashMap<ConnectionId, Subscriber>,
    /// Subscribers that need more than the raw message.
    pub(crate) special: usize,
    /// How many publications there were.
    pub(crate) published: u64,
    /// The functions that it wakes.
    pub(crate) listenings: Listenings,
}

/// One that is subscribed.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: Arc<Connection>,
    pub(crate) wishes: Option<Box<Wishes>>,
}

/// What a subscriber wants beside all publications.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Not all of them.
    pub(crate) filter: Option<Filter>,
    /// To be told of others that come and go.
    pub(crate) join_leave: bool,
    /// To be no member.
    pub(crate) is_unseen: bool,
}

/// How a publication is put into outboxes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) compress: Compress,
    pub(crate) except: &'a Except,
    /// Whether subscribers count on it, because they can recover it.
    pub(crate) counts: bool,
}

/// Who does not get a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Except {
    /// This connection.
    pub connection: Option<ConnectionId>,
    /// All connections of this user.
    pub user: Option<bytestring::ByteString>,
    /// The function whose channel handler has published it, by the number of its
    /// listener.
    pub queue: Option<u64>,
}

/// What an allocation costs beside its bytes, about.
const ALLOCATION: usize = 16;
/// A subscriber's place in the table, and that of the subscription in the list of
/// its connection, both of which double when they are full.
const PLACE: usize = size_of::<(ConnectionId, Subscriber)>() + 1 + 2 * size_of::<Subscription>();
/// A place in the map of a space, which is half full on average.
const IN_SPACE: usize = 2 * (size_of::<(ChannelName, Arc<Entry>)>() + 1);
/// What a channel takes at least that remembers members or positions, about.
const REMEMBERS: usize = 1_024;
/// Subscribers for which there is room when most have gone.
const SPARE: usize = 16;

impl Entry {
    pub(crate) fn new(
        name: ChannelName,
        space: &Arc<Space>,
        (terms, listenings): (Arc<ChannelTerms>, Listenings),
        generation: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            space: Arc::downgrade(space),
            state: Mutex::new(State {
                removed: false,
                generation,
                terms,
                channel: None,
                writing: None,
                charged: 0,
                due: None,
                not_before: Moment::default(),
                subscribers: HashMap::new(),
                special: 0,
                published: 0,
                listenings,
            }),
        })
    }
}

impl SubscribedChannel for Entry {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    fn set(&self) -> usize {
        self.space.as_ptr().addr()
    }

    fn leave(&self, connection: ConnectionId) {
        if let Some(space) = self.space.upgrade() {
            space.forget(self, connection);
        }
    }
}

impl State {
    /// What the entry takes beside what the channel remembers.
    pub(crate) fn own_cost(&self, name: &ChannelName) -> usize {
        entry_cost(name) + table_cost(self.subscribers.capacity())
    }

    /// By how much the channel grows with a publish, beside the publication.
    pub(crate) fn unpaid(&self, name: &ChannelName) -> usize {
        let entry = match self.charged {
            0 => entry_cost(name),
            _ => 0,
        };
        let channel = match self.channel {
            None => size_of::<Channel>() + name.as_str().len() + ALLOCATION,
            Some(_) => 0,
        };
        entry + channel
    }

    /// By how much it grows with one more subscriber, at most.
    pub(crate) fn growth(&self, name: &ChannelName, info_bytes: usize) -> usize {
        let entry = match self.charged {
            0 => entry_cost(name),
            _ => 0,
        };
        let capacity = self.subscribers.capacity();
        let table = match self.subscribers.len() < capacity {
            true => 0,
            // It doubles.
            false => table_cost(2 * capacity.max(1)) - table_cost(capacity),
        };
        let remembers = match self.terms.presence || self.terms.has_positions() {
            true if self.terms.presence || self.channel.is_none() => REMEMBERS + info_bytes,
            _ => 0,
        };
        entry + table + remembers
    }

    /// What it remembers; made if it is not there.
    pub(crate) fn channel(&mut self, name: &ChannelName, now: Moment) -> &mut Channel {
        let terms = &self.terms;
        self.channel.get_or_insert_with(|| {
            let epoch = Epoch::from_random(forms::random());
            Box::new(Channel::new(name.clone(), Arc::clone(terms), epoch, now))
        })
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_idle(&self, now: Moment) -> bool {
        let channel = self.channel.as_ref();
        self.subscribers.is_empty() && channel.is_none_or(|channel| channel.is_removable(now))
    }

    /// When there is something to do.
    pub(crate) fn due_at(&self) -> Option<Moment> {
        let channel = self.channel.as_ref()?;
        let idle = self.subscribers.is_empty();
        let removable = idle.then(|| channel.removable_at()).flatten();
        [channel.due_at(), removable].into_iter().flatten().min()
    }

    /// Asks all subscribers to come back and subscribe again, because the channel
    /// that they know is no longer there.
    pub(crate) fn ask_back(&self) {
        for subscriber in self.subscribers.values() {
            subscriber.ask_back();
        }
    }

    /// Makes subscribers members, after a reload that wants them, except those that
    /// only look. Nobody is told: they have not come now. What they said of
    /// themselves was not kept. Those for whom there is no room, in the channel or
    /// in these bytes, are asked to come back, and refused then.
    pub(crate) fn join_all(&mut self, name: &ChannelName, bytes: usize, now: Moment) {
        if self.subscribers.is_empty() {
            return;
        }
        self.channel(name, now);
        let Self {
            channel,
            subscribers,
            ..
        } = self;
        let channel = channel.as_mut().expect("it was made above");
        let mut left = bytes;
        for (id, subscriber) in subscribers {
            if subscriber.wishes.as_ref().is_some_and(|it| it.is_unseen) {
                continue;
            }
            let member = Member {
                connection: *id,
                user: subscriber.connection.facts().user.clone(),
                info: None,
                node: None,
            };
            let cost = member.cost();
            if cost > left || channel.join(member, now).is_err() {
                subscriber.ask_back();
            }
            left = left.saturating_sub(cost);
        }
    }

    pub(crate) fn insert(&mut self, connection: &Arc<Connection>, wishes: Wishes) {
        let wants = wishes.filter.is_some() || wishes.join_leave || wishes.is_unseen;
        let is_special = wants || connection.facts().dialect.is_some();
        let subscriber = Subscriber {
            connection: Arc::clone(connection),
            wishes: wants.then(|| Box::new(wishes)),
        };
        self.special += usize::from(is_special);
        self.subscribers.insert(connection.id(), subscriber);
    }

    /// Takes a subscriber out, and tells the others; whether it was there.
    pub(crate) fn take_out(&mut self, id: ConnectionId, now: Moment) -> bool {
        let Some(subscriber) = self.subscribers.remove(&id) else {
            return false;
        };
        let is_special =
            subscriber.wishes.is_some() || subscriber.connection.facts().dialect.is_some();
        self.special -= usize::from(is_special);
        let (count, room) = (self.subscribers.len(), self.subscribers.capacity());
        if room > SPARE && count < room / 4 {
            self.subscribers.shrink_to((2 * count).max(SPARE));
        }
        let event = self
            .channel
            .as_mut()
            .and_then(|channel| channel.leave(id, now));
        if let Some(event) = event {
            let mut wakeups = Wakeups::default();
            let name = self.channel.as_ref().map(|channel| channel.name().clone());
            if let Some(name) = name {
                tell(&self.subscribers, &name, &event, &mut wakeups);
            }
        }
        true
    }
}

impl Subscriber {
    /// Asks it to come back and subscribe again.
    fn ask_back(&self) {
        self.connection.redeploy();
        self.connection.wake();
    }
}

/// What an entry takes without subscribers.
fn entry_cost(name: &ChannelName) -> usize {
    size_of::<Entry>() + IN_SPACE + name.as_str().len() + 2 * ALLOCATION
}

/// What a table of subscribers takes that has room for so many.
fn table_cost(capacity: usize) -> usize {
    match capacity {
        0 => 0,
        // Of eight places, one stays free; there are 4 at least.
        _ => (capacity * 8 / 7).next_power_of_two().max(4) * PLACE + ALLOCATION,
    }
}

/// Puts a publication into the outbox of each subscriber that wants it, and
/// answers how many took it.
pub(crate) fn deliver(
    subscribers: &HashMap<ConnectionId, Subscriber>,
    publication: &Publication,
    delivery: Delivery<'_>,
    wakeups: &mut Wakeups,
) -> u64 {
    let mut forms = Forms::new(publication, delivery.compress, delivery.counts);
    let mut taken = 0;
    for (id, subscriber) in subscribers {
        let connection = &subscriber.connection;
        if delivery.except.covers(connection) {
            continue;
        }
        let filter = subscriber.wishes.as_ref().and_then(|it| it.filter.as_ref());
        if filter.is_some_and(|filter| !filter.accepts(publication, *id)) {
            continue;
        }
        let form = forms.of(connection.facts().dialect);
        taken += u64::from(push(connection, form, wakeups));
    }
    taken
}

/// The same for a message that all subscribers get as it is.
pub(crate) fn deliver_raw(
    subscribers: &HashMap<ConnectionId, Subscriber>,
    message: &Arc<SharedMessage>,
    except: &Except,
    wakeups: &mut Wakeups,
) -> u64 {
    let connections = subscribers
        .values()
        .map(|subscriber| &subscriber.connection);
    let mut taken = 0;
    if *except == Except::NOBODY {
        // The usual case, in which nothing is compared.
        for connection in connections {
            taken += u64::from(push(connection, message, wakeups));
        }
        return taken;
    }
    for connection in connections.filter(|connection| !except.covers(connection)) {
        taken += u64::from(push(connection, message, wakeups));
    }
    taken
}

/// Tells subscribers that want it who has come or gone.
pub(crate) fn tell(
    subscribers: &HashMap<ConnectionId, Subscriber>,
    channel: &ChannelName,
    event: &PresenceEvent,
    wakeups: &mut Wakeups,
) {
    let (member, joins) = match event {
        PresenceEvent::Join(member) => (member, true),
        PresenceEvent::Leave(member) => (member, false),
    };
    let mut made = [const { None::<Option<Arc<SharedMessage>>> }; DialectName::COUNT];
    for subscriber in subscribers.values() {
        let wants = subscriber.wishes.as_ref().is_some_and(|it| it.join_leave);
        let Some(dialect) = subscriber.connection.facts().dialect.filter(|_| wants) else {
            continue;
        };
        let news = made[dialect as usize].get_or_insert_with(|| {
            let text = forms::news(dialect, channel.as_str(), member, joins)?;
            let message = openline_core::message::Message::Text(text);
            Some(SharedMessage::new(message))
        });
        if let Some(news) = news {
            push(&subscriber.connection, news, wakeups);
        }
    }
}

/// Puts a shared message into an outbox; whether it took it.
#[inline(always)]
pub(crate) fn push(
    connection: &Arc<Connection>,
    message: &Arc<SharedMessage>,
    wakeups: &mut Wakeups,
) -> bool {
    let outcome = connection.push_shared(message);
    // A connection that overflowed is woken, too: its owner has to end it.
    if outcome != SendOutcome::Gone {
        wakeups.add(connection);
    }
    matches!(outcome, SendOutcome::Sent | SendOutcome::Queued(_))
}

// === impl Except ===

impl Except {
    /// Nobody is left out.
    pub const NOBODY: Self = Self {
        connection: None,
        user: None,
        queue: None,
    };

    /// One connection is left out.
    pub fn connection(connection: Option<ConnectionId>) -> Self {
        Self {
            connection,
            user: None,
            queue: None,
        }
    }

    #[inline]
    fn covers(&self, connection: &Connection) -> bool {
        self.connection == Some(connection.id())
            || (self.user.is_some() && self.user == connection.facts().user)
    }
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod bounds_tests;

#[cfg(test)]
#[path = "race_tests.rs"]
mod race_tests;
