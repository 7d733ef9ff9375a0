//! All entries of `hosts`, and what they allow together.

use std::net::IpAddr;

use super::destination::{Destination, Host};
use super::rule::OutboundRule;

/// What a function may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundRules(Vec<OutboundRule>);

/// A host that may be called: which of its addresses.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    rules: &'a [OutboundRule],
    to: &'a Destination,
}

impl OutboundRules {
    /// These entries.
    pub fn new(rules: Vec<OutboundRule>) -> Self {
        Self(rules)
    }

    /// Whether the function may call nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = &OutboundRule> {
        self.0.iter()
    }

    /// Whether a destination may be called at all; `None` if no entry lists it. A
    /// name for which there is none must not even be looked up: who runs its DNS
    /// could read there what a function has to hide.
    pub fn grant<'a>(&'a self, to: &'a Destination) -> Option<Grant<'a>> {
        let listed = self.0.iter().any(|rule| rule.lists(to));
        listed.then_some(Grant { rules: &self.0, to })
    }
}

impl Grant<'_> {
    /// Whether the host may have this address. A name that is listed may have
    /// public ones; private ones, if its entry says so; and any that an entry of
    /// the same scheme and port lists.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.rules.iter().any(|rule| {
            let is_listed = rule.is_for(self.to.scheme, self.to.port) && rule.has(address);
            match &self.to.host {
                Host::Name(_) => {
                    is_listed || (rule.lists(self.to) && rule.lets_names_have(address))
                }
                Host::Address(it) => {
                    *it == address.to_canonical() && (is_listed || rule.lists(self.to))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outbound::{AddressKind, Scheme, kind_of};

    fn rules(entries: &[&str]) -> OutboundRules {
        let rule = |entry: &&str| match entry.strip_prefix("private ") {
            Some(entry) => OutboundRule::new(entry, true).unwrap(),
            None => OutboundRule::new(entry, false).unwrap(),
        };
        OutboundRules::new(entries.iter().map(rule).collect())
    }

    fn to(url: &str) -> Destination {
        let (scheme, rest) = url.split_once("://").unwrap();
        let scheme = match scheme {
            "http" => Scheme::Http,
            _ => Scheme::Https,
        };
        Destination::parse(scheme, rest).unwrap()
    }

    fn lists(entry: &str, url: &str) -> bool {
        rules(&[entry]).grant(&to(url)).is_some()
    }

    #[test]
    fn nothing_is_allowed_without_an_entry() {
        let none = OutboundRules::default();
        assert!(none.is_empty());
        for url in ["https://example.org", "http://127.0.0.1", "https://1.1.1.1"] {
            assert!(none.grant(&to(url)).is_none(), "{url}");
        }
    }

    #[test]
    fn an_entry_is_for_its_scheme_its_host_and_its_port() {
        for (entry, url, expected) in [
            ("a.example", "https://a.example", true),
            ("a.example", "http://a.example", true),
            ("a.example", "https://A.Example.", true),
            ("a.example", "https://a.example:8443", false),
            ("a.example", "http://a.example:443", false),
            ("a.example", "https://a.example:80", false),
            ("a.example", "https://b.a.example", false),
            ("a.example", "https://a.example.evil.example", false),
            ("a.example", "https://xa.example", false),
            ("a.example:8443", "https://a.example:8443", true),
            ("a.example:8443", "http://a.example:8443", true),
            ("a.example:8443", "https://a.example", false),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "http://a.example:443", false),
            ("http://a.example:8443", "https://a.example:8443", false),
            ("*.example", "https://a.example", true),
            ("*.example", "https://a.b.example", true),
            ("*.example", "https://example", false),
            ("*.example", "https://aexample", false),
            ("*", "https://a.example", true),
            ("*", "https://1.1.1.1", true),
            ("*", "https://127.0.0.1", false),
            ("*", "https://[::1]", false),
            ("*", "https://[::ffff:127.0.0.1]", false),
            ("*", "https://169.254.169.254", false),
            ("*", "https://a.example:8443", false),
            ("*:8443", "https://a.example:8443", true),
            ("10.0.0.0/8", "http://10.1.2.3", true),
            ("10.0.0.0/8", "http://[::ffff:10.1.2.3]", true),
            ("10.0.0.0/8", "http://11.1.2.3", false),
            ("10.0.0.0/8", "http://a.example", false),
            ("127.0.0.1", "http://localhost", false),
            ("localhost", "http://127.0.0.1", false),
            ("[::1]", "http://[::1]", true),
            ("1.1.1.1", "https://1.1.1.1", true),
            // A wide network does not mean the address of metadata.
            ("169.254.0.0/16", "http://169.254.1.1", true),
            ("169.254.0.0/16", "http://169.254.169.254", false),
            ("169.254.169.254", "http://169.254.169.254", true),
            ("[fd00::/8]", "http://[fd00:ec2::254]", false),
        ] {
            assert_eq!(lists(entry, url), expected, "{entry} for {url}");
        }
    }

    #[test]
    fn a_name_has_only_the_addresses_that_its_entries_allow() {
        for (entries, address, expected) in [
            (&["a.example"][..], "1.1.1.1", true),
            (&["a.example"], "2606:4700::1111", true),
            (&["a.example"], "127.0.0.1", false),
            (&["a.example"], "::ffff:127.0.0.1", false),
            (&["a.example"], "10.0.0.1", false),
            (&["a.example"], "169.254.169.254", false),
            (&["a.example"], "64:ff9b::7f00:1", false),
            (&["a.example"], "0.0.0.0", false),
            (&["*"], "10.0.0.1", false),
            (&["private a.example"], "10.0.0.1", true),
            (&["private a.example"], "127.0.0.1", true),
            (&["private a.example"], "::1", true),
            (&["private a.example"], "1.1.1.1", true),
            (&["private a.example"], "169.254.1.1", false),
            (&["private a.example"], "169.254.169.254", false),
            (&["private a.example"], "100.100.100.200", false),
            (&["private a.example"], "fd00:ec2::254", false),
            (&["private a.example"], "224.0.0.1", false),
            // Of another name, scheme or port.
            (&["a.example", "private b.example"], "10.0.0.1", false),
            (
                &["a.example", "private http://a.example"],
                "10.0.0.1",
                false,
            ),
            (&["a.example", "private a.example:80"], "10.0.0.1", false),
            (&["a.example", "private *.example"], "10.0.0.1", true),
            // By an entry for the address.
            (&["a.example", "10.0.0.0/8"], "10.0.0.1", true),
            (&["a.example", "10.0.0.0/8"], "::ffff:10.0.0.1", true),
            (&["a.example", "10.0.0.0/8"], "11.0.0.1", true),
            (&["a.example", "10.0.0.0/8"], "127.0.0.1", false),
            (&["a.example", "10.0.0.0/8:8443"], "10.0.0.1", false),
            (&["a.example", "http://10.0.0.0/8"], "10.0.0.1", false),
            (&["a.example", "169.254.169.254"], "169.254.169.254", true),
        ] {
            let rules = rules(entries);
            let to = to("https://a.example");
            let grant = rules.grant(&to).unwrap();
            let found = grant.allows(address.parse().unwrap());
            assert_eq!(found, expected, "{entries:?} for {address}");
        }
    }

    #[test]
    fn an_address_is_only_itself() {
        let rules = rules(&["10.0.0.0/8", "*"]);
        let to = to("http://10.0.0.1");
        let grant = rules.grant(&to).unwrap();
        assert!(grant.allows("10.0.0.1".parse().unwrap()));
        assert!(grant.allows("::ffff:10.0.0.1".parse().unwrap()));
        assert!(!grant.allows("10.0.0.2".parse().unwrap()));
        assert!(!grant.allows("1.1.1.1".parse().unwrap()));
    }

    proptest! {
        /// Whatever a name resolves to: without a word about private addresses,
        /// only public ones are dialled.
        #[test]
        fn names_lead_to_public_addresses_only(bits: u128, is_v4: bool, wildcard: bool) {
            let address = if is_v4 {
                IpAddr::from(u32::try_from(bits & 0xffff_ffff).unwrap().to_be_bytes())
            } else {
                IpAddr::from(bits.to_be_bytes())
            };
            let rules = rules(&[if wildcard { "*" } else { "a.example" }]);
            let to = to("https://a.example");
            let grant = rules.grant(&to).unwrap();
            prop_assert_eq!(grant.allows(address), kind_of(address) == AddressKind::Public);
        }

        /// Reading never panics, and what is read is shown so that it is read
        /// again as the same.
        #[test]
        fn entries_survive_being_shown(text in "(https?://)?[a-z0-9*.:/\\[\\]@x-]{0,24}") {
            if let Ok(rule) = OutboundRule::new(&text, false) {
                prop_assert_eq!(OutboundRule::new(&rule.to_string(), false), Ok(rule));
            }
            let _ = Destination::parse(Scheme::Http, &text);
        }
    }
}
