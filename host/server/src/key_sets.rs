//! Fetches the key sets of issuers (`jwks_url`), in the background.
//!
//! There is a task for each trigger with such an address. It does what
//! [`FetchedKeys`] says: when to fetch, which bytes to read at most, and for how
//! long to wait. It follows no redirects, and asks no address but the configured
//! one. A task ends when no table has its trigger any more.
//!
//! A host that starts is not ready until each task has fetched once, for better
//! or worse, or until [`FIRST_TIME`] is over: a load balancer that sends it
//! handshakes earlier gets refusals. Keys that a reload adds do not count, because
//! the host serves its other triggers meanwhile.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, HOST, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use openline_admission::authenticate::{Authenticator, steady};
use openline_admission::services::Services;
use openline_authentication::jwt::{Answer, Fetch, FetchedKeys};
use openline_core::escape::Escaped;
use parking_lot::Mutex;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, OnceCell, mpsc};
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio_rustls::TlsConnector;

use crate::connect::connect;

/// How much of an error is logged. An issuer can have chosen parts of it.
const ERROR_BYTES_MAX: usize = 300;

/// How long a host that starts waits for the keys of issuers before it is ready
/// without them: as long as one fetch may take. An issuer that is down must not
/// keep the other functions down.
const FIRST_TIME: Duration = Duration::from_secs(10);

/// The settings of TLS, which trust the authorities of the system.
static TLS: OnceCell<Option<Arc<ClientConfig>>> = OnceCell::const_new();

/// The answer of an issuer.
struct Fetched {
    status: u16,
    tag: Option<String>,
    body: Vec<u8>,
}

/// Ends when all of its clones are dropped: those of the tasks that have not
/// fetched yet.
type First = mpsc::Sender<Infallible>;

/// Fetches the key sets of all triggers, as long as it is polled. A host that
/// starts is not ready from now on until each was fetched once, or could not be.
pub(crate) fn fetch(services: &Arc<Services>) -> impl Future<Output = ()> + use<> {
    let (first, ready) = wait_for_keys(services);
    let fetching = fetch_all(Arc::clone(services), first);
    async move {
        tokio::join!(fetching, ready);
    }
}

/// Keeps a host that starts from being ready if it has key sets to fetch. The
/// future makes it ready when they are fetched: to be polled beside
/// [`fetch_all`], which takes the other half.
fn wait_for_keys(services: &Arc<Services>) -> (First, impl Future<Output = ()> + use<>) {
    let (first, mut all) = mpsc::channel(1);
    let table = services.table();
    let mut authenticators = table
        .services
        .iter()
        .filter_map(|it| it.authenticator.as_ref());
    let has_key_sets = authenticators.any(|it| it.fetched().is_some());
    services.set_awaiting_keys(has_key_sets);
    let services = Arc::clone(services);
    let waiting = async move {
        if tokio::time::timeout(FIRST_TIME, all.recv()).await.is_err() {
            tracing::warn!("ready without the keys of some issuers, which have not answered");
        }
        services.set_awaiting_keys(false);
    };
    (first, waiting)
}

