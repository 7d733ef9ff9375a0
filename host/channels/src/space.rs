//! A set of channels: one function's own, or those that functions share.
//!
//! A channel is in its space while it has subscribers, something to remember, or
//! a position that is still kept. What it remembers is charged to the space's
//! part of the host's `channel_bytes`; publications that would exceed it are
//! refused. Moments at which something ends are in a heap, so [`Space::sweep`]
//! looks at nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use dashmap::DashMap;
use openline_broker::channel::{Backlog, Publish, Room, Subscribe};
use openline_broker::log::{Page, PageLimit, PageQuery, Unrecoverable};
use openline_broker::moment::Moment;
use openline_broker::outcome::{Outcome, PublishError};
use openline_broker::position::Epoch;
use openline_broker::presence::{Member, PresenceCounts};
use openline_broker::publication::{Parts, Publication};
use openline_broker::rows::Change;
use openline_broker::terms::{Found, TermsTable};
use openline_core::channel::Subscription;
use openline_core::event::SendOutcome;
use openline_core::message::{Compress, Message};
use openline_core::name::{ChannelName, ConnectionId};
use openline_store::{ChannelStore, StoreError};
use parking_lot::{Mutex, RwLock};

use crate::budget::Budget;
use crate::connection::Connection;
use crate::durable::{Answered, Keeper, Settling};
use crate::entry::{self, Entry, Except, State, Wishes};
use crate::forms;
use crate::hub::{Answer, SubscribeError, Subscribing};
use crate::listener::{self, Listener, Listeners, Listening};
use crate::shared::SharedMessage;
use crate::sweeps::Sweeps;
use crate::time::now;
use crate::wakeups::Wakeups;

/// Channels that one sweep looks at, so that it does not keep its thread.
const SWEPT_MAX: usize = 4_096;

/// A set of channels.
#[derive(Debug)]
pub struct Space {
    entries: DashMap<ChannelName, Arc<Entry>>,
    table: RwLock<Arc<TermsTable>>,
    /// Counts the tables.
    generation: AtomicU64,
    budget: Budget,
    /// When a channel is to be looked at. A channel may be here several times.
    due: Mutex<BinaryHeap<Reverse<(Moment, ChannelName)>>>,
    sweeps: Arc<Sweeps>,
    keeper: OnceLock<Keeper>,
    /// The functions that its channels wake.
    listening: RwLock<Vec<Subscribed>>,
    /// Whether there are any: asked at each publish.
    is_heard: AtomicBool,
    /// Whether it is in the list of the sweeps.
    is_listed: AtomicBool,
}

/// A function that channels wake.
#[derive(Debug)]
struct Subscribed {
    listener: Arc<Listener>,
    subscriptions: Arc<[Subscription]>,
    /// Of shared channels: the function's own space, whose table says which
    /// channels it shares.
    shares: Option<Weak<Space>>,
}

/// What is to be published, and to whom.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// The publication.
    pub request: Publish,
    /// Whether it is compressed.
    pub compress: Compress,
    /// Who does not get it.
    pub except: Except,
}

/// A channel, for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// Subscribers of this node.
    pub subscribers: usize,
    /// Publications since it is there.
    pub published: u64,
    /// The bytes that it takes.
    pub bytes: usize,
}

impl Space {
    /// An empty space with these terms.
    pub fn new(table: TermsTable, budget: Budget, sweeps: &Arc<Sweeps>) -> Arc<Self> {
        Arc::new(Self {
            entries: DashMap::new(),
            table: RwLock::new(Arc::new(table)),
            generation: AtomicU64::new(0),
            budget,
            due: Mutex::default(),
            sweeps: Arc::clone(sweeps),
            keeper: OnceLock::new(),
            listening: RwLock::default(),
            is_heard: AtomicBool::new(false),
            is_listed: AtomicBool::new(false),
        })
    }

    /// The terms of a channel.
    pub fn find(&self, name: &ChannelName) -> Found {
        self.table.read().find(name)
    }

