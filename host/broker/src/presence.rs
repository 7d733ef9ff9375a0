//! The subscribers of a channel: connection, user, and what they say of
//! themselves.
//!
//! A connection joins once and leaves once, so each is told of exactly once, and
//! a user, if the channel wants that, with its first connection and its last. A
//! member is on a node. Each node is told that the others live
//! ([`touch`](Presence::touch)); the members of one that has not been heard of for
//! [`NODE_TIME`] leave. Those of this node have none, and leave by themselves.
//!
//! Bounded by [`MEMBERS_MAX`] and [`INFO_BYTES_MAX`].

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::Duration;

use bytestring::ByteString;
use openline_core::channel::JoinLeave;
use openline_core::name::ConnectionId;

use crate::moment::Moment;
use crate::outcome::PublishError;
use crate::publication::{Data, USER_BYTES_MAX};

/// Members of one channel. More could not be shown, and each join is told to all.
pub const MEMBERS_MAX: usize = 100_000;
/// What a member says of itself, in bytes: a name, a picture's address, a state.
pub const INFO_BYTES_MAX: usize = 4096;
/// How long a node may be silent: some times the interval at which nodes tell
/// each other that they live.
pub const NODE_TIME: Duration = Duration::from_secs(60);
/// Members that leave in one step at most, so that no lock is held for all of a
/// large node.
pub const EXPIRED_MAX: usize = 256;

/// What a member takes beside its texts, about: its places in two maps.
const PLACES: usize = 200;

/// A node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// A subscriber that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its user, if it has one.
    pub user: Option<ByteString>,
    /// What it says of itself.
    pub info: Option<Data>,
    /// Where it is; `None` is this node.
    pub node: Option<NodeId>,
}

impl Member {
    /// What it takes in a channel, about.
    pub fn cost(&self) -> usize {
        let user = self.user.as_ref().map_or(0, |user| user.len());
        PLACES + size_of::<Self>() + 2 * user + self.info.as_ref().map_or(0, Data::bytes)
    }
}

/// A coming or a going.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceEvent {
    /// A member has come.
    Join(Member),
    /// It has gone.
    Leave(Member),
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceCounts {
    /// Connections.
    pub connections: usize,
    /// Different users among them. Connections without a user are not counted.
    pub users: usize,
}

/// The members of a channel.
#[derive(Clone, Debug, Default)]
pub struct Presence {
    members: BTreeMap<ConnectionId, Member>,
    /// How many connections each user has.
    users: HashMap<ByteString, usize>,
    /// When a node was heard of last, and how many members it has.
    nodes: HashMap<NodeId, (Moment, usize)>,
    bytes: usize,
}

impl Presence {
    /// A member comes, or one that is there says something else of itself; its
    /// user stays the same. Answers what to tell the others; nothing for one that
    /// is there.
    ///
    /// # Errors
    ///
    /// When the channel has as many as it may have, or the member says too much.
    pub fn join(
        &mut self,
        mut member: Member,
        told: JoinLeave,
        now: Moment,
    ) -> Result<Option<PresenceEvent>, PublishError> {
        let info = member.info.as_ref().map_or(0, Data::bytes);
        PublishError::check_bytes("the information of a member", info, INFO_BYTES_MAX)?;
        let user = member.user.as_ref().map_or(0, |user| user.len());
        PublishError::check_bytes("the name of a user", user, USER_BYTES_MAX)?;
        let before = self.members.get(&member.connection);
        if before.is_none() && self.members.len() >= MEMBERS_MAX {
            return Err(PublishError::Full { what: "members" });
        }
        if let Some(before) = before {
            member.user.clone_from(&before.user);
        }
        let is_new = self.take(member.connection).is_none();
        let is_first = self.put(member.clone(), now);
        let is_told = match told {
            JoinLeave::None => false,
            JoinLeave::Connections => true,
            JoinLeave::Users => is_first,
        };
        Ok((is_new && is_told).then_some(PresenceEvent::Join(member)))
    }

