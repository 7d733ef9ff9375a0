//! Challenges of ACME authorities that wait to be validated: what the host
//! answers to them, and to no other request.
//!
//! HTTP-01 (RFC 8555 section 8.3) is answered on a listener of its own.
//! TLS-ALPN-01 (RFC 8737) is a handshake with `listen` that offers the protocol
//! `acme-tls/1` and nothing else; the certificate for it is shown to no other
//! client, and the TCP connection ends with the handshake. Bounded:
//! [`PENDING_MAX`] of each kind.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::Full;
use openline_admission::peer::Peer;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::provider::provider;
use crate::answer_body::AnswerBody;
use crate::rescue::Refusal;
use crate::reserved::{Answer, RequestBody, Reserved, check_method};

/// The protocol that a validating authority offers.
pub(crate) const ALPN_ACME: &[u8] = b"acme-tls/1";
/// The path of HTTP-01, before the token.
const PATH: &str = "/.well-known/acme-challenge/";
/// Challenges that wait at once: the host requests one certificate after the
/// other, so one waits, or an abandoned one beside it.
pub const PENDING_MAX: usize = 8;
/// The longest token, in bytes; authorities send 43.
const TOKEN_BYTES_MAX: usize = 256;

/// The challenges that wait.
#[derive(Default)]
pub struct Challenges(RwLock<State>);

#[derive(Default)]
struct State {
    /// By token, the key authorization.
    http: HashMap<String, Bytes>,
    /// By host name.
    tls: HashMap<String, Arc<ServerConfig>>,
}

/// A challenge that waits; dropping it ends that.
#[derive(Debug)]
#[must_use = "the challenge is answered as long as this lives"]
pub struct Pending {
    challenges: Arc<Challenges>,
    key: String,
    is_tls: bool,
}

/// Why a challenge cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// The token has characters that are none of base64url, or is too long.
    #[error("the token of the challenge is not valid")]
    Token,
    /// Too many wait.
    #[error("{PENDING_MAX} challenges wait already")]
    Pending,
    /// The key of its certificate cannot be used.
    #[error("the certificate for the challenge cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
}

impl Challenges {
    /// Answers HTTP-01 for a token with a key authorization.
    ///
    /// # Errors
    ///
    /// When the token is not valid, or too many challenges wait.
    pub fn http(
        self: &Arc<Self>,
        token: &str,
        key_authorization: &str,
    ) -> Result<Pending, ChallengeError> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(letter) {
            return Err(ChallengeError::Token);
        }
        let mut state = self.0.write();
        let answer = Bytes::copy_from_slice(key_authorization.as_bytes());
        put(&mut state.http, token, answer)?;
        Ok(self.pending(token, false))
    }

    /// Shows a certificate to an authority that validates a host name, in lower
    /// case.
    ///
    /// # Errors
    ///
    /// When the key cannot be used, or too many challenges wait.
    pub fn tls(
        self: &Arc<Self>,
        host: &str,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Pending, ChallengeError> {
        let provider = provider();
        let key = provider.key_provider.load_private_key(key)?;
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = builder.with_no_client_auth();
        // rustls cannot compare the certificate with its key: it reads none that
        // has a critical extension which it does not know.
        let shown = CertifiedKey::new(vec![certificate], key);
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols = vec![ALPN_ACME.into()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let mut state = self.0.write();
        put(&mut state.tls, host, Arc::new(config))?;
        Ok(self.pending(host, true))
    }

    /// The settings for a handshake that validates a host name; none if it does
    /// not, or if no challenge for that name waits.
    pub(super) fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !is_validation(hello) {
            return None;
        }
        let host = hello.server_name()?.to_ascii_lowercase();
        self.0.read().tls.get(&host).cloned()
    }

    /// How many wait.
    pub fn pending_count(&self) -> usize {
        let state = self.0.read();
        state.http.len() + state.tls.len()
    }

    fn pending(self: &Arc<Self>, key: &str, is_tls: bool) -> Pending {
        Pending {
            challenges: Arc::clone(self),
            key: key.to_owned(),
            is_tls,
        }
    }
}

