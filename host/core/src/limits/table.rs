//! A row of limits, and the macro that turns a table of rows into the struct
//! with its defaults, its shape in a configuration file, and the check of a
//! written value against the row's range and the host's maximum.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::units::{ByteSize, Period};

/// One limit, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key in the configuration, and its word in logs, metrics and answers.
    pub name: &'static str,
    /// The unit that it counts in.
    pub unit: Unit,
    /// In bytes, milliseconds or pieces.
    pub default: u64,
    /// The smallest value.
    pub least: u64,
    /// The largest value.
    pub most: u64,
    /// Whether 0 means that there is no such limit.
    pub zero_is_none: bool,
    /// When a changed value takes effect in a running host.
    pub effect: Effect,
    /// What happens past it.
    pub overflow: &'static str,
    /// Its purpose, and the reason for its default.
    pub about: &'static str,
}

/// When a key that has changed takes effect, once the configuration is read
/// again. `docs/reference/configuration.md` explains each; a test walks all of
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// For everything from then on, also on open connections.
    AtOnce,
    /// For new connections; open ones keep the old value.
    NewConnections,
    /// With the next event of each connection, which goes to another instance.
    /// Connections that stay with their version, because their alias pins or
    /// drains, keep the old value.
    NextEvent,
    /// When the process starts again; until then the old value is in force.
    NextStart,
    /// A bound of another key: when a change of that key does.
    AsBounded,
}

/// How much of a string an error repeats, where the file has it instead of a
/// number.
const WRITTEN_CHARACTERS_MAX: usize = 40;

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, written as `"6 MiB"`.
    Bytes,
    /// Time, written as `"10 s"`; kept in milliseconds.
    Time,
    /// Pieces, written as a number.
    Count,
}

/// Takes an error of a configuration: place, message, hint.
pub(crate) type Report<'a> = &'a mut dyn FnMut(Range<usize>, String, String);

/// How a limit is written and kept.
pub(crate) trait Kind {
    type Value;
    type Written: for<'de> Deserialize<'de>;
    const UNIT: Unit;
    /// The number; or the text that was written, if it is not a number.
    fn number(written: &Self::Written) -> Result<u64, &str>;
    fn value(number: u64) -> Self::Value;
    /// The number of a value, in the row's unit.
    fn of(value: &Self::Value) -> u64;
}

/// Bytes, kept as `usize`.
#[derive(Debug)]
pub(crate) struct Bytes;
/// Pieces, kept as `u32`.
#[derive(Debug)]
pub(crate) struct Count;
/// Many pieces, kept as `u64`.
#[derive(Debug)]
pub(crate) struct LargeCount;
/// Time, kept as a `Duration`.
#[derive(Debug)]
pub(crate) struct Time;

/// A count as it is written; or the text of another TOML value, so that the
/// error can say what the row allows.
#[derive(Debug)]
pub(crate) struct Number(Result<u64, String>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        let number = value.as_integer().and_then(|it| u64::try_from(it).ok());
        Ok(Self(number.ok_or_else(|| written(&value))))
    }
}

/// The written value, on one short line.
fn written(value: &toml::Value) -> String {
    let kind = value.type_str();
    match value {
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::String(text) if text.chars().count() <= WRITTEN_CHARACTERS_MAX => {
            format!("\"{}\"", text.escape_debug())
        }
        _ => format!("a TOML {kind}"),
    }
}

/// Finds the value of a row: the written one, or the lesser of the default and
/// the host's maximum.
pub(crate) fn resolve<K: Kind>(
    row: &Row,
    written: Option<Spanned<K::Written>>,
    maximum: Option<u64>,
    report: Report<'_>,
) -> K::Value {
    let limited = |number: u64| match maximum {
        Some(maximum) if row.exceeds(number, maximum) => maximum,
        _ => number,
    };
    let default = limited(row.default);
    let Some(written) = written else {
        return K::value(default);
    };
    let number = K::number(written.get_ref());
    let fits = |number: u64| {
        let none = row.zero_is_none && number == 0;
        none || (row.least..=row.most).contains(&number)
    };
    let number = match number {
        Ok(number) if fits(number) => number,
        wrong => {
            let (name, unit) = (row.name, row.unit);
            let shown = wrong.map_or_else(str::to_owned, |number| unit.show(number));
            let (least, most) = (unit.show(row.least), unit.show(row.most));
            let zero = if row.zero_is_none {
                ", or 0 for none"
            } else {
                ""
            };
            report(
                written.span(),
                format!("`{name}` is {shown} and must be {least} to {most}{zero}"),
                format!("the default is {}", row.show_default()),
            );
            return K::value(default);
        }
    };
    if limited(number) != number {
        let (name, unit) = (row.name, row.unit);
        let shown = row.show(number);
        let most = unit.show(limited(number));
        report(
            written.span(),
            format!("`{name}` is {shown}, and the host's maximum is {most}"),
            "lower it, or raise the host's in its [maximum] table".into(),
        );
    }
    K::value(number)
}

