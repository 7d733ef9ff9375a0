//! Durable channels: their way to the disk and back.
//!
//! A publish is decided and staged under the channel's lock, and its rows are put
//! into the store's line there, so the disk has them in the order of the offsets.
//! When they are written, the writer's thread notes that, and a task of the host
//! takes the publication into the history, delivers it, and answers its
//! publisher. When they cannot be written, everything that is staged is taken
//! back: an attempt that has failed writes nothing more, and the next one begins
//! with all rows of the channel.
//!
//! Bounded by the store's line, and by `STAGED_MAX` publications of each channel
//! that are not settled.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use openline_broker::channel::{Channel, Publish, STAGED_MAX};
use openline_broker::moment::Moment;
use openline_broker::outcome::{Outcome, PublishError};
use openline_broker::position::{Epoch, Position};
use openline_broker::rows::{Change, Row};
use openline_core::message::Compress;
use openline_core::name::ChannelName;
use openline_store::{Attempt, ChannelStore, GroupError, Place, RowChange, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::audience;
use crate::entry::{self, Delivery, Entry, Except, State};
use crate::forms;
use crate::space::Space;
use crate::sync::Mutex;
use crate::wakeups::Wakeups;

/// About what a publish takes in the line beside its data, before its rows are
/// known.
const ROWS_BYTES: usize = 1_024;
/// What is full, as a publisher is told.
const STORED_BYTES: &str = "the data directory (stored_bytes)";
/// How long publishes are refused without asking a data directory that was full.
const FULL_TIME: Duration = Duration::from_millis(100);
/// The most publishers that wait for one channel: those of all publications that
/// may be staged, and as many whose answers are held back.
const WAITING_MAX: usize = 2 * STAGED_MAX;
/// Channels that are read from the store at once.
const RESTORED_AT_ONCE: usize = 256;

/// The answer to a publish, now or when it is on the disk.
#[derive(Debug)]
pub enum Answered {
    /// It is known.
    Now(Result<Outcome, PublishError>),
    /// It is known when what was staged is written.
    Later(Awaited),
}

/// The answer to a publish on a durable channel.
#[derive(Debug)]
pub struct Awaited(oneshot::Receiver<Result<Outcome, PublishError>>);

/// What a durable channel keeps while rows are being written.
#[derive(Debug)]
pub(crate) struct Writing {
    attempt: Attempt,
    /// The store may have other rows than the channel: the next group writes all.
    rewrites: bool,
    /// Until then the data directory is taken to be full: each attempt takes the
    /// work of a rewrite.
    full_until: Moment,
    /// In the order of the positions.
    waiting: VecDeque<Waiting>,
}

/// A publisher that waits.
#[derive(Debug)]
struct Waiting {
    /// It is answered when this is written.
    position: Position,
    /// How its publication is delivered, if it waits for one of its own.
    delivery: Option<(Compress, Except)>,
    answer: Outcome,
    refused: Option<PublishError>,
    publisher: Option<oneshot::Sender<Result<Outcome, PublishError>>>,
}

/// A group that is written, or is not.
pub(crate) struct Written {
    entry: Weak<Entry>,
    attempt: Attempt,
    upto: Option<Position>,
    result: Result<(), GroupError>,
}

/// Takes what was written into the channels.
#[derive(Debug)]
pub struct Settling {
    sender: mpsc::UnboundedSender<Written>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Written>>>,
}

/// Where a space keeps its durable channels.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) store: ChannelStore,
    pub(crate) settling: Arc<Settling>,
}

impl Default for Settling {
    #[expect(
        clippy::disallowed_methods,
        reason = "each entry has a publication that is staged, of which channels have a bounded number"
    )]
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            attempt: Attempt::new(),
            // A channel of this name may have been removed a moment ago, and its
            // rows be there nevertheless.
            rewrites: true,
            full_until: Moment::default(),
            waiting: VecDeque::new(),
        }
    }
}

