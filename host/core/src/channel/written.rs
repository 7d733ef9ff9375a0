//! The tables `[[channel]]`, for channels that functions share, and
//! `[[function.channel]]`, for a function's own.
//!
//! serde reads a table; the checks of [`ChannelTable`] then find what no single
//! key shows. Both kinds of table have the same keys, except `functions`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::access::Access;
use super::pattern::ChannelPattern;
use super::terms::{
    ChannelTerms, HISTORY_BYTES_MAX, HISTORY_COUNT_MAX, HistoryTerms, JoinLeave, KEYS_MAX,
    KeyedTerms, MEMORY_TIME_MAX,
};
use crate::name::FunctionName;
use crate::table_error::{TableError, error};
use crate::units::{ByteSize, Period};

/// Tables in one list: a channel's name is compared with each of them once.
pub const CHANNEL_PATTERNS_MAX: usize = 256;

const SECOND: Duration = Duration::from_secs(1);

/// A `[[channel]]` or a `[[function.channel]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelWritten {
    /// Which names.
    pub pattern: ChannelPattern,
    /// The functions that share the channels; all, if it is absent. Only in a
    /// `[[channel]]`.
    pub functions: Option<Vec<FunctionName>>,
    /// `history = { count = 100, time = "5 min", bytes = "1 MiB" }`; `{}` has
    /// the defaults.
    pub history: Option<HistoryWritten>,
    /// How long the position outlives the publications.
    pub position_time: Option<Period>,
    /// Whether a peer gets what it missed.
    pub recovery: Option<bool>,
    /// Whether the channel is a current value.
    pub latest: Option<bool>,
    /// `keyed = { keys = 1000, bytes = "1 MiB", time = "1 h" }`; `{}` has the
    /// defaults.
    pub keyed: Option<KeyedWritten>,
    /// Whether the channel knows its subscribers.
    pub presence: Option<bool>,
    /// `"none"`, `"connections"` or `"users"`.
    pub join_leave: Option<JoinLeave>,
    /// Whether it survives the process.
    pub durable: Option<bool>,
    /// The callers that may subscribe: see [`Access::new`].
    pub subscribe: Option<Access>,
    /// The callers that may publish, in the same words.
    pub publish: Option<Access>,
    /// Whether peers may filter by tags.
    pub filters: Option<bool>,
}

/// The keys of `history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryWritten {
    /// 1 to [`HISTORY_COUNT_MAX`].
    pub count: Option<u32>,
    /// 1 s to 365 d; `"0"` keeps publications for any time.
    pub time: Option<Period>,
    /// 1 KiB to 1 GiB.
    pub bytes: Option<ByteSize>,
}

/// The keys of `keyed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyedWritten {
    /// 1 to [`KEYS_MAX`].
    pub keys: Option<u32>,
    /// 1 KiB to 1 GiB.
    pub bytes: Option<ByteSize>,
    /// 1 s to 365 d; `"0"`, the default, keeps values for any time.
    pub time: Option<Period>,
}

/// A checked table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTable {
    /// Which names.
    pub pattern: ChannelPattern,
    /// What holds for them.
    pub terms: ChannelTerms,
    /// The functions that share them, of a `[[channel]]`; `None` means all.
    pub functions: Option<Vec<FunctionName>>,
}

fn within<T: PartialOrd + Copy>(
    key: &'static str,
    value: T,
    range: &RangeInclusive<T>,
    hint: &'static str,
) -> Result<T, TableError> {
    if range.contains(&value) {
        return Ok(value);
    }
    error(key, format!("`{key}` is out of its range"), hint)
}

/// A time, or none if it is zero.
fn age(key: &'static str, written: Period) -> Result<Option<Duration>, TableError> {
    if written.0.is_zero() {
        return Ok(None);
    }
    let hint = "1 s to 365 d, or \"0\" for any time";
    within(key, written.0, &(SECOND..=MEMORY_TIME_MAX), hint).map(Some)
}

fn bytes(key: &'static str, written: ByteSize) -> Result<usize, TableError> {
    let bytes = usize::try_from(written.0).unwrap_or(usize::MAX);
    within(key, bytes, &(1 << 10..=HISTORY_BYTES_MAX), "1 KiB to 1 GiB")
}

impl ChannelTable {
    /// Checks a list of `[[channel]]`. The error is that of the first bad table,
    /// which has this index.
    ///
    /// # Errors
    ///
    /// When a table has a value out of its range, keys that do not fit each
    /// other, or the pattern of another one; and when there are too many.
    pub fn check_shared(written: Vec<ChannelWritten>) -> Result<Vec<Self>, (usize, TableError)> {
        check_all(written, |written| {
            if written.functions.as_ref().is_some_and(Vec::is_empty) {
                let hint = "name the functions that share the channels, or leave it out for all";
                return error("functions", "`functions` is empty", hint);
            }
            Self::check(written)
        })
    }

    /// The same for the `[[function.channel]]` of one function.
    ///
    /// # Errors
    ///
    /// As above, and when a table has `functions`.
    pub fn check_own(written: Vec<ChannelWritten>) -> Result<Vec<Self>, (usize, TableError)> {
        check_all(written, |written| {
            if written.functions.is_some() {
                let hint = "move the table to `[[channel]]`, or remove `functions`";
                let what = "the channels of a `[[function.channel]]` belong to one function";
                return error("functions", what, hint);
            }
            Self::check(written)
        })
    }