/// The maximum that a host sets for a row, in the row's unit.
pub(crate) fn maximum<K: Kind>(
    row: &Row,
    written: Option<&Spanned<K::Written>>,
    report: Report<'_>,
) -> Option<u64> {
    let written = written?;
    let wrong = match K::number(written.get_ref()) {
        Ok(number) if (row.least.max(1)..=row.most).contains(&number) => return Some(number),
        wrong => wrong,
    };
    let (name, unit) = (row.name, row.unit);
    let shown = wrong.map_or_else(str::to_owned, |number| unit.show(number));
    let least = unit.show(row.least.max(1));
    report(
        written.span(),
        format!(
            "the maximum of `{name}` is {shown} and must be {least} to {}",
            unit.show(row.most)
        ),
        "leave it out to allow every possible value".into(),
    );
    None
}

macro_rules! limits {
    (
        $(#[$about:meta])*
        // `takes effect` applies to rows without an `effect` of their own.
        pub struct $name:ident, $written:ident, $maximum:ident, takes effect $usual:ident {
            $(
                $(#[doc = $doc:literal])+
                $limit:ident: $kind:ident = $default:expr, $least:expr => $most:expr $(, or $none:ident)? $(, effect $effect:ident)?;
                    $overflow:literal
            )*
        }
        with {
            $( $(#[doc = $choice_doc:literal])+ $choice:ident: $type:ty = $choice_default:expr; )*
        }
        $( by hand {
            $( $(#[doc = $hand_doc:literal])+ $hand:ident: $hand_type:ty, as $hand_written:ty = $hand_default:expr; )*
        } )?
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $limit: $crate::limits::table::limits!(@value $kind), )*
            $( $(#[doc = $choice_doc])+ pub $choice: $type, )*
            $( $( $(#[doc = $hand_doc])+ pub $hand: $hand_type, )* )?
        }

        /// The same, as a configuration file has it.
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $written {
            $( pub(crate) $limit: Option<toml::Spanned<<$crate::limits::table::$kind as $crate::limits::table::Kind>::Written>>, )*
            $( pub(crate) $choice: Option<toml::Spanned<$type>>, )*
            // Read by `config::validate`.
            $( $( pub(crate) $hand: Option<toml::Spanned<$hand_written>>, )* )?
        }

        /// The host's maximum of each, as a configuration file has it.
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $maximum {
            $( pub(crate) $limit: Option<toml::Spanned<<$crate::limits::table::$kind as $crate::limits::table::Kind>::Written>>, )*
        }

        impl $name {
            /// Its rows, in the order of the configuration's documentation.
            pub const ROWS: &[$crate::limits::Row] = &[
                $( $crate::limits::Row {
                    name: stringify!($limit),
                    unit: <$crate::limits::table::$kind as $crate::limits::table::Kind>::UNIT,
                    default: $default,
                    least: $least,
                    most: $most,
                    zero_is_none: $crate::limits::table::limits!(@none $($none)?),
                    effect: $crate::limits::table::limits!(@effect $usual $($effect)?),
                    overflow: $overflow,
                    about: concat!($($doc),+),
                }, )*
            ];

            /// Each row with the value that is in force, in the row's unit.
            pub fn values(&self) -> Vec<(&'static $crate::limits::Row, u64)> {
                let values = [
                    $( <$crate::limits::table::$kind as $crate::limits::table::Kind>::of(&self.$limit), )*
                ];
                Self::ROWS.iter().zip(values).collect()
            }

            /// Takes the values of `other` for the keys that `chosen` accepts,
            /// and returns those keys whose values were different.
            pub fn take(&mut self, other: &Self, chosen: impl Fn(&str) -> bool) -> Vec<&'static str> {
                let mut different = Vec::new();
                $crate::limits::table::limits!(@take self, other, chosen, different;
                    $($limit)* $($choice)* $($($hand)*)?);
                different
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $written::default().resolve(&$maximum::default(), &mut |_, _, _| {})
            }
        }

        impl $written {
            /// Finds the values in force; errors go to `report`.
            pub(crate) fn resolve(self, maximum: &$maximum, report: $crate::limits::table::Report<'_>) -> $name {
                let mut rows = $name::ROWS.iter();
                $(
                    let row = rows.next().expect("there is a row for each limit");
                    // Reported once, by `$maximum::check`.
                    let most = $crate::limits::table::maximum::<$crate::limits::table::$kind>(
                        row, maximum.$limit.as_ref(), &mut |_, _, _| {});
                    let $limit = $crate::limits::table::resolve::<$crate::limits::table::$kind>(
                        row, self.$limit, most, report);
                )*
                $name {
                    $( $limit, )*
                    $( $choice: self.$choice.map_or_else(|| $choice_default, toml::Spanned::into_inner), )*
                    $( $( $hand: $hand_default, )* )?
                }
            }
        }

        impl $maximum {
            /// Checks the maxima themselves.
            #[allow(dead_code, reason = "the host's own table has no maximum above it")]
            pub(crate) fn check(&self, report: $crate::limits::table::Report<'_>) {
                let mut rows = $name::ROWS.iter();
                $(
                    let row = rows.next().expect("there is a row for each limit");
                    $crate::limits::table::maximum::<$crate::limits::table::$kind>(
                        row, self.$limit.as_ref(), report);
                )*
            }
        }
    };
    (@value Bytes) => { usize };
    (@value Count) => { u32 };
    (@value LargeCount) => { u64 };
    (@value Time) => { std::time::Duration };
    (@take $self:ident, $other:ident, $chosen:ident, $different:ident; $($key:ident)*) => {
        $(
            let key = stringify!($key);
            if $chosen(key) && $self.$key != $other.$key {
                $self.$key.clone_from(&$other.$key);
                $different.push(key);
            }
        )*
    };
    (@effect $usual:ident) => { $crate::limits::Effect::$usual };
    (@effect $usual:ident $effect:ident) => { $crate::limits::Effect::$effect };
    (@none none) => { true };
    (@none) => { false };
}
pub(crate) use limits;

// === impl Row ===

impl Row {
    /// A value with its unit.
    pub fn show(&self, number: u64) -> String {
        if self.zero_is_none && number == 0 {
            "none".into()
        } else {
            self.unit.show(number)
        }
    }

    /// The default with its unit.
    pub fn show_default(&self) -> String {
        self.show(self.default)
    }

    fn exceeds(&self, number: u64, maximum: u64) -> bool {
        number > maximum || (self.zero_is_none && number == 0)
    }
}

// === impl Unit ===

impl Unit {
    /// A number in the largest unit that it is a whole multiple of.
    pub fn show(self, number: u64) -> String {
        match self {
            Self::Bytes => ByteSize(number).to_string(),
            Self::Time => Period(Duration::from_millis(number)).to_string(),
            Self::Count => number.to_string(),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Time => "time",
            Self::Count => "count",
        })
    }
}

// === impl Effect ===

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "at once",
            Self::NewConnections => "new connections",
            Self::NextEvent => "next event",
            Self::NextStart => "next start",
            Self::AsBounded => "with the key it bounds",
        })
    }
}

// === impl Kind ===

impl Kind for Bytes {
    type Value = usize;
    type Written = ByteSize;
    const UNIT: Unit = Unit::Bytes;
    fn number(written: &ByteSize) -> Result<u64, &str> {
        Ok(written.0)
    }
    fn value(number: u64) -> usize {
        usize::try_from(number).unwrap_or(usize::MAX)
    }
    fn of(value: &usize) -> u64 {
        u64::try_from(*value).unwrap_or(u64::MAX)
    }
}

impl Kind for Count {
    type Value = u32;
    type Written = Number;
    const UNIT: Unit = Unit::Count;
    fn number(written: &Number) -> Result<u64, &str> {
        written.0.as_ref().copied().map_err(String::as_str)
    }
    fn value(number: u64) -> u32 {
        u32::try_from(number).unwrap_or(u32::MAX)
    }
    fn of(value: &u32) -> u64 {
        (*value).into()
    }
}

impl Kind for LargeCount {
    type Value = u64;
    type Written = Number;
    const UNIT: Unit = Unit::Count;
    fn number(written: &Number) -> Result<u64, &str> {
        written.0.as_ref().copied().map_err(String::as_str)
    }
    fn value(number: u64) -> u64 {
        number
    }
    fn of(value: &u64) -> u64 {
        *value
    }
}

impl Kind for Time {
    type Value = Duration;
    type Written = Period;
    const UNIT: Unit = Unit::Time;
    fn number(written: &Period) -> Result<u64, &str> {
        Ok(u64::try_from(written.0.as_millis()).unwrap_or(u64::MAX))
    }
    fn value(number: u64) -> Duration {
        Duration::from_millis(number)
    }
    fn of(value: &Duration) -> u64 {
        u64::try_from(value.as_millis()).unwrap_or(u64::MAX)
    }
}