    /// A member goes. Answers what to tell the others; nothing if it is not
    /// there.
    pub fn leave(&mut self, connection: ConnectionId, told: JoinLeave) -> Option<PresenceEvent> {
        let (member, was_last) = self.take(connection)?;
        let is_told = match told {
            JoinLeave::None => false,
            JoinLeave::Connections => true,
            JoinLeave::Users => was_last,
        };
        is_told.then_some(PresenceEvent::Leave(member))
    }

    /// A node lives. Answers whether it has members here.
    pub fn touch(&mut self, node: NodeId, now: Moment) -> bool {
        let Some((heard, _)) = self.nodes.get_mut(&node) else {
            return false;
        };
        *heard = now;
        true
    }

    /// Lets members of nodes leave that have been silent for [`NODE_TIME`], at
    /// most so many, and tells each going.
    pub fn expire(
        &mut self,
        told: JoinLeave,
        (now, most): (Moment, usize),
        mut tell: impl FnMut(PresenceEvent),
    ) -> usize {
        let is_silent = |(heard, _): &(Moment, usize)| heard.has_aged(NODE_TIME, now);
        if !self.nodes.values().any(is_silent) {
            return 0;
        }
        let nodes = &self.nodes;
        let is_gone = |member: &&Member| {
            member
                .node
                .and_then(|node| nodes.get(&node))
                .is_some_and(is_silent)
        };
        let gone = self.members.values().filter(is_gone).take(most);
        let gone: Vec<_> = gone.map(|member| member.connection).collect();
        for connection in &gone {
            if let Some(event) = self.leave(*connection, told) {
                tell(event);
            }
        }
        gone.len()
    }

    /// When a node will have been silent for too long, if none is heard of.
    pub fn ages_at(&self) -> Option<Moment> {
        let heard = self.nodes.values().map(|(heard, _)| *heard);
        Some(heard.min()?.plus(NODE_TIME))
    }

    /// Members in the order of their connections' ids, after one, at most
    /// `limit`.
    pub fn page(&self, after: Option<ConnectionId>, limit: usize) -> Vec<Member> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.members.range((after, Bound::Unbounded));
        members
            .take(limit)
            .map(|(_, member)| member.clone())
            .collect()
    }

    /// One member.
    pub fn get(&self, connection: ConnectionId) -> Option<&Member> {
        self.members.get(&connection)
    }

    /// How many there are.
    pub fn counts(&self) -> PresenceCounts {
        PresenceCounts {
            connections: self.members.len(),
            users: self.users.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What the members take.
    pub fn cost(&self) -> usize {
        self.bytes
    }

    /// Puts a new member in; answers whether its user has no other connection.
    fn put(&mut self, member: Member, now: Moment) -> bool {
        self.bytes += member.cost();
        let is_first = member.user.as_ref().is_none_or(|user| {
            let connections = self.users.entry(user.clone()).or_default();
            *connections += 1;
            *connections == 1
        });
        if let Some(node) = member.node {
            let (heard, members) = self.nodes.entry(node).or_insert((now, 0));
            (*heard, *members) = (now.max(*heard), *members + 1);
        }
        self.members.insert(member.connection, member);
        is_first
    }

    /// Takes a member out; also whether its user has no other connection.
    fn take(&mut self, connection: ConnectionId) -> Option<(Member, bool)> {
        let member = self.members.remove(&connection)?;
        self.bytes -= member.cost();
        let was_last = member.user.as_ref().is_none_or(|user| {
            let connections = self.users.get_mut(&**user);
            let is_last = connections.is_none_or(|connections| {
                *connections -= 1;
                *connections == 0
            });
            if is_last {
                self.users.remove(&**user);
            }
            is_last
        });
        if let Some(node) = member.node
            && let Some((_, members)) = self.nodes.get_mut(&node)
        {
            *members -= 1;
            if *members == 0 {
                self.nodes.remove(&node);
            }
        }
        Some((member, was_last))
    }
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