impl Settling {
    /// Settles until it is dropped. Only the first caller gets to.
    pub async fn run(self: Arc<Self>) {
        let receiver = self.receiver.lock().take();
        let Some(mut receiver) = receiver else { return };
        while let Some(written) = receiver.recv().await {
            let entry = written.entry.upgrade();
            if let Some(entry) = entry
                && let Some(space) = entry.space.upgrade()
            {
                // All durable channels of the host wait for this task.
                let settling = || settle(&space, &entry, written);
                if catch_unwind(AssertUnwindSafe(settling)).is_err() {
                    let recovering = || recover(&space, &entry);
                    // What it could not do, each subscriber does by coming back.
                    let _ = catch_unwind(AssertUnwindSafe(recovering));
                }
            }
        }
    }
}

impl Answered {
    /// The answer, or, if it is not known yet, that of a publish that nobody has
    /// got: for publishers that do not wait.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn now(self) -> Result<Outcome, PublishError> {
        match self {
            Self::Now(answer) => answer,
            Self::Later(_) => Ok(Outcome::published(None, 0)),
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn wait(self) -> Result<Outcome, PublishError> {
        match self {
            Self::Now(answer) => answer,
            Self::Later(awaited) => awaited.await,
        }
    }
}

impl Future for Awaited {
    type Output = Result<Outcome, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(cx);
        // The channel has gone, with its function.
        answer.map(|answer| answer.unwrap_or(Err(PublishError::Unavailable)))
    }
}

impl Keeper {
    /// Publishes on a durable channel.
    pub(crate) fn publish(
        &self,
        entry: &Arc<Entry>,
        state: &mut State,
        (request, delivery): (Publish, (Compress, Except)),
        turn: (Moment, &openline_broker::channel::Room),
    ) -> Answered {
        let (now, room) = turn;
        let is_full = |writing: &Writing| now < writing.full_until;
        if state.writing.as_deref().is_some_and(is_full) {
            return Answered::Now(Err(PublishError::Full { what: STORED_BYTES }));
        }
        let bytes = request.data.bytes() * 2 + ROWS_BYTES;
        let place = self.store.reserve(u64::try_from(bytes).unwrap_or(u64::MAX));
        let Ok(place) = place else {
            let what = "more waits to be written than may";
            return Answered::Now(Err(PublishError::Full { what }));
        };
        let channel = state.channel(&entry.name, now);
        let published = channel.publish(request, now, room, |_| 0);
        let staged = channel.staged();
        match published {
            Ok(published) if published.publication.is_some() => {
                let position = published.outcome.position.or(staged);
                let Some(position) = position else {
                    return Answered::Now(Ok(published.outcome));
                };
                let (publisher, awaited) = oneshot::channel();
                let writing = state.writing.get_or_insert_default();
                writing.waiting.push_back(Waiting {
                    position,
                    delivery: Some(delivery),
                    answer: published.outcome,
                    refused: None,
                    publisher: Some(publisher),
                });
                self.write(entry, state, published.changes, Some(place));
                Answered::Later(Awaited(awaited))
            }
            answer => {
                let answer = answer.map(|published| published.outcome);
                match (staged, answer) {
                    (Some(staged), Ok(_) | Err(PublishError::Conflict { .. })) => {
                        state.hold_back(staged, answer)
                    }
                    // Other refusals are true whatever is written.
                    _ => Answered::Now(answer),
                }
            }
        }
    }

