//! The terms of channels in the configuration, as the admin interface shows them.

use openline_broker::terms::Found;
use openline_core::channel::{
    ChannelPattern, ChannelTable, ChannelTerms, HistoryTerms, JoinLeave, KeyedTerms, Subscription,
};
use openline_core::name::FunctionName;
use openline_core::units::{ByteSize, Period};
use serde::Serialize;
use utoipa::ToSchema;

/// A `[[channel]]` or a `[[function.channel]]`.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelTerms)]
#[expect(clippy::struct_excessive_bools, reason = "keys of the configuration")]
pub(crate) struct ChannelTermsView {
    /// Which names; null for a channel that no pattern matches.
    pattern: Option<String>,
    /// The functions that share the channels; null for all. Null for a function's
    /// own.
    functions: Option<Vec<String>>,
    history: Option<HistoryView>,
    /// How long the position outlives the publications.
    position_time: String,
    recovery: bool,
    latest: bool,
    keyed: Option<KeyedView>,
    presence: bool,
    /// `none`, `connections` or `users`.
    join_leave: &'static str,
    durable: bool,
    /// Who may subscribe, as the configuration says it.
    subscribe: String,
    /// Who may publish.
    publish: String,
    filters: bool,
}

/// A `[[function.subscription]]`.
#[derive(Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionView {
    /// Which channels.
    pattern: String,
    /// Whether the handler also gets what it has published itself.
    own: bool,
}

impl From<&Subscription> for SubscriptionView {
    fn from(subscription: &Subscription) -> Self {
        Self {
            pattern: subscription.pattern.to_string(),
            own: subscription.own,
        }
    }
}

/// How much a history keeps.
#[derive(Serialize, ToSchema)]
#[schema(as = HistoryTerms)]
struct HistoryView {
    count: u32,
    /// Null for any time.
    time: Option<String>,
    bytes: String,
}

/// How many values a channel keeps.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyedTerms)]
struct KeyedView {
    keys: u32,
    bytes: String,
    /// Null for any time.
    time: Option<String>,
}

/// The tables of a list.
pub(crate) fn views(tables: &[ChannelTable]) -> Vec<ChannelTermsView> {
    let of = |table: &ChannelTable| {
        let functions = table.functions.as_deref();
        view(Some(&table.pattern), functions, &table.terms)
    };
    tables.iter().map(of).collect()
}

/// The terms of one channel.
pub(crate) fn found(found: &Found) -> ChannelTermsView {
    view(found.pattern.as_deref(), None, &found.terms)
}

fn view(
    pattern: Option<&ChannelPattern>,
    functions: Option<&[FunctionName]>,
    terms: &ChannelTerms,
) -> ChannelTermsView {
    ChannelTermsView {
        pattern: pattern.map(ToString::to_string),
        functions: functions.map(|names| names.iter().map(ToString::to_string).collect()),
        history: terms.history.as_ref().map(history),
        position_time: Period(terms.position_time).to_string(),
        recovery: terms.recovery,
        latest: terms.latest,
        keyed: terms.keyed.as_ref().map(keyed),
        presence: terms.presence,
        join_leave: match terms.join_leave {
            JoinLeave::None => "none",
            JoinLeave::Connections => "connections",
            JoinLeave::Users => "users",
        },
        durable: terms.durable,
        subscribe: terms.subscribe.to_string(),
        publish: terms.publish.to_string(),
        filters: terms.filters,
    }
}

fn history(terms: &HistoryTerms) -> HistoryView {
    HistoryView {
        count: terms.count,
        time: terms.time.map(|time| Period(time).to_string()),
        bytes: size(terms.bytes),
    }
}

fn keyed(terms: &KeyedTerms) -> KeyedView {
    KeyedView {
        keys: terms.keys,
        bytes: size(terms.bytes),
        time: terms.time.map(|time| Period(time).to_string()),
    }
}

fn size(bytes: usize) -> String {
    ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX)).to_string()
}
