//! The authenticated connections of a function: the end of each credential, its
//! renewal, and revocation; the connections that API keys have let in; and the
//! nonces that a function's triggers have seen.
//!
//! A revocation is written first and then compared with all sessions; a session
//! is entered first and then compared with all revocations. So whichever comes
//! first, no revoked peer stays. Bounded by the connections of the function, and
//! by the limits of revocations.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use openline_authentication::{
    Denial, Denied, Identity, KeptRevocation, Nonces, Revocation, RevocationError, Revocations,
    TokenVerifier,
};
use openline_channels::connection::Connection;
use openline_core::authentication::UnixTime;
use openline_core::close::CloseReason;
use openline_core::name::ConnectionId;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::authenticate::{Authenticator, Post};
use crate::clock::{now, wall};
use crate::keys::Key;

/// Between two tokens of one connection that are verified: one by a public key
/// takes milliseconds of a thread that serves, and a token is good for minutes.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// The word of the answer to a token that comes sooner.
const TOO_SOON: &str = "token_too_soon";

/// The longest time until a connection looks again, so that no end is too late
/// for a timer.
const LEFT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The sessions of one function, what is revoked for it, and its nonces. A trigger
/// that is renamed, or made anew, lets nothing pass that passed before.
#[derive(Debug)]
pub struct Sessions {
    revocations: Arc<RwLock<Revocations>>,
    nonces: Arc<Nonces>,
    open: DashMap<ConnectionId, Weak<Session>>,
}

/// An authenticated connection.
#[derive(Debug)]
pub struct Session {
    proof: Proof,
    connection: Weak<Connection>,
    id: ConnectionId,
    /// The generation of the credential that the connection knows.
    seen: AtomicU64,
}

/// By what a connection was let in.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most are identities, and need no allocation of their own"
)]
enum Proof {
    Identity(Proven),
    /// An API key, which is asked each time.
    Key(Arc<Key>),
}

/// A connection that an authenticator has let in.
#[derive(Debug)]
struct Proven {
    /// The authenticator that has let the peer in.
    authenticator: Arc<Authenticator>,
    /// The authenticator that is in force for the same trigger now.
    post: Arc<Post>,
    identity: Mutex<Identity>,
    /// Counts the tokens that were taken in the place of the first.
    renewals: AtomicU64,
    /// When it may show the next token, on the steady clock.
    next_renewal: Mutex<Duration>,
}

/// Why a connection keeps the token that it has.
#[derive(Debug)]
pub enum NotRenewed {
    /// It was let in by something else, which nothing renews.
    Never,
    /// The last one came a moment ago.
    TooSoon,
    /// The new one is not good.
    Denied(Denied),
}

/// What has become of a message.
#[derive(Debug)]
pub enum Renewal {
    /// It is for the function.
    None,
    /// The connection has a new credential; the answer to the peer.
    Renewed(String),
    /// It keeps the one that it has; the answer to the peer, and why.
    Refused(String, Denied),
    /// It was not looked at; the answer to the peer.
    TooSoon(String),
}

impl Default for Sessions {
    /// None yet, and nothing is revoked.
    fn default() -> Self {
        let now = now();
        Self {
            revocations: Arc::new(RwLock::new(Revocations::new(now))),
            nonces: Arc::new(Nonces::new(now.wall)),
            open: DashMap::new(),
        }
    }
}

impl Sessions {
    /// What is revoked.
    pub(crate) fn revocations(&self) -> &Arc<RwLock<Revocations>> {
        &self.revocations
    }

    /// The nonces that were used, by whichever trigger.
    pub(crate) fn nonces(&self) -> &Arc<Nonces> {
        &self.nonces
    }

    /// How many entries are revoked.
    pub fn revoked(&self) -> usize {
        self.revocations.read().count()
    }

    /// Revokes, and closes the connections that this is about. Looks at all of
    /// them, so it is not for a thread that serves. Returns how many it has
    /// closed, and what is to be kept for the next process.
    ///
    /// # Errors
    ///
    /// When the entry cannot be taken. Nothing has changed then.
    pub fn revoke(
        &self,
        entry: &Revocation,
    ) -> Result<(usize, Option<KeptRevocation>), RevocationError> {
        let mut revocations = self.revocations.write();
        revocations.revoke(entry, now())?;
        let kept = revocations.kept(entry);
        drop(revocations);
        let open: Vec<_> = self.open.iter().filter_map(|it| it.upgrade()).collect();
        let closed = open.iter().filter(|it| it.close_if_revoked()).count();
        Ok((closed, kept))
    }

