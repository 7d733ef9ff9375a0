//! The firewall step of admission: the rules of the host's firewall, then those
//! of the trigger's, decide about a request.
//!
//! [`InForce`] is what a table of services has of them: the rules, and the lists
//! that were read last. A request takes one state of both and keeps it. What
//! rules write to the log, and which of them ran, is in [`Seen`]; the gateway
//! writes it with the id of the request. Bounded by the numbers of rules and
//! behaviours; nothing is allocated for a request that no firewall is for.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use openline_core::alias::are_header_aliases;
use openline_core::config::ServerConfig;
use openline_core::event::Headers;
use openline_core::inspection::Inspection;
use openline_core::limits::REQUEST_HEADERS_MAX;
use openline_core::name::{FunctionName, TriggerName};
use openline_core::trigger::TriggerPlace;
pub use openline_firewall::Answer;
use openline_firewall::evaluation::{Decision, Effects, Evaluation, Outcome, Step, Unclear};
use openline_firewall::function::{BadVerdict, FunctionRef, Ruling};
use openline_firewall::request::one_names;
use openline_firewall::request::{Certificate, Claims, Request, Tls, Verification};
use openline_firewall::rules::{FirewallId, Firewalls};
use openline_firewall::trace::Ran;
use parking_lot::RwLock;

use crate::inspectors::{Inspectors, Undecided};
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
    /// A rule compares a key of the query or a cookie that occurs more than once.
    #[error("a key of the query or a cookie occurs more than once: send it once")]
    Repeated,
    /// To compare it with the rules is too much work.
    #[error("the request takes too long to check: send shorter headers and a shorter query")]
    Work,
    /// A function had to decide, and did not. The log says more.
    #[error("the firewall cannot decide about this request: try again later")]
    Failed(Box<Undecided>),
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
    /// Why that rule cannot tell whether it is for the request.
    pub why: Option<String>,
}

/// What firewalls and their functions change about the headers that a function
/// gets.
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
    /// The headers by the names under which rules compare them, if they are not
    /// so already.
    renamed: Option<HeaderMap>,
    now: Duration,
}

/// What a firewall function is told about a request, beside what rules see.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) inspectors: &'a Inspectors,
    pub(crate) normal: &'a Normal,
    pub(crate) peer: &'a Peer,
    /// The id of the request.
    pub(crate) id: &'a (dyn Display + Sync),
    /// The trigger that takes it, and that trigger's function.
    pub(crate) led: Option<(&'a TriggerName, &'a FunctionName)>,
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
            renamed: chosen.and_then(|_| one_names(&parts.headers)),
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
    /// When a rule or a function ends the request.
    pub(crate) async fn run(
        &mut self,
        claims: Claims<'_>,
        told: Told<'_>,
        seen: &mut Seen,
    ) -> Result<Next, Refusal> {
        let (Some(evaluation), Some(chosen)) = (&mut self.evaluation, self.chosen) else {
            return Ok(Next::Passed(Edits::default()));
        };
        if chosen.is_missing {
            let missing = Stopped::Failed(Box::new(Undecided::Host));
            return Err(Refusal::Firewall(missing));
        }
        let request = Request {
            claims,
            headers: self.renamed.as_ref().unwrap_or(self.request.headers),
            ..self.request
        };
        if seen.ran.is_none() && chosen.ids().any(|id| chosen.firewalls.debug_rules(id)) {
            seen.ran = Some(Ran::default());
        }
        let Decision { outcome, by } = loop {
            let step = match &mut seen.ran {
                Some(ran) => evaluation.run(&request, self.now, ran),
                None => evaluation.run(&request, self.now, &mut ()),
            };
            seen.note(evaluation.effects());
            match step {
                Step::Authenticate => return Ok(Next::Authenticate),
                // Other requests of this thread have their turn.
                Step::Pause => tokio::task::yield_now().await,
                Step::Run(function) => {
                    let edits = Edits::new(chosen, evaluation.effects());
                    // Rules have one spelling of a header's name. A function gets
                    // the headers that the other one will get.
                    let shown = Request {
                        headers: self.request.headers,
                        ..request
                    };
                    let inspection = told.inspection(&shown, &edits);
                    let ruling = told.inspectors.ask(function, inspection).await;
                    seen.note_verdict(function, &ruling);
                    evaluation.set_headers(allowed(ruling)?);
                    // Rules and functions together may set as many as a
                    // function by itself.
                    let count = evaluation.effects().headers.len();
                    if count > REQUEST_HEADERS_MAX {
                        let undecided = BadVerdict::HeaderCount { count }.into();
                        let failed = Stopped::Failed(Box::new(undecided));
                        return Err(Refusal::Firewall(failed));
                    }
                }
                Step::Decided(decision) => break decision,
            }
        };
        let stopped = match outcome {
            Outcome::Pass => return Ok(Next::Passed(Edits::new(chosen, evaluation.effects()))),
            Outcome::Deny(answer) => Stopped::Deny(Box::new(answer.clone())),
            Outcome::Drop => Stopped::Drop,
            Outcome::Limit(wait) => Stopped::Limit(wait),
            Outcome::Respond(answer) => Stopped::Respond(Box::new(answer.clone())),
            Outcome::Refuse(unclear) => {
                seen.why = Some(unclear.to_string());
                match unclear {
                    Unclear::Repeated(_) => Stopped::Repeated,
                    Unclear::Work => Stopped::Work,
                }
            }
        };
        seen.by = by.map(|rule| rule.to_string());
        Err(Refusal::Firewall(stopped))
    }
}

