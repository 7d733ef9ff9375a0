//! The rules for `[[key]]`, the tables of API keys, and what is allowed there
//! and probably not meant.

use openline_hint::{Hint, Hinted};
use toml::Spanned;

use super::validate::Check;
use crate::authentication::UnixTime;
use crate::key::{KeyTable, KeyTerms, KeyWritten};
use crate::name::FunctionName;

impl Check<'_> {
    /// Reads the keys. An error points at its table.
    pub(super) fn keys(&mut self, written: Vec<Spanned<KeyWritten>>) -> Vec<KeyTable> {
        let spans: Vec<_> = written.iter().map(Spanned::span).collect();
        let written = written.into_iter().map(Spanned::into_inner).collect();
        KeyTable::check_all(written).unwrap_or_else(|(at, error)| {
            let hint = error.hint().unwrap_or_default();
            let span = spans.get(at).cloned();
            self.error(span, &error.to_string(), &hint);
            Vec::new()
        })
    }
}

/// Warns about keys that nobody can use: those that have expired, and those for
/// functions that are not there.
pub fn key_warnings<'a>(
    keys: impl IntoIterator<Item = &'a KeyTerms>,
    functions: &[FunctionName],
    now: UnixTime,
) -> Vec<Hinted> {
    let mut warnings = Vec::new();
    for key in keys {
        let name = &key.name;
        if key.has_expired(now) {
            let what = format!("the key `{name}` has expired");
            let hint = "remove it, or give it a later `expires`";
            warnings.push(Hinted::new(what, hint));
        }
        let named = key.functions.iter().flatten();
        for function in named.filter(|it| !functions.contains(it)) {
            let what =
                format!("the key `{name}` is for the function `{function}`, which is not there");
            let hint = "look for a typing error in its `functions`, or deploy the function";
            warnings.push(Hinted::new(what, hint));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const FUNCTION: &str = "[[function]]\nname = \"chat\"\nroute = \"/chat\"\n";

    fn parse(key: &str) -> Result<Config, Vec<crate::config::ConfigError>> {
        let head = "[[key]]\nname = \"k\"\nscopes = [\"publish\"]\nsecret = \"env:K\"\n";
        Config::parse(&format!("{FUNCTION}{head}{key}"))
    }

    #[test]
    fn a_key_of_the_file_is_read_and_an_error_has_the_line_of_its_table() {
        let config = parse("functions = [\"chat\"]").unwrap();
        assert_eq!(config.keys.len(), 1);
        assert_eq!(config.keys[0].terms.name.as_str(), "k");
        let errors = parse("channels = []").unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].line, &*errors[0].source), (4, "[[key]]"));
        // A secret that was written there by mistake is not shown.
        let text = FUNCTION.to_owned()
            + "[[key]]\nname = \"k\"\nscopes = [\"publish\"]\nsecret = \"sec_0123456789abcdef\"\n";
        let errors = Config::parse(&text).unwrap_err();
        assert!(!errors[0].to_string().contains("sec_0"), "{}", errors[0]);
    }

    #[test]
    fn a_key_that_nobody_can_use_is_warned_of() {
        let warned = |key: &str| -> Vec<String> {
            let config = parse(key).unwrap();
            let functions: Vec<_> = config.functions.iter().map(|it| it.name.clone()).collect();
            let keys = config.keys.iter().map(|it| &it.terms);
            let warnings = key_warnings(keys, &functions, UnixTime(1_795_809_600));
            assert!(warnings.iter().all(|it| it.hint().is_some()));
            warnings.iter().map(ToString::to_string).collect()
        };
        assert!(warned("functions = [\"chat\"]").is_empty());
        assert!(warned("expires = \"2026-11-27T20:00:01Z\"").is_empty());
        assert_eq!(
            warned("expires = \"2026-11-27T20:00:00Z\""),
            ["the key `k` has expired"]
        );
        assert_eq!(
            warned("functions = [\"chat\", \"caht\"]"),
            ["the key `k` is for the function `caht`, which is not there"]
        );
    }
}
