//! What `openline.toml` of the folder says that a command does not: where the
//! interface for publishers is, and the texts of keys.
//!
//! It is read once, when something is missing. Keys that a running host has made
//! are in no file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::bail;
use openline_admission::authenticate::now;
use openline_core::config::{Config, Listener, ServerConfig};
use openline_core::key::{KeyTable, Scope};
use openline_core::name::{ChannelName, FunctionName};
use openline_hint::Hinted;

use super::url::{HostUrl, Interface};
use crate::assemble;

/// The configuration that is looked for.
const CONFIG: &str = "openline.toml";

/// The configuration, which is read when something is missing.
pub(super) struct Configured<'a> {
    named: Option<&'a Path>,
    config: Option<Option<Config>>,
}

impl<'a> Configured<'a> {
    pub(super) fn new(named: Option<&'a Path>) -> Self {
        Self {
            named,
            config: None,
        }
    }

    fn path(&self) -> &'a Path {
        self.named.unwrap_or(Path::new(CONFIG))
    }

    /// The configuration; none if none is named and the folder has none.
    fn config(&mut self) -> anyhow::Result<Option<&Config>> {
        let path = self.path();
        if self.config.is_none() {
            let is_there = self.named.is_some() || path.exists();
            let read = is_there.then(|| assemble::read_config(path)).transpose()?;
            self.config = Some(read.map(|read| read.config));
        }
        Ok(self.config.as_ref().and_then(Option::as_ref))
    }

    /// Where the interface for publishers is.
    pub(super) fn url(&mut self) -> anyhow::Result<HostUrl> {
        let path = self.path();
        match self.config()? {
            Some(config) => Ok(url_of(&config.server, path)?),
            None => bail!(Hinted::new(
                "where is the host? this folder has no openline.toml",
                "name the interface for publishers with `--url URL` or OPENLINE_URL; the host says at its start where it is",
            )),
        }
    }

    /// The text of a key that gives a scope on channels.
    pub(super) fn key(
        &mut self,
        scope: Scope,
        channels: &[ChannelName],
        function: Option<&FunctionName>,
    ) -> anyhow::Result<String> {
        let shown = self.path().display().to_string();
        let on = match channels {
            [] => String::new(),
            [channel] => format!(" on `{}`", channel.as_str()),
            [channel, ..] => format!(" on `{}` and the others", channel.as_str()),
        };
        let config = self.config()?;
        let function = function.or_else(|| config?.server.api.function.as_ref());
        let keys = config.map_or(&[][..], |config| &config.keys);
        let mut unread = None;
        for key in keys
            .iter()
            .filter(|key| fits(key, scope, channels, function))
        {
            match openline_control::key_text(key) {
                Ok(text) => return Ok(text),
                Err(error) => {
                    unread.get_or_insert(error);
                }
            }
        }
        let what = match (unread, config) {
            (Some(error), _) => format!("{shown}: {error}"),
            (None, None) => "there is no key".to_owned(),
            (None, Some(_)) => format!("no key of {shown} gives `{scope}`{on}"),
        };
        let hint = format!(
            "give one with OPENLINE_KEY or `--key-file FILE`. `openline keys make NAME --scope {scope}` makes one and shows it once: the host keeps only its hash, so one that is lost has to be made anew"
        );
        bail!(Hinted::new(what, hint))
    }
}

/// Whether a key of the configuration may be what is needed. The host decides.
fn fits(
    key: &KeyTable,
    scope: Scope,
    channels: &[ChannelName],
    function: Option<&FunctionName>,
) -> bool {
    let terms = &key.terms;
    let of_function = match (&terms.functions, function) {
        (Some(functions), Some(function)) => functions.contains(function),
        _ => true,
    };
    let is_on = |name| terms.channels.iter().any(|it| it.matches(name));
    // A pair signs, and has no text.
    key.access_key_id.is_none()
        && terms.scopes.has(scope)
        && !terms.has_expired(now().wall)
        && of_function
        && channels.iter().all(is_on)
}

