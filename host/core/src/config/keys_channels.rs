//! The keys of the tables `[[channel]]`, `[[function.channel]]` and
//! `[[function.subscription]]`: see [`super::keys`].

use super::key_row::{self, Key};
use crate::limits::Effect::NextEvent;

/// All keys of these tables.
pub(super) const CHANNELS: [&[Key]; 3] = [SHARED, OWN, SUBSCRIPTION];

macro_rules! table {
    ($table:literal, $history:literal, $keyed:literal, [$($own:expr),*]) => {
        &[
            $($own,)*
            key(
                $table,
                "pattern",
                "none",
                "which names: segments between `:`, of which `{name}` is any one and `*` at the end any rest. The most specific pattern decides",
            ),
            key(
                $table,
                "position_time",
                "1 d, or `history.time` if that is longer",
                "how long the position of a channel outlives its publications: 1 s to 365 d",
            ),
            key(
                $table,
                "recovery",
                "true where something is kept",
                "whether a peer that comes back gets what it missed",
            ),
            key(
                $table,
                "latest",
                "false",
                "whether the channel is a current value, which new subscribers get",
            ),
            key(
                $table,
                "presence",
                "false",
                "whether the channel knows its subscribers",
            ),
            key(
                $table,
                "join_leave",
                "`\"none\"`",
                "which comings and goings subscribers are told of: `\"none\"`, each of `\"connections\"`, or the first and the last of `\"users\"`",
            ),
            key(
                $table,
                "durable",
                "false",
                "whether what the channel remembers survives the process",
            ),
            key(
                $table,
                "subscribe",
                "`\"function\"`",
                "who may subscribe: `nobody`, `function`, `peers`, `claim:NAME`, `own:NAME` or `key`",
            ),
            key(
                $table,
                "publish",
                "`\"function\"`",
                "who may publish, in the same words",
            ),
            key(
                $table,
                "filters",
                "false",
                "whether peers may filter by tags",
            ),
            key(
                $history,
                "count",
                "100",
                "publications that are kept, 1 to 100,000",
            ),
            key(
                $history,
                "time",
                "5 min",
                "how long, 1 s to 365 d; `\"0\"` for any time",
            ),
            key(
                $history,
                "bytes",
                "1 MiB",
                "how many bytes of them, 1 KiB to 1 GiB",
            ),
            key(
                $keyed,
                "keys",
                "1,000",
                "values that are kept, one a key: 1 to 100,000",
            ),
            key(
                $keyed,
                "bytes",
                "1 MiB",
                "how many bytes of them, 1 KiB to 1 GiB",
            ),
            key(
                $keyed,
                "time",
                "any",
                "how long, 1 s to 365 d",
            ),
        ]
    };
}

const SHARED: &[Key] = table!(
    "[[channel]]",
    "[channel.history]",
    "[channel.keyed]",
    [key(
        "[[channel]]",
        "functions",
        "all functions",
        "the functions that share the channels",
    )]
);

const OWN: &[Key] = table!(
    "[[function.channel]]",
    "[function.channel.history]",
    "[function.channel.keyed]",
    []
);

const SUBSCRIPTION: &[Key] = &[
    key(
        "[[function.subscription]]",
        "pattern",
        "none",
        "channels, the function's own or shared, whose publications wake its channel handler; at most 64 patterns",
    ),
    key(
        "[[function.subscription]]",
        "own",
        "`false`",
        "whether the handler also gets what it has published itself",
    ),
];

/// A table is asked whenever a channel is used.
const fn key(
    table: &'static str,
    name: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    key_row::key(table, name, default, NextEvent, about)
}