    /// The earliest moment that it may be, by which kept revocations are
    /// forgotten.
    pub fn earliest(&self) -> UnixTime {
        self.revocations.read().earliest(now())
    }

    /// Puts the revocations of an earlier process into force again, before there
    /// are connections.
    ///
    /// # Errors
    ///
    /// When there are too many.
    pub fn restore(
        &self,
        kept: impl Iterator<Item = KeptRevocation>,
    ) -> Result<(), RevocationError> {
        let now = now();
        let mut revocations = self.revocations.write();
        for each in kept {
            revocations.restore(each, now)?;
        }
        Ok(())
    }
}

impl Session {
    /// Begins the session of a connection that is about to open.
    pub fn begin(
        (authenticator, post): (&Arc<Authenticator>, &Arc<Post>),
        connection: &Arc<Connection>,
        identity: Identity,
    ) -> Arc<Self> {
        let proven = Proven {
            authenticator: Arc::clone(authenticator),
            post: Arc::clone(post),
            identity: Mutex::new(identity),
            renewals: AtomicU64::new(0),
            next_renewal: Mutex::default(),
        };
        let session = Self::of(Proof::Identity(proven), connection);
        let open = &authenticator.sessions().open;
        open.insert(session.id, Arc::downgrade(&session));
        session.close_if_revoked();
        session
    }

    /// Begins the session of a connection that an API key has let in, and that is
    /// about to open. It ends with the key: when that is revoked, gone from the
    /// configuration, or expired.
    pub fn begin_by_key(key: &Arc<Key>, connection: &Arc<Connection>) -> Arc<Self> {
        let session = Self::of(Proof::Key(Arc::clone(key)), connection);
        key.enter(connection);
        session
    }

    fn of(proof: Proof, connection: &Arc<Connection>) -> Arc<Self> {
        Arc::new(Self {
            proof,
            connection: Arc::downgrade(connection),
            id: connection.id(),
            seen: AtomicU64::new(0),
        })
    }

    /// The API key that has let the peer in, if one has.
    pub fn key(&self) -> Option<&Arc<Key>> {
        match &self.proof {
            Proof::Identity(_) => None,
            Proof::Key(key) => Some(key),
        }
    }

    /// A number that is another one when the peer may do something else than before:
    /// the [generation](Key::generation) of its API key, or how often it has shown
    /// another token.
    pub fn generation(&self) -> u64 {
        match &self.proof {
            Proof::Identity(proven) => proven.renewals.load(Ordering::Acquire),
            Proof::Key(key) => key.generation(),
        }
    }

    /// Whether the credential is another one, or the API key has other terms, since
    /// this was last asked.
    pub fn has_new_terms(&self) -> bool {
        let generation = self.generation();
        self.seen.swap(generation, Ordering::AcqRel) != generation
    }

    /// Closes the connection if its credential is revoked.
    fn close_if_revoked(&self) -> bool {
        let Proof::Identity(proven) = &self.proof else {
            // A key closes its connections itself.
            return false;
        };
        if !proven.authenticator.is_revocable() {
            return false;
        }
        let revocations = proven.authenticator.sessions().revocations().read();
        let revoked = revocations.revokes(&proven.identity.lock(), now());
        drop(revocations);
        let connection = revoked.and_then(|_| self.connection.upgrade());
        connection.is_some_and(|connection| {
            let ends = connection.end(CloseReason::Revoked);
            connection.wake();
            ends
        })
    }

    /// How long the credential is still good; `None` if it does not end. Reads
    /// the wall clock, so that one that is set, or goes on while the machine
    /// sleeps, counts.
    pub fn left(&self) -> Option<Duration> {
        let left = match &self.proof {
            Proof::Identity(proven) => {
                let UnixTime(end) = proven.identity.lock().expires?;
                Duration::from_secs(end).saturating_sub(wall())
            }
            Proof::Key(key) => key.left()?,
        };
        Some(left.min(LEFT_MAX))
    }

