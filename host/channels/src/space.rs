//! A set of channels: one function's own, or those that functions share.
//!
//! A channel is in its space while it has subscribers, something to remember, or
//! a position that is still kept. What it remembers, the channel itself and its
//! subscribers are charged to the space's part of the host's `channel_bytes`;
//! publications and subscriptions that would exceed it are refused. Moments at
//! which something ends are in order, so that a sweep looks at nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use openline_broker::channel::{Backlog, Publish, Room};
use openline_broker::moment::Moment;
use openline_broker::outcome::{Outcome, PublishError};
use openline_broker::position::Epoch;
use openline_broker::publication::{Parts, Publication};
use openline_broker::rows::Change;
use openline_broker::terms::{Found, TermsTable};
use openline_core::channel::ChannelTerms;
use openline_core::message::{Compress, Message};
use openline_core::name::{ChannelName, ConnectionId};
use openline_store::{ChannelStore, StoreError};

use crate::audience::{self, Audience};
use crate::budget::Budget;
use crate::connection::Connection;
use crate::durable::{Answered, Keeper, Settling};
use crate::entry::{self, Delivery, Entry, Except, State};
use crate::forms;
use crate::joining;
use crate::shared::SharedMessage;
use crate::subscribing::{SubscribeError, Subscribing};
use crate::sweeps::Sweeps;
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, RwLock};
use crate::time::now;
use crate::wakeups::Wakeups;

