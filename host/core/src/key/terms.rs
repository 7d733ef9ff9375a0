//! The rules of one key: what it is for, on which channels of which functions,
//! and until when.

use serde::{Deserialize, Serialize};

use super::scope::{Scope, Scopes};
use crate::authentication::UnixTime;
use crate::channel::ChannelPattern;
use crate::name::{ChannelName, FunctionName, KeyName};
use crate::table_error::{TableError, error};

/// Patterns of one key: a channel's name is compared with each of them.
pub const KEY_CHANNELS_MAX: usize = 64;
/// Functions that one key names.
pub const KEY_FUNCTIONS_MAX: usize = 64;

/// What holds for a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyTerms {
    /// Its name, unique in the host. People see it; the text of the key is
    /// something else.
    pub name: KeyName,
    /// What it is for.
    pub scopes: Scopes,
    /// The channels: 1 to [`KEY_CHANNELS_MAX`] patterns, of which one has to
    /// match. By default `*`, which is all.
    pub channels: Vec<ChannelPattern>,
    /// The functions: 1 to [`KEY_FUNCTIONS_MAX`]; `None`, the default, means
    /// all. Channels that functions share belong to none of them, so only the
    /// patterns decide about these.
    pub functions: Option<Vec<FunctionName>>,
    /// From this moment on it is not good any more.
    pub expires: Option<UnixTime>,
}

impl KeyTerms {
    /// The patterns of a key that names none.
    pub fn all_channels() -> Vec<ChannelPattern> {
        let all = ChannelPattern::new("*").expect("`*` is a pattern");
        vec![all]
    }

    /// Checks the lengths of its lists.
    ///
    /// # Errors
    ///
    /// When a list is empty or too long.
    pub fn check(&self) -> Result<(), TableError> {
        const CHANNELS: &str = "give at least one pattern, or leave `channels` out for all";
        const FUNCTIONS: &str = "name at least one, or leave `functions` out for all";
        match self.channels.len() {
            0 => return error("channels", "`channels` is empty", CHANNELS),
            1..=KEY_CHANNELS_MAX => {}
            _ => {
                let what = format!("a key has at most {KEY_CHANNELS_MAX} patterns");
                let hint = "`*` at the end of a pattern stands for many names";
                return error("channels", what, hint);
            }
        }
        match self.functions.as_ref().map(Vec::len) {
            Some(0) => error("functions", "`functions` is empty", FUNCTIONS),
            None | Some(1..=KEY_FUNCTIONS_MAX) => Ok(()),
            Some(_) => {
                let what = format!("a key names at most {KEY_FUNCTIONS_MAX} functions");
                let hint =
                    "leave `functions` out for all, or make one key for some and one for others";
                error("functions", what, hint)
            }
        }
    }

    /// Whether it gives this scope on a function's own channel.
    pub fn allow(&self, scope: Scope, channel: &ChannelName, function: &FunctionName) -> bool {
        self.allow_any(scope, function) && self.matches(channel)
    }

    /// Whether it gives this scope on a channel that functions share.
    pub fn allow_shared(&self, scope: Scope, channel: &ChannelName) -> bool {
        self.scopes.has(scope) && self.matches(channel)
    }

    /// Whether it gives this scope for a function at all; which of its channels,
    /// the patterns say.
    pub fn allow_any(&self, scope: Scope, function: &FunctionName) -> bool {
        let functions = self.functions.as_ref();
        self.scopes.has(scope) && functions.is_none_or(|named| named.contains(function))
    }

    /// Whether it is over.
    pub fn has_expired(&self, now: UnixTime) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    fn matches(&self, channel: &ChannelName) -> bool {
        self.channels.iter().any(|pattern| pattern.matches(channel))
    }
}

#[cfg(test)]
mod tests {
    use openline_hint::Hint;

    use super::*;

    fn terms(channels: &[&str], functions: Option<&[&str]>) -> KeyTerms {
        let pattern = |text: &&str| ChannelPattern::new(text).unwrap();
        let function = |name: &&str| FunctionName::new(name).unwrap();
        KeyTerms {
            name: KeyName::new("k").unwrap(),
            scopes: Scopes::new([Scope::Subscribe, Scope::Publish]).unwrap(),
            channels: channels.iter().map(pattern).collect(),
            functions: functions.map(|all| all.iter().map(function).collect()),
            expires: None,
        }
    }

    #[test]
    fn scope_function_and_channel_have_to_fit() {
        let name = |text: &str| ChannelName::new(text).unwrap();
        let (chat, game) = (
            FunctionName::new("chat").unwrap(),
            FunctionName::new("game").unwrap(),
        );
        let key = terms(&["room:*", "lobby"], Some(&["chat"]));
        assert!(key.allow(Scope::Publish, &name("room:1"), &chat));
        assert!(key.allow(Scope::Subscribe, &name("lobby"), &chat));
        assert!(!key.allow(Scope::Read, &name("room:1"), &chat));
        assert!(!key.allow(Scope::Manage, &name("room:1"), &chat));
        assert!(!key.allow(Scope::Publish, &name("lobby:1"), &chat));
        assert!(!key.allow(Scope::Publish, &name("room:1"), &game));
        assert!(key.allow_any(Scope::Publish, &chat) && !key.allow_any(Scope::Read, &chat));
        assert!(!key.allow_any(Scope::Publish, &game));
        // What functions share belongs to none of them.
        assert!(key.allow_shared(Scope::Publish, &name("room:1")));
        assert!(!key.allow_shared(Scope::Publish, &name("other")));
        assert!(!key.allow_shared(Scope::Read, &name("room:1")));
        let all = KeyTerms {
            channels: KeyTerms::all_channels(),
            ..terms(&[], None)
        };
        assert!(all.allow(Scope::Publish, &name("any thing"), &game));
    }

    #[test]
    fn it_ends_at_its_moment() {
        let mut key = terms(&["*"], None);
        assert!(!key.has_expired(UnixTime(u64::MAX)));
        key.expires = Some(UnixTime(10));
        assert!(!key.has_expired(UnixTime(9)) && key.has_expired(UnixTime(10)));
    }

    #[test]
    fn lists_at_their_bounds_and_past_them() {
        let many = |count: usize| vec!["a"; count];
        let check = |channels: usize, functions: usize| {
            terms(&many(channels), Some(&many(functions))).check()
        };
        assert_eq!(check(KEY_CHANNELS_MAX, KEY_FUNCTIONS_MAX), Ok(()));
        assert_eq!(check(1, 1), Ok(()));
        for (channels, functions, key) in [
            (0, 1, "channels"),
            (KEY_CHANNELS_MAX + 1, 1, "channels"),
            (1, 0, "functions"),
            (1, KEY_FUNCTIONS_MAX + 1, "functions"),
        ] {
            let error = check(channels, functions).unwrap_err();
            assert_eq!(error.key, key, "{error}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_more() {
        let mut key = terms(&["room:{id}", "*"], Some(&["chat"]));
        key.expires = Some(UnixTime(1_795_809_600));
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(
            text,
            r#"{"name":"k","scopes":["subscribe","publish"],"channels":["room:{id}","*"],"functions":["chat"],"expires":"2026-11-27T20:00:00Z"}"#
        );
        assert_eq!(serde_json::from_str::<KeyTerms>(&text).unwrap(), key);
        // A later release may narrow keys in words that this one does not know:
        // here they would be wider.
        let more = text.replacen('{', "{\"networks\":[],", 1);
        assert!(serde_json::from_str::<KeyTerms>(&more).is_err());
    }
}