/// Fetches the key sets of all triggers, as long as it is polled. The tasks of
/// the first table hold `first` until they have fetched once.
async fn fetch_all(services: Arc<Services>, first: First) {
    let mut first = Some(first);
    let mut tasks = JoinSet::new();
    let mut followed: HashMap<usize, AbortHandle> = HashMap::new();
    loop {
        let table = services.table();
        let all = table.services.iter();
        let all = all.filter_map(|service| service.authenticator.as_ref());
        let mut kept = HashMap::new();
        for authenticator in all.filter(|it| it.fetched().is_some()) {
            // A task holds the memory of its own, so no other is at its place.
            let place = Arc::as_ptr(authenticator).addr();
            let running = followed.remove(&place).filter(|it| !it.is_finished());
            let task = running.unwrap_or_else(|| {
                let wake = Arc::clone(authenticator.wake());
                tasks.spawn(follow(Arc::downgrade(authenticator), wake, first.clone()))
            });
            kept.insert(place, task);
        }
        drop(table);
        first = None;
        followed.values().for_each(AbortHandle::abort);
        followed = kept;
        tokio::select! {
            () = services.replaced().notified() => {}
            // A task ends only when its trigger is gone.
            _ = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
}

/// Keeps the keys of one trigger fresh.
async fn follow(authenticator: Weak<Authenticator>, wake: Arc<Notify>, mut first: Option<First>) {
    loop {
        let Some(keys) = authenticator.upgrade().and_then(|it| it.fetched().cloned()) else {
            return;
        };
        let due = keys.lock().due();
        let due = due.map(|due| due.saturating_sub(steady()));
        match due {
            Some(Duration::ZERO) => {
                refresh(&keys).await;
                drop(first.take());
            }
            Some(left) => {
                drop(keys);
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    () = wake.notified() => {}
                }
            }
            // It is under way elsewhere, which cannot be.
            None => pending().await,
        }
    }
}

/// Fetches once, and tells what is wrong.
async fn refresh(keys: &Mutex<FetchedKeys>) {
    let fetch = keys.lock().begin(steady());
    let url = fetch.url.clone();
    let time = fetch.time;
    let fetched = match tokio::time::timeout(time, ask(&fetch)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(format!("no whole answer within {} s", time.as_secs())),
    };
    let mut keys = keys.lock();
    let learned = match &fetched {
        Ok(fetched) => keys.answered(
            Answer {
                status: fetched.status,
                body: &fetched.body,
                tag: fetched.tag.as_deref(),
            },
            steady(),
        ),
        Err(why) => Err(keys.failed(why.as_str(), steady())),
    };
    let has_keys = keys.keys(steady()).is_some();
    drop(keys);
    match learned {
        Ok(warnings) => {
            tracing::debug!(%url, "fetched a key set");
            for warning in warnings {
                let warning = warning.to_string();
                let warning = Escaped::new(&warning, ERROR_BYTES_MAX);
                tracing::warn!(%url, %warning, "a key is odd");
            }
        }
        Err(error) => {
            let error = error.to_string();
            let error = Escaped::new(&error, ERROR_BYTES_MAX);
            let hint = if has_keys {
                "see whether `jwks_url` answers: the keys before it stay in force for `jwks_stale`"
            } else {
                "see whether `jwks_url` answers: until it does, tokens are refused with 503"
            };
            tracing::warn!(%url, %error, hint, "a key set was not fetched");
        }
    }
}

/// Asks an issuer.
async fn ask(fetch: &Fetch) -> Result<Fetched, String> {
    let uri: Uri = fetch.url.parse().map_err(|_| "it is not a URL")?;
    let host = uri.host().ok_or("it names no host")?;
    let host = host.trim_matches(['[', ']']);
    let has_tls = uri.scheme_str() == Some("https");
    let stream = connect(&uri, fetch.time / 2).await?;
    if !has_tls {
        return exchange(stream, fetch, &uri).await;
    }
    let config = TLS.get_or_init(|| async {
        // It reads files.
        spawn_blocking(tls).await.ok()
    });
    let config = config.await.clone().ok_or("there is no TLS")?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| "its host is no name for a certificate")?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    let stream = stream.map_err(|error| error.to_string())?;
    exchange(stream, fetch, &uri).await
}

/// The settings of a client for HTTP/1.1 that trusts the system's authorities.
fn tls() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "an authority of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("ring has all cipher suites of the library's versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    fetch: &Fetch,
    uri: &Uri,
) -> Result<Fetched, String> {
    let said = |error: hyper::Error| error.to_string();
    let target = uri.path_and_query().map_or("/", |it| it.as_str());
    let authority = uri.authority().map_or("", |it| it.as_str());
    let mut request = Request::get(target)
        .header(HOST, authority)
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("openline/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let tag = fetch.if_none_match.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(tag)) = tag {
        request.headers_mut().insert(IF_NONE_MATCH, tag);
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(said)?;
        let tag = answer.headers().get(ETAG);
        let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        let mut read = answer.into_body();
        let mut body = Vec::new();
        while let Some(frame) = read.frame().await {
            let Ok(data) = frame.map_err(said)?.into_data() else {
                continue;
            };
            let left = fetch.body_bytes - body.len();
            body.extend_from_slice(&data[..data.len().min(left)]);
            if body.len() == fetch.body_bytes {
                break;
            }
        }
        Ok(Fetched { status, tag, body })
    };
    let mut asking = std::pin::pin!(asking);
    tokio::select! {
        answer = asking.as_mut() => answer,
        // It ends first if the issuer closes it after its answer.
        _ = connection => asking.await,
    }
}
