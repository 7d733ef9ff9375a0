//! How to subscribe, and why a connection was not subscribed.

use openline_broker::channel::Backlog;
use openline_broker::filter::Filter;
use openline_broker::position::Position;
use openline_broker::publication::Data;
use openline_core::message::Message;

/// Why a connection was not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// It has as many channels as it may have.
    TooMany,
    /// The channel has as many subscribers or members as it may have.
    Crowded,
    /// What the host's channels remember is as much as they may.
    HostFull,
    /// What it missed cannot be had, and it wants all or nothing.
    Unrecoverable,
    /// It is subscribed already.
    Repeated,
    /// It has left.
    Gone,
}

/// How to subscribe.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "it has a closure")]
pub struct Subscribing<'a> {
    /// Where the subscriber was before.
    pub since: Option<Position>,
    /// The same where it was in several channels: the position of this one is among
    /// these, if it has one. They do not count beside `since`.
    pub since_any: &'a [Position],
    /// How many of the last publications it wants if it cannot recover.
    pub otherwise: usize,
    /// Whether it would rather not be subscribed than miss publications after
    /// `since`.
    pub all_or_nothing: bool,
    /// The most bytes of data that a recovery may have, if less than the limits of
    /// the connection allow.
    pub backlog_bytes: Option<usize>,
    /// Which publications it wants.
    pub filter: Option<Filter>,
    /// Whether it is told of others that come and go.
    pub join_leave: bool,
    /// What others see of it.
    pub info: Option<Data>,
    /// Whether a second subscription is an error; otherwise it does nothing.
    pub is_once: bool,
    /// Whether its peer has asked for it, which has it as long as it may.
    pub is_asked: bool,
    /// Whether it only looks: it is no member of a channel with presence, and the
    /// others are not told of it.
    pub is_unseen: bool,
    /// Makes the messages that it gets before anything new, which are frames if it
    /// has a dialect. By default, each publication of the backlog, behind the news
    /// of the subscription in a dialect.
    pub answer: Option<Answer<'a>>,
}

/// Makes the messages that a subscriber gets first, of the channel's position and
/// what it missed.
pub type Answer<'a> = &'a mut dyn FnMut(&Backlog) -> Vec<Message>;