    /// Checks what holds for tables of both kinds.
    fn check(written: ChannelWritten) -> Result<Self, TableError> {
        let usual = ChannelTerms::default();
        let history = written.history.map(HistoryWritten::check).transpose()?;
        let keyed = written.keyed.map(KeyedWritten::check).transpose()?;
        let latest = written.latest.unwrap_or_default();
        let mut terms = ChannelTerms {
            history,
            keyed,
            latest,
            presence: written.presence.unwrap_or_default(),
            join_leave: written.join_leave.unwrap_or_default(),
            durable: written.durable.unwrap_or_default(),
            subscribe: written.subscribe.unwrap_or_default(),
            publish: written.publish.unwrap_or_default(),
            filters: written.filters.unwrap_or_default(),
            ..usual
        };
        terms.recovery = written.recovery.unwrap_or(terms.has_positions());
        let kept = history
            .and_then(|it| it.time)
            .max(keyed.and_then(|it| it.time));
        if let Some(Period(time)) = written.position_time {
            let hint = "1 s to 365 d, and not less than `history.time`";
            let range = SECOND.max(kept.unwrap_or_default())..=MEMORY_TIME_MAX;
            terms.position_time = within("position_time", time, &range, hint)?;
        } else if let Some(kept) = kept {
            terms.position_time = terms.position_time.max(kept);
        }
        fit(&terms, &written.pattern)?;
        Ok(Self {
            pattern: written.pattern,
            terms,
            functions: written.functions,
        })
    }
}

fn check_all<W>(
    written: Vec<W>,
    check: impl Fn(W) -> Result<ChannelTable, TableError>,
) -> Result<Vec<ChannelTable>, (usize, TableError)> {
    let mut tables: Vec<ChannelTable> = Vec::new();
    for (at, written) in written.into_iter().enumerate() {
        let checked = if at == CHANNEL_PATTERNS_MAX {
            let what = format!("a list has at most {CHANNEL_PATTERNS_MAX} tables of channels");
            error(
                "pattern",
                what,
                "`*` at the end of a pattern stands for many names",
            )
        } else {
            check(written)
        };
        let table = checked.map_err(|error| (at, error))?;
        if let Some(other) = tables
            .iter()
            .find(|other| other.pattern.is_alike(&table.pattern))
        {
            let what = format!(
                "`{}` and `{}` match the same names",
                other.pattern, table.pattern
            );
            let hint = "put the keys of both into one table";
            return error("pattern", what, hint).map_err(|error| (at, error));
        }
        tables.push(table);
    }
    Ok(tables)
}

/// The rules between keys.
fn fit(terms: &ChannelTerms, pattern: &ChannelPattern) -> Result<(), TableError> {
    if terms.latest && terms.keyed.is_some() {
        let hint = "a channel is one current value (`latest`) or many (`keyed`)";
        return error("latest", "`latest` and `keyed` exclude each other", hint);
    }
    let hint = "set `history`, `latest` or `keyed`, or remove it";
    if terms.recovery && !terms.has_positions() {
        return error("recovery", "there is nothing to recover from", hint);
    }
    if terms.durable && !terms.has_positions() {
        return error(
            "durable",
            "the channel remembers nothing that could be kept",
            hint,
        );
    }
    if terms.join_leave != JoinLeave::None && !terms.presence {
        let hint = "set `presence = true`: a channel that does not know its subscribers cannot tell the last one";
        return error("join_leave", "`join_leave` needs `presence`", hint);
    }
    for (key, access) in [("subscribe", &terms.subscribe), ("publish", &terms.publish)] {
        if let Access::Own(name) = access
            && !pattern.has_segment(name)
        {
            let what = format!("the pattern has no segment `{{{name}}}`");
            let hint = "`own:sub` compares the claim `sub` with the segment of a pattern like \"inbox:{sub}\"";
            return error(key, what, hint);
        }
    }
    Ok(())
}

impl HistoryWritten {
    fn check(self) -> Result<HistoryTerms, TableError> {
        let usual = HistoryTerms::default();
        let count = self.count.unwrap_or(usual.count);
        let (key, hint) = (
            "history.count",
            "1 to 100000; leave `history` out to keep nothing",
        );
        Ok(HistoryTerms {
            count: within(key, count, &(1..=HISTORY_COUNT_MAX), hint)?,
            time: self
                .time
                .map_or(Ok(usual.time), |time| age("history.time", time))?,
            bytes: self
                .bytes
                .map_or(Ok(usual.bytes), |it| bytes("history.bytes", it))?,
        })
    }
}

impl KeyedWritten {
    fn check(self) -> Result<KeyedTerms, TableError> {
        let usual = KeyedTerms::default();
        let keys = self.keys.unwrap_or(usual.keys);
        Ok(KeyedTerms {
            keys: within("keyed.keys", keys, &(1..=KEYS_MAX), "1 to 100000")?,
            time: self
                .time
                .map_or(Ok(usual.time), |time| age("keyed.time", time))?,
            bytes: self
                .bytes
                .map_or(Ok(usual.bytes), |it| bytes("keyed.bytes", it))?,
        })
    }
}

#[cfg(test)]
#[path = "written_tests.rs"]
mod tests;