/// A set of channels.
#[derive(Debug)]
pub struct Space {
    pub(crate) entries: DashMap<ChannelName, Arc<Entry>>,
    table: RwLock<Arc<TermsTable>>,
    /// Counts the tables.
    generation: AtomicU64,
    pub(crate) budget: Budget,
    /// When a channel is to be looked at: each is here at most once.
    pub(crate) due: Mutex<BTreeSet<(Moment, ChannelName)>>,
    pub(crate) sweeps: Arc<Sweeps>,
    keeper: OnceLock<Keeper>,
    /// The functions that its channels wake.
    audience: Audience,
    /// Whether it is in the list of the sweeps.
    pub(crate) is_listed: AtomicBool,
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
            audience: Audience::default(),
            is_listed: AtomicBool::new(false),
        })
    }

    /// The terms of a channel.
    pub fn find(&self, name: &ChannelName) -> Found {
        self.table.read().find(name)
    }

    /// The terms that a channel has in this space: none that keep anything if its
    /// name belongs to another one.
    pub(crate) fn terms(&self, name: &ChannelName) -> Arc<ChannelTerms> {
        let table = Arc::clone(&self.table.read());
        table.find_here(name)
    }

    /// Replaces the table. Channels get their new terms when they are used next;
    /// the caller calls [`refresh`](Self::refresh) for the others.
    pub fn set_table(&self, table: TermsTable) {
        let mut held = self.table.write();
        *held = Arc::new(table);
        // Under the lock: whoever sees the number finds the table.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A number that is another one when its channels may have other terms than
    /// before.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Changes which functions its channels wake.
    pub(crate) fn change_audience(&self, change: impl FnOnce(&Audience) -> bool) {
        if change(&self.audience) {
            // As with a table: whoever sees the number finds the change.
            self.generation.fetch_add(1, Ordering::Release);
        }
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
                    let heard = (self.terms(name), self.audience.of(name));
                    let make = || Entry::new(name.clone(), self, heard, generation);
                    Arc::clone(&self.entries.entry(name.clone()).or_insert_with(make))
                }
            };
            let mut state = entry.state.lock();
            if state.removed {
                drop(state);
                // Whoever removes it may rest, and would be waited for.
                self.unlink(&entry);
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
            // New terms have perhaps waited for what was written.
            self.renew(entry, &mut state, now);
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
        state.listenings = self.audience.of(name);
        let terms = self.terms(name);
        if *terms != *state.terms {
            let mut comes_back = false;
            if let Some(channel) = &mut state.channel {
                let epoch = Epoch::from_random(forms::random());
                let before = channel.position();
                // While something waits for the store, the old terms hold.
                let Ok(changes) = channel.set_terms(Arc::clone(&terms), epoch, now) else {
                    return;
                };
                let is_same = |it| channel.position().is_some_and(|now| now.epoch == it);
                comes_back = before.is_some_and(|before| !is_same(before.epoch));
                if let Some(keeper) = self.keeper() {
                    keeper.write(entry, state, changes, None);
                }
            }
            let before = std::mem::replace(&mut state.terms, terms);
            // Without a position they could not recover what they may now.
            let recovers = |terms: &ChannelTerms| terms.has_positions() && terms.recovery;
            if comes_back || (recovers(&state.terms) && !recovers(&before)) {
                state.ask_back();
            }
            if state.terms.presence && !before.presence {
                state.join_all(name, self.budget.left(), now);
            }
        }
        state.generation = generation;
    }

    /// Charges and schedules a channel after it was used, or removes it.
    fn settle(self: &Arc<Self>, entry: &Arc<Entry>, mut state: MutexGuard<'_, State>, now: Moment) {
        let removed = state.is_idle(now) && !state.is_writing();
        if removed {
            let was_kept = state.channel.as_ref().is_some_and(|it| it.is_durable());
            if let Some(keeper) = self.keeper().filter(|_| was_kept) {
                keeper.write(entry, &mut state, vec![Change::Clear], None);
            }
            state.removed = true;
            state.channel = None;
        }
        let own = match removed {
            true => 0,
            false => state.own_cost(&entry.name),
        };
        let cost = own + state.channel.as_ref().map_or(0, |channel| channel.cost());
        match cost.checked_sub(state.charged) {
            Some(0) => {}
            Some(more) => self.budget.take_anyway(more),
            None => self.budget.give_back(state.charged - cost),
        }
        state.charged = cost;
        let due = state.due_at().map(|due| due.max(state.not_before));
        let is_sooner = due.is_some_and(|due| state.due.is_none_or(|known| due < known));
        if is_sooner || removed {
            // Under the lock of the channel, so that the list has what it says.
            let mut list = self.due.lock();
            if let Some(known) = state.due.take() {
                list.remove(&(known, entry.name.clone()));
            }
            list.extend(due.map(|due| (due, entry.name.clone())));
            state.due = due;
        }
        drop(state);
        if is_sooner {
            self.list();
        }
        if removed {
            self.unlink(entry);
        }
    }

    /// Takes a channel that is removed out of the map, if it is still there.
    fn unlink(&self, entry: &Arc<Entry>) {
        self.entries
            .remove_if(&entry.name, |_, held| Arc::ptr_eq(held, entry));
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
            let info = subscribing.info.as_ref().map_or(0, |info| info.bytes());
            let growth = state.growth(name, info);
            if growth > 0 && growth > self.budget.left() {
                return Err(SubscribeError::HostFull);
            }
            let is_new = state.channel.is_none();
            let joined = joining::join(name, state, (connection, subscribing), now, wakeups);
            if is_new && joined.is_err() {
                state.channel = None;
            }
            Ok((Arc::clone(entry), joined?))
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
        let remembers = publishing.is_remembered();
        let mut rest = Some(publishing);
        let mut publish = |entry: &Arc<Entry>, state: &mut State, now| {
            let publishing = rest.take().expect("it is called once");
            let is_new = state.channel.is_none();
            let answer = self.publish_in(entry, state, publishing, now, wakeups);
            if is_new && matches!(answer, Answered::Now(Err(_))) {
                // A refused publish leaves nothing behind.
                state.channel = None;
            }
            answer
        };
        // A publish that nothing keeps makes no channel. Whether it is kept is
        // asked once the channel is not there: it may just have been removed.
        let published = self.with(name, remembers, &mut publish);
        let published = published.or_else(|| {
            let keeps = self.terms(name).has_positions() || self.audience.of(name).is_some();
            keeps.then(|| self.with(name, true, &mut publish)).flatten()
        });
        published.unwrap_or(Answered::Now(Ok(Outcome::published(None, 0))))
    }

    fn publish_in(
        &self,
        entry: &Arc<Entry>,
        state: &mut State,
        publishing: Publishing,
        now: Moment,
        wakeups: &mut Wakeups,
    ) -> Answered {
        if !(state.terms.durable && state.terms.has_positions()) {
            let published = self.publish_now(&entry.name, state, publishing, now, wakeups);
            return Answered::Now(published);
        }
        let Some(keeper) = self.keeper() else {
            return Answered::Now(Err(PublishError::Unavailable));
        };
        state.published += 1;
        let delivery = (publishing.compress, publishing.except);
        let turn = (now, &self.room(state.unpaid(&entry.name)));
        keeper.publish(entry, state, (publishing.request, delivery), turn)
    }

    fn publish_now(
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
        let delivery = Delivery {
            compress,
            except: &except,
            counts: state.terms.has_positions() && state.terms.recovery,
        };
        if !keeps {
            request.check(false, &self.room(0))?;
            let local = publish_plain(name, state, request, delivery, now, wakeups);
            return Ok(Outcome::published(None, local));
        }
        let room = self.room(state.unpaid(name));
        state.channel(name, now);
        let State {
            channel,
            subscribers,
            listenings,
            ..
        } = state;
        let channel = channel.as_mut().expect("it was made above");
        let published = channel.publish(request, now, &room, |publication| {
            audience::tell(listenings, publication, delivery.except);
            entry::deliver(subscribers, publication, delivery, wakeups)
        })?;
        Ok(published.outcome)
    }

    /// How much a publish may take, of which so much is for the channel itself.
    fn room(&self, unpaid: usize) -> Room {
        Room {
            data_bytes: usize::MAX,
            growth_bytes: self.budget.left().saturating_sub(unpaid),
        }
    }

    /// How many connections of this node are subscribed.
    pub fn subscribers(&self, name: &ChannelName) -> usize {
        let entry = self.entries.get(name).map(|entry| Arc::clone(&entry));
        entry.map_or(0, |entry| entry.state.lock().subscribers.len())
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

/// Whether a publish is remembered whatever the terms are.
fn needs_memory(request: &Publish) -> bool {
    request.idempotency_key.is_some() || request.version.is_some() || request.expected.is_some()
}

/// Publishes on a channel that remembers nothing.
fn publish_plain(
    name: &ChannelName,
    state: &State,
    request: Publish,
    delivery: Delivery<'_>,
    now: Moment,
    wakeups: &mut Wakeups,
) -> u64 {
    if state.special == 0 && state.listenings.is_none() {
        let message = SharedMessage::with(forms::raw(&request.data), delivery.compress);
        return entry::deliver_raw(&state.subscribers, &message, delivery.except, wakeups);
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
    audience::tell(&state.listenings, &publication, delivery.except);
    entry::deliver(&state.subscribers, &publication, delivery, wakeups)
}

#[cfg(test)]
#[path = "space_tests.rs"]
pub(crate) mod tests;
