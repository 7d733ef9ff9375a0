//! Makes what authenticates the requests of triggers, before anything changes:
//! reads secrets and files of keys, and keeps each authenticator whose table and
//! secrets are as before.
//!
//! Files are read on threads that serve no connection, and waited for as long as
//! the data directory is. Bounded by [`SECRET_BYTES_MAX`] and the size of a key
//! set.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use openline_admission::authenticate::{Authenticator, Material, secrets};
use openline_admission::services::{Led, Services};
use openline_admission::sessions::Sessions;
use openline_authentication::Secret;
use openline_authentication::jwt::JWKS_BYTES_MAX;
use openline_core::authentication::{Authentication, SecretSource};
use openline_core::config::Config;
use openline_core::name::{FunctionName, TriggerName};
use openline_core::trigger::{Trigger, TriggerPlace};
use openline_hint::Hinted;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::error::AuthenticationError;
use crate::managed::{Functions, led_triggers};
use crate::settle::STORE_TIMEOUT;

/// How much of a secret's file is read: one more than is taken, so that a longer
/// one is noticed.
const SECRET_BYTES_MAX: usize = (64 << 10) + 1;

/// The authenticators of triggers, by function and trigger.
pub(crate) type Authenticators = HashMap<(FunctionName, TriggerName), Arc<Authenticator>>;

/// Why secrets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The configuration is read again, and its secrets with it.
    Again,
    /// Something else changes: known triggers keep what they have.
    New,
}

/// The authenticators that are in force.
pub(crate) fn known(services: &Services) -> Authenticators {
    let table = services.table();
    let known = table.services.iter().filter_map(|service| {
        let authenticator = Arc::clone(service.authenticator.as_ref()?);
        let place = service.place();
        Some(((place.function, place.trigger), authenticator))
    });
    known.collect()
}

/// The authenticators of functions that are about to serve.
pub(crate) async fn prepare(
    functions: &Functions,
    services: &Services,
    reading: Reading,
) -> Result<Authenticators, AuthenticationError> {
    let before = known(services);
    let mut made = Authenticators::new();
    for managed in functions.values() {
        for trigger in managed.triggers().filter(|it| it.authenticates()) {
            let Some(auth) = &trigger.auth else { continue };
            let place = managed.place(trigger);
            let key = (place.function.clone(), place.trigger.clone());
            let before = before.get(&key);
            if let Some(before) = before
                && reading == Reading::New
                && before.is(auth, None)
            {
                made.insert(key, Arc::clone(before));
                continue;
            }
            let config = auth.as_ref().clone();
            let material = timeout(STORE_TIMEOUT, spawn_blocking(move || read(&config))).await;
            let material = material.ok().and_then(Result::ok).ok_or_else(|| {
                let what = "its secrets cannot be read in time";
                let hint = "look at the disks that their files are on";
                AuthenticationError::new(&place, Hinted::new(what, hint))
            })?;
            if let Some(before) = before
                && before.is(auth, Some(&material))
            {
                made.insert(key, Arc::clone(before));
                continue;
            }
            let sessions = services.sessions(&place.function);
            let before = before.map(|it| &**it);
            made.insert(key, make(&place, auth, material, before, sessions)?);
        }
    }
    Ok(made)
}

/// Reads the secrets of a configuration, and tells whether they would be good.
/// Waits for files.
///
/// # Errors
///
/// The first trigger whose secrets or keys are not good.
pub fn check_secrets(config: &Config) -> Result<(), AuthenticationError> {
    for function in &config.functions {
        for trigger in function.triggers.iter().filter(|it| it.authenticates()) {
            let Some(auth) = &trigger.auth else { continue };
            let place = TriggerPlace {
                function: function.name.clone(),
                trigger: trigger.name.clone(),
            };
            make(&place, auth, read(auth), None, Arc::default())?;
        }
    }
    Ok(())
}

fn make(
    place: &TriggerPlace,
    auth: &Authentication,
    material: Material,
    before: Option<&Authenticator>,
    sessions: Arc<Sessions>,
) -> Result<Arc<Authenticator>, AuthenticationError> {
    let made = Authenticator::new(auth, material, before, sessions);
    let (made, warnings) = made.map_err(|error| AuthenticationError::new(place, error))?;
    for warning in warnings {
        let (function, trigger) = (&place.function, &place.trigger);
        tracing::warn!(%function, %trigger, %warning, "a key is odd");
    }
    Ok(Arc::new(made))
}

/// The triggers of functions with what authenticates them.
pub(crate) fn led(functions: &Functions, authenticators: &Authenticators) -> Vec<Led> {
    let led = led_triggers(functions).into_iter();
    led.map(|(trigger, alias)| Led {
        authenticator: find(authenticators, alias.function(), &trigger),
        trigger,
        alias,
    })
    .collect()
}

fn find(
    authenticators: &Authenticators,
    function: &FunctionName,
    trigger: &Trigger,
) -> Option<Arc<Authenticator>> {
    let key = (function.clone(), trigger.name.clone());
    let found = authenticators.get(&key);
    found.filter(|_| trigger.authenticates()).cloned()
}

/// Reads all that a trigger's tables refer to.
fn read(auth: &Authentication) -> Material {
    let secret = |place: &SecretSource| (place.to_string(), read_secret(place).map(Secret::new));
    let file = auth.jwt.as_ref().and_then(|jwt| jwt.keys_file.as_ref());
    Material {
        secrets: secrets(auth).into_iter().map(secret).collect(),
        keys_file: file.map(|path| read_file(path, JWKS_BYTES_MAX + 1)),
    }
}

/// Reads the bytes at the place of a secret.
pub(crate) fn read_secret(place: &SecretSource) -> Result<Vec<u8>, String> {
    match place {
        SecretSource::File(path) => read_file(path, SECRET_BYTES_MAX),
        SecretSource::Environment(name) => match std::env::var_os(name) {
            Some(value) => Ok(value.into_vec()),
            None => Err("the variable is not set".to_owned()),
        },
    }
}

fn read_file(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut bytes)
    });
    read.map(|_| bytes).map_err(|error| error.to_string())
}
