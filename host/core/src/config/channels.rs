//! The tables `[[channel]]`, `[[function.channel]]` and
//! `[[function.subscription]]`: the rules of each list are in [`crate::channel`],
//! those between the lists here.

use openline_hint::Hint;
use toml::Spanned;

use super::validate::Check;
use crate::channel::{ChannelTable, ChannelWritten, Subscription};
use crate::limits::InstancePolicy;
use crate::name::FunctionName;
use crate::table_error::TableError;

type Written = Vec<Spanned<ChannelWritten>>;

impl Check<'_> {
    /// Reads the list that functions share.
    pub(super) fn shared_channels(&mut self, written: Written) -> Vec<ChannelTable> {
        self.list(written, ChannelTable::check_shared)
    }

    /// Reads a function's own list. A pattern that it shares is not its own.
    pub(super) fn own_channels(
        &mut self,
        function: &FunctionName,
        written: Written,
        shared: &[ChannelTable],
    ) -> Vec<ChannelTable> {
        let spans: Vec<_> = written.iter().map(Spanned::span).collect();
        let own = self.list(written, ChannelTable::check_own);
        for (table, span) in own.iter().zip(spans) {
            let has_it = |other: &&ChannelTable| {
                let functions = other.functions.as_ref();
                functions.is_none_or(|functions| functions.contains(function))
                    && other.pattern.is_alike(&table.pattern)
            };
            if let Some(other) = shared.iter().find(has_it) {
                let message = format!(
                    "`{}` matches the same names as `{}`, which functions share",
                    table.pattern, other.pattern
                );
                let hint = "remove it, or name the functions of the [[channel]] with `functions`";
                self.error(Some(span), &message, hint);
            }
        }
        own
    }

    /// Reads the channels that wake a function. With `has_callers`, connections or
    /// a firewall need instances of it, too.
    pub(super) fn subscriptions(
        &mut self,
        written: Vec<Spanned<Subscription>>,
        instance: &InstancePolicy,
        has_callers: bool,
    ) -> Vec<Subscription> {
        if let Some(first) = written.first()
            && has_callers
            && instance.instances < 2
        {
            let what = "channels wake a function in an instance of its own, which would take the only one from connections or the firewall";
            let hint = "set `instances` to 2 or more, or have another function subscribe";
            self.error(Some(first.span()), what, hint);
        }
        let spans: Vec<_> = written.iter().map(Spanned::span).collect();
        let all: Vec<_> = written.into_iter().map(Spanned::into_inner).collect();
        if let Err((at, error)) = Subscription::check(&all) {
            let hint = error.hint().unwrap_or_default().into_owned();
            self.error(spans.get(at).cloned(), &error.to_string(), &hint);
        }
        all
    }

    fn list(
        &mut self,
        written: Written,
        check: impl Fn(Vec<ChannelWritten>) -> Result<Vec<ChannelTable>, (usize, TableError)>,
    ) -> Vec<ChannelTable> {
        let spans: Vec<_> = written.iter().map(Spanned::span).collect();
        let tables = written.into_iter().map(Spanned::into_inner).collect();
        check(tables).unwrap_or_else(|(at, error)| {
            let hint = error.hint().unwrap_or_default().into_owned();
            self.error(spans.get(at).cloned(), &error.to_string(), &hint);
            Vec::new()
        })
    }
}
