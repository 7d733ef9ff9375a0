//! Requests and firewalls for tests.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::config::ConfigError;
use openline_firewall::Others;
use openline_firewall::evaluation::{Evaluation, Outcome, Step};
use openline_firewall::request::{Claims, Request, Tls};
use openline_firewall::rules::{Firewalls, Rules};
use serde_json::{Map, Value};

/// A request that owns its facts.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) peer: String,
    pub(crate) is_unnamed: bool,
    pub(crate) method: String,
    pub(crate) host: Option<String>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) tls: Option<Tls<'static>>,
    pub(crate) claims: Option<Map<String, Value>>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            peer: "192.0.2.1".into(),
            is_unnamed: false,
            method: "GET".into(),
            host: None,
            path: "/".into(),
            query: None,
            headers: HeaderMap::new(),
            tls: None,
            claims: None,
        }
    }
}

impl Asked {
    pub(crate) fn at(path: &str) -> Self {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path, None),
        };
        Self {
            path: path.into(),
            query,
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).unwrap();
        self.headers
            .append(HeaderName::try_from(name).unwrap(), value);
        self
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.peer = peer.into();
        self
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            peer: self.peer.parse().unwrap(),
            peer_is_unnamed: self.is_unnamed,
            peer_port: Some(40_000),
            method: &self.method,
            scheme: "https",
            host: self.host.as_deref(),
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            tls: self.tls,
            claims: self
                .claims
                .as_ref()
                .map_or(Claims::Absent, Claims::Verified),
        }
    }
}

pub(crate) fn no_files(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

pub(crate) fn errors(text: &str) -> Vec<ConfigError> {
    Rules::parse(text, Others::Refuse).unwrap_err()
}

pub(crate) fn firewalls(text: &str) -> Firewalls {
    let rules = Rules::parse(text, Others::Refuse).unwrap_or_else(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        panic!("{}\n{text}", errors.join("\n"))
    });
    Firewalls::load(Arc::new(rules), no_files).unwrap()
}

/// A firewall named `f` with one rule named `r`, which denies.
pub(crate) fn denying(criteria: &str) -> Firewalls {
    firewalls(&format!(
        "[[firewall]]\nname = \"f\"\n[[firewall.rule]]\nname = \"r\"\ncriteria = [{criteria}]\nbehaviors = [\"deny\"]"
    ))
}

/// What happens to a request: `pass`, or the outcome and its rule.
pub(crate) fn decided(firewalls: &Firewalls, asked: &Asked) -> String {
    decided_at(firewalls, asked, Duration::ZERO)
}

pub(crate) fn decided_at(firewalls: &Firewalls, asked: &Asked, now: Duration) -> String {
    let id = firewalls.find("f").unwrap();
    let mut evaluation = Evaluation::new(firewalls, None, Some(id));
    let Step::Decided(decision) = evaluation.run(&asked.request(), now, &mut ()) else {
        panic!("the evaluation stopped before its end");
    };
    let outcome = match decision.outcome {
        Outcome::Pass => "pass".into(),
        Outcome::Deny(answer) => format!("deny {}", answer.status.as_u16()),
        Outcome::Drop => "drop".into(),
        Outcome::Limit(wait) => format!("limit {wait:?}"),
        Outcome::Respond(answer) => format!("respond {}", answer.status.as_u16()),
        Outcome::Refuse(unclear) => format!("refuse: {unclear}"),
    };
    match decision.by {
        Some(rule) => format!("{outcome} by {}/{}", rule.firewall, rule.rule),
        None => outcome,
    }
}

/// Whether criteria hold for a request.
pub(crate) fn holds(criteria: &str, asked: &Asked) -> bool {
    decided(&denying(criteria), asked) != "pass"
}
