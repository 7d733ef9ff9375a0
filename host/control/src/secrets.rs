//! Reads the secrets of functions, before anything changes: at the start, and
//! whenever the configuration is read again. Deploys in between keep what was read.
//!
//! Files are read on threads that serve no connection, and waited for as long as
//! the data directory is. Bounded by the size of a secret and of an environment.

use openline_authentication::{Secret, SecretError};
use openline_core::authentication::SecretSource;
use openline_core::config::{Config, FunctionConfig};
use openline_hint::Hinted;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::authenticators::read_secret;
use crate::error::SecretsError;
use crate::settle::STORE_TIMEOUT;

/// Reads the secrets of all functions of a configuration, which their instances
/// then get.
pub(crate) async fn read(config: Config) -> Result<Config, SecretsError> {
    let with_secrets = |it: &&FunctionConfig| !it.environment.secrets.is_empty();
    let Some(first) = config.functions.iter().find(with_secrets) else {
        return Ok(config);
    };
    let name = first.name.clone();
    let reading = spawn_blocking(move || {
        let mut config = config;
        read_secrets(&mut config).map(|()| config)
    });
    match timeout(STORE_TIMEOUT, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) | Err(_) => {
            let what = "the secrets of functions cannot be read in time";
            let hint = "look at the disks that their files are on";
            Err(SecretsError::new(name, None, Hinted::new(what, hint)))
        }
    }
}

/// Reads the secrets of all functions of a configuration, which their instances
/// then get. Waits for files.
///
/// # Errors
///
/// The first secret that is not good. No error has a value.
pub fn read_secrets(config: &mut Config) -> Result<(), SecretsError> {
    for function in &mut config.functions {
        let mut secrets = Vec::new();
        for (name, place) in &function.environment.secrets {
            let secret = Secret::read(place, &read_secret).map_err(|error| {
                let error = Hinted::new(error.to_string(), hint(&error, place));
                SecretsError::new(function.name.clone(), Some(name.clone()), error)
            })?;
            secrets.push((name.clone(), secret.bytes().to_vec()));
        }
        let taken = function.environment.take(secrets);
        taken.map_err(|(name, error)| {
            let place = name
                .as_ref()
                .and_then(|it| function.environment.secrets.get(it));
            let what = match place {
                Some(place) => format!("the secret `{place}`: {error}"),
                None => error.to_string(),
            };
            let error = Hinted::new(what, error.hint());
            SecretsError::new(function.name.clone(), name, error)
        })?;
    }
    Ok(())
}

fn hint(error: &SecretError, place: &SecretSource) -> &'static str {
    match (error, place) {
        (SecretError::Read { .. }, SecretSource::Environment(_)) => {
            "set the variable in the environment that the host starts with: a running host gets no new ones"
        }
        (SecretError::Read { .. }, SecretSource::File(_)) => {
            "name a file that the host's user may read, relative to the configuration file"
        }
        (SecretError::Empty(_), _) => {
            "write the secret there, or take the name out of [function.secrets]"
        }
        (SecretError::Long(_), _) => "look whether this is the right place: no secret is so long",
    }
}
