//! The tables `[[key]]` of the configuration.
//!
//! serde reads a table; the checks of [`KeyTable`] then find what no single key
//! shows. The texts of keys are secrets, so the file has their places only.

use std::path::Path;

use serde::Deserialize;

use super::record::AccessKeyId;
use super::scope::Scopes;
use super::terms::KeyTerms;
use crate::authentication::{SecretSource, UnixTime};
use crate::channel::ChannelPattern;
use crate::name::{FunctionName, KeyName};
use crate::table_error::{TableError, error};

/// Keys of the configuration: each is a secret that somebody has to provide.
pub const KEYS_CONFIGURED_MAX: usize = 256;

/// A `[[key]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyWritten {
    /// Its name.
    pub name: KeyName,
    /// What it is for.
    pub scopes: Scopes,
    /// The channels; all, if it is absent.
    pub channels: Option<Vec<ChannelPattern>>,
    /// The functions; all, if it is absent.
    pub functions: Option<Vec<FunctionName>>,
    /// The end.
    pub expires: Option<UnixTime>,
    /// Where its text is, or the secret access key.
    pub secret: SecretSource,
    /// The public half of a pair for AWS's tools.
    pub access_key_id: Option<AccessKeyId>,
}

/// A checked table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTable {
    /// What holds for the key.
    pub terms: KeyTerms,
    /// Where its text is, or the secret access key.
    pub secret: SecretSource,
    /// The public half of a pair for AWS's tools. With it, callers show no text:
    /// they sign.
    pub access_key_id: Option<AccessKeyId>,
}

impl KeyTable {
    /// Checks a list of `[[key]]`. The error is that of the first bad table,
    /// which has this index.
    ///
    /// # Errors
    ///
    /// When a list of a table is empty or too long, when two tables have one
    /// name or one access key id, and when there are too many.
    pub fn check_all(written: Vec<KeyWritten>) -> Result<Vec<Self>, (usize, TableError)> {
        let mut tables: Vec<Self> = Vec::new();
        for (at, written) in written.into_iter().enumerate() {
            let checked = Self::check(written, &tables);
            tables.push(checked.map_err(|error| (at, error))?);
        }
        Ok(tables)
    }

    fn check(written: KeyWritten, before: &[Self]) -> Result<Self, TableError> {
        if before.len() == KEYS_CONFIGURED_MAX {
            let what = format!("a configuration has at most {KEYS_CONFIGURED_MAX} keys");
            let hint = "one key can be for several functions and patterns; `openline keys make` makes others in the running host";
            return error("name", what, hint);
        }
        if before.iter().any(|it| it.terms.name == written.name) {
            let what = format!("two keys are named `{}`", written.name);
            return error("name", what, "rename one of them");
        }
        let id = written.access_key_id;
        if let Some(id) = &id
            && before
                .iter()
                .any(|it| it.access_key_id.as_ref() == Some(id))
        {
            let what = format!("two keys have the access key id `{id}`");
            return error("access_key_id", what, "give each key a pair of its own");
        }
        let terms = KeyTerms {
            name: written.name,
            scopes: written.scopes,
            channels: written.channels.unwrap_or_else(KeyTerms::all_channels),
            functions: written.functions,
            expires: written.expires,
        };
        terms.check()?;
        Ok(Self {
            terms,
            secret: written.secret,
            access_key_id: id,
        })
    }

    /// Makes the path of its secret relative to a folder.
    pub fn be_relative_to(&mut self, folder: &Path) {
        self.secret.be_relative_to(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        key: Vec<KeyWritten>,
    }

    fn check(text: &str) -> Result<Vec<KeyTable>, (usize, TableError)> {
        KeyTable::check_all(toml::from_str::<File>(text).unwrap().key)
    }

    fn key(name: &str, more: &str) -> String {
        format!("[[key]]\nname = \"{name}\"\nscopes = [\"publish\"]\nsecret = \"env:A\"\n{more}\n")
    }

    #[test]
    fn a_table_without_more_is_for_all() {
        let tables = check(&key("a", "")).unwrap();
        let terms = &tables[0].terms;
        assert_eq!(terms.channels, KeyTerms::all_channels());
        assert_eq!((&terms.functions, terms.expires), (&None, None));
        let tables = check(&key(
            "a",
            "channels = [\"room:*\"]\nfunctions = [\"chat\"]\nexpires = \"2026-12-31T23:59:59Z\"\naccess_key_id = \"ABCDEFGHIJ0123456789\"",
        ));
        let table = &tables.unwrap()[0];
        assert_eq!(table.terms.channels[0].as_str(), "room:*");
        assert!(table.access_key_id.is_some() && table.terms.expires.is_some());
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_table() {
        let id = "access_key_id = \"ABCDEFGHIJ0123456789\"";
        for (second, key_to_blame, message) in [
            (key("a", ""), "name", "two keys are named `a`"),
            (
                key("b", id),
                "access_key_id",
                "two keys have the access key id `ABCDEFGHIJ0123456789`",
            ),
            (key("b", "channels = []"), "channels", "`channels` is empty"),
        ] {
            let text = key("a", id) + &second;
            let (at, error) = check(&text).unwrap_err();
            assert_eq!((at, error.key), (1, key_to_blame), "{second}");
            assert_eq!(error.to_string(), message);
        }
        for bad in [
            "scopes = []",
            "scopes = [\"all\"]",
            "secret = \"sec_0123456789\"",
            "access_key_id = \"a\"",
            "channels = [\"a*b\"]",
            "expires = \"tomorrow\"",
            "more = 1",
        ] {
            let name = bad.split(' ').next().unwrap();
            let whole = key("a", "").replace(&format!("{name} ="), "#");
            assert!(toml::from_str::<File>(&format!("{whole}{bad}")).is_err());
        }
    }

    #[test]
    fn as_many_as_there_may_be_and_one_more() {
        let many =
            |count: usize| -> String { (0..count).map(|it| key(&format!("k{it}"), "")).collect() };
        assert_eq!(
            check(&many(KEYS_CONFIGURED_MAX)).unwrap().len(),
            KEYS_CONFIGURED_MAX
        );
        let (at, _) = check(&many(KEYS_CONFIGURED_MAX + 1)).unwrap_err();
        assert_eq!(at, KEYS_CONFIGURED_MAX);
    }
}