/// The headers that a function sets if it allows the request.
///
/// # Errors
///
/// When it ends the request, or has failed.
fn allowed(ruling: Result<Ruling, Undecided>) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
    let stopped = match ruling {
        Ok(Ruling::Allow(headers)) => return Ok(headers),
        Ok(Ruling::Deny(answer)) => Stopped::Deny(Box::new(answer)),
        Ok(Ruling::Drop) => Stopped::Drop,
        Ok(Ruling::Respond(answer)) => Stopped::Respond(Box::new(answer)),
        Err(undecided) => Stopped::Failed(Box::new(undecided)),
    };
    Err(Refusal::Firewall(stopped))
}

impl Told<'_> {
    /// A request for a function, with the changes that rules and functions have
    /// made so far.
    fn inspection(&self, request: &Request<'_>, edits: &Edits) -> Inspection {
        Inspection {
            method: request.method.to_owned(),
            scheme: request.scheme.to_owned(),
            host: request.host.map(str::to_owned),
            path: request.path.to_owned(),
            query: request.query.map(str::to_owned),
            headers: self.headers(request.headers, edits),
            peer: request.peer,
            peer_port: request.peer_port,
            tls: self.peer.tls().cloned(),
            id: self.id.to_string(),
            target: self.led.map(|(trigger, function)| TriggerPlace {
                function: function.clone(),
                trigger: trigger.clone(),
            }),
            claims: match request.claims {
                Claims::Verified(claims) => serde_json::to_string(claims).ok(),
                Claims::Pending | Claims::Absent => None,
            },
        }
    }

    /// The headers that the trigger's function would get, before authentication
    /// changes some: the host in its one spelling, which HTTP/2 has in the
    /// target, and the others with their edits.
    fn headers(&self, headers: &HeaderMap, edits: &Edits) -> Headers {
        let edited = (!edits.is_empty()).then(|| {
            let mut edited = headers.clone();
            edits.apply(&mut edited);
            edited
        });
        let headers = edited.as_ref().unwrap_or(headers);
        let host = self.normal.authority();
        let host = host.map(|it| (HOST.as_str().to_owned(), it.to_string().into_bytes()));
        let others = headers.iter().filter(|(name, _)| *name != HOST);
        let others = others.map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
        host.into_iter().chain(others).collect()
    }
}

impl Seen {
    fn note(&mut self, effects: &Effects<'_>) {
        let logged = effects.logged.iter();
        self.logged = logged.map(ToString::to_string).collect();
    }

    fn note_verdict(&mut self, function: &FunctionRef, ruling: &Result<Ruling, Undecided>) {
        let verdict = match ruling {
            Ok(ruling) => ruling.label(),
            Err(_) => "failed",
        };
        if let Some(ran) = &mut self.ran {
            ran.note_verdict(function, verdict);
        }
        if !matches!(ruling, Ok(Ruling::Allow(_))) {
            self.by = Some(format!("function `{function}`"));
        }
    }
}

impl Edits {
    fn new(chosen: &Chosen, effects: &Effects<'_>) -> Self {
        let removed = chosen.ids().flat_map(|id| chosen.firewalls.headers(id));
        let mut set: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in &effects.headers {
            // The last one of a name counts.
            set.retain(|(other, _)| *other != **name);
            set.push((name.clone().into_owned(), value.clone().into_owned()));
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
        // Programs take several names for one.
        let is_ours = |name: &HeaderName| {
            let set = self.set.iter().map(|(name, _)| name);
            let mut ours = self.removed.iter().chain(set);
            ours.any(|ours| are_header_aliases(ours.as_str(), name.as_str()))
        };
        let removed: Vec<_> = headers.keys().filter(|it| is_ours(it)).cloned().collect();
        for name in removed {
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
