//! Which callers may subscribe to a channel, or publish on it.
//!
//! Four callers ask: the operator (commands, and keys that may manage), the
//! function, a peer on a connection, and a key from outside. The operator always
//! may.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::pattern::ChannelPattern;
use crate::name::ChannelName;

/// The longest name of a claim or of a segment, in bytes: a word.
const NAME_BYTES_MAX: usize = 64;

/// The callers that have a [`Right`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The operator alone.
    Nobody,
    /// The function, for its connections: the default, because a peer that may
    /// choose its channels could read what is meant for others.
    #[default]
    Function,
    /// The function, and every peer.
    Peers,
    /// The function, and peers that have a claim of this name: the text of a
    /// pattern that matches the channel, or a list of such texts.
    Claim(String),
    /// The function, and peers whose claim of this name is the channel's segment
    /// of the same name: `own:sub` with `inbox:{sub}`.
    Own(String),
    /// The function, and callers with a key whose patterns match.
    Key,
}

/// What a caller may be allowed to do on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To subscribe, and to read history and presence.
    Subscribe,
    /// To publish.
    Publish,
}

/// What a peer or a key can show.
pub trait PeerRights {
    /// Whether `is_it` holds for a claim: for its text, or for a text of its
    /// list. A claim that is absent, or of another type, has no texts.
    fn claims(&self, claim: &str, is_it: &mut dyn FnMut(&str) -> bool) -> bool;

    /// Whether the caller has a key that gives this right on the channel.
    fn key_allows(&self, channel: &ChannelName, right: Right) -> bool;
}

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// An unknown word.
    #[error(
        "`{0}` is not one of `nobody`, `function`, `peers`, `claim:NAME`, `own:NAME` and `key`"
    )]
    Word(String),
    /// The name behind the colon.
    #[error("the name in `{0}` does not have 1 to {NAME_BYTES_MAX} visible ASCII characters")]
    Name(String),
}

impl Access {
    /// Reads an access as a configuration writes it: `nobody`, `function`,
    /// `peers`, `claim:NAME`, `own:NAME` or `key`.
    ///
    /// # Errors
    ///
    /// See [`AccessError`].
    pub fn new(text: &str) -> Result<Self, AccessError> {
        let shown = || text.chars().take(80).collect();
        let (word, name) = match text.split_once(':') {
            Some((word, name)) => (word, Some(name)),
            None => (text, None),
        };
        let valid = |name: &str| {
            (1..=NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|it| it.is_ascii_graphic())
        };
        match (word, name) {
            ("nobody", None) => Ok(Self::Nobody),
            ("function", None) => Ok(Self::Function),
            ("peers", None) => Ok(Self::Peers),
            ("key", None) => Ok(Self::Key),
            ("claim" | "own", Some(name)) if !valid(name) => Err(AccessError::Name(shown())),
            ("claim", Some(name)) => Ok(Self::Claim(name.into())),
            ("own", Some(name)) => Ok(Self::Own(name.into())),
            _ => Err(AccessError::Word(shown())),
        }
    }

    /// Whether the function may.
    pub fn allows_function(&self) -> bool {
        *self != Self::Nobody
    }

    /// Whether a peer may. `pattern` is the one by which the channel got its
    /// terms.
    pub fn allows_peer(
        &self,
        right: Right,
        channel: &ChannelName,
        pattern: Option<&ChannelPattern>,
        peer: &dyn PeerRights,
    ) -> bool {
        match self {
            Self::Nobody | Self::Function => false,
            Self::Peers => true,
            Self::Claim(claim) => peer.claims(claim, &mut |text| {
                ChannelPattern::new(text).is_ok_and(|pattern| pattern.matches(channel))
            }),
            Self::Own(name) => {
                let segment = pattern.and_then(|pattern| pattern.captured(channel, name));
                segment.is_some_and(|segment| peer.claims(name, &mut |text| text == segment))
            }
            Self::Key => peer.key_allows(channel, right),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::Function => f.write_str("function"),
            Self::Peers => f.write_str("peers"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Own(name) => write!(f, "own:{name}"),
            Self::Key => f.write_str("key"),
        }
    }
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer with one claim, and a key for one channel.
    struct Peer(&'static str, &'static [&'static str], &'static str);

    impl PeerRights for Peer {
        fn claims(&self, claim: &str, is_it: &mut dyn FnMut(&str) -> bool) -> bool {
            claim == self.0 && self.1.iter().any(|text| is_it(text))
        }

        fn key_allows(&self, channel: &ChannelName, right: Right) -> bool {
            channel.as_str() == self.2 && right == Right::Subscribe
        }
    }

    #[test]
    fn it_reads_what_it_shows() {
        for text in ["nobody", "function", "peers", "claim:a.b", "own:sub", "key"] {
            assert_eq!(Access::new(text).unwrap().to_string(), text);
        }
        for bad in ["", "all", "peers:", "claim", "own", "key:a"] {
            assert_eq!(
                Access::new(bad),
                Err(AccessError::Word(bad.into())),
                "{bad}"
            );
        }
        let long = format!("claim:{}", "a".repeat(NAME_BYTES_MAX));
        assert!(Access::new(&long).is_ok());
        for bad in ["claim:", "own:a b", &format!("{long}a")] {
            assert!(
                matches!(Access::new(bad), Err(AccessError::Name(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn each_lets_in_those_it_names() {
        let pattern = ChannelPattern::new("inbox:{sub}").unwrap();
        let may = |access: &str, channel: &str, peer: &Peer| {
            let channel = ChannelName::new(channel).unwrap();
            let access = Access::new(access).unwrap();
            access.allows_peer(Right::Subscribe, &channel, Some(&pattern), peer)
        };
        let ann = Peer("sub", &["ann"], "inbox:key");
        assert!(may("peers", "inbox:bob", &ann));
        assert!(!may("function", "inbox:ann", &ann) && !may("nobody", "inbox:ann", &ann));
        assert!(may("own:sub", "inbox:ann", &ann) && !may("own:sub", "inbox:bob", &ann));
        assert!(!may("own:other", "inbox:ann", &ann));
        assert!(may("key", "inbox:key", &ann) && !may("key", "inbox:ann", &ann));
        let many = Peer("channels", &["a", "inbox:*", "bad{"], "");
        assert!(may("claim:channels", "inbox:bob", &many));
        assert!(!may("claim:channels", "outbox:bob", &many));
        assert!(!may("claim:other", "inbox:bob", &many));
        assert!(Access::Function.allows_function() && !Access::Nobody.allows_function());
        let key = ChannelName::new("inbox:key").unwrap();
        assert!(!Access::Key.allows_peer(Right::Publish, &key, None, &ann));
    }
}
