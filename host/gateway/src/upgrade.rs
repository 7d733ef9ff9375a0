//! The upgrade: the function is asked, its answer checked, and the response
//! made. When hyper has written the 101, the connection begins.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use openline_admission::admit::{self, Places};
use openline_admission::peer::Peer;
use openline_admission::services::Service;
use openline_channels::connection::{AttachError, Connection, Facts};
use openline_channels::hub::SubscribeError;
use openline_core::event::{Headers, Rejection, UpgradeRequest};
use openline_core::limits::FunctionLimits;
use openline_engine::alias::{Accepted, Alias};
use openline_engine::binding::Binding;
use tokio::net::TcpStream;

use crate::connection::Actor;
use crate::gateway::{Gateway, Permit};
use crate::handshake::{self, Handshake};
use crate::rescue::Refusal;
use crate::reserved::Answer;

/// Headers that a function may not set: those of the handshake, and those by
/// which HTTP frames and routes a message (RFC 9110 section 7.6.1).
const FORBIDDEN: [&str; 11] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];

/// A request that may ask its function.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) service: Arc<Service>,
    handshake: Handshake,
    subprotocols: Vec<String>,
    request: UpgradeRequest,
    places: Places,
    close_timeout: Duration,
}

/// Decides whether a request may ask its function: by its route and its limits,
/// then by its handshake, then by who has how many connections, then by what it
/// offers.
pub(crate) async fn prepare(
    gateway: &Gateway,
    parts: &Parts,
    peer: &Peer,
) -> Result<Candidate, Refusal> {
    let services = gateway.services();
    let table = services.table();
    let routed = admit::route(&table, parts)?;
    if !handshake::is_wanted(&parts.headers) {
        return Err(Refusal::UpgradeRequired);
    }
    let handshake = handshake::check(parts)?;
    let places = admit::admit(services, &table, &routed, peer).await?;
    let subprotocols = handshake::subprotocols(&parts.headers)?;
    let headers = parts.headers.iter();
    let request = UpgradeRequest {
        method: parts.method.as_str().into(),
        uri: parts
            .uri
            .path_and_query()
            .map_or("/", |uri| uri.as_str())
            .into(),
        headers: headers
            .map(|(name, value)| (name.as_str().into(), value.as_bytes().into()))
            .collect(),
        peer: peer.to_string(),
        subprotocols: subprotocols.clone(),
        route_params: routed.params,
    };
    Ok(Candidate {
        service: routed.service,
        handshake,
        subprotocols,
        request,
        places,
        close_timeout: table.config.close_timeout,
    })
}