/// Where a configuration says that the interface is.
fn url_of(server: &ServerConfig, path: &Path) -> Result<HostUrl, Hinted> {
    let shown = path.display();
    let (address, listener) = match (server.api.listen, server.api.hosts.all) {
        (Some(address), _) => (address, Listener::Api),
        (None, true) => (server.listen, Listener::Listen),
        (None, false) => {
            let hosts = server.api.hosts.texts();
            return Err(match hosts.first() {
                None => Hinted::new(
                    format!("{shown} does not turn the interface for publishers on"),
                    "set `listen` in [server.api], and start the host again; or name another host with `--url URL` or OPENLINE_URL",
                ),
                Some(host) => Hinted::new(
                    format!("{shown} has the interface for publishers for some hosts only"),
                    format!(
                        "name one of them with `--url URL` or OPENLINE_URL, as in `--url http://{host}:{}`",
                        server.listen.port()
                    ),
                ),
            });
        }
    };
    if address.port() == 0 {
        return Err(Hinted::new(
            format!("{shown} lets the system choose the port of the interface for publishers"),
            "the host says at its start where it is: name it with `--url URL` or OPENLINE_URL",
        ));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = match server.has_tls(listener) {
        true => "https",
        false => "http",
    };
    let text = format!("{scheme}://{}", SocketAddr::new(ip, address.port()));
    HostUrl::parse(&text, Interface::Publishers)
        .map_err(|error| Hinted::about(error.to_string(), &error))
}

#[cfg(test)]
mod tests {
    use openline_hint::Hint as _;

    use super::*;

    fn of(lines: &str) -> Result<String, String> {
        let text = format!("[server]\ndata = \"data\"\n{lines}");
        let config = Config::parse(&text).unwrap();
        let found = url_of(&config.server, Path::new("openline.toml"));
        found
            .map(|url| url.to_string())
            .map_err(|error| error.explained())
    }

    #[test]
    fn the_address_is_that_of_the_configuration() {
        for (lines, expected) in [
            (
                "[server.api]\nlisten = \"127.0.0.1:8081\"",
                "http://127.0.0.1:8081",
            ),
            (
                "[server.api]\nlisten = \"0.0.0.0:8081\"",
                "http://127.0.0.1:8081",
            ),
            ("[server.api]\nlisten = \"[::]:8081\"", "http://[::1]:8081"),
            (
                "listen = \"127.0.0.1:9\"\n[server.api]\nhosts = [\"*\"]",
                "http://127.0.0.1:9",
            ),
        ] {
            assert_eq!(of(lines).as_deref(), Ok(expected), "{lines}");
        }
        for (lines, words) in [
            ("listen = \"127.0.0.1:9\"", "does not turn"),
            (
                "[server.api]\nlisten = \"127.0.0.1:0\"",
                "lets the system choose",
            ),
            (
                "listen = \"127.0.0.1:9\"\n[server.api]\nhosts = [\"push.example.org\"]",
                "--url http://push.example.org:9",
            ),
        ] {
            let said = of(lines).unwrap_err();
            assert!(said.contains(words) && said.contains("hint: "), "{said}");
        }
    }

    #[test]
    fn a_key_fits_by_scope_channel_function_and_time() {
        let parse = |lines: &str| {
            let text = format!(
                "[server]\ndata = \"data\"\n[[key]]\nname = \"a\"\nscopes = [\"publish\"]\nsecret = \"env:A\"\n{lines}\n"
            );
            Config::parse(&text).unwrap().keys.remove(0)
        };
        let name = |text| ChannelName::new(text).unwrap();
        let function = |text| FunctionName::new(text).unwrap();
        let (news, chat) = ([name("news")], function("chat"));
        let fits = |key: &KeyTable| fits(key, Scope::Publish, &news, Some(&chat));
        assert!(fits(&parse("")));
        assert!(fits(&parse(
            "channels = [\"new*\"]\nfunctions = [\"chat\"]"
        )));
        assert!(!fits(&parse("channels = [\"room:*\"]")));
        assert!(!fits(&parse("functions = [\"other\"]")));
        assert!(!fits(&parse("expires = \"2001-01-01T00:00:00Z\"")));
        assert!(!fits(&parse("access_key_id = \"EXAMPLE0123456789ABC\"")));
        let key = parse("");
        assert!(!super::fits(&key, Scope::Read, &news, None));
        assert!(super::fits(&key, Scope::Publish, &[], None));
        let both = [name("news"), name("room:1")];
        assert!(!super::fits(
            &parse("channels = [\"news\"]"),
            Scope::Publish,
            &both,
            None
        ));
    }
}
