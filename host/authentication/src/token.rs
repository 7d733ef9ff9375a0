//! Authentication by a token: in the request, in the [first message](first_message),
//! or in a message that renews the one before.
//!
//! A verifier belongs to one trigger. Keys that are fetched sit behind a lock
//! that is held for a few instructions; the task that fetches them shares it.

#[path = "first_message.rs"]
mod first_message;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openline_core::authentication::{JwtConfig, UnixTime};
use openline_hint::Hinted;
use parking_lot::{Mutex, RwLock};

use crate::denied::{Denial, Denied};
use crate::edits::Edits;
use crate::identity::Identity;
use crate::jwt::{
    Algorithm, FetchedKeys, KeySet, KeySource, KeyWarning, Terms, TokenError, verify,
};
use crate::request::{Request, find, secret_subprotocols};
use crate::revocation::Revocations;
use crate::secret::{ReadSecret, Secret};

pub use first_message::first_token;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The clock on the wall, for dates that others wrote.
    pub wall: UnixTime,
    /// A clock that does not jump, since any one moment, for waits of our own.
    pub steady: Duration,
}

/// Verifies the tokens of one trigger.
pub struct TokenVerifier {
    config: JwtConfig,
    terms: Terms,
    keys: Keys,
    revocations: Arc<RwLock<Revocations>>,
}

enum Keys {
    Fixed(KeySet),
    Fetched {
        keys: Arc<Mutex<FetchedKeys>>,
        /// Wakes the task that fetches.
        wake: Box<dyn Fn() + Send + Sync>,
    },
}

