//! The firewall step of admission: the rules of the host's firewall, then those
//! of the trigger's, decide about a request.
//!
//! [`InForce`] is what a table of services has of them: the rules, and the lists
//! that were read last. A request takes one state of both and keeps it. What
//! rules write to the log, and which of them ran, is in [`Seen`]; the gateway
//! writes it with the id of the request. Bounded by the numbers of rules and
//! behaviours; nothing is allocated for a request that no firewall is for.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use openline_core::config::ServerConfig;
use openline_core::name::FunctionName;
pub use openline_firewall::Answer;
use openline_firewall::evaluation::{Decision, Effects, Evaluation, Step, Verdict};
use openline_firewall::request::{Certificate, Claims, Request, Tls, Verification};
use openline_firewall::rules::{FirewallId, Firewalls};
use openline_firewall::trace::Ran;
use parking_lot::RwLock;

use crate::normalise::Normal;
use crate::peer::{Peer, TlsFacts};
use crate::refusal::Refusal;

/// The firewalls of a configuration, with the lists that were read last.
#[derive(Debug, Default)]
pub struct InForce {
    firewalls: RwLock<Firewalls>,
    /// The one that every request has to pass.
    host: Option<FirewallId>,
    /// Whether there is none of that name: then no request passes.
    is_missing: bool,
}

/// The firewalls that a request has to pass, with one state of their lists.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    firewalls: Firewalls,
    /// The host's and the trigger's.
    ids: [Option<FirewallId>; 2],
    is_missing: bool,
}

/// How a firewall ends a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// A rule denies it, with this answer.
    #[error("the firewall refuses this request")]
    Deny(Box<Answer>),
    /// A rule closes the connection, or over HTTP/2 the stream, without an
    /// answer.
    #[error("the firewall drops this request")]
    Drop,
    /// Too many such requests came; one may pass after this time.
    #[error("too many requests: try again later")]
    Limit(Duration),
    /// A rule answers it.
    #[error("the firewall answers this request")]
    Respond(Box<Answer>),
    /// A function had to decide, and did not.
    #[error("the firewall cannot decide about this request")]
    Failed,
}

/// What firewalls did about a request, for the log.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The rules that log, as people read them.
    pub logged: Vec<String>,
    /// The rules that ran, if a firewall has `debug_rules`.
    pub ran: Option<Ran>,
    /// The rule that ended the request.
    pub by: Option<String>,
}

/// What firewalls change about the headers that a function gets.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Names that rules may set: those of the peer are removed, whichever rules
    /// ran.
    removed: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
}

/// A request on its way through its firewalls.
pub(crate) struct Check<'a> {
    /// `None` if no firewall is for it.
    evaluation: Option<Evaluation<'a>>,
    chosen: Option<&'a Chosen>,
    request: Request<'a>,
    now: Duration,
}

/// Where a check stops.
pub(crate) enum Next {
    /// The request passes.
    Passed(Edits),
    /// The next rule needs the claims of the peer: the steps up to
    /// authentication come first.
    Authenticate,
}

// === impl InForce ===

impl InForce {
    /// The firewalls of a configuration. It has been checked that there is one of
    /// the name that its `[server]` has; without it, no request passes.
    pub(crate) fn of(config: &ServerConfig, firewalls: Firewalls) -> Arc<Self> {
        let name = config.firewall.as_deref();
        let host = name.and_then(|name| firewalls.find(name));
        Arc::new(Self {
            host,
            is_missing: name.is_some() && host.is_none(),
            firewalls: RwLock::new(firewalls),
        })
    }

    /// The firewalls with their lists. Cheap.
    pub fn current(&self) -> Firewalls {
        self.firewalls.read().clone()
    }

    /// Takes lists that were read again, if they belong to the same rules.
    /// Returns whether they do.
    pub(crate) fn put(&self, read: Firewalls) -> bool {
        let mut firewalls = self.firewalls.write();
        let same = Arc::ptr_eq(firewalls.rules(), read.rules());
        // What was there is dropped without the lock: a list may be large.
        let before = same.then(|| std::mem::replace(&mut *firewalls, read));
        drop(firewalls);
        drop(before);
        same
    }

    /// Those that a request has to pass, of which one is its trigger's.
    pub(crate) fn choose(&self, trigger: Option<FirewallId>) -> Option<Chosen> {
        if self.host.is_none() && trigger.is_none() && !self.is_missing {
            return None;
        }
        Some(Chosen {
            firewalls: self.current(),
            ids: [self.host, trigger],
            is_missing: self.is_missing,
        })
    }
}

impl Chosen {
    fn ids(&self) -> impl Iterator<Item = FirewallId> {
        self.ids.iter().copied().flatten()
    }
}

