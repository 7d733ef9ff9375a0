//! The rules of `[function.outbound]`: what a function may call.

use openline_hint::Hint;
use toml::Spanned;

use super::validate::Check;
use crate::outbound::{
    OUTBOUND_HOSTS_MAX, OUTBOUND_ROOTS_MAX, OutboundConfig, OutboundRule, OutboundRules,
    OutboundWritten,
};

impl Check<'_> {
    /// Reads what a function may call.
    pub(super) fn outbound(&mut self, written: OutboundWritten) -> OutboundConfig {
        let hosts = written.hosts.map(Spanned::into_inner).unwrap_or_default();
        if let Some(past) = hosts.get(OUTBOUND_HOSTS_MAX) {
            let message = format!("`hosts` has more than {OUTBOUND_HOSTS_MAX} entries");
            let hint = "an entry such as \"*.example.org\" stands for many";
            self.error(Some(past.span()), &message, hint);
        }
        let mut rules = Vec::new();
        for entry in hosts {
            let host = entry.get_ref();
            match OutboundRule::new(&host.host, host.private) {
                Ok(rule) => rules.push(rule),
                Err(error) => {
                    let hint = error.hint().unwrap_or_default().into_owned();
                    self.error(Some(entry.span()), &error.to_string(), &hint);
                }
            }
        }
        let roots = written.roots.map(Spanned::into_inner).unwrap_or_default();
        if let Some(past) = roots.get(OUTBOUND_ROOTS_MAX) {
            let message = format!("`roots` has more than {OUTBOUND_ROOTS_MAX} files");
            let hint = "one file may hold many certificates";
            self.error(Some(past.span()), &message, hint);
        }
        if let Some(empty) = roots.iter().find(|it| it.get_ref().as_os_str().is_empty()) {
            let hint = "name the file of an authority's certificate, in PEM";
            self.error(Some(empty.span()), "a path of `roots` is empty", hint);
        }
        OutboundConfig {
            rules: OutboundRules::new(rules),
            roots: roots.into_iter().map(Spanned::into_inner).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigError};

    fn parse(outbound: &str) -> Result<OutboundConfig, Vec<ConfigError>> {
        let text = format!(
            "[[function]]\nname = \"f\"\nroute = \"/f\"\n[function.outbound]\n{outbound}\n"
        );
        Config::parse(&text).map(|mut it| it.functions.remove(0).outbound)
    }

    fn list(count: usize, entry: impl Fn(usize) -> String) -> String {
        let entries: Vec<_> = (0..count).map(|at| format!("{:?}", entry(at))).collect();
        entries.join(",")
    }

    #[test]
    fn nothing_may_be_called_unless_it_is_said() {
        assert_eq!(parse("").unwrap(), OutboundConfig::default());
        let hosts = "hosts = [\"api.example.org\", { host = \"*.internal:8443\", private = true }, { host = \"b\" }]";
        let config = parse(&format!("{hosts}\nroots = [\"ca.pem\"]")).unwrap();
        let shown: Vec<_> = config
            .rules
            .iter()
            .map(|rule| (rule.to_string(), rule.is_private()))
            .collect();
        let entry = |text: &str, private| (text.to_owned(), private);
        let expected = [
            entry("api.example.org", false),
            entry("*.internal:8443", true),
            entry("b", false),
        ];
        assert_eq!(shown, expected);
        assert_eq!(config.roots, [std::path::PathBuf::from("ca.pem")]);
    }

    #[test]
    fn lists_are_bounded() {
        for (count, fits) in [(OUTBOUND_HOSTS_MAX, true), (OUTBOUND_HOSTS_MAX + 1, false)] {
            let hosts = list(count, |at| format!("h{at}.example"));
            assert_eq!(parse(&format!("hosts = [{hosts}]")).is_ok(), fits);
        }
        for (count, fits) in [(OUTBOUND_ROOTS_MAX, true), (OUTBOUND_ROOTS_MAX + 1, false)] {
            let roots = list(count, |at| format!("{at}.pem"));
            assert_eq!(parse(&format!("roots = [{roots}]")).is_ok(), fits);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_a_hint() {
        for (outbound, message, hint) in [
            (
                "hosts = [\"a\",\n\"a b\"]",
                "`a b` is not a host",
                "write a host",
            ),
            (
                "hosts = [\n{ host = \"*\", private = true }]",
                "`private` is for names",
                "10.0.0.0/8",
            ),
            ("\nroots = [\"\"]", "empty", "PEM"),
        ] {
            let errors = parse(outbound).unwrap_err();
            let [error] = &errors[..] else {
                panic!("{errors:?}")
            };
            assert_eq!(error.line, 6, "{error}");
            assert!(error.message.contains(message), "{error}");
            assert!(error.hint.contains(hint), "{error}");
        }
        for wrong in [
            "hosts = \"a\"",
            "hosts = [1]",
            "hosts = [{ name = \"a\" }]",
            "hosts = [{ host = \"a\", private = 1 }]",
            "hosts = [{ host = \"a\", other = 1 }]",
            "hosts = [{}]",
            "roots = \"ca.pem\"",
            "redirects = true",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
