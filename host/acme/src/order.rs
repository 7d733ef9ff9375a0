//! One order: from an account to a certificate with its key, for one host name.
//!
//! One name, so that a name that cannot be validated keeps no other from its
//! certificate. Bounded by [`ORDER_TIMEOUT`] and by one authorization.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Error, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use openline_core::config::AcmeChallenge;
use openline_gateway::tls::challenges::{ChallengeError, Challenges, Pending};
use openline_gateway::tls::issued::{Issued, IssuedError};
use openline_hint::Hint;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::account::AccountError;
use crate::client::{AskError, shown};
use crate::folder::FolderError;

/// How long an order may take in all. An authority validates within seconds.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How often the host asks whether an authority has validated or issued: after
/// half a second, then more and more slowly for a minute and a half.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Account(AccountError),
    #[error("{}", said(.0))]
    Acme(#[from] Error),
    #[error("the authority asks about another name than the one that was ordered")]
    Name,
    #[error("the authority asks about {0} names, and one was ordered")]
    Names(usize),
    #[error("the authority says that the authorization is {0}")]
    Authorization(&'static str),
    #[error("the authority does not offer the challenge")]
    NotOffered,
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    #[error("the authority has not validated the name: {0}")]
    Invalid(String),
    #[error("no key or request can be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("what the authority has issued cannot be used: {0}")]
    Issued(#[from] IssuedError),
    #[error("what the authority has issued has expired already by the clock of this machine")]
    Expired,
    #[error("the order has taken more than {} s", ORDER_TIMEOUT.as_secs())]
    Late,
}

/// Orders a certificate; its PEM, with its issuers and its key.
pub(crate) async fn order(
    account: &Account,
    host: &str,
    challenge: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<(String, Issued), OrderError> {
    let ordering = order_in_time(account, host, challenge, challenges, &POLL);
    let ordered = tokio::time::timeout(ORDER_TIMEOUT, ordering).await;
    ordered.unwrap_or(Err(OrderError::Late))
}

async fn order_in_time(
    account: &Account,
    host: &str,
    challenge: AcmeChallenge,
    challenges: &Arc<Challenges>,
    poll: &RetryPolicy,
) -> Result<(String, Issued), OrderError> {
    let names = [Identifier::Dns(host.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let pending = answer(&mut order, &names[0], challenge, challenges).await?;
    if order.poll_ready(poll).await? != OrderStatus::Ready {
        return Err(OrderError::Invalid(why(&mut order).await));
    }
    drop(pending);
    let key = KeyPair::generate()?;
    let mut request = CertificateParams::new(vec![host.to_owned()])?;
    request.distinguished_name = DistinguishedName::new();
    let request = request.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(poll).await?;
    let pem = format!("{}\n{}", chain.trim_end(), key.serialize_pem());
    let issued = Issued::read(pem.as_bytes(), host)?;
    Ok((pem, issued))
}

/// Makes the answer to the challenge of an order, and tells the authority to
/// look at it. None if it has validated the name a while ago.
async fn answer(
    order: &mut Order,
    name: &Identifier,
    challenge: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Option<Pending>, OrderError> {
    let names = order.state().authorizations.len();
    if names != 1 {
        return Err(OrderError::Names(names));
    }
    let mut authorizations = order.authorizations();
    let Some(authorization) = authorizations.next().await else {
        return Err(OrderError::Names(0));
    };
    let mut authorization = authorization?;
    if authorization.identifier().identifier != name || authorization.wildcard {
        return Err(OrderError::Name);
    }
    match authorization.status {
        AuthorizationStatus::Pending => {}
        AuthorizationStatus::Valid => return Ok(None),
        AuthorizationStatus::Invalid => return Err(OrderError::Authorization("invalid")),
        AuthorizationStatus::Revoked => return Err(OrderError::Authorization("revoked")),
        AuthorizationStatus::Expired => return Err(OrderError::Authorization("expired")),
        AuthorizationStatus::Deactivated => return Err(OrderError::Authorization("deactivated")),
    }
    let kind = kind(challenge);
    let mut handle = authorization
        .challenge(kind)
        .ok_or(OrderError::NotOffered)?;
    let Identifier::Dns(host) = name else {
        return Err(OrderError::Name);
    };
    let pending = prepare(&handle, host, challenge, challenges)?;
    handle.set_ready().await?;
    Ok(Some(pending))
}

fn prepare(
    handle: &ChallengeHandle<'_>,
    host: &str,
    challenge: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Pending, OrderError> {
    let authorization = handle.key_authorization();
    match challenge {
        AcmeChallenge::Http01 => Ok(challenges.http(&handle.token, authorization.as_str())?),
        AcmeChallenge::TlsAlpn01 => {
            let mut params = CertificateParams::new(vec![host.to_owned()])?;
            let digest = authorization.digest();
            let extension = CustomExtension::new_acme_identifier(digest.as_ref());
            params.custom_extensions = vec![extension];
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            let key = PrivateKeyDer::Pkcs8(key);
            Ok(challenges.tls(host, certificate.der().clone(), key)?)
        }
    }
}

fn kind(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// What an authority has found when it validated.
async fn why(order: &mut Order) -> String {
    let unsaid = || "it does not say why".to_owned();
    let mut authorizations = order.authorizations();
    let Some(Ok(mut authorization)) = authorizations.next().await else {
        return unsaid();
    };
    match authorization.refresh().await {
        Ok(state) => {
            let mut errors = state.challenges.iter().filter_map(|it| it.error.as_ref());
            errors
                .next()
                .map_or_else(unsaid, |problem| shown(problem.to_string()))
        }
        Err(_) => unsaid(),
    }
}

/// An error in words that people may see: parts of it are the authority's.
fn said(error: &Error) -> String {
    match error {
        Error::Timeout(_) => "the authority has come to no end with the order".into(),
        Error::Json(_) => format!("the authority's answer is not what it should be: {error}"),
        error => shown(error.to_string()),
    }
}

// === impl OrderError ===

impl From<AccountError> for OrderError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Folder(error) => Self::Folder(error),
            AccountError::Acme(error) => Self::Acme(error),
            error @ AccountError::Kept(_) => Self::Account(error),
        }
    }
}

impl Hint for OrderError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::Folder(_) => "the host's user must be able to write to the data directory",
            Self::Account(_) => "remove the account's file, and the host makes another account",
            Self::Acme(error) => of_acme(error)?,
            Self::NotOffered => "choose the other `challenge` in [server.tls.acme]",
            Self::Invalid(_) => {
                "the authority must reach this host by the name: at port 443 for `tls-alpn-01`, at port 80 for `http-01`; look at the DNS entries (AAAA as well), the firewall, and whether another host answers for the name"
            }
            Self::Expired => "set the clock of this machine",
            Self::Name | Self::Names(_) | Self::Authorization(_) | Self::Issued(_) | Self::Late => {
                "is `directory` that of the authority that you mean?"
            }
            Self::Challenge(_) | Self::Key(_) => return None,
        }))
    }
}