    /// Replaces the table. Channels get their new terms when they are used next;
    /// the caller calls [`refresh`](Self::refresh) for the others.
    pub fn set_table(&self, table: TermsTable) {
        let mut held = self.table.write();
        *held = Arc::new(table);
        // Under the lock: whoever sees the number finds the table.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Has these channels wake a function, and no others. `shares` is the
    /// function's own space if this is the one that functions share.
    pub(crate) fn listen(
        &self,
        listener: &Arc<Listener>,
        subscriptions: &Arc<[Subscription]>,
        shares: Option<&Arc<Self>>,
    ) {
        let mut listening = self.listening.write();
        listening.retain(|it| !Arc::ptr_eq(&it.listener, listener));
        if !subscriptions.is_empty() {
            listening.push(Subscribed {
                listener: Arc::clone(listener),
                subscriptions: Arc::clone(subscriptions),
                shares: shares.map(Arc::downgrade),
            });
        }
        self.is_heard
            .store(!listening.is_empty(), Ordering::Release);
        // Under the lock, for the reason given in `set_table`.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The functions that a channel wakes.
    fn listeners(&self, name: &ChannelName) -> Listeners {
        if !self.is_heard.load(Ordering::Acquire) {
            return None;
        }
        let wants = |it: &Subscribed| {
            let own = listener::wanted(&it.subscriptions, name)?;
            let is_its = match &it.shares {
                Some(space) => space.upgrade()?.find(name).is_shared,
                None => true,
            };
            is_its.then(|| Listening {
                listener: Arc::clone(&it.listener),
                own,
            })
        };
        let all: Vec<_> = self.listening.read().iter().filter_map(wants).collect();
        (!all.is_empty()).then(|| all.into())
    }

    /// Gives all channels their terms. Looks at each, so it is not for a thread
    /// that serves. `is_here` says whether a name belongs to this space; the
    /// subscribers of others are asked to come back.
    pub fn refresh(self: &Arc<Self>, is_here: impl Fn(&ChannelName) -> bool) {
        let names: Vec<_> = self.entries.iter().map(|it| it.key().clone()).collect();
        for name in names {
            let stays = is_here(&name);
            self.with(&name, false, |_, state, _| {
                if !stays {
                    state.ask_back();
                }
            });
        }
    }

    /// How many bytes its channels take.
    pub fn bytes(&self) -> usize {
        self.budget.used()
    }

    /// How many channels there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is a channel of this name.
    pub fn has(&self, name: &ChannelName) -> bool {
        self.entries.contains_key(name)
    }

    /// Runs `act` under the lock of a channel, which is made if `makes`. Charges
    /// what changed, notes when to look at it again, and removes it if nothing is
    /// left.
    pub(crate) fn with<T>(
        self: &Arc<Self>,
        name: &ChannelName,
        makes: bool,
        act: impl FnOnce(&Arc<Entry>, &mut State, Moment) -> T,
    ) -> Option<T> {
        let now = now();
        loop {
            let found = self.entries.get(name).map(|entry| Arc::clone(&entry));
            let entry = match found {
                Some(entry) => entry,
                None if !makes => return None,
                None => {
                    let generation = self.generation.load(Ordering::Acquire);
                    let terms = self.find(name).terms;
                    let heard = (terms, self.listeners(name));
                    let make = || Entry::new(name.clone(), self, heard, generation);
                    Arc::clone(&self.entries.entry(name.clone()).or_insert_with(make))
                }
            };
            let mut state = entry.state.lock();
            if state.removed {
                continue;
            }
            self.renew(&entry, &mut state, now);
            let done = act(&entry, &mut state, now);
            self.settle(&entry, state, now);
            return Some(done);
        }
    }

    /// The same for a channel that may have been removed.
    pub(crate) fn with_entry(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        act: impl FnOnce(&Arc<Entry>, &mut State, Moment),
    ) {
        let now = now();
        let mut state = entry.state.lock();
        if !state.removed {
            act(entry, &mut state, now);
            self.settle(entry, state, now);
        }
    }

    /// Whether its durable channels were read.
    pub fn is_restored(&self) -> bool {
        self.keeper.get().is_some()
    }

    /// Where its durable channels are kept.
    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        self.keeper.get()
    }

    /// Reads the durable channels of the store, and keeps them there from now on.
    /// A second time does nothing.
    ///
    /// # Errors
    ///
    /// When the store does not answer: then they are not kept.
    pub async fn restore(
        self: &Arc<Self>,
        store: ChannelStore,
        settling: &Arc<Settling>,
    ) -> Result<(), StoreError> {
        if self.keeper.get().is_some() {
            return Ok(());
        }
        let keeper = Keeper {
            store,
            settling: Arc::clone(settling),
        };
        keeper.restore(self).await?;
        // A second caller has read the same.
        let _ = self.keeper.set(keeper);
        Ok(())
    }

    /// Gives a channel the terms that are in force.
    fn renew(&self, entry: &Arc<Entry>, state: &mut State, now: Moment) {
        let name = &entry.name;
        let generation = self.generation.load(Ordering::Acquire);
        if state.generation == generation {
            return;
        }
        state.listeners = self.listeners(name);
        let terms = self.find(name).terms;
        if *terms != *state.terms {
            if let Some(channel) = &mut state.channel {
                let epoch = Epoch::from_random(forms::random());
                let before = channel.position();
                // While something waits for the store, the old terms hold.
                let Ok(changes) = channel.set_terms(Arc::clone(&terms), epoch, now) else {
                    return;
                };
                let is_same = |it| channel.position().is_some_and(|now| now.epoch == it);
                if before.is_some_and(|before| !is_same(before.epoch)) {
                    state.ask_back();
                }
                if let Some(keeper) = self.keeper() {
                    keeper.write(entry, state, changes, None);
                }
            }
            state.terms = terms;
        }
        state.generation = generation;
    }

    /// Charges and schedules a channel after it was used, or removes it.
    fn settle(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        mut state: parking_lot::MutexGuard<'_, State>,
        now: Moment,
    ) {
        let removed = state.is_idle(now) && !state.is_writing();
        if removed {
            let was_kept = state.channel.as_ref().is_some_and(|it| it.is_durable());
            if let Some(keeper) = self.keeper().filter(|_| was_kept) {
                keeper.write(entry, &mut state, vec![Change::Clear], None);
            }
            state.removed = true;
            state.channel = None;
        }
        let cost = state.channel.as_ref().map_or(0, |channel| channel.cost());
        match cost.checked_sub(state.charged) {
            Some(more) => self.budget.take_anyway(more),
            None => self.budget.give_back(state.charged - cost),
        }
        state.charged = cost;
        let due = state.due_at();
        let is_sooner = due.is_some_and(|due| state.due.is_none_or(|known| due < known));
        if is_sooner {
            state.due = due;
        }
        drop(state);
        if let Some(due) = due.filter(|_| is_sooner) {
            self.due.lock().push(Reverse((due, entry.name.clone())));
            self.list();
        }
        if removed {
            self.entries
                .remove_if(&entry.name, |_, held| Arc::ptr_eq(held, entry));
        }
    }

    /// Forgets a subscriber.
    pub(crate) fn forget(self: &Arc<Self>, entry: &Entry, connection: ConnectionId) {
        // The entry is the one in the map as long as it has subscribers.
        self.with(&entry.name, false, |_, state, now| {
            state.take_out(connection, now);
        });
    }

    /// Subscribes a connection. The caller holds its membership, so that it is
    /// subscribed once.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        name: &ChannelName,
        subscribing: Subscribing<'_>,
        wakeups: &mut Wakeups,
    ) -> Result<(Arc<Entry>, Backlog), SubscribeError> {
        let subscribed = self.with(name, true, |entry, state, now| {
            if state.subscribers.len() >= connection.limits().subscribers as usize {
                return Err(SubscribeError::Crowded);
            }
            let remembers = state.terms.has_positions() || state.terms.presence;
            if remembers && self.budget.is_exceeded() {
                return Err(SubscribeError::HostFull);
            }
            let backlog = join(name, state, (connection, subscribing), now, wakeups)?;
            Ok((Arc::clone(entry), backlog))
        });
        subscribed.expect("the channel is made if it is not there")
    }

