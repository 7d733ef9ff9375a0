//! The tables `[[function.subscription]]`: the channels that wake a function.
//!
//! Bounded by [`SUBSCRIPTIONS_MAX`]: a channel's name is compared with each.

use serde::Deserialize;

use super::pattern::ChannelPattern;
use crate::table_error::{TableError, error};

/// Subscriptions of one function.
pub const SUBSCRIPTIONS_MAX: usize = 64;

/// A `[[function.subscription]]`: channels whose publications wake the function.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Which channels, of its own or shared.
    pub pattern: ChannelPattern,
    /// Whether it is also woken by what its own channel handler has published.
    #[serde(default)]
    pub own: bool,
}

impl Subscription {
    /// Checks the list of one function. The error is that of the first bad table,
    /// which has this index.
    ///
    /// # Errors
    ///
    /// When there are too many, and when two patterns match the same names.
    pub fn check(written: &[Self]) -> Result<(), (usize, TableError)> {
        for (at, subscription) in written.iter().enumerate() {
            if at == SUBSCRIPTIONS_MAX {
                let what = format!("a function has at most {SUBSCRIPTIONS_MAX} subscriptions");
                let hint = "`*` at the end of a pattern stands for many names";
                return error("pattern", what, hint).map_err(|error| (at, error));
            }
            let mut before = written[..at].iter();
            if let Some(other) = before.find(|it| it.pattern.is_alike(&subscription.pattern)) {
                let what = format!(
                    "`{}` and `{}` match the same names",
                    other.pattern, subscription.pattern
                );
                let hint = "remove one of the two";
                return error("pattern", what, hint).map_err(|error| (at, error));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(pattern: &str) -> Subscription {
        let pattern = ChannelPattern::new(pattern).unwrap();
        Subscription {
            pattern,
            own: false,
        }
    }

    #[test]
    fn there_are_as_many_as_there_may_be_and_no_more() {
        let mut all: Vec<_> = (0..SUBSCRIPTIONS_MAX)
            .map(|number| subscription(&format!("room:{number}")))
            .collect();
        assert_eq!(Subscription::check(&all), Ok(()));
        all.push(subscription("one:more"));
        let (at, _) = Subscription::check(&all).unwrap_err();
        assert_eq!(at, SUBSCRIPTIONS_MAX);
    }

    #[test]
    fn two_that_match_the_same_names_are_one_too_many() {
        let all = [subscription("room:{a}"), subscription("room:{b}")];
        let (at, error) = Subscription::check(&all).unwrap_err();
        assert_eq!((at, error.key), (1, "pattern"));
    }
}
