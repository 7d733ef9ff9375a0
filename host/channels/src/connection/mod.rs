//! One connection, without its socket.
//!
//! Two sides meet here. Functions, the hub and the host have a [`Connection`]:
//! they put messages into its outbox (`send`) and keep things with it (`keep`).
//! The gateway's task that owns the socket has a [`SocketOwner`]: it takes from
//! the outbox and does what it is asked (`owner`). Neither can do the other's
//! part. Each lock is held for a few instructions and never while another one
//! of the same connection is taken.

mod compressed;
mod flags;
mod keep;
mod owner;
mod send;

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use openline_core::auto_response::AutoResponse;
use openline_core::dialect::DialectName;
use openline_core::event::RouteParams;
use openline_core::kind::ConnectionKind;
use openline_core::limits::FunctionLimits;
use openline_core::name::{AliasName, ChannelName, ConnectionId, Tag};
use openline_core::tls::TlsFacts;

use self::flags::{Flag, Flags};
use crate::attached::Attached;
use crate::budget::{FunctionBudget, tags_cost};
use crate::outbox::Outbox;
use crate::sync::{AtomicU64, AtomicWaker, Mutex, Ordering};

pub use self::compressed::{Compressed, Sizes};
pub use self::flags::Seen;
pub use self::owner::SocketOwner;
pub use self::send::{PingTooBig, Writable};
pub use crate::attached::AttachError;
pub use crate::outbox::{Gone, Item, Next};

/// The facts that the handshake decided; they never change.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its peer, as the function has seen it.
    pub peer: Box<str>,
    /// What its TLS handshake with this host has shown.
    pub tls: Option<Arc<TlsFacts>>,
    /// The subprotocol the function chose.
    pub subprotocol: Option<String>,
    /// The parameters of the route.
    pub route_params: RouteParams,
    /// The alias that it came through.
    pub alias: AliasName,
    /// The host's automatic responses, unless the function says otherwise.
    pub auto_responses: Arc<[AutoResponse]>,
    /// What was agreed on compression; `None` if nothing was.
    pub compressed: Option<Arc<Compressed>>,
    /// How its peer is reached.
    pub kind: ConnectionKind,
    /// What it speaks instead of raw messages.
    pub dialect: Option<DialectName>,
    /// Who its peer is, if that is known.
    pub user: Option<ByteString>,
    /// When it was made, in milliseconds since 1970; 0 where nobody asks.
    pub opened_ms: u64,
}

/// A channel as its subscribers know it.
pub trait SubscribedChannel: std::fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &ChannelName;

    /// The address of the set that it is in: an identity, which is only compared.
    fn set(&self) -> usize;

    /// Forgets a subscriber.
    fn leave(&self, connection: ConnectionId);
}

/// One connection, as functions and the host have it. Shared by reference; it
/// ends when its socket's owner says so, not when the last reference goes.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    facts: Facts,
    limits: Arc<FunctionLimits>,
    budget: Arc<FunctionBudget>,
    outbox: Mutex<Outbox>,
    /// Wakes the owner of the socket.
    waker: AtomicWaker,
    flags: Flags,
    /// Nanoseconds and one; 0 when none was measured.
    round_trip: AtomicU64,
    auto_responded: AtomicU64,
    /// Its version, and the instance that was given its last event.
    server: (AtomicU64, AtomicU64),
    attached: Mutex<Attached>,
    pub(crate) membership: Mutex<Membership>,
}

/// A subscription of a connection.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) channel: Arc<dyn SubscribedChannel>,
    /// Its peer has asked for it, and has it as long as it may.
    pub(crate) is_asked: bool,
}

impl Subscription {
    pub(crate) fn name(&self) -> &ChannelName {
        self.channel.name()
    }
}

/// The hub's record of a connection.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// Whether it has left: then nothing more may be added.
    pub(crate) left: bool,
    pub(crate) channels: Vec<Subscription>,
    /// Kept when it has left, too: the function may want them at the end.
    pub(crate) tags: Box<[Tag]>,
}

impl Connection {
    fn new(facts: Facts, limits: Arc<FunctionLimits>, budget: Arc<FunctionBudget>) -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        let flags = Flags::new();
        flags.set(Flag::Answers, !facts.auto_responses.is_empty());
        let outbox = match facts.dialect {
            // Its peer sees by the ids of events what it has.
            Some(DialectName::HeldEvents) => Outbox::framed(),
            Some(_) => Outbox::whole(),
            None => Outbox::default(),
        };
        Self {
            id: ConnectionId::from_random(u128::from_ne_bytes(bits)),
            facts,
            limits,
            budget,
            outbox: Mutex::new(outbox),
            waker: AtomicWaker::new(),
            flags,
            round_trip: AtomicU64::new(0),
            auto_responded: AtomicU64::new(0),
            server: Default::default(),
            attached: Mutex::default(),
            membership: Mutex::default(),
        }
    }

    /// Its identity.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The facts that the handshake decided.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its limits.
    pub fn limits(&self) -> &FunctionLimits {
        &self.limits
    }

    /// The words it is found by.
    pub fn tags(&self) -> Vec<Tag> {
        self.membership.lock().tags.to_vec()
    }

    /// The channels that it is subscribed to.
    pub fn channels(&self) -> Vec<ChannelName> {
        let membership = self.membership.lock();
        let channels = membership.channels.iter();
        channels.map(|channel| channel.name().clone()).collect()
    }

    /// Those of them for which its peer has asked.
    pub fn asked_channels(&self) -> Vec<ChannelName> {
        let membership = self.membership.lock();
        let asked = membership.channels.iter().filter(|it| it.is_asked);
        asked.map(|channel| channel.name().clone()).collect()
    }

    /// Whether reading is stopped.
    pub fn is_paused(&self) -> bool {
        self.flags.has(Flag::Paused)
    }

    /// Whether it is quiet, and the owner of the socket keeps nothing for it:
    /// for people and tests.
    pub fn is_asleep(&self) -> bool {
        self.flags.has(Flag::Asleep)
    }

    /// The time between the last ping that was answered and its pong.
    pub fn round_trip(&self) -> Option<Duration> {
        let nanoseconds = self.round_trip.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_nanos(nanoseconds))
    }

    /// How many messages the host has answered by itself.
    pub fn auto_responded(&self) -> u64 {
        self.auto_responded.load(Ordering::Relaxed)
    }

    /// Notes its version's stamp, and the number of the instance that is given
    /// its events.
    pub fn note_server(&self, version: u64, instance: u64) {
        self.server.0.store(version, Ordering::Relaxed);
        self.server.1.store(instance, Ordering::Relaxed);
    }

    /// Its version's stamp as of its last event, and the number of the instance
    /// that was given that. Not of one moment.
    pub fn server(&self) -> (u64, u64) {
        let (version, instance) = &self.server;
        (
            version.load(Ordering::Relaxed),
            instance.load(Ordering::Relaxed),
        )
    }

    /// Charges the host's budget for attached data: `after`, not `before`.
    pub(crate) fn charge(&self, before: usize, after: usize) -> Result<(), AttachError> {
        Ok(self.budget.attached.change(before, after)?)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Its shares of the host's budgets, where it was not finished.
        self.outbox.get_mut().finish(&self.budget.outboxes);
        let attached = &self.budget.attached;
        self.attached.get_mut().clear(attached);
        attached.give_back(tags_cost(&self.membership.get_mut().tags));
    }
}

#[cfg(test)]
mod tests;
