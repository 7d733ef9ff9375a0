//! Authentication, a step of admission, by the rules of
//! `openline_authentication`.
//!
//! Each trigger that authenticates has one [`Authenticator`], which outlives a
//! configuration that does not change it: tickets are remembered, and fetched
//! keys stay in force. Nonces and revocations belong to the function. It reads
//! clocks, and nothing else: `control` reads secrets and files, and a task of the
//! server fetches key sets. Bounded by the limits of the trigger's tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;
use openline_authentication::jwt::{FetchedKeys, KeyWarning};
use openline_authentication::signature::{AccessKeys, SignatureVerifier};
use openline_authentication::{
    Denial, Denied, Identity, Request, Secret, Spending, TicketError, TicketRequest, Tickets,
    TokenVerifier,
};
use openline_core::authentication::{
    AuthMethod, Authentication, FirstMessageConfig, SecretSource, TicketConfig, UnixTime,
};
use openline_hint::Hinted;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

pub use crate::clock::{now, steady};
use crate::firewall::Edits;
use crate::normalise::asked_method;
use crate::sessions::Sessions;

/// Verifies the requests of one trigger.
#[derive(Debug)]
pub struct Authenticator {
    config: Authentication,
    material: Material,
    verifier: Verifier,
    sessions: Arc<Sessions>,
    /// Wakes the task that fetches keys.
    wake: Arc<Notify>,
}

/// The authenticator by which a trigger lets in peers now: nothing once the
/// trigger is gone, or needs no credential any more. A connection looks here
/// when its peer shows another token, so that what was withdrawn renews nothing.
#[derive(Debug, Default)]
pub struct Post(RwLock<Option<Arc<Authenticator>>>);

#[derive(Debug)]
enum Verifier {
    Token(Box<TokenVerifier>),
    FirstMessage(Box<TokenVerifier>, Box<FirstMessageConfig>),
    Signature(Box<SignatureVerifier>),
    Ticket(Tickets),
}

/// What a table refers to: secrets by the texts of their places, and the file
/// of keys. Each is there, or why it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Material {
    /// The bytes at each place.
    pub secrets: BTreeMap<String, Result<Secret, String>>,
    /// The text of `keys_file`.
    pub keys_file: Option<Result<Vec<u8>, String>>,
}

/// The places of all secrets of a trigger.
pub fn secrets(config: &Authentication) -> Vec<&SecretSource> {
    let tokens = config.jwt.iter();
    let tokens = tokens.flat_map(|jwt| jwt.secret.iter().chain(&jwt.previous_secret));
    let callers = config.signature.iter().flat_map(|it| &it.keys);
    let callers = callers.flat_map(|key| [Some(&key.secret), key.security_token.as_ref()]);
    tokens.chain(callers.flatten()).collect()
}

impl Authenticator {
    /// Makes the authenticator of a table that was checked, and says what is odd
    /// about its keys. It continues with the fetched keys of the one `before` it,
    /// if they are from the same address, and with the nonces of its function.
    ///
    /// # Errors
    ///
    /// When a secret or a file cannot be read, or the keys are not good.
    pub fn new(
        config: &Authentication,
        material: Material,
        before: Option<&Self>,
        sessions: Arc<Sessions>,
    ) -> Result<(Self, Vec<KeyWarning>), Hinted> {
        let wake = Arc::<Notify>::default();
        let mut warnings = Vec::new();
        let read = |place: &SecretSource| match material.secrets.get(&place.to_string()) {
            Some(Ok(secret)) => Ok(secret.bytes().to_vec()),
            Some(Err(why)) => Err(why.clone()),
            None => Err("it was not read".to_owned()),
        };
        let verifier = match (config.method, &config.jwt, &config.signature) {
            (AuthMethod::Jwt | AuthMethod::FirstMessage, Some(jwt), _) => {
                let file = match (&jwt.keys_file, &material.keys_file) {
                    (Some(path), Some(Err(why))) => {
                        let what = format!("`keys_file` {}: {why}", path.display());
                        return Err(Hinted::new(what, "the file must exist and be readable"));
                    }
                    (_, file) => file.as_ref().and_then(|file| file.as_deref().ok()),
                };
                let waking = Arc::clone(&wake);
                let waking = Box::new(move || waking.notify_one());
                let revoked = Arc::clone(sessions.revocations());
                let made = TokenVerifier::new(jwt, file, &read, revoked, now(), waking)?;
                warnings = made.1;
                if let Some(before) = before.and_then(Self::tokens) {
                    made.0.inherit(before, steady());
                }
                let tokens = Box::new(made.0);
                match config.method {
                    AuthMethod::FirstMessage => {
                        let first = config.first_message.clone();
                        Verifier::FirstMessage(tokens, first.unwrap_or_default())
                    }
                    _ => Verifier::Token(tokens),
                }
            }
            (AuthMethod::Signature, _, Some(signature)) => {
                let keys = AccessKeys::new(&signature.keys, &read)?;
                let nonces = Arc::clone(sessions.nonces());
                Verifier::Signature(Box::new(SignatureVerifier::new(signature, keys, nonces)))
            }
            (AuthMethod::Ticket, _, _) => {
                let default = TicketConfig::default();
                Verifier::Ticket(Tickets::new(config.ticket.as_deref().unwrap_or(&default)))
            }
            _ => {
                let what = format!("`auth` = {:?} cannot be served", config.method);
                let hint = "one of `jwt`, `first-message`, `signature` and `ticket`";
                return Err(Hinted::new(what, hint));
            }
        };
        let made = Self {
            config: config.clone(),
            material,
            verifier,
            sessions,
            wake,
        };
        Ok((made, warnings))
    }

