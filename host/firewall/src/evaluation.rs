//! The evaluation of a request: the rules of one or two firewalls, in order,
//! until one ends it.
//!
//! All rules whose criteria hold run, until a behaviour ends the evaluation.
//! `allow` ends its own firewall only, so a firewall of the host cannot open
//! what that of a trigger closes. An evaluation stops where something else has
//! to happen first, and continues there: see [`Step`]. It allocates only for
//! rules that set a header or log. Its work is counted and bounded by
//! [`REQUEST_WORK_MAX`](crate::limits::REQUEST_WORK_MAX).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderName, HeaderValue};

use crate::behavior::{Answer, Behavior};
use crate::criteria::{Criterion, Progress, Stop, Subject, Walk};
use crate::function::FunctionRef;
use crate::limiter::{LimitBy, Limiter};
use crate::request::{Claims, Request};
use crate::rules::{FirewallId, Firewalls, Rule, RuleRef};
use crate::variable::Variable;
use crate::work::Meter;

/// Where an evaluation stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The next rule needs the claims of the peer, and the request's are
    /// [`Claims::Pending`]. The host authenticates the peer, and continues with
    /// a request that has them. So the rules before this one run before
    /// authentication.
    Authenticate,
    /// A function decides. The host calls it, and continues if it allows the
    /// request, with the headers that it [sets](Evaluation::set_headers); if it
    /// fails, the host denies.
    Run(&'a FunctionRef),
    /// It has worked for as long as it may at a time. The host lets other requests
    /// have their turn, and continues with the same request.
    Pause,
    /// It is decided.
    Decided(Decision<'a>),
}

/// A decision, and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What happens to the request.
    pub outcome: Outcome<'a>,
    /// The rule that decided; `None` if no rule did, and so the request passes.
    pub by: Option<RuleRef<'a>>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It passes.
    Pass,
    /// It is refused with an answer.
    Deny(&'a Answer),
    /// Its connection is closed without an answer.
    Drop,
    /// It is refused because too many came; one may pass after this time.
    Limit(Duration),
    /// It is answered.
    Respond(&'a Answer),
    /// It is refused, because the rule cannot tell whether it is for the request.
    Refuse(Unclear<'a>),
}

/// Why a rule cannot tell whether it is for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear<'a> {
    /// A criterion compares a key of the query or a cookie that occurs more than
    /// once, in whatever spelling. No choice of one is safe: the rule may allow or
    /// deny, and the function may take another one.
    Repeated(Repeated<'a>),
    /// To compare the request with the rules so far has been more work than a
    /// request may be.
    Work,
}

/// A key of the query or a cookie. `Display` writes it as a variable of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated<'a>(&'a Variable);

impl fmt::Display for Unclear<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(name) => write!(f, "`{name}` occurs more than once"),
            Self::Work => f.write_str("comparing it with the rules is too much work"),
        }
    }
}

impl fmt::Display for Repeated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What rules did besides deciding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects<'a> {
    /// Headers for the function, the last one of a name counts. They replace
    /// those of the peer; see [`Firewalls::headers`].
    pub headers: Vec<(Cow<'a, HeaderName>, Cow<'a, HeaderValue>)>,
    /// The rules that log.
    pub logged: Vec<RuleRef<'a>>,
}