    /// Puts changes into the line, with the place that was taken for them. If that
    /// fails, what is staged is taken back, and the answer is `false`.
    pub(crate) fn write(
        &self,
        entry: &Arc<Entry>,
        state: &mut State,
        changes: Vec<Change>,
        place: Option<Place>,
    ) -> bool {
        if changes.is_empty() {
            return true;
        }
        let staged = state.channel.as_ref().and_then(|channel| channel.staged());
        let writing = state.writing.get_or_insert_default();
        let mut group = Vec::new();
        let begins_anew = changes.first() == Some(&Change::Clear);
        if std::mem::take(&mut writing.rewrites)
            && !begins_anew
            && let Some(channel) = &state.channel
        {
            group.extend(channel.rows().into_iter().map(row_change));
        }
        group.extend(changes.into_iter().map(row_change));
        let attempt = writing.attempt.clone();
        let written = {
            let (entry, attempt) = (Arc::downgrade(entry), attempt.clone());
            let sender = self.settling.sender.clone();
            move |result| {
                // Without a receiver the host is ending.
                let _ = sender.send(Written {
                    entry,
                    attempt,
                    upto: staged,
                    result,
                });
            }
        };
        let put = match place {
            Some(place) => self
                .store
                .write_at(place, &entry.name, &attempt, group, written),
            None => self.store.write(&entry.name, &attempt, group, written),
        };
        if put.is_err() {
            state.abandon(PublishError::Unavailable);
        }
        put.is_ok()
    }

    /// Reads all channels of the store into a space.
    pub(crate) async fn restore(&self, space: &Arc<Space>) -> Result<(), StoreError> {
        let mut after: Option<ChannelName> = None;
        loop {
            let names = self.store.channels(after.clone(), RESTORED_AT_ONCE).await?;
            let Some(last) = names.last().cloned() else {
                return Ok(());
            };
            for name in names {
                let rows = self.store.rows(&name).await?;
                self.restore_one(space, &name, rows);
            }
            after = Some(last);
        }
    }

    fn restore_one(
        &self,
        space: &Arc<Space>,
        name: &ChannelName,
        rows: Vec<(Box<[u8]>, bytes::Bytes)>,
    ) {
        let rows: Result<Vec<_>, _> = rows
            .into_iter()
            .map(|(name, bytes)| Row::parse(&name).map(|row| (row, bytes)))
            .collect();
        space.with(name, true, |entry, state, now| {
            let epoch = Epoch::from_random(forms::random());
            let terms = Arc::clone(&state.terms);
            let restored = rows
                .map_err(openline_broker::channel::RestoreError::from)
                .and_then(|rows| Channel::restore(name.clone(), terms, epoch, rows, now));
            match restored {
                Ok((channel, changes)) => {
                    // The store has its rows, and no others.
                    state.writing.get_or_insert_default().rewrites = false;
                    state.channel = Some(Box::new(channel));
                    self.write(entry, state, changes, None);
                }
                Err(error) => {
                    // Its subscribers learn that they have missed something.
                    let channel = name.as_str();
                    tracing::error!(channel, %error, "a durable channel begins anew");
                    self.write(entry, state, vec![Change::Clear], None);
                }
            }
        });
    }
}

impl State {
    /// Answers when everything that is staged now is written: a decision may
    /// depend on it.
    fn hold_back(&mut self, position: Position, answer: Result<Outcome, PublishError>) -> Answered {
        let writing = self.writing.get_or_insert_default();
        if writing.waiting.len() >= WAITING_MAX {
            let what = "publishers that wait for the store";
            return Answered::Now(Err(PublishError::Full { what }));
        }
        let (publisher, awaited) = oneshot::channel();
        let (answer, refused) = match answer {
            Ok(answer) => (answer, None),
            Err(refused) => (Outcome::published(None, 0), Some(refused)),
        };
        writing.waiting.push_back(Waiting {
            position,
            delivery: None,
            answer,
            refused,
            publisher: Some(publisher),
        });
        Answered::Later(Awaited(awaited))
    }

    /// Takes back what is staged, and says so to its publishers. What the store
    /// has is not known.
    fn abandon(&mut self, error: PublishError) {
        if let Some(channel) = &mut self.channel {
            channel.abandon();
        }
        let Some(writing) = &mut self.writing else {
            return;
        };
        writing.attempt = Attempt::new();
        writing.rewrites = true;
        for waiting in std::mem::take(&mut writing.waiting) {
            waiting.tell(Err(error));
        }
    }

    /// Whether rows are being written.
    pub(crate) fn is_writing(&self) -> bool {
        let staged = self.channel.as_ref().and_then(|channel| channel.staged());
        staged.is_some()
    }
}

