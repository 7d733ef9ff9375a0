//! The rules of a function's further routes.

use toml::Spanned;

use super::validate::Check;
use super::{Target, Trigger, file};
use crate::digest::DIGEST_LETTERS_MIN;
use crate::route::RouteTable;

/// Further routes of one function: stages, versions and old paths, not
/// tenants, which are parameters of a route.
pub const TRIGGERS_MAX: usize = 64;

impl Check<'_> {
    pub(super) fn triggers(
        &mut self,
        written: Vec<Spanned<file::Trigger>>,
        routes: &mut RouteTable<()>,
    ) -> Vec<Trigger> {
        if let Some(past) = written.get(TRIGGERS_MAX) {
            let message = format!("a function has at most {TRIGGERS_MAX} triggers");
            let hint = "a parameter, as in \"/chat/{room}\", makes one route of many";
            self.error(Some(past.span()), &message, hint);
        }
        written
            .into_iter()
            .filter_map(|trigger| self.trigger(trigger, routes))
            .collect()
    }

    fn trigger(
        &mut self,
        written: Spanned<file::Trigger>,
        routes: &mut RouteTable<()>,
    ) -> Option<Trigger> {
        let span = written.span();
        let trigger = written.into_inner();
        let route = self.route(&trigger.route, routes);
        let target = match (trigger.alias, trigger.version) {
            (Some(alias), None) => Target::Alias(alias),
            (None, Some(version)) => {
                let letter = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let digest = version.get_ref();
                if !(DIGEST_LETTERS_MIN..=64).contains(&digest.len()) || !digest.bytes().all(letter)
                {
                    let message = format!(
                        "`version` is the beginning of a digest: {DIGEST_LETTERS_MIN} to 64 of 0-9a-f"
                    );
                    let hint = "`openline versions` lists the digests of a function's versions";
                    self.error(Some(version.span()), &message, hint);
                }
                Target::Version(version.into_inner())
            }
            _ => {
                let message = "a trigger leads to one of `alias` and `version`";
                let hint = "as in `alias = \"beta\"` or `version = \"3f29ac\"`";
                self.error(Some(span), message, hint);
                return None;
            }
        };
        Some(Trigger {
            route: route?,
            target,
        })
    }
}
