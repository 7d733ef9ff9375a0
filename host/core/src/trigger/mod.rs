//! Triggers: which requests reach a function, and where in it they lead.
//!
//! `host` has names of hosts, `methods` methods of requests, `origin` the web
//! pages that may open connections, `cors` those that may read answers, `table`
//! which trigger a request leads to. Bounded by [`TRIGGERS_MAX`] for each
//! function, and [`HOSTS_MAX`], [`ORIGINS_MAX`] and [`CORS_HEADERS_MAX`] for each
//! trigger.

mod cors;
mod host;
mod methods;
mod origin;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::affinity::Affinity;
use crate::authentication::{AuthMethod, Authentication};
use crate::dialect::DialectName;
use crate::name::{AliasName, FunctionName, TriggerName};
use crate::route::Route;

pub use cors::{
    CORS_HEADERS_MAX, Cors, CorsError, CorsRules, CorsRulesWritten, CorsWritten, FUNCTION_COMPUTE,
    HEADER_NAME_BYTES_MAX,
};
pub use host::{Authority, HostPattern, HostPatternError};
pub use methods::{METHODS, Methods, MethodsError};
pub use origin::{ORIGINS_MAX, Origin, OriginPattern, OriginPatternError, OwnPage, Scheme, Site};
pub use table::{Found, TriggerTable};

/// Triggers of one function: stages, versions and old paths, not tenants,
/// which are parameters of a route.
pub const TRIGGERS_MAX: usize = 64;
/// Hosts of one trigger: the names of a site, not of its users, which a
/// wildcard covers.
pub const HOSTS_MAX: usize = 64;

/// One way to reach a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// Its name, unique within the function.
    pub name: TriggerName,
    /// The hosts that it is on, at most [`HOSTS_MAX`]; all if empty.
    #[serde(default)]
    pub hosts: Vec<HostPattern>,
    /// The paths that it matches.
    pub route: Route,
    /// The methods that it takes. A WebSocket needs GET.
    #[serde(default)]
    pub methods: Methods,
    /// The version of the function that it leads to.
    #[serde(default)]
    pub target: Target,
    /// Whether it takes peers outside of the host's `private_networks`.
    #[serde(default = "yes")]
    pub internet: bool,
    /// The origins of web pages that it takes besides its own host, at most
    /// [`ORIGINS_MAX`].
    #[serde(default)]
    pub origins: Vec<OriginPattern>,
    /// Whether it refuses requests without an origin, which programs other than
    /// browsers send.
    #[serde(default)]
    pub origin_required: bool,
    /// What pages of other sites may do by ordinary requests; nothing without
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// The firewall that its requests have to pass after the host's, by its
    /// name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<String>,
    /// How it authenticates its requests. Without it, and with the method
    /// `none`, it takes all; the method says that this is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Box<Authentication>>,
    /// What its connections speak instead of raw messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<DialectName>,
}

/// Which version of a function a trigger leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Where the function's own alias points.
    #[default]
    Function,
    /// Where this alias points.
    Alias(AliasName),
    /// The version whose digest begins with these 6 to 64 characters of
    /// `0-9a-f`.
    Version(String),
}

/// Names a trigger of a host. `Display` writes it for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TriggerPlace {
    /// Its function.
    pub function: FunctionName,
    /// Its name.
    pub trigger: TriggerName,
}

/// Why triggers cannot be used together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    /// Two match the same requests, and neither is more specific.
    #[error("{one} and {other} match the same requests")]
    Conflict {
        /// The later one.
        one: Box<TriggerPlace>,
        /// The earlier one.
        other: Box<TriggerPlace>,
    },
    /// Two triggers of one function have one name.
    #[error("`{}` has two triggers named `{}`", .0.function, .0.trigger)]
    Twice(Box<TriggerPlace>),
    /// The function has more than [`TRIGGERS_MAX`].
    #[error("`{0}` has more than {TRIGGERS_MAX} triggers")]
    TooMany(FunctionName),
    /// The route lacks the parameter that chooses the instance.
    #[error("the route `{route}` has no parameter `{parameter}`, which chooses the instance")]
    Parameter {
        /// The route.
        route: Box<Route>,
        /// The parameter's name.
        parameter: String,
    },
    /// The configuration has no firewall of the name that the trigger has.
    #[error("{place} names the firewall `{firewall}`, which the configuration does not have")]
    Firewall {
        /// The trigger.
        place: Box<TriggerPlace>,
        /// The firewall's name.
        firewall: String,
    },
    /// No request of the trigger has the claim that chooses the instance.
    #[error(
        "the trigger `{trigger}` does not authenticate, so no request has the claim `{claim}`, which chooses the instance"
    )]
    Claim {
        /// The trigger.
        trigger: Box<TriggerName>,
        /// The claim's name.
        claim: String,
    },
}

impl Trigger {
    /// A trigger for GET on all hosts and for all peers, named after its route,
    /// which leads to the function's own alias.
    pub fn new(route: Route) -> Self {
        Self {
            name: TriggerName::of(&route),
            hosts: Vec::new(),
            route,
            methods: Methods::default(),
            target: Target::default(),
            internet: true,
            origins: Vec::new(),
            origin_required: false,
            cors: None,
            firewall: None,
            auth: None,
            dialect: None,
        }
    }

    /// Whether it authenticates requests.
    pub fn authenticates(&self) -> bool {
        let auth = self.auth.as_ref();
        auth.is_some_and(|auth| auth.method != AuthMethod::None)
    }

    /// Checks that its requests have the parameter of the route, or the claim,
    /// that chooses the instance, if one does.
    ///
    /// # Errors
    ///
    /// When it has not.
    pub fn check_affinity(&self, affinity: Option<&Affinity>) -> Result<(), TriggerError> {
        if let Some(Affinity::Claim(claim)) = affinity
            && !self.authenticates()
        {
            return Err(TriggerError::Claim {
                trigger: Box::new(self.name.clone()),
                claim: claim.clone(),
            });
        }
        match affinity.and_then(Affinity::parameter) {
            Some(parameter) if !self.route.parameters().iter().any(|it| it == parameter) => {
                Err(TriggerError::Parameter {
                    route: Box::new(self.route.clone()),
                    parameter: parameter.into(),
                })
            }
            _ => Ok(()),
        }
    }
}

impl Target {
    /// The alias, unless it is a version; `own` is the function's.
    pub fn alias<'a>(&'a self, own: &'a AliasName) -> Option<&'a AliasName> {
        match self {
            Self::Function => Some(own),
            Self::Alias(alias) => Some(alias),
            Self::Version(_) => None,
        }
    }

    /// The alias, or the beginning of the version's digest, as text.
    pub fn shown<'a>(&'a self, own: &'a AliasName) -> &'a str {
        match self {
            Self::Function => own.as_str(),
            Self::Alias(alias) => alias.as_str(),
            Self::Version(prefix) => prefix,
        }
    }
}

impl fmt::Display for TriggerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trigger `{}` of `{}`", self.trigger, self.function)
    }
}

fn yes() -> bool {
    true
}
