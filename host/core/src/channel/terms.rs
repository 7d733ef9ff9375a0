//! What holds for a channel: what it remembers, and which callers may use it.

use std::time::Duration;

use serde::Deserialize;

use super::access::Access;

/// Publications that the history of one channel keeps at most.
pub const HISTORY_COUNT_MAX: u32 = 100_000;
/// Bytes that the history or the values of one channel keep at most.
pub const HISTORY_BYTES_MAX: usize = 1 << 30;
/// Values that one channel keeps at most, one a key.
pub const KEYS_MAX: u32 = 100_000;
/// The longest that anything is kept because of its age.
pub const MEMORY_TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The terms of a channel. Shared by all channels of one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTerms {
    /// Publications that are kept; none by default, because each one costs its
    /// bytes.
    pub history: Option<HistoryTerms>,
    /// How long the position of a channel outlives its publications: a day by
    /// default, a laptop that is closed overnight. A peer that comes back later
    /// is told that it has missed something, although it may not have.
    pub position_time: Duration,
    /// Whether a peer that comes back gets what it missed. By default, wherever
    /// there is something to get.
    pub recovery: bool,
    /// Whether the channel is a current value: a new subscriber gets the last
    /// publication.
    pub latest: bool,
    /// Whether the channel is many current values, one a key.
    pub keyed: Option<KeyedTerms>,
    /// Whether the channel knows its subscribers; not by default, because each
    /// one costs some hundred bytes.
    pub presence: bool,
    /// Which comings and goings subscribers are told of; none by default,
    /// because n subscribers are told of n.
    pub join_leave: JoinLeave,
    /// Whether what it remembers survives the process; not by default, because
    /// each publication then waits for the disk.
    pub durable: bool,
    /// The callers that may subscribe.
    pub subscribe: Access,
    /// The callers that may publish.
    pub publish: Access,
    /// Whether peers may filter by tags; not by default, because each
    /// publication is then compared for each of them.
    pub filters: bool,
}

/// How much is kept. The bound that is reached first removes the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryTerms {
    /// Publications: 100 by default, one screen of a chat.
    pub count: u32,
    /// Age; `None` keeps them for any time. Five minutes by default: longer than
    /// a restart, a tunnel or a change of network.
    pub time: Option<Duration>,
    /// Bytes, with what the host adds to each: 1 MiB by default, a hundred of
    /// 10 KiB.
    pub bytes: usize,
}

/// How many values are kept. A value that does not fit is refused: which of the
/// others to drop, only the publisher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedTerms {
    /// Keys: 1,000 by default, the cursors of a large document.
    pub keys: u32,
    /// Bytes: 1 MiB by default, a thousand values of 1 KiB. A new subscriber
    /// gets all of them at once.
    pub bytes: usize,
    /// Age, after which a value is removed; `None`, the default, keeps values
    /// until they are removed.
    pub time: Option<Duration>,
}

/// Which comings and goings subscribers are told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JoinLeave {
    /// None.
    #[default]
    None,
    /// Each connection's.
    Connections,
    /// The first and the last connection's of each user.
    Users,
}

impl ChannelTerms {
    /// Whether publications have positions: where something is kept.
    pub fn has_positions(&self) -> bool {
        self.history.is_some() || self.latest || self.keyed.is_some()
    }
}

impl Default for ChannelTerms {
    fn default() -> Self {
        Self {
            history: None,
            position_time: Duration::from_secs(24 * 60 * 60),
            recovery: false,
            latest: false,
            keyed: None,
            presence: false,
            join_leave: JoinLeave::None,
            durable: false,
            subscribe: Access::Function,
            publish: Access::Function,
            filters: false,
        }
    }
}

impl Default for HistoryTerms {
    fn default() -> Self {
        Self {
            count: 100,
            time: Some(Duration::from_secs(5 * 60)),
            bytes: 1 << 20,
        }
    }
}

impl Default for KeyedTerms {
    fn default() -> Self {
        Self {
            keys: 1_000,
            bytes: 1 << 20,
            time: None,
        }
    }
}
