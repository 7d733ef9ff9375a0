//! What the host says to peers of dialects: each of its endings, refusals and
//! errors in the words of the dialects, once.

use openline_authentication::Denial;
use openline_broker::filter::{FilterNode, TagFilter};
use openline_broker::outcome::PublishError;
use openline_channels::forms;
use openline_channels::hub::SubscribeError;
use openline_core::close::{CloseInfo, CloseReason};
use openline_core::dialect::DialectName;
use openline_dialects::centrifugo::codes;
use openline_dialects::{Close, Ending, Filter, Refusal, Test};

/// The reason of an ending in the words of a dialect.
pub(crate) fn ending(Close { code, reason }: Close) -> CloseReason {
    CloseReason::Dialect { code, reason }
}

/// The reason that a peer of a dialect gets: a code which its client knows.
pub(crate) fn closing(dialect: DialectName, reason: &CloseReason) -> CloseReason {
    let ended = match reason {
        CloseReason::ShuttingDown { .. }
        | CloseReason::Redeployed { .. }
        | CloseReason::TimeUp { .. } => Ending::Shutdown,
        CloseReason::MessageRate | CloseReason::ByteRate => Ending::TooManyRequests,
        CloseReason::Idle | CloseReason::NoPong => Ending::NoPong,
        CloseReason::Fault(_) | CloseReason::BackedOff | CloseReason::Overloaded => Ending::Failed,
        CloseReason::OutboxOverflow
        | CloseReason::HostOutboxOverflow
        | CloseReason::SlowMessage => Ending::Slow,
        CloseReason::Expired { .. } => Ending::Expired,
        CloseReason::Revoked => Ending::Revoked,
        CloseReason::Function(info) | CloseReason::Operator(info) if info.code < 3_000 => {
            return chosen(dialect, reason, info);
        }
        // Its peer has said why, or cannot be told, or hears what it broke, or a
        // code that others have chosen.
        CloseReason::Peer(_)
        | CloseReason::Function(_)
        | CloseReason::Operator(_)
        | CloseReason::Lost
        | CloseReason::Terminated
        | CloseReason::TimeUpAbort
        | CloseReason::Protocol
        | CloseReason::InvalidText
        | CloseReason::InvalidCompression
        | CloseReason::MessageTooBig
        | CloseReason::Fragments
        | CloseReason::Refused { .. }
        | CloseReason::Rejected { .. }
        | CloseReason::Answered
        | CloseReason::Dialect { .. } => return reason.clone(),
    };
    let close = forms::spoken(dialect).and_then(|dialect| dialect.close(ended));
    close.map_or_else(|| reason.clone(), ending)
}

/// A code of RFC 6455 that a function or an operator has chosen. Clients of
/// Centrifugo come back after all of these, which is not what most of them mean.
fn chosen(dialect: DialectName, reason: &CloseReason, info: &CloseInfo) -> CloseReason {
    let ended = match info.code {
        1001 | 1012 | 1013 => Ending::Shutdown,
        1011 | 1014 => Ending::Failed,
        _ => Ending::Unwanted,
    };
    let Some(close) = forms::spoken(dialect).and_then(|dialect| dialect.close(ended)) else {
        return reason.clone();
    };
    if info.reason.is_empty() {
        return ending(close);
    }
    CloseReason::Function(CloseInfo {
        code: close.code,
        reason: info.reason.clone(),
    })
}

/// What a peer hears whose credential is not good.
pub(crate) fn denied(denial: Denial) -> Refusal {
    match denial {
        Denial::TokenExpired => Refusal::TokenExpired,
        Denial::KeysUnavailable | Denial::SignatureNonces => Refusal::Internal,
        _ => Refusal::Unauthorized,
    }
}

/// What a peer hears that the host or the function refuses, by the close reason
/// that others get.
pub(crate) fn refused(reason: &CloseReason) -> Refusal {
    match reason {
        CloseReason::Rejected { status: 401 } => Refusal::Unauthorized,
        CloseReason::Rejected { status: 429 } => Refusal::TooManyRequests,
        CloseReason::Rejected { status: 400..=499 } => Refusal::Denied,
        // It may come back.
        _ => Refusal::Internal,
    }
}

/// Why a peer is not subscribed.
pub(super) fn not_subscribed(error: SubscribeError) -> Refusal {
    match error {
        SubscribeError::TooMany | SubscribeError::Crowded | SubscribeError::HostFull => {
            Refusal::LimitExceeded
        }
        SubscribeError::Unrecoverable => Refusal::Unrecoverable,
        SubscribeError::Repeated => Refusal::AlreadySubscribed,
        // It hears no more.
        SubscribeError::Gone => Refusal::Internal,
    }
}