/// Whether a client offers the protocol of validation, and no other (RFC 8737
/// section 3).
pub(super) fn is_validation(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else {
        return false;
    };
    offered.next() == Some(ALPN_ACME) && offered.next().is_none()
}

fn put<T>(pending: &mut HashMap<String, T>, key: &str, value: T) -> Result<(), ChallengeError> {
    if pending.len() >= PENDING_MAX && !pending.contains_key(key) {
        return Err(ChallengeError::Pending);
    }
    pending.insert(key.to_owned(), value);
    Ok(())
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.challenges.0.write();
        match self.is_tls {
            true => _ = state.tls.remove(&self.key),
            false => _ = state.http.remove(&self.key),
        }
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").finish_non_exhaustive()
    }
}

/// On the listener of `acme_listen` the host answers challenges and nothing else.
impl Reserved for Challenges {
    fn answer(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
    ) -> BoxFuture<'_, Response<AnswerBody>> {
        let answer = self.find(request.method(), request.uri().path());
        let found = answer.is_ok();
        tracing::debug!(%peer, path = request.uri().path(), found, "challenge");
        let answer = answer.unwrap_or_else(|refusal| refusal.answer());
        std::future::ready(answer.map(Into::into)).boxed()
    }
}

impl Challenges {
    fn find(&self, method: &Method, path: &str) -> Result<Answer, Refusal> {
        let token = path.strip_prefix(PATH).ok_or_else(Refusal::not_found)?;
        let known = self.0.read().http.get(token).cloned();
        let known = known.ok_or_else(Refusal::not_found)?;
        check_method(method)?;
        let mut answer = Answer::new(Full::new(known));
        let kind = HeaderValue::from_static("application/octet-stream");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_as_long_as_it_waits_and_no_other_is() {
        let challenges = Arc::<Challenges>::default();
        let status = |method: Method, path: &str| match challenges.find(&method, path) {
            Ok(answer) => answer.status().as_u16(),
            Err(refusal) => refusal.answer().status().as_u16(),
        };
        let path = "/.well-known/acme-challenge/to-ken_1";
        assert_eq!(status(Method::GET, path), 404);
        let pending = challenges.http("to-ken_1", "to-ken_1.thumb").unwrap();
        assert_eq!(status(Method::GET, path), 200);
        assert_eq!(status(Method::HEAD, path), 200);
        assert_eq!(status(Method::POST, path), 405);
        for other in [
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/to-ken_",
            "/.well-known/acme-challenge/to-ken_1/",
            "/.well-known/acme-challenge/%74o-ken_1",
            "/to-ken_1",
            "/",
        ] {
            assert_eq!(status(Method::GET, other), 404, "{other}");
        }
        drop(pending);
        assert_eq!(status(Method::GET, path), 404);
        assert_eq!(challenges.pending_count(), 0);
    }

    #[test]
    fn tokens_of_the_most_bytes_and_as_many_challenges_as_may_wait() {
        let challenges = Arc::<Challenges>::default();
        let long = "a".repeat(TOKEN_BYTES_MAX);
        let pending = challenges.http(&long, "x").unwrap();
        for token in ["", "a/b", "a.b", "\u{e4}", &(long + "a")] {
            let refused = challenges.http(token, "x");
            assert!(matches!(refused, Err(ChallengeError::Token)), "{token}");
        }
        let more: Vec<_> = (1..PENDING_MAX)
            .map(|number| challenges.http(&format!("{number}"), "x").unwrap())
            .collect();
        let refused = challenges.http("one-more", "x");
        assert!(matches!(refused, Err(ChallengeError::Pending)));
        drop(pending);
        let last = challenges.http("one-more", "x").unwrap();
        drop((more, last));
        assert_eq!(challenges.pending_count(), 0);
    }
}