fn of_acme(error: &Error) -> Option<&'static str> {
    match error {
        Error::Other(error) => Some(match error.downcast_ref::<AskError>()? {
            AskError::Url(_) => "`directory` in [server.tls.acme] must be a URL with https",
            AskError::Connect(..) | AskError::Late(..) => {
                "is `directory` right, and may this machine connect to it?"
            }
            AskError::Tls(..) => {
                "the certificate of a private directory needs `ca_file` in [server.tls.acme]"
            }
            AskError::Redirect { .. } => "name the URL that it leads to in `directory`",
            AskError::Http(..) | AskError::Large(_) | AskError::Status(..) => {
                "is `directory` the URL of a directory of ACME?"
            }
        }),
        Error::Json(_) => Some("is `directory` the URL of a directory of ACME?"),
        Error::Api(problem) => {
            let word = problem.r#type.as_deref()?;
            let word = word.strip_prefix("urn:ietf:params:acme:error:")?;
            Some(match word {
                "rateLimited" => "the authority has a limit that is reached; the host waits",
                "externalAccountRequired" => {
                    "set `external_account` and `external_account_key_file` in [server.tls.acme]"
                }
                "rejectedIdentifier" => "the authority gives no certificates for this name",
                "caa" => "the CAA entries of the name's DNS do not allow this authority",
                "invalidContact" | "unsupportedContact" => "look at `contact` in [server.tls.acme]",
                "accountDoesNotExist" => "the host makes another account",
                _ => return None,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