impl Waiting {
    fn tell(self, answer: Result<Outcome, PublishError>) {
        if let Some(publisher) = self.publisher {
            // The publisher may have gone.
            let _ = publisher.send(answer);
        }
    }
}

/// Takes a group that was written into its channel, or takes back what was not.
fn settle(space: &Arc<Space>, entry: &Arc<Entry>, written: Written) {
    let mut wakeups = Wakeups::default();
    space.with_entry(entry, |entry, state, now| {
        let is_current = |writing: &Writing| writing.attempt == written.attempt;
        if !state.writing.as_deref().is_some_and(is_current) {
            return;
        }
        if let Err(error) = &written.result {
            let channel = entry.name.as_str();
            tracing::error!(channel, %error, "publications are not written");
            let is_full = matches!(error, GroupError::Full | GroupError::Share);
            state.abandon(match is_full {
                true => PublishError::Full { what: STORED_BYTES },
                false => PublishError::Unavailable,
            });
            if let Some(writing) = state.writing.as_mut().filter(|_| is_full) {
                writing.full_until = now.plus(FULL_TIME);
            }
            return;
        }
        let Some(upto) = written.upto else { return };
        let changes = take_in(state, upto, now, &mut wakeups);
        if let Some(keeper) = space.keeper() {
            keeper.write(entry, state, changes, None);
        }
    });
}

/// After a panic while something was settled: what is staged is taken back, so its
/// publishers do not wait for ever, and all rows are written with the next group.
/// Some subscribers have the last publication of the history, others perhaps not:
/// all are asked to come back for it.
fn recover(space: &Arc<Space>, entry: &Arc<Entry>) {
    let channel = entry.name.as_str();
    tracing::error!(channel, "settling a durable channel has panicked");
    space.with_entry(entry, |_, state, _| {
        state.abandon(PublishError::Unavailable);
        state.ask_back();
    });
}

/// Takes publications up to a position into the history, delivers them, and
/// answers their publishers.
fn take_in(state: &mut State, upto: Position, now: Moment, wakeups: &mut Wakeups) -> Vec<Change> {
    let counts = state.terms.recovery;
    let State {
        channel,
        subscribers,
        writing,
        listenings,
        ..
    } = state;
    let (Some(channel), Some(writing)) = (channel, writing) else {
        return Vec::new();
    };
    // Both are in the order of the positions, so each is passed once.
    let mut next = 0;
    let changes = channel.settle(upto, now, |publication| {
        let offset = publication.position.map_or(0, |it| it.offset);
        let is_before = |it: &Waiting| it.position.offset < offset;
        while writing.waiting.get(next).is_some_and(is_before) {
            next += 1;
        }
        let waiting = writing.waiting.get_mut(next);
        let waiting =
            waiting.filter(|it| it.delivery.is_some() && Some(it.position) == publication.position);
        let delivery = waiting.as_ref().and_then(|it| it.delivery.clone());
        let (compress, except) = delivery.unwrap_or_default();
        audience::tell(listenings, publication, &except);
        let delivery = Delivery {
            compress,
            except: &except,
            counts,
        };
        let local = entry::deliver(subscribers, publication, delivery, wakeups);
        if let Some(waiting) = waiting {
            waiting.answer.local = local;
        }
        local
    });
    let is_written =
        |it: &Waiting| it.position.epoch != upto.epoch || it.position.offset <= upto.offset;
    while let Some(waiting) = writing.waiting.pop_front_if(|it| is_written(it)) {
        let answer = waiting.refused.map_or(Ok(waiting.answer), Err);
        waiting.tell(answer);
    }
    changes
}

fn row_change(change: Change) -> RowChange {
    match change {
        Change::Put(row, bytes) => RowChange::Put(row.name().into(), bytes),
        Change::Delete(row) => RowChange::Delete(row.name().into()),
        Change::Forget { before } => RowChange::DeleteRange(
            Row::Publication(0).name().into(),
            Row::Publication(before).name().into(),
        ),
        Change::Clear => RowChange::Clear,
    }
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;