    /// Publishes. The answer is there at once, except on durable channels.
    pub fn publish(
        self: &Arc<Self>,
        name: &ChannelName,
        publishing: Publishing,
        wakeups: &mut Wakeups,
    ) -> Answered {
        let remembers = publishing.is_remembered() || {
            // A publish that nothing keeps makes no channel.
            !self.has(name)
                && (self.find(name).terms.has_positions() || self.listeners(name).is_some())
        };
        let mut rest = Some(publishing);
        let published = self.with(name, remembers, |entry, state, now| {
            let publishing = rest.take().expect("it is called once");
            if !(state.terms.durable && state.terms.has_positions()) {
                let published = self.publish_in(name, state, publishing, now, wakeups);
                return Answered::Now(published);
            }
            let Some(keeper) = self.keeper() else {
                return Answered::Now(Err(PublishError::Unavailable));
            };
            state.published += 1;
            let delivery = (publishing.compress, publishing.except);
            let turn = (now, &self.room());
            keeper.publish(entry, state, (publishing.request, delivery), turn)
        });
        published.unwrap_or(Answered::Now(Ok(Outcome::published(None, 0))))
    }

    fn publish_in(
        &self,
        name: &ChannelName,
        state: &mut State,
        publishing: Publishing,
        now: Moment,
        wakeups: &mut Wakeups,
    ) -> Result<Outcome, PublishError> {
        let Publishing {
            request,
            compress,
            except,
        } = publishing;
        state.published += 1;
        let keeps = state.terms.has_positions() || needs_memory(&request);
        if !keeps {
            request.check(false, &self.room())?;
            let local = publish_plain(name, state, request, (compress, &except), now, wakeups);
            return Ok(Outcome::published(None, local));
        }
        let room = self.room();
        state.channel(name, now);
        let State {
            channel,
            subscribers,
            listeners,
            ..
        } = state;
        let channel = channel.as_mut().expect("it was made above");
        let published = channel.publish(request, now, &room, |publication| {
            listener::tell(listeners, publication, &except);
            entry::deliver(subscribers, publication, compress, &except, wakeups)
        })?;
        Ok(published.outcome)
    }