/// Sees what an evaluation does. The implementation for `()` does nothing and
/// costs nothing.
pub trait Observe {
    /// A rule is reached; one that is not active is passed over.
    fn rule(&mut self, _rule: RuleRef<'_>, _is_active: bool) {}
    /// A criterion of that rule was evaluated.
    fn criterion(&mut self, _criterion: &Criterion, _request: &Request<'_>, _holds: bool) {}
    /// All criteria of that rule together hold, and it runs; or they do not.
    fn matched(&mut self, _rule: RuleRef<'_>, _holds: bool) {}
    /// A behaviour of that rule runs. `text` writes its name and main argument.
    fn behavior(&mut self, _text: &dyn std::fmt::Display) {}
}

impl Observe for () {}

/// An evaluation under way.
#[derive(Debug)]
pub struct Evaluation<'a> {
    firewalls: &'a Firewalls,
    /// The host's firewall, and the trigger's.
    ids: [Option<FirewallId>; 2],
    place: Place,
    /// The last rule that ended a firewall by `allow`.
    allowed: Option<RuleRef<'a>>,
    /// The decision, once there is one: a finished evaluation repeats it.
    decided: Option<Decision<'a>>,
    effects: Effects<'a>,
    meter: Meter,
    /// How far the rule at the place has come.
    progress: Progress,
    /// Whether it has paused within that rule.
    is_paused: bool,
}

/// The next thing to do: a rule of a firewall, or a behaviour of a rule whose
/// criteria hold.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    firewall: usize,
    rule: usize,
    behavior: Option<usize>,
}

/// What a behaviour leads to.
enum Next<'a> {
    Behavior,
    Firewall,
    Run(&'a FunctionRef),
    End(Outcome<'a>),
}

impl<'a> Evaluation<'a> {
    /// Begins an evaluation: first the host's firewall, then the trigger's.
    pub fn new(
        firewalls: &'a Firewalls,
        host: Option<FirewallId>,
        trigger: Option<FirewallId>,
    ) -> Self {
        Self {
            firewalls,
            ids: [host, trigger],
            place: Place::default(),
            allowed: None,
            decided: None,
            effects: Effects::default(),
            meter: Meter::new(),
            progress: Progress::default(),
            is_paused: false,
        }
    }

    /// What the rules did so far.
    pub fn effects(&self) -> &Effects<'a> {
        &self.effects
    }

    /// Adds the headers that a function has set with its verdict. They come after
    /// those of the rules so far.
    pub fn set_headers(&mut self, headers: Vec<(HeaderName, HeaderValue)>) {
        let headers = headers.into_iter();
        let owned = headers.map(|(name, value)| (Cow::Owned(name), Cow::Owned(value)));
        self.effects.headers.extend(owned);
    }

    /// Evaluates up to the next [`Step`]. `now` is the time since a fixed
    /// moment, the same one for all evaluations.
    pub fn run(
        &mut self,
        request: &Request<'_>,
        now: Duration,
        observe: &mut impl Observe,
    ) -> Step<'a> {
        if let Some(decision) = &self.decided {
            return Step::Decided(decision.clone());
        }
        self.meter.begin_step();
        while let Some((rule, named)) = self.reached() {
            if self.place.behavior.is_none() {
                if rule.is_active && rule.needs_claims && matches!(request.claims, Claims::Pending)
                {
                    return Step::Authenticate;
                }
                match self.is_entered(rule, named, request, observe) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.next_rule();
                        continue;
                    }
                    Err(Stop::Pause) => return Step::Pause,
                    Err(Stop::Repeated(variable)) => {
                        let unclear = Unclear::Repeated(Repeated(variable));
                        return self.end(Outcome::Refuse(unclear), Some(named));
                    }
                    Err(Stop::Work) => {
                        return self.end(Outcome::Refuse(Unclear::Work), Some(named));
                    }
                }
            }
            match self.behave(rule, named, request, now, observe) {
                Next::Behavior => {}
                Next::Firewall => {
                    self.allowed = Some(named);
                    self.next_firewall();
                }
                Next::Run(function) => return Step::Run(function),
                Next::End(outcome) => return self.end(outcome, Some(named)),
            }
        }
        self.end(Outcome::Pass, self.allowed)
    }

    fn end(&mut self, outcome: Outcome<'a>, by: Option<RuleRef<'a>>) -> Step<'a> {
        let decision = Decision { outcome, by };
        self.decided = Some(decision.clone());
        Step::Decided(decision)
    }

    /// The rule at the place, which moves on to the next firewall at the end of
    /// one. `None` when there is no more.
    fn reached(&mut self) -> Option<(&'a Rule, RuleRef<'a>)> {
        loop {
            let id = *self.ids.get(self.place.firewall)?;
            let firewall = id.and_then(|id| self.firewalls.get(id));
            if let Some(firewall) = firewall.filter(|it| it.is_active)
                && let Some(rule) = firewall.rules.get(self.place.rule)
            {
                let named = RuleRef {
                    firewall: &firewall.name,
                    rule: &rule.name,
                };
                return Some((rule, named));
            }
            self.next_firewall();
        }
    }

    /// Whether the rule runs.
    fn is_entered(
        &mut self,
        rule: &'a Rule,
        named: RuleRef<'_>,
        request: &Request<'_>,
        observe: &mut impl Observe,
    ) -> Result<bool, Stop<'a>> {
        if !self.is_paused {
            observe.rule(named, rule.is_active);
        }
        if !rule.is_active {
            return Ok(false);
        }
        let mut walk = Walk {
            subject: Subject {
                request,
                lists: &self.firewalls.lists,
            },
            meter: &mut self.meter,
            progress: &mut self.progress,
            seen: |criterion: &Criterion, holds| observe.criterion(criterion, request, holds),
        };
        let holds = rule.criteria.holds(&mut walk);
        self.is_paused = holds == Err(Stop::Pause);
        if !self.is_paused {
            self.progress = Progress::default();
        }
        if let Ok(holds) = holds {
            observe.matched(named, holds);
        }
        holds
    }

    /// Runs the next behaviour of a rule.
    fn behave(
        &mut self,
        rule: &'a Rule,
        named: RuleRef<'a>,
        request: &Request<'_>,
        now: Duration,
        observe: &mut impl Observe,
    ) -> Next<'a> {
        let index = self.place.behavior.unwrap_or(0);
        let Some(behavior) = rule.behaviors.get(index) else {
            self.next_rule();
            return Next::Behavior;
        };
        self.place.behavior = Some(index + 1);
        observe.behavior(behavior);
        match behavior {
            Behavior::Allow => return Next::Firewall,
            Behavior::Deny(answer) => return Next::End(Outcome::Deny(answer)),
            Behavior::Drop => return Next::End(Outcome::Drop),
            Behavior::Respond(answer) => return Next::End(Outcome::Respond(answer)),
            Behavior::Run(function) => return Next::Run(function),
            Behavior::Log => self.effects.logged.push(named),
            Behavior::SetHeader(name, value) => {
                let header = (Cow::Borrowed(name), Cow::Borrowed(value));
                self.effects.headers.push(header);
            }
            Behavior::Limit(by, limiter) => {
                if let Err(wait) = limited(by, limiter, request, now) {
                    return Next::End(Outcome::Limit(wait));
                }
            }
        }
        Next::Behavior
    }

    fn next_rule(&mut self) {
        self.place.rule += 1;
        self.place.behavior = None;
    }

    fn next_firewall(&mut self) {
        self.place = Place {
            firewall: self.place.firewall + 1,
            ..Place::default()
        };
    }
}

fn limited(
    by: &LimitBy,
    limiter: &Limiter,
    request: &Request<'_>,
    now: Duration,
) -> Result<(), Duration> {
    match by {
        LimitBy::Address => limiter.take_address(request.peer, now),
        LimitBy::All => limiter.take_all(now),
        // Each spelling of a host would have a bucket of its own.
        LimitBy::Header(HOST) => limiter.take_text(request.host.unwrap_or_default(), now),
        LimitBy::Header(name) => limiter.take_header(request.headers, name, now),
        LimitBy::Claim(name) => limiter.take_text(&request.claims.text(name), now),
    }
}
