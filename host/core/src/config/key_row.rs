//! A row of the tables of keys: see [`keys`](super::keys).

use crate::limits::Effect;

/// One key that is not a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its table in the file.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its value when it is not given, for people.
    pub default: &'static str,
    /// When a change takes effect in a running host.
    pub effect: Effect,
    /// Its purpose.
    pub about: &'static str,
}

/// A row. The tables of keys have functions of the same name for what their rows
/// have in common.
pub(super) const fn key(
    table: &'static str,
    name: &'static str,
    default: &'static str,
    effect: Effect,
    about: &'static str,
) -> Key {
    Key {
        table,
        name,
        default,
        effect,
        about,
    }
}