    /// How much a publish may take.
    fn room(&self) -> Room {
        Room {
            data_bytes: usize::MAX,
            growth_bytes: self.budget.left(),
        }
    }

    /// How many connections of this node are subscribed.
    pub fn subscribers(&self, name: &ChannelName) -> usize {
        let entry = self.entries.get(name).map(|entry| Arc::clone(&entry));
        entry.map_or(0, |entry| entry.state.lock().subscribers.len())
    }

    /// A page of the history; `None` on channels that keep none.
    ///
    /// # Errors
    ///
    /// When the page is to continue from a position that is not the channel's.
    pub fn history(
        self: &Arc<Self>,
        name: &ChannelName,
        query: PageQuery,
        limit: PageLimit,
    ) -> Result<Option<Page>, Unrecoverable> {
        let keeps = self.find(name).terms.has_positions();
        let page = self.with(
            name,
            keeps && !self.budget.is_exceeded(),
            |_, state, now| {
                let channel = match keeps {
                    true => Some(state.channel(name, now)),
                    false => state.channel.as_deref_mut(),
                };
                channel.map(|channel| channel.history(query, limit, now))
            },
        );
        page.flatten().transpose().map(Option::flatten)
    }

    /// Values of a keyed channel in the order of their last change, after an
    /// offset; `None` on others.
    pub fn values(
        self: &Arc<Self>,
        name: &ChannelName,
        after: u64,
        limit: usize,
    ) -> Option<Vec<Publication>> {
        self.find(name).terms.keyed.as_ref()?;
        let values = self.with(name, false, |_, state, _| {
            let channel = state.channel.as_ref();
            channel.and_then(|channel| channel.value_page(after, limit))
        });
        Some(values.flatten().unwrap_or_default())
    }

    /// The value of a key of a keyed channel.
    pub fn value_of(self: &Arc<Self>, name: &ChannelName, key: &str) -> Option<Publication> {
        let value = self.with(name, false, |_, state, _| {
            let channel = state.channel.as_ref();
            channel.and_then(|channel| channel.value_of(key))
        });
        value.flatten()
    }

    /// Members of a channel in the order of their connections' ids; `None` where
    /// there is no presence.
    pub fn members(
        self: &Arc<Self>,
        name: &ChannelName,
        after: Option<ConnectionId>,
        limit: usize,
    ) -> Option<Vec<Member>> {
        self.find(name).terms.presence.then_some(())?;
        let members = self.with(name, false, |_, state, _| {
            let channel = state.channel.as_ref();
            channel.map(|channel| channel.members(after, limit))
        });
        Some(members.flatten().unwrap_or_default())
    }

