//! What a space tells of its channels: histories, values, members, and lists of
//! channels for people.

use std::collections::BTreeSet;
use std::sync::Arc;

use openline_broker::channel::Channel;
use openline_broker::log::{Page, PageLimit, PageQuery, Unrecoverable};
use openline_broker::position::Position;
use openline_broker::presence::{Member, PresenceCounts};
use openline_broker::publication::Publication;
use openline_core::name::{ChannelName, ConnectionId};

use crate::entry::{Entry, State};
use crate::space::Space;

/// Members in one answer to a peer or a publisher. A list with more is refused: a
/// part of it would be taken for all, and counts tell as much.
pub const MEMBERS_MAX: usize = 4_096;

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
    /// The publications that it keeps.
    pub kept: usize,
    /// Where it is, if it counts.
    pub position: Option<Position>,
}

impl Space {
    /// Where a channel is; `None` on channels that do not count, and on one that
    /// is not there.
    pub fn position(self: &Arc<Self>, name: &ChannelName) -> Option<Position> {
        let position = self.with(name, false, |_, state, _| {
            let channel = state.channel.as_ref();
            channel.and_then(|channel| channel.position())
        });
        position.flatten()
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
        let keeps = self.terms(name).has_positions();
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
    /// offset and within the limit; `None` on others.
    pub fn values(
        self: &Arc<Self>,
        name: &ChannelName,
        after: u64,
        limit: PageLimit,
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

    /// Calls `show` with a channel, if it is there, while nobody comes or goes: what
    /// it puts into an outbox is in order with the news of members. `None` where
    /// there is no presence.
    pub fn show_presence<T>(
        self: &Arc<Self>,
        name: &ChannelName,
        show: impl FnOnce(Option<&Channel>) -> T,
    ) -> Option<T> {
        self.find(name).terms.presence.then_some(())?;
        let mut show = Some(show);
        let shown = self.with(name, false, |_, state, _| {
            let show = show.take()?;
            Some(show(state.channel.as_deref()))
        });
        // A channel that is not there has no members, and no news of any.
        shown.flatten().or_else(|| Some(show.take()?(None)))
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
}

fn view(entry: &Entry, state: &State) -> ChannelView {
    ChannelView {
        name: entry.name.clone(),
        subscribers: state.subscribers.len(),
        published: state.published,
        bytes: state.charged,
        kept: state.channel.as_ref().map_or(0, |it| it.kept()),
        position: state.channel.as_ref().and_then(|it| it.position()),
    }
}