    /// Whether it is what this table and these secrets would make.
    pub fn is(&self, config: &Authentication, material: Option<&Material>) -> bool {
        self.config == *config && material.is_none_or(|material| self.material == *material)
    }

    /// Notes that it is not in force any more: what its table says about the
    /// nonces of its function does not count.
    pub(crate) fn retire(&self) {
        if let Verifier::Signature(signatures) = &self.verifier {
            signatures.retire();
        }
    }

    /// Authenticates a request. Uses up its nonce or its ticket, unless what it
    /// spends is given back; so it is called once for each request.
    ///
    /// # Errors
    ///
    /// When the request must not pass.
    pub fn authenticate(&self, parts: &Parts) -> Result<(Identity, Spending), Denied> {
        let request = request(parts);
        let now = now();
        let free = |identity| (identity, Spending::nothing());
        match &self.verifier {
            Verifier::Token(tokens) => tokens.authenticate(&request, now).map(free),
            Verifier::FirstMessage(tokens, _) => tokens.unproven().map(free),
            Verifier::Signature(signatures) => signatures.authenticate(&request, now.wall),
            Verifier::Ticket(tickets) => {
                let (identity, spending) = tickets.authenticate(&request, now.wall)?;
                let revoked = self.sessions.revocations().read();
                match revoked.revokes(&identity, now) {
                    Some(by) => {
                        spending.commit();
                        Err(Denied {
                            denial: Denial::TicketInvalid,
                            detail: by.to_string(),
                        })
                    }
                    None => Ok((identity, spending)),
                }
            }
        }
    }

    /// The same for a request that asks for an answer: there is no message in which a
    /// token could come, so the request itself has it.
    ///
    /// # Errors
    ///
    /// When the request must not pass.
    pub fn authenticate_request(&self, parts: &Parts) -> Result<(Identity, Spending), Denied> {
        let Verifier::FirstMessage(tokens, _) = &self.verifier else {
            return self.authenticate(parts);
        };
        let identity = tokens.authenticate(&request(parts), now())?;
        Ok((identity, Spending::nothing()))
    }

    /// The verifier of its tokens, if it has one.
    pub(crate) fn tokens(&self) -> Option<&TokenVerifier> {
        match &self.verifier {
            Verifier::Token(tokens) | Verifier::FirstMessage(tokens, _) => Some(tokens),
            _ => None,
        }
    }

    /// The identity of a request whose peer may show a token later; `None` if the
    /// trigger takes no tokens.
    ///
    /// # Errors
    ///
    /// When the names of claims cannot be freed in it.
    pub(crate) fn unproven(&self) -> Option<Result<Identity, Denied>> {
        self.tokens().map(TokenVerifier::unproven)
    }

    /// Whether a peer on this path needs a credential.
    pub fn asks(&self, path: &str) -> bool {
        self.tokens().is_none_or(|tokens| tokens.checks(path))
    }

