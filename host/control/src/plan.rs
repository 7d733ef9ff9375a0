//! Plans what a function should become: its configuration and its deployment.
//! These rules use no disk and no compiler.

use std::sync::Arc;

use openline_core::component::Component;
use openline_core::config::FunctionConfig;
use openline_core::deployment::{
    CallStyle, Deployed, Deployment, DeploymentError, Migration, VersionRecord,
};
use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_core::route::Route;
use openline_core::trigger::Trigger;
use openline_engine::version::Version;

use crate::error::ChangeError;
use crate::managed::Managed;
use crate::options::DeployOptions;

/// A function as it will be served.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: FunctionConfig,
    /// Whether the configuration names it.
    pub(crate) configured: bool,
    pub(crate) record: Deployment,
    /// A version that is already loaded.
    pub(crate) loaded: Option<Arc<Version>>,
}

/// A version to enter into a record, and the alias that will lead to it.
#[derive(Debug)]
pub(crate) struct NewVersion<'a> {
    pub(crate) component: &'a Component,
    pub(crate) call_style: CallStyle,
    /// Milliseconds since 1970.
    pub(crate) deployed_at: u64,
    pub(crate) note: Option<String>,
    pub(crate) alias: &'a AliasName,
    /// How many of a hundred connections it gets; all if `None`.
    pub(crate) weight: Option<u32>,
    pub(crate) migration: Option<Migration>,
}

impl<'a> NewVersion<'a> {
    /// A version that gets all connections of an alias.
    pub(crate) fn of(component: &'a Component, version: &Version, alias: &'a AliasName) -> Self {
        Self {
            component,
            call_style: version.call_style(),
            deployed_at: unix_milliseconds(),
            note: None,
            alias,
            weight: None,
            migration: None,
        }
    }

    /// Enters it into a record.
    pub(crate) fn enter(self, record: &mut Deployment) -> Result<Deployed, DeploymentError> {
        let bytes = u64::try_from(self.component.bytes().len()).unwrap_or(u64::MAX);
        let version = VersionRecord {
            digest: self.component.digest(),
            bytes,
            call_style: self.call_style,
            deployed_at: self.deployed_at,
            note: self.note,
        };
        record.deploy(version, self.alias, self.weight, self.migration)
    }
}

/// The configuration for a deploy: the function's own, or a new one.
pub(crate) fn config_for(
    name: &FunctionName,
    before: Option<&Managed>,
    options: &DeployOptions,
) -> Result<FunctionConfig, ChangeError> {
    let before = before.map(|before| (&before.config, before.configured));
    routed(name, before, options.route.as_ref(), &options.alias)
}

fn routed(
    name: &FunctionName,
    before: Option<(&FunctionConfig, bool)>,
    route: Option<&Route>,
    alias: &AliasName,
) -> Result<FunctionConfig, ChangeError> {
    match (before, route) {
        (None, None) => Err(ChangeError::NoRoute(name.clone())),
        (None, Some(route)) => {
            let mut config = FunctionConfig::new(name.clone(), None, route.clone());
            config.alias = alias.clone();
            Ok(config)
        }
        (Some((config, configured)), Some(route)) if config.route() != Some(route) => {
            if configured {
                return Err(ChangeError::Configured(name.clone()));
            }
            let mut config = config.clone();
            config.triggers = vec![Trigger::new(route.clone())];
            Ok(config)
        }
        (Some((config, _)), _) => Ok(config.clone()),
    }
}

/// The configuration of a function that was deployed with a route, from its
/// record. `None` if it has no route and waits to be configured again.
pub(crate) fn config_of(record: &Deployment) -> Option<FunctionConfig> {
    let route = record.route().cloned()?;
    let mut config = FunctionConfig::new(record.name().clone(), None, route);
    if record.alias(&config.alias).is_none()
        && let Some(other) = record.aliases().keys().next()
    {
        config.alias = other.clone();
    }
    Some(config)
}

/// Whether the component that a configuration names has to be deployed. Later
/// deploys stay in force until the file changes. An alias that the
/// configuration did not name before has no version yet.
pub(crate) fn is_new(record: &Deployment, digest: &Digest, alias: &AliasName) -> bool {
    record.configured() != Some(*digest)
        || record.version(digest).is_none()
        || record.alias(alias).is_none()
}

/// The time on the wall clock, for people who want to know when something was
/// deployed.
#[expect(
    clippy::disallowed_methods,
    reason = "people read it, and nothing depends on it"
)]
fn unix_milliseconds() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> FunctionName {
        FunctionName::new("chat").unwrap()
    }

    fn route(text: &str) -> Route {
        Route::new(text).unwrap()
    }

    fn component(content: &str) -> Component {
        Component::from(content.as_bytes().to_vec())
    }

    fn deploy(record: &mut Deployment, component: &Component, alias: &AliasName) -> Deployed {
        let version = NewVersion {
            component,
            call_style: CallStyle::Plain,
            deployed_at: 1,
            note: None,
            alias,
            weight: None,
            migration: None,
        };
        version.enter(record).unwrap()
    }

    #[test]
    fn a_function_that_is_new_needs_a_route_and_a_configured_one_keeps_its_own() {
        let live = AliasName::live();
        let none = routed(&name(), None, None, &live);
        assert!(matches!(none, Err(ChangeError::NoRoute(_))));
        let next = AliasName::new("next").unwrap();
        let new = routed(&name(), None, Some(&route("/chat")), &next).unwrap();
        assert_eq!((new.route(), &new.alias), (Some(&route("/chat")), &next));

        let config = FunctionConfig::new(name(), None, route("/chat"));
        let moved = |configured| {
            let before = Some((&config, configured));
            routed(&name(), before, Some(&route("/talk")), &live)
        };
        assert_eq!(moved(false).unwrap().route(), Some(&route("/talk")));
        assert!(matches!(moved(true), Err(ChangeError::Configured(_))));
        let same = routed(&name(), Some((&config, true)), Some(&route("/chat")), &live);
        assert_eq!(same.unwrap(), config);
    }

    #[test]
    fn the_component_of_a_file_is_deployed_once() {
        let (live, next) = (AliasName::live(), AliasName::new("next").unwrap());
        let (first, second) = (component("1"), component("2"));
        let mut record = Deployment::new(name(), None);
        assert!(is_new(&record, &first.digest(), &live));
        assert!(deploy(&mut record, &first, &live).version_is_new);
        record.set_configured(Some(first.digest()));
        assert!(!is_new(&record, &first.digest(), &live));
        // A later deploy stays in force.
        deploy(&mut record, &second, &live);
        assert!(!is_new(&record, &first.digest(), &live));
        assert!(is_new(&record, &second.digest(), &live), "another file");
        assert!(is_new(&record, &first.digest(), &next), "another alias");
    }

    #[test]
    fn what_was_deployed_with_a_route_needs_no_configuration() {
        let mut record = Deployment::new(name(), None);
        assert!(config_of(&record).is_none());
        record.set_route(Some(route("/chat")));
        let next = AliasName::new("next").unwrap();
        deploy(&mut record, &component("1"), &next);
        let config = config_of(&record).unwrap();
        // The route leads to an alias that exists.
        assert_eq!(
            (config.route(), &config.alias),
            (Some(&route("/chat")), &next)
        );
    }
}