/// Why a publication of a peer is not published.
pub(super) fn not_published(error: &PublishError) -> Refusal {
    match error {
        PublishError::TooLarge { .. } | PublishError::Full { .. } => Refusal::LimitExceeded,
        PublishError::Denied => Refusal::Denied,
        PublishError::InvalidName(_) => Refusal::BadRequest,
        // A peer expects nothing of a channel.
        PublishError::Conflict { .. } | PublishError::Unavailable => Refusal::Internal,
    }
}

/// A condition on tags as channels judge it.
pub(super) fn tags(filter: &Filter) -> Result<TagFilter, Refusal> {
    TagFilter::new(&node(filter)).map_err(|_| Refusal::BadRequest)
}

fn node(filter: &Filter) -> FilterNode {
    let join = |op: &str, nodes: &[Filter]| FilterNode {
        op: op.into(),
        nodes: nodes.iter().map(node).collect(),
        ..FilterNode::default()
    };
    match filter {
        Filter::All(nodes) => join("and", nodes),
        Filter::Any(nodes) => join("or", nodes),
        Filter::Not(inner) => join("not", std::slice::from_ref(inner)),
        Filter::Tag(key, test) => {
            let (cmp, val, vals) = written(test);
            FilterNode {
                key: key.to_string(),
                cmp: cmp.into(),
                val: val.into(),
                vals: vals.iter().map(ToString::to_string).collect(),
                ..FilterNode::default()
            }
        }
    }
}

fn written(test: &Test) -> (&'static str, &str, &[Box<str>]) {
    match test {
        Test::Equal(value) => ("eq", value, &[]),
        Test::NotEqual(value) => ("neq", value, &[]),
        Test::In(values) => ("in", "", values),
        Test::NotIn(values) => ("nin", "", values),
        Test::Exists => ("ex", "", &[]),
        Test::NotExists => ("nex", "", &[]),
        Test::StartsWith(value) => ("sw", value, &[]),
        Test::EndsWith(value) => ("ew", value, &[]),
        Test::Contains(value) => ("ct", value, &[]),
        Test::Less(value) => ("lt", value, &[]),
        Test::LessOrEqual(value) => ("lte", value, &[]),
        Test::Greater(value) => ("gt", value, &[]),
        Test::GreaterOrEqual(value) => ("gte", value, &[]),
    }
}

/// The code of a peer that has not connected in time.
pub(crate) const STALE: CloseReason = CloseReason::Dialect {
    code: codes::STALE.code,
    reason: codes::STALE.reason,
};

#[cfg(test)]
mod tests {
    use openline_core::close::REASON_BYTES_MAX;

    use super::*;

    #[test]
    fn each_ending_can_be_sent_in_each_dialect() {
        for reason in CloseReason::all() {
            for dialect in [DialectName::Pushflo, DialectName::Centrifugo] {
                let spoken = closing(dialect, &reason);
                if let Some(info) = spoken.frame() {
                    let checked = CloseInfo::checked(info.code, info.reason.clone());
                    assert_eq!(checked, Ok(info), "{reason}");
                }
            }
        }
    }

    #[test]
    fn a_function_says_whether_a_client_comes_back() {
        let closed = |code, reason: &str| {
            let reason = CloseReason::Function(CloseInfo {
                code,
                reason: reason.into(),
            });
            closing(DialectName::Centrifugo, &reason).info()
        };
        assert_eq!(closed(1000, "bye").code, 3503);
        assert_eq!(closed(1000, "bye").reason, "bye");
        assert_eq!(closed(1008, "").reason, "force disconnect");
        assert_eq!(closed(1012, "").code, 3001);
        assert_eq!(closed(1011, "").code, 3004);
        assert_eq!(closed(4001, "own").code, 4001);
        let long = "r".repeat(REASON_BYTES_MAX);
        assert_eq!(closed(1000, &long).reason, long);
    }

    #[test]
    fn a_filter_is_judged_as_it_is_meant() {
        let tag = |test| Filter::Tag("k".into(), test);
        let all = Filter::All(vec![
            Filter::Not(Box::new(tag(Test::Equal("a".into())))),
            Filter::Any(vec![tag(Test::In(vec!["b".into()])), tag(Test::Exists)]),
        ]);
        let judged = tags(&all).unwrap();
        let tags = |value: &str| {
            let tags = vec![("k".into(), value.into())];
            openline_broker::publication::Tags::new(tags).unwrap()
        };
        assert!(judged.accepts(&tags("b")) && !judged.accepts(&tags("a")));
    }
}