    /// How many members a channel has; `None` where there is no presence.
    pub fn counts(self: &Arc<Self>, name: &ChannelName) -> Option<PresenceCounts> {
        self.find(name).terms.presence.then_some(())?;
        let counts = self.with(name, false, |_, state, _| {
            let channel = state.channel.as_ref();
            channel.map(|channel| channel.counts())
        });
        Some(counts.flatten().unwrap_or_default())
    }

    /// Forgets the history of a channel; whether there was the channel.
    pub fn clear(self: &Arc<Self>, name: &ChannelName) -> bool {
        let cleared = self.with(name, false, |entry, state, _| {
            let channel = state.channel.as_mut();
            let changes = channel.map_or_else(Vec::new, |channel| channel.clear());
            if let Some(keeper) = self.keeper() {
                keeper.write(entry, state, changes, None);
            }
        });
        cleared.is_some()
    }

    /// One channel, for people.
    pub fn view(self: &Arc<Self>, name: &ChannelName) -> Option<ChannelView> {
        self.with(name, false, |entry, state, _| view(entry, state))
    }

    /// Channels in the order of their names, after one, at most `limit`. Looks at
    /// all names, so it is not for a thread that serves.
    pub fn channels(
        self: &Arc<Self>,
        after: Option<&ChannelName>,
        limit: usize,
        is_wanted: impl Fn(&ChannelName) -> bool,
    ) -> Vec<ChannelView> {
        let mut first: BTreeSet<ChannelName> = BTreeSet::new();
        for entry in &self.entries {
            let name = entry.key();
            let is_in = after.is_none_or(|after| name > after)
                && (first.len() < limit || first.last().is_some_and(|last| name < last));
            if is_in && is_wanted(name) {
                first.insert(name.clone());
                if first.len() > limit {
                    first.pop_last();
                }
            }
        }
        let views = first.iter().filter_map(|name| self.view(name));
        views.collect()
    }

    /// Has the sweeps look at it, if it has anything for them.
    pub(crate) fn list(self: &Arc<Self>) {
        if !self.due.lock().is_empty() && !self.is_listed.swap(true, Ordering::AcqRel) {
            self.sweeps.add(self);
        }
    }

    /// The sweeps are about to look at it: what becomes due from now on is listed
    /// again.
    pub(crate) fn unlist(&self) {
        self.is_listed.store(false, Ordering::Release);
    }

    /// Does what has become due, for at most [`SWEPT_MAX`] channels; whether
    /// there is more.
    pub fn sweep(self: &Arc<Self>) -> bool {
        let now = now();
        for _ in 0..SWEPT_MAX {
            let name = {
                let mut due = self.due.lock();
                match due.peek() {
                    Some(Reverse((at, _))) if *at <= now => {}
                    _ => return false,
                }
                due.pop().map(|Reverse((_, name))| name)
            };
            if let Some(name) = name {
                self.expire(&name);
            }
        }
        true
    }

    fn expire(self: &Arc<Self>, name: &ChannelName) {
        let mut wakeups = Wakeups::default();
        self.with(name, false, |entry, state, now| {
            state.due = None;
            let State {
                channel,
                subscribers,
                listeners,
                ..
            } = state;
            let Some(channel) = channel else { return };
            let mut told = Vec::new();
            let expired = channel.expire(
                now,
                |publication| {
                    let (compress, except) = (Compress::Configured, &Except::NOBODY);
                    listener::tell(listeners, publication, except);
                    entry::deliver(subscribers, publication, compress, except, &mut wakeups)
                },
                |event| told.push(event),
            );
            for event in told {
                entry::tell(subscribers, name, &event, &mut wakeups);
            }
            if let Some(keeper) = self.keeper() {
                keeper.write(entry, state, expired.changes, None);
            }
        });
    }
}

impl Publishing {
    /// A publish for all subscribers.
    pub fn new(request: Publish) -> Self {
        Self {
            request,
            compress: Compress::Configured,
            except: Except::NOBODY,
        }
    }

    /// A publish of a message and nothing else.
    pub fn of(message: Message) -> Self {
        Self::new(Publish::new(forms::data_of(message)))
    }

    fn is_remembered(&self) -> bool {
        needs_memory(&self.request)
    }
}