/// Asks the function and answers the request. `upgrade` is where hyper hands
/// the stream over.
pub(crate) async fn upgrade(
    gateway: &Arc<Gateway>,
    candidate: Candidate,
    upgrade: OnUpgrade,
    permit: Arc<Permit>,
) -> Result<Answer, Refusal> {
    let Candidate {
        service,
        handshake,
        subprotocols,
        request,
        places,
        close_timeout,
    } = candidate;
    let alias = &service.alias;
    let split = alias.split();
    let limits = Arc::clone(&split.limits);
    let route_params = request.route_params.clone();
    let Accepted { acceptance, place } = match alias.upgrade(request).await? {
        Ok(accepted) => accepted,
        Err(rejection) => return rejected(rejection, &limits),
    };
    let headers = switching(
        &handshake,
        acceptance.headers,
        (&subprotocols, acceptance.subprotocol.as_deref()),
        &limits,
    )?;
    let facts = Facts {
        subprotocol: acceptance.subprotocol,
        route_params,
        alias: alias.name().clone(),
        auto_responses: Arc::clone(&split.auto_responses),
    };
    let connection = Arc::new(Connection::new(facts, limits, Arc::clone(&service.budget)));
    connection
        .set_attachment(acceptance.attachment)
        .map_err(|error| match error {
            AttachError::HostFull => Refusal::Attached,
            _ => Refusal::Answer("the attachment is too large".into()),
        })?;
    // From here on it can be sent to; what comes before the 101 waits in the
    // outbox. `joined` undoes it if the 101 is never written.
    let joined = Joined {
        gateway: Arc::clone(gateway),
        alias: Arc::clone(alias),
        connection: Arc::clone(&connection),
        _places: places,
        permit,
    };
    // Before it is in the hub: a removal finds it there by its version.
    let binding = alias.bind(Arc::clone(&connection), place);
    let hub = alias.hub();
    hub.join(&connection);
    hub.set_tags(&connection, acceptance.tags)
        .map_err(|error| match error {
            AttachError::HostFull => Refusal::Attached,
            _ => Refusal::Answer("it has too many tags".into()),
        })?;
    for channel in acceptance.channels {
        let subscribed = hub.subscribe(&connection, channel);
        subscribed.map_err(|error| match error {
            SubscribeError::Crowded => Refusal::Full,
            _ => Refusal::Answer("it has too many channels".into()),
        })?;
    }
    if gateway.services().is_draining() {
        connection.drain();
    }
    binding.catch_up();
    // Boxed, here and below: an idle connection is this task, and what it needs
    // only for a moment would be a part of it for good.
    let begun = Box::pin(begin(upgrade, joined, binding, close_timeout));
    tokio::spawn(hold(begun));

    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The headers of the 101 response (RFC 6455 section 4.2.2).
fn switching(
    handshake: &Handshake,
    headers: Headers,
    (offered, subprotocol): (&[String], Option<&str>),
    limits: &FunctionLimits,
) -> Result<HeaderMap, Refusal> {
    let mut headers = response_headers(headers, limits.response_header_bytes)?;
    if let Some(chosen) = subprotocol {
        if !offered.iter().any(|offered| offered == chosen) {
            let chosen = chosen.escape_debug();
            return Err(Refusal::Answer(format!(
                "the subprotocol `{chosen}` was not offered"
            )));
        }
        let value = HeaderValue::from_str(chosen)
            .map_err(|_| Refusal::Answer("the subprotocol is not a token".into()))?;
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    let accept = HeaderValue::from_str(&handshake.accept)
        .map_err(|_| Refusal::Handshake("the key gives no answer"))?;
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    Ok(headers)
}

/// The task of a connection: waits for the stream, then serves it to its end.
async fn hold<B: Future<Output = Option<Begun>>>(begun: Pin<Box<B>>) {
    let Some((joined, mut actor)) = begun.await else {
        return;
    };
    let reason = actor.serve().await;
    joined.leave();
    Box::pin(actor.end(&reason)).await;
    joined.gateway.tally().end(&reason);
    let name = joined.alias.function();
    tracing::debug!(function = %name, %reason, "a connection ended");
}

/// An open connection.
type Begun = (Joined, Box<Actor<TcpStream>>);

/// Waits for the stream and tells the function of it.
async fn begin(
    upgrade: OnUpgrade,
    joined: Joined,
    binding: Binding,
    close_timeout: Duration,
) -> Option<Begun> {
    let name = joined.alias.function();
    match upgrade
        .await
        .map(hyper::upgrade::Upgraded::downcast::<TokioIo<TcpStream>>)
    {
        Ok(Ok(parts)) => {
            joined.gateway.tally().open();
            joined.permit.upgraded();
            let socket = parts.io.into_inner();
            let connection = Arc::clone(&joined.connection);
            let actor = Actor::new(socket, parts.read_buf, connection, binding, close_timeout);
            let mut actor = actor.await;
            actor.open().await;
            return Some((joined, actor));
        }
        Ok(Err(_)) => tracing::error!("hyper handed over a stream that it was not given"),
        // The peer went away before the 101 was written: it was never open,
        // and the function is not told.
        Err(error) => tracing::debug!(function = %name, %error, "an upgrade was abandoned"),
    }
    None
}

/// What a connection has as long as it lives: its place in its function's hub,
/// among the host's connections, and its socket's permit.
struct Joined {
    gateway: Arc<Gateway>,
    alias: Arc<Alias>,
    connection: Arc<Connection>,
    _places: Places,
    permit: Arc<Permit>,
}

impl Joined {
    /// Nothing can be sent to it any more; again is harmless.
    fn leave(&self) {
        self.connection.finish();
        self.alias.hub().leave(&self.connection);
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.leave();
        self.connection.release();
    }
}

fn rejected(rejection: Rejection, limits: &FunctionLimits) -> Result<Answer, Refusal> {
    let status = StatusCode::from_u16(rejection.status)
        .ok()
        .filter(|status| (200..=599).contains(&status.as_u16()))
        .ok_or_else(|| {
            Refusal::Answer(format!(
                "a rejection's status is 200 to 599, not {}",
                rejection.status
            ))
        })?;
    let most = limits.rejection_body_bytes;
    if rejection.body.len() > most {
        return Err(Refusal::Answer(format!(
            "a rejection's body has at most {most} bytes (rejection_body_bytes), not {}",
            rejection.body.len()
        )));
    }
    let headers = response_headers(rejection.headers, limits.response_header_bytes)?;
    let mut response: Response<Full<Bytes>> = Response::new(Full::new(rejection.body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Checks the headers of a function's answer.
fn response_headers(headers: Headers, most: usize) -> Result<HeaderMap, Refusal> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > most {
        return Err(Refusal::Answer(format!(
            "its headers have {bytes} bytes, more than {most} (response_header_bytes)"
        )));
    }
    let mut checked = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        let invalid =
            || Refusal::Answer(format!("`{}` is not a valid header", name.escape_debug()));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(&value).map_err(|_| invalid())?;
        let lower = name.as_str();
        if FORBIDDEN.contains(&lower)
            || lower.starts_with("sec-websocket-")
            || lower.starts_with("openline-")
        {
            return Err(Refusal::Answer(format!(
                "the header `{lower}` belongs to the host"
            )));
        }
        checked.append(name, value);
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, usize)]) -> Headers {
        pairs
            .iter()
            .map(|(name, bytes)| ((*name).into(), vec![b'v'; *bytes]))
            .collect()
    }

    #[test]
    fn headers_of_an_answer_at_their_bytes_and_past_them() {
        assert!(response_headers(headers(&[("a", 99)]), 100).is_ok());
        assert!(response_headers(headers(&[("a", 100)]), 100).is_err());
    }

    #[test]
    fn headers_that_are_not_the_functions() {
        for name in [
            "Connection",
            "sec-websocket-accept",
            "Openline-X",
            "content-length",
            "",
            "a b",
        ] {
            let answer = response_headers(headers(&[(name, 1)]), 100);
            assert!(answer.is_err(), "{name}");
        }
        assert_eq!(
            response_headers(headers(&[("Set-Cookie", 1), ("set-cookie", 1)]), 100)
                .unwrap()
                .len(),
            2
        );
        assert!(response_headers(vec![("x".into(), b"a\r\nb: c".to_vec())], 100).is_err());
    }

    #[test]
    fn a_rejection_at_its_bounds_and_past_them() {
        let with = |status, bytes| Rejection {
            status,
            headers: Vec::new(),
            body: Bytes::from(vec![b'b'; bytes]),
        };
        let limits = FunctionLimits {
            rejection_body_bytes: 10,
            ..FunctionLimits::default()
        };
        for status in [200, 403, 599] {
            assert!(rejected(with(status, 10), &limits).is_ok(), "{status}");
        }
        for status in [0, 99, 101, 199, 600, 1000] {
            assert!(rejected(with(status, 0), &limits).is_err(), "{status}");
        }
        assert!(rejected(with(403, 11), &limits).is_err());
    }
}
