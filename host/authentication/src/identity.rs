//! The identity of a peer, once its credential is verified.

use openline_core::authentication::UnixTime;
use serde_json::{Map, Value};

use crate::edits::{Edits, text_of};

/// The identity of the peer that a request is from. Without claims, the request
/// needed no credential.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The claims of the token or the ticket. A signature makes one, `sub`, of
    /// its key.
    pub claims: Map<String, Value>,
    /// When the credential ends, and the connection with it. From that second on
    /// it is not good any more.
    pub expires: Option<UnixTime>,
    /// When the credential was made: the `iat` of a token, or the moment at which
    /// the host made the ticket. `None` if the token does not say.
    pub issued: Option<UnixTime>,
    /// The changes of the request.
    pub edits: Edits,
    /// The SHA-256 that the body must have. The signature holds only for this
    /// body, so the caller refuses another one.
    pub body_sha256: Option<[u8; 32]>,
}

impl Identity {
    /// The subject of the credential (`sub`).
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub")?.as_str()
    }

    /// The name of the token (`jti`).
    pub fn token_id(&self) -> Option<&str> {
        self.claims.get("jti")?.as_str()
    }

    /// A claim as text, for affinity: texts as they are, other values as JSON.
    /// `None` if the claim is missing or `null`.
    pub fn claim(&self, name: &str) -> Option<String> {
        text_of(self.claims.get(name)?)
    }

    /// The claims as JSON, for the function; `None` if there are none.
    pub fn claims_json(&self) -> Option<String> {
        let some = Some(&self.claims).filter(|claims| !claims.is_empty());
        some.and_then(|claims| serde_json::to_string(claims).ok())
    }

    /// Whether a new token may take the place of this one on an open connection:
    /// it stands for the same subject, and its issuer is the same. A token without
    /// a subject says nothing about whom it stands for, so it is never renewed.
    pub fn is_renewed_by(&self, new: &Self) -> bool {
        let equal = |name: &str| self.claims.get(name) == new.claims.get(name);
        let named = self.subject().is_some_and(|subject| !subject.is_empty());
        named && equal("sub") && equal("iss")
    }
}