impl TokenVerifier {
    /// Makes a verifier of a table that was checked. `file` has the text of
    /// `keys_file`; `wake` is called when a key set should be fetched earlier
    /// than it said.
    ///
    /// # Errors
    ///
    /// When the keys are not good, or a secret cannot be read.
    pub fn new(
        config: &JwtConfig,
        file: Option<&[u8]>,
        secrets: &dyn ReadSecret,
        revocations: Arc<RwLock<Revocations>>,
        now: Now,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Result<(Self, Vec<KeyWarning>), Hinted> {
        let named = config.algorithms.iter();
        let mut algorithms: Vec<_> = named.filter_map(|name| Algorithm::parse(name)).collect();
        if config.secret.is_some() && algorithms.is_empty() {
            algorithms.push(Algorithm::Hs256);
        }
        let (keys, warnings) = match &config.jwks_url {
            Some(url) => {
                let (refresh, stale) = (config.jwks_refresh.0, config.jwks_stale.0);
                let keys = FetchedKeys::new(url.clone(), refresh, stale, now.steady);
                let keys = Arc::new(Mutex::new(keys));
                (Keys::Fetched { keys, wake }, Vec::new())
            }
            None => {
                let (keys, warnings) = fixed(config, file, secrets, &algorithms)?;
                (Keys::Fixed(keys), warnings)
            }
        };
        let terms = Terms {
            algorithms,
            issuers: config.issuer.clone(),
            audiences: config.audience.clone(),
            required: config.required.clone(),
            token_type: config.token_type.clone(),
            leeway: config.leeway.0,
        };
        let verifier = Self {
            config: config.clone(),
            terms,
            keys,
            revocations,
        };
        Ok((verifier, warnings))
    }

    /// Goes on with the keys that the verifier before it has fetched from the
    /// same address, if it has.
    pub fn inherit(&self, before: &Self, now: Duration) {
        if let (Some(own), Some(other)) = (self.fetched(), before.fetched()) {
            let other = other.lock().clone();
            own.lock().inherit(&other, now);
        }
    }

    /// The keys that a task has to fetch, if they are fetched.
    pub fn fetched(&self) -> Option<&Arc<Mutex<FetchedKeys>>> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Fetched { keys, .. } => Some(keys),
        }
    }

    /// Authenticates a request.
    ///
    /// # Errors
    ///
    /// When its path is checked and it has no good token.
    pub fn authenticate(&self, request: &Request<'_>, now: Now) -> Result<Identity, Denied> {
        let lookup = &self.config.lookup;
        let is_checked = self.config.checks(request.path);
        let secret = secret_subprotocols(request, lookup);
        if !is_checked {
            let mut identity = self.unproven()?;
            identity.edits = identity.edits.without_subprotocols(secret);
            return Ok(identity);
        }
        let found = find(request, lookup).map_err(|error| Denial::TokenInvalid.because(error))?;
        let found = found.ok_or_else(|| {
            let places: Vec<_> = lookup.places().iter().map(ToString::to_string).collect();
            Denial::TokenMissing.because(format!("no token in {}", places.join(", ")))
        })?;
        let mut identity = self.proven(&found, now)?;
        identity.edits = identity.edits.without_subprotocols(secret);
        Ok(identity)
    }

    /// Verifies the token of a request, wherever that has it. The identity has the
    /// edits that carry its claims on.
    ///
    /// # Errors
    ///
    /// When it is not good.
    pub fn proven(&self, token: &str, now: Now) -> Result<Identity, Denied> {
        let mut identity = self.token(token, now)?;
        let edits = Edits::new(&self.config.claims, Some(&identity.claims));
        identity.edits = edits.map_err(|error| Denial::TokenInvalid.because(error))?;
        Ok(identity)
    }

    /// Verifies a bare token. The identity has no edits.
    ///
    /// # Errors
    ///
    /// When it is not good.
    pub fn token(&self, token: &str, now: Now) -> Result<Identity, Denied> {
        let verified = match &self.keys {
            Keys::Fixed(keys) => verify(token, keys, &self.terms, now.wall),
            Keys::Fetched { keys, wake } => {
                let known = keys.lock().keys(now.steady).cloned();
                let known = known.ok_or_else(|| {
                    Denial::KeysUnavailable.because("the issuer's keys are not known")
                })?;
                let verified = verify(token, &known, &self.terms, now.wall);
                let is_missed = verified.as_ref().is_err_and(TokenError::is_about_keys);
                if is_missed && keys.lock().missed(now.steady) {
                    wake();
                }
                verified
            }
        };
        let verified = verified.map_err(|error| {
            let denial = match error {
                TokenError::Expired { .. } => Denial::TokenExpired,
                _ => Denial::TokenInvalid,
            };
            denial.because(error)
        })?;
        let identity = Identity {
            claims: verified.claims,
            expires: verified.expires,
            issued: verified.issued,
            ..Identity::default()
        };
        let revoked = self.revocations.read().revokes(&identity, now);
        match revoked {
            Some(by) => Err(Denial::TokenRevoked.because(by)),
            None => Ok(identity),
        }
    }

    /// The token of a message that renews the connection's token; `None` if the
    /// message is for the function.
    pub fn renewal<'a>(&self, message: &'a str) -> Option<&'a str> {
        let prefix = self.config.renewal_prefix.as_deref()?;
        message.strip_prefix(prefix)
    }

    /// Verifies a token that takes the place of another one.
    ///
    /// # Errors
    ///
    /// When it is not good, or stands for someone else. The connection keeps the
    /// one that it has.
    pub fn renew(&self, old: &Identity, token: &str, now: Now) -> Result<Identity, Denied> {
        let new = self.token(token, now)?;
        if !old.is_renewed_by(&new) {
            let why = "a renewal needs a `sub`, and the `sub` and `iss` of the connection's token";
            return Err(Denial::TokenInvalid.because(why));
        }
        Ok(Identity {
            edits: old.edits.clone(),
            ..new
        })
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Keys that are known from the beginning.
fn fixed(
    config: &JwtConfig,
    file: Option<&[u8]>,
    secrets: &dyn ReadSecret,
    algorithms: &[Algorithm],
) -> Result<(KeySet, Vec<KeyWarning>), Hinted> {
    let hint = "a key set as its issuer publishes it: RSA of 2048 bits or more, EC or Ed25519, each with a `kid`";
    if let Some(place) = &config.secret {
        let read = |place| {
            let hint = "export the variable, or write the secret into the file";
            Secret::read(place, secrets).map_err(|error| Hinted::new(error.to_string(), hint))
        };
        let secret = read(place)?;
        let previous = config.previous_secret.as_ref().map(read).transpose()?;
        let previous = previous.as_ref().zip(config.valid_until);
        let keys = KeySet::of_secret(&secret, previous, algorithms);
        let hint = "make one with `openssl rand -hex 32`";
        return keys.map_err(|error| Hinted::new(format!("`secret`: {error}"), hint));
    }
    match (&config.keys_file, file) {
        (Some(path), Some(text)) => {
            let keys = KeySet::parse(text, KeySource::Written);
            let path = path.display();
            keys.map_err(|error| Hinted::new(format!("`keys_file` {path}: {error}"), hint))
        }
        (Some(path), None) => {
            let what = format!("`keys_file` {} was not read", path.display());
            Err(Hinted::new(what, "the file must exist and be readable"))
        }
        (None, _) => {
            let keys = KeySet::new(&config.keys);
            keys.map_err(|error| Hinted::new(format!("`keys`: {error}"), hint))
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