    /// Whether the peer can show another token in the place of the one that it has,
    /// by what is in force now.
    pub fn is_renewable(&self) -> bool {
        match &self.proof {
            Proof::Identity(proven) => {
                let in_force = proven.post.authenticator();
                in_force.is_some_and(|it| it.tokens().is_some())
            }
            Proof::Key(_) => false,
        }
    }

    /// Why a connection ends whose credential has expired.
    pub fn expired(&self) -> CloseReason {
        match &self.proof {
            Proof::Identity(proven) => {
                let in_force = proven.post.authenticator();
                let authenticator = in_force.as_ref().unwrap_or(&proven.authenticator);
                CloseReason::Expired {
                    code: authenticator.expired_close_code(),
                }
            }
            Proof::Key(key) => key.expired(),
        }
    }

    /// Takes a message that has a new token, which is verified by what is in force
    /// now: a key or a trigger that was withdrawn renews nothing. The answer is the
    /// prefix with `ok`, or with the word of the refusal. API keys are not renewed.
    pub fn renew(&self, message: &str) -> Renewal {
        let renewal = match &self.proof {
            Proof::Identity(proven) => proven.renew(message),
            Proof::Key(_) => Renewal::None,
        };
        if matches!(renewal, Renewal::Renewed(_)) {
            self.close_if_revoked();
        }
        renewal
    }

    /// Takes a new token, which is verified by what is in force now.
    ///
    /// # Errors
    ///
    /// See [`NotRenewed`].
    pub fn renew_by(&self, token: &str) -> Result<(), NotRenewed> {
        let Proof::Identity(proven) = &self.proof else {
            return Err(NotRenewed::Never);
        };
        let in_force = proven.post.authenticator();
        let tokens = in_force.as_ref().and_then(|it| it.tokens());
        if tokens.is_none() && proven.authenticator.tokens().is_none() {
            return Err(NotRenewed::Never);
        }
        proven.take(tokens, token)?;
        self.close_if_revoked();
        Ok(())
    }

    /// Whether `is_it` holds for a claim of the peer's token, now: for its text, or
    /// for a text of its list.
    pub fn claims(&self, claim: &str, is_it: &mut dyn FnMut(&str) -> bool) -> bool {
        let Proof::Identity(proven) = &self.proof else {
            return false;
        };
        match proven.identity.lock().claims.get(claim) {
            Some(Value::String(text)) => is_it(text),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(is_it),
            _ => false,
        }
    }
}

impl Proven {
    fn renew(&self, message: &str) -> Renewal {
        let in_force = self.post.authenticator();
        let tokens = in_force.as_ref().and_then(|it| it.tokens());
        // A function never sees what its peer means for the host.
        let reads = tokens.or_else(|| self.authenticator.tokens());
        let Some(token) = reads.and_then(|reads| reads.renewal(message)) else {
            return Renewal::None;
        };
        let prefix = &message[..message.len() - token.len()];
        match self.take(tokens, token.trim()) {
            Ok(()) => Renewal::Renewed(format!("{prefix}ok")),
            Err(NotRenewed::Denied(denied)) => {
                Renewal::Refused(format!("{prefix}{}", denied.denial.label()), denied)
            }
            Err(NotRenewed::TooSoon | NotRenewed::Never) => {
                Renewal::TooSoon(format!("{prefix}{TOO_SOON}"))
            }
        }
    }

    /// Takes a token in the place of the one before, if it is not too soon.
    fn take(&self, tokens: Option<&TokenVerifier>, token: &str) -> Result<(), NotRenewed> {
        let now = now();
        {
            let mut next = self.next_renewal.lock();
            if now.steady < *next {
                return Err(NotRenewed::TooSoon);
            }
            *next = now.steady + RENEWAL_PAUSE;
        }
        let old = self.identity.lock().clone();
        let renewed = match tokens {
            Some(tokens) => tokens.renew(&old, token, now),
            None => Err(Denied {
                denial: Denial::TokenInvalid,
                detail: "the trigger is gone, or takes no tokens any more".to_owned(),
            }),
        };
        *self.identity.lock() = renewed.map_err(NotRenewed::Denied)?;
        // After it: whoever sees the number finds the claims.
        self.renewals.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match &self.proof {
            Proof::Identity(proven) => {
                proven.authenticator.sessions().open.remove(&self.id);
            }
            Proof::Key(key) => key.leave(self.id),
        }
    }
}