    /// How a connection on this path authenticates by its first message, if it
    /// does.
    pub fn first_message(&self, path: &str) -> Option<&FirstMessageConfig> {
        match &self.verifier {
            Verifier::FirstMessage(tokens, first) if tokens.checks(path) => Some(first),
            _ => None,
        }
    }

    /// Whether its identities can be revoked: they come from tokens.
    pub(crate) fn is_revocable(&self) -> bool {
        !matches!(self.verifier, Verifier::Signature(..))
    }

    /// The code that closes a connection whose credential has expired.
    pub(crate) fn expired_close_code(&self) -> u16 {
        let jwt = self.config.jwt.as_ref();
        jwt.map_or(1008, |jwt| jwt.expired_close_code)
    }

    /// The authenticated connections of its function.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// The keys that a task has to fetch, if they are fetched.
    pub fn fetched(&self) -> Option<&Arc<Mutex<FetchedKeys>>> {
        self.tokens().and_then(TokenVerifier::fetched)
    }

    /// Wakes the task that fetches keys, when it should look earlier.
    pub fn wake(&self) -> &Arc<Notify> {
        &self.wake
    }

    /// Makes a ticket, and says when it ends; `None` if the trigger takes no
    /// tickets.
    ///
    /// # Errors
    ///
    /// See [`TicketError`].
    pub fn ticket(
        &self,
        request: TicketRequest,
    ) -> Option<Result<(String, UnixTime), TicketError>> {
        match &self.verifier {
            Verifier::Ticket(tickets) => Some(tickets.issue(request, now().wall)),
            _ => None,
        }
    }
}

impl Post {
    /// The one that is in force.
    pub(crate) fn authenticator(&self) -> Option<Arc<Authenticator>> {
        self.0.read().clone()
    }

    /// Authenticates a connection by its first message, by what is in force now.
    /// The connection was upgraded by `config`.
    ///
    /// # Errors
    ///
    /// When the message has no good token.
    pub fn authenticate_first(
        &self,
        config: &FirstMessageConfig,
        message: &str,
    ) -> Result<Identity, Denied> {
        let in_force = self.authenticator();
        let tokens = in_force.as_ref().and_then(|it| it.tokens());
        let tokens = tokens.ok_or_else(|| Denied {
            denial: Denial::KeysUnavailable,
            detail: "the trigger is gone, or takes no tokens any more".into(),
        })?;
        tokens.first_message(config, message, now())
    }

    /// Authenticates a connection by a token that its dialect has brought, by what
    /// is in force now; `None` if the trigger takes no tokens.
    ///
    /// # Errors
    ///
    /// When the token is not good.
    pub fn authenticate_token(&self, token: &str) -> Option<Result<Identity, Denied>> {
        let in_force = self.authenticator();
        let tokens = in_force.as_ref().and_then(|it| it.tokens())?;
        Some(tokens.proven(token, now()))
    }

    /// Puts another one in force, or none.
    pub(crate) fn take(&self, authenticator: Option<Arc<Authenticator>>) {
        let before = std::mem::replace(&mut *self.0.write(), authenticator);
        drop(before);
    }
}

/// A request as the function sees it: the target and the headers.
#[derive(Debug)]
pub struct Edited {
    /// The path and the query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
}

/// What the rules of firewalls and an identity change about a request; `None` if
/// they change nothing. The identity's changes come last: rules cannot write
/// claims.
pub fn edited(rules: &Edits, identity: Option<&Identity>, parts: &Parts) -> Option<Edited> {
    let identity = identity.filter(|identity| !identity.edits.is_empty());
    if identity.is_none() && rules.is_empty() {
        return None;
    }
    let mut headers = parts.headers.clone();
    rules.apply(&mut headers);
    let query = parts.uri.query();
    let query = match identity {
        Some(identity) => identity.edits.apply(&mut headers, query),
        None => query.map(str::to_owned),
    };
    let path = parts.uri.path();
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Some(Edited { target, headers })
}

/// Marks a request, among its extensions, as one that has a body.
#[derive(Clone, Copy, Debug)]
pub struct HasBody;

/// A request as authenticators know it.
fn request(parts: &Parts) -> Request<'_> {
    let header = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    Request {
        method: asked_method(parts).as_str(),
        host: header.or(target),
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: &parts.headers,
        has_body: parts.extensions.get().is_some_and(|HasBody| true),
    }
}