// === impl Check ===

impl<'a> Check<'a> {
    /// Begins. `now` is the time since a fixed moment; `scheme` is how peers
    /// reach the host.
    pub(crate) fn new(
        chosen: Option<&'a Chosen>,
        (normal, parts): (&'a Normal, &'a Parts),
        (method, scheme): (&'a str, &'a str),
        peer: &'a Peer,
        now: Duration,
    ) -> Self {
        let evaluation = chosen.map(|chosen| {
            let [host, trigger] = chosen.ids;
            Evaluation::new(&chosen.firewalls, host, trigger)
        });
        let request = Request {
            peer: peer.ip().to_canonical(),
            peer_is_unnamed: peer.is_unnamed(),
            peer_port: peer.port().filter(|_| !peer.is_unnamed()),
            method,
            scheme,
            host: normal.host(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
            tls: peer.tls().map(|facts| tls(facts)),
            claims: Claims::Pending,
        };
        Self {
            evaluation,
            chosen,
            request,
            now,
        }
    }

    /// Runs the rules up to the next step that is not theirs, and asks the
    /// functions that have to decide.
    ///
    /// # Errors
    ///
    /// When a rule ends the request.
    pub(crate) async fn run(
        &mut self,
        claims: Claims<'_>,
        seen: &mut Seen,
    ) -> Result<Next, Refusal> {
        let (Some(evaluation), Some(chosen)) = (&mut self.evaluation, self.chosen) else {
            return Ok(Next::Passed(Edits::default()));
        };
        if chosen.is_missing {
            return Err(Refusal::Firewall(Stopped::Failed));
        }
        let request = Request {
            claims,
            ..self.request
        };
        if seen.ran.is_none() && chosen.ids().any(|id| chosen.firewalls.debug_rules(id)) {
            seen.ran = Some(Ran::default());
        }
        let Decision { verdict, by } = loop {
            let step = match &mut seen.ran {
                Some(ran) => evaluation.run(&request, self.now, ran),
                None => evaluation.run(&request, self.now, &mut ()),
            };
            seen.note(evaluation.effects());
            match step {
                Step::Authenticate => return Ok(Next::Authenticate),
                Step::Run(function) => {
                    if let Err(stopped) = ask(function, &request).await {
                        seen.by = Some(format!("function `{function}`"));
                        return Err(Refusal::Firewall(stopped));
                    }
                }
                Step::Decided(decision) => break decision,
            }
        };
        let stopped = match verdict {
            Verdict::Pass => return Ok(Next::Passed(Edits::new(chosen, evaluation.effects()))),
            Verdict::Deny(answer) => Stopped::Deny(Box::new(answer.clone())),
            Verdict::Drop => Stopped::Drop,
            Verdict::Limit(wait) => Stopped::Limit(wait),
            Verdict::Respond(answer) => Stopped::Respond(Box::new(answer.clone())),
        };
        seen.by = by.map(|rule| rule.to_string());
        Err(Refusal::Firewall(stopped))
    }
}

/// Asks a function about a request; the rules continue if it allows it. So far
/// none can be asked: the host refuses a configuration with such a rule, and if
/// there is one all the same, the request does not pass.
///
/// # Errors
///
/// What ends the request.
async fn ask(_function: &FunctionName, _request: &Request<'_>) -> Result<(), Stopped> {
    Err(Stopped::Failed)
}

impl Seen {
    fn note(&mut self, effects: &Effects<'_>) {
        let logged = effects.logged.iter();
        self.logged = logged.map(ToString::to_string).collect();
    }
}

impl Edits {
    fn new(chosen: &Chosen, effects: &Effects<'_>) -> Self {
        let removed = chosen.ids().flat_map(|id| chosen.firewalls.headers(id));
        let mut set: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in &effects.headers {
            // The last one of a name counts.
            set.retain(|(other, _)| other != *name);
            set.push(((*name).clone(), (*value).clone()));
        }
        Self {
            removed: removed.cloned().collect(),
            set,
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.set.is_empty()
    }

    /// Changes the headers of a request.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.removed {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }
}

/// The facts of a handshake, in the words of rules. A client whose certificate
/// is not valid does not get this far.
fn tls(facts: &TlsFacts) -> Tls<'_> {
    let client = facts.client.as_ref();
    Tls {
        protocol: facts.version.nginx_name(),
        server_name: facts.server_name.as_deref(),
        verification: match client {
            Some(_) => Verification::Success,
            None => Verification::Missing,
        },
        client: client.map(|client| Certificate {
            subject: &client.subject,
            issuer: &client.issuer,
            serial: &client.serial,
            fingerprint: &client.fingerprint,
        }),
    }
}