/// Makes a connection a subscriber: reads what it missed, puts that into its
/// outbox, and tells the others, all before anything new.
fn join(
    name: &ChannelName,
    state: &mut State,
    (connection, subscribing): (&Arc<Connection>, Subscribing<'_>),
    now: Moment,
    wakeups: &mut Wakeups,
) -> Result<Backlog, SubscribeError> {
    let terms = Arc::clone(&state.terms);
    let mut backlog = Backlog::default();
    if terms.has_positions() {
        let limits = connection.limits();
        let filter = subscribing.filter.as_ref();
        let wish = Subscribe {
            since: subscribing.since,
            limit: PageLimit {
                count: usize::MAX,
                // All of it may have to be one message.
                bytes: limits.message_bytes.min(limits.outbox_bytes) / 2,
            },
            otherwise: subscribing.otherwise,
            filter: filter.map(|filter| (filter, connection.id())),
        };
        backlog = state.channel(name, now).subscribe(&wish, now);
    }
    if subscribing.all_or_nothing && subscribing.since.is_some() && backlog.recovered != Some(true)
    {
        return Err(SubscribeError::Unrecoverable);
    }
    let mut event = None;
    if terms.presence {
        let member = Member {
            connection: connection.id(),
            user: connection.facts().user.clone(),
            info: subscribing.info,
            node: None,
        };
        let joined = state.channel(name, now).join(member, now);
        event = joined.map_err(|_| SubscribeError::Crowded)?;
    }
    if let Some(lost) = greet(connection, &backlog, subscribing.answer, wakeups) {
        backlog = lost;
    }
    let wishes = Wishes {
        filter: subscribing.filter,
        join_leave: subscribing.join_leave,
    };
    state.insert(connection, wishes);
    if let Some(event) = event {
        entry::tell(&state.subscribers, name, &event, wakeups);
    }
    Ok(backlog)
}

/// Puts what a subscriber gets first into its outbox. If that does not take it,
/// the subscriber is told that it has missed something, and the backlog that it
/// has instead is answered.
fn greet(
    connection: &Arc<Connection>,
    backlog: &Backlog,
    answer: Option<Answer<'_>>,
    wakeups: &mut Wakeups,
) -> Option<Backlog> {
    let put = |messages: Vec<Message>, wakeups: &mut Wakeups| {
        let mut all = true;
        for message in messages {
            all &= !matches!(connection.push(message), SendOutcome::Dropped);
            wakeups.add(connection);
        }
        all
    };
    let Some(answer) = answer else {
        let publications = backlog.publications.iter();
        let messages = publications.map(|it| forms::raw(&it.data)).collect();
        put(messages, wakeups);
        return None;
    };
    if put(answer(backlog), wakeups) || backlog.publications.is_empty() {
        return None;
    }
    let lost = Backlog {
        position: backlog.position,
        recovered: Some(false),
        ..Backlog::default()
    };
    put(answer(&lost), wakeups);
    Some(lost)
}

/// Whether a publish is remembered whatever the terms are.
fn needs_memory(request: &Publish) -> bool {
    request.idempotency_key.is_some() || request.version.is_some() || request.expected.is_some()
}

/// Publishes on a channel that remembers nothing.
fn publish_plain(
    name: &ChannelName,
    state: &State,
    request: Publish,
    (compress, except): (Compress, &Except),
    now: Moment,
    wakeups: &mut Wakeups,
) -> u64 {
    if state.special == 0 && state.listeners.is_none() {
        let message = SharedMessage::with(forms::raw(&request.data), compress);
        return entry::deliver_raw(&state.subscribers, &message, except, wakeups);
    }
    let publication = Publication::new(Parts {
        channel: name.clone(),
        position: None,
        id: request.id,
        event: request.event,
        key: None,
        removed: false,
        data: request.data,
        tags: request.tags,
        sender: request.sender,
        time: now,
    });
    listener::tell(&state.listeners, &publication, except);
    entry::deliver(&state.subscribers, &publication, compress, except, wakeups)
}

fn view(entry: &Entry, state: &State) -> ChannelView {
    ChannelView {
        name: entry.name.clone(),
        subscribers: state.subscribers.len(),
        published: state.published,
        bytes: state.charged,
    }
}
