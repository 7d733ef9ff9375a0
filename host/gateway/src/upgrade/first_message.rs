//! Authentication by the first message, or by the first command of a dialect. The
//! host accepts the handshake itself, waits for a token, and then asks the
//! function as it would ask about a handshake. A refusal after the handshake
//! closes the connection.
//!
//! Until the function has taken it, the connection counts like a TCP connection
//! that waits for its request: it has a place of `requests`, and loses it to
//! others by the same rules. It has its places in the ledgers, too. Bounded in
//! time by `timeout` of the trigger, then by `upgrade_timeout`; the host ends
//! those that wait when it drains.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use openline_authentication::{Denial, Denied};
use openline_channels::connection::{Compressed, Facts};
use openline_core::authentication::FirstMessageConfig;
use openline_core::close::CloseReason;
use openline_core::event::{Headers, UpgradeRequest};
use openline_core::limits::RECEIVED_FREE_BYTES;
use openline_core::message::Message;

use super::answer::{rejected, switching};
use super::first_command::Spoken;
use super::handover::Handover;
use super::joined::{self, Begun};
use super::{Accepted, Candidate, Decided, Proof, Shown, claim, connect};
use crate::connection::Unproven;
use crate::connection::wire::negotiation::Agreement;
use crate::dialect::Speaking;
use crate::gateway::{Gateway, Place};
use crate::request_id::RequestId;
use crate::rescue::{PEER_GONE, Refusal};

/// When the host drains, a peer is told to come back after at least the first of
/// these and at most the sum of both, in milliseconds: as with connections.
const RETRY_AFTER: (u32, u64) = (500, 5000);

/// A connection whose peer has not authenticated yet.
pub(super) struct Awaited {
    pub(super) gateway: Arc<Gateway>,
    pub(super) candidate: Candidate,
    proof: Box<Proof>,
    compressed: Option<Arc<Compressed>>,
    place: Place,
}

/// Why it ends.
pub(super) enum Ended {
    /// By this close frame.
    Closed(CloseReason),
    /// The request that was made of it is refused.
    Refused(Refusal),
    /// Its place is needed.
    Displaced,
}

/// The subprotocols that the host agrees to: one, or none.
pub(super) fn agreed(first: &FirstMessageConfig, offered: &[String]) -> Vec<String> {
    let mut ours = first.subprotocols.iter();
    let agreed = ours.find(|it| offered.contains(it));
    agreed.cloned().into_iter().collect()
}

/// Accepts the handshake, and waits for the first message in a task of its own.
pub(super) fn upgrade<S: Handover>(
    gateway: &Arc<Gateway>,
    (mut candidate, proof): (Candidate, Box<Proof>),
    upgrade: OnUpgrade,
    place: Place,
) -> Result<Decided<Full<Bytes>>, Refusal> {
    let limits = candidate.service.alias.limits();
    let agreement = candidate.extensions.agree(limits.compression);
    let offered = &candidate.subprotocols;
    let chosen = offered.first().map(String::as_str);
    let own = Headers::new();
    let mut headers = switching(&candidate.handshake, own, (offered, chosen), &limits)?;
    headers.extend(agreement.as_ref().map(Agreement::header));
    let cookie = candidate.set_cookie.take();
    headers.extend(cookie.map(|cookie| (http::header::SET_COOKIE, cookie)));
    let mut response = Response::new(Full::default());
    *response.status_mut() = candidate.handshake.status();
    *response.headers_mut() = headers;
    tracing::debug!(request = %candidate.id, "upgraded, and waits for a token");
    let awaited = Box::new(Awaited {
        gateway: Arc::clone(gateway),
        candidate,
        proof,
        compressed: agreement.map(|agreement| Arc::new(agreement.compressed())),
        place,
    });
    tokio::spawn(joined::serve(Box::pin(begin::<S>(upgrade, awaited))));
    Ok(Decided::Accepted(response))
}

/// Waits for the stream, the token and the function, and calls `open`.
async fn begin<S: Handover>(upgrade: OnUpgrade, mut awaited: Box<Awaited>) -> Option<Begun<S>> {
    let (socket, read) = match upgrade.await.map(S::of) {
        Ok(Some(given)) => given,
        Ok(None) => {
            tracing::error!("hyper handed over a stream that it was not given");
            return None;
        }
        // The peer went away before the 101 was written.
        Err(error) => {
            awaited.gateway.tally().refuse(PEER_GONE);
            tracing::debug!(request = %awaited.candidate.id, %error, "an upgrade was abandoned");
            return None;
        }
    };
    // Over HTTP/1.1 it waits already, because its request is answered.
    awaited.place.slot().end();
    let service = Arc::clone(&awaited.candidate.service);
    let limits = service.alias.limits();
    let message_bytes = awaited.proof.message_bytes();
    let compressed = awaited.compressed.as_ref();
    let compressed = compressed.map(|it| (it, &service.budget));
    let mut unproven = Unproven::new(socket, read, &limits, message_bytes, compressed);
    drop(limits);
    let (id, close_timeout) = (awaited.candidate.id, awaited.candidate.close_timeout);
    let refused = Refused {
        gateway: Arc::clone(&awaited.gateway),
        service: Arc::clone(&service),
        place: awaited.place.clone(),
        id,
    };
    let mut spoken = awaited.proof.take_spoken();
    // Boxed, because it needs much for a moment.
    let shown = match &mut spoken {
        None => awaited.identity(&mut unproven).await,
        Some(spoken) => Box::pin(awaited.command(&mut unproven, spoken)).await,
    };
    let asked = match shown {
        Ok(shown) => Box::pin(awaited.ask(shown)).await,
        Err(ended) => Err(ended),
    };
    match asked {
        Ok(asked) => match awaited.connect(*asked, spoken.as_deref_mut()) {
            Ok((joined, binding, session)) => {
                joined.gateway.tally().open();
                joined.place.upgraded();
                let owner = joined.owner.clone();
                let mut actor = unproven.prove(owner, binding, session, close_timeout);
                if let Some(spoken) = spoken {
                    actor.speak(Speaking::new(spoken.session, &service));
                }
                actor.open().await;
                return Some((joined, actor));
            }
            Err(ended) => {
                refused
                    .close((unproven, spoken), ended, close_timeout)
                    .await
            }
        },
        Err(ended) => {
            refused
                .close((unproven, spoken), ended, close_timeout)
                .await;
            // Until now it has counted for its peer.
            drop(awaited);
        }
    }
    None
}

/// A connection that ends before its function knows of it.
struct Refused {
    gateway: Arc<Gateway>,
    service: Arc<super::Service>,
    place: Place,
    id: RequestId,
}

impl Refused {
    /// Says why it ends, and waits for the peer's answer. Meanwhile it counts like
    /// a TCP connection that waits for a request, and makes room like one.
    async fn close<S: Handover>(
        &self,
        (mut unproven, spoken): (Unproven<S>, Option<Box<Spoken>>),
        ended: Ended,
        within: Duration,
    ) {
        let (id, tally) = (self.id, self.gateway.tally());
        let denial = match &ended {
            Ended::Refused(Refusal::Unauthenticated(denied)) => Some(denied.denial),
            _ => None,
        };
        let reason = match ended {
            Ended::Closed(reason) => reason,
            Ended::Refused(refusal) => refusal.close_reason(),
            Ended::Displaced => {
                tracing::debug!(request = %id, "closed: its place was needed");
                tally.refuse(Refusal::Requests.label());
                return;
            }
        };
        let word = match &reason {
            CloseReason::Refused { word, .. } => word,
            CloseReason::Peer(_) | CloseReason::Lost => PEER_GONE,
            other => other.label(),
        };
        // As with a handshake, rejections by a function are not counted.
        if !matches!(reason, CloseReason::Rejected { .. }) {
            tally.refuse(word);
        }
        let service = &self.service;
        let (function, trigger) = (service.alias.function(), &service.trigger.name);
        tracing::debug!(request = %id, %function, %trigger, refusal = word, "refused after the upgrade");
        let slot = self.place.slot();
        slot.end();
        let closing = async {
            let reason = match spoken {
                None => reason,
                Some(spoken) => {
                    let telling = spoken.refuse(&mut unproven, (reason, denial), &service.budget);
                    telling.await
                }
            };
            unproven.close(&reason, &service.budget, within).await;
        };
        tokio::select! {
            () = closing => {}
            () = slot.closed() => {}
        }
    }
}

impl Awaited {
    /// Waits for the first message, and verifies the token in it.
    async fn identity<S: Handover>(&self, unproven: &mut Unproven<S>) -> Result<Shown, Ended> {
        let Proof::FirstMessage(first) = &*self.proof else {
            return Ok(Shown::default());
        };
        let missing = |detail: &str| {
            self.denied(Denied {
                denial: Denial::TokenMissing,
                detail: detail.into(),
            })
        };
        let message = self.message(unproven, first.timeout.0).await?;
        let message = message.ok_or_else(|| missing("no message came within `timeout`"))?;
        let Message::Text(text) = &message else {
            return Err(missing("the first message is binary"));
        };
        let verified = self.candidate.service.post.authenticate_first(first, text);
        let identity = verified.map_err(|denied| self.denied(denied))?;
        Ok(Shown {
            identity: Some(identity),
            key: None,
        })
    }

    /// Waits for the first message; none comes in time.
    pub(super) async fn message<S: Handover>(
        &self,
        unproven: &mut Unproven<S>,
        time: Duration,
    ) -> Result<Option<Message>, Ended> {
        let Candidate { service, id, .. } = &self.candidate;
        let mut drain = self.gateway.services().watch_drain();
        tokio::select! {
            biased;
            // Polled first: the message may have arrived in time although the
            // process could not run.
            message = unproven.message(&service.budget) => message.map(Some).map_err(ended),
            () = self.place.slot().closed() => Err(Ended::Displaced),
            // An error would mean that the host is already gone.
            _ = drain.wait_for(|draining| *draining) => {
                let (least, most) = RETRY_AFTER;
                let more = u32::try_from(id.spread(most)).unwrap_or_default();
                let retry_after = least + more;
                Err(Ended::Closed(CloseReason::ShuttingDown { retry_after }))
            }
            () = tokio::time::sleep(time) => Ok(None),
        }
    }

    pub(super) fn denied(&self, denied: Denied) -> Ended {
        let detail = denied.logged();
        tracing::debug!(request = %self.candidate.id, %detail, "not authenticated");
        Ended::Refused(denied.into())
    }

    /// Asks the function, with what the token says.
    async fn ask(&mut self, shown: Shown) -> Result<Box<Taken>, Ended> {
        let Self {
            gateway,
            candidate,
            compressed,
            place,
            ..
        } = self;
        let Candidate {
            service,
            subprotocols,
            request,
            id,
            ..
        } = candidate;
        let (service, id) = (&**service, *id);
        let alias = &service.alias;
        let mut request = std::mem::take(request);
        identify(service, &mut request, &shown);
        let route_params = request.route_params.clone();
        let (peer, tls) = (request.peer.as_str().into(), request.tls.clone());
        let slot = place.slot();
        slot.begin();
        let deciding = slot.decide();
        let asked = tokio::select! {
            biased;
            asked = alias.upgrade(request) => asked.map_err(Refusal::from),
            () = deciding.displaced() => Err(Refusal::Requests),
            () = slot.closed() => Err(Refusal::Requests),
        };
        drop(deciding);
        let decided = asked.map_err(Ended::Refused)?;
        let mut accepted = match decided {
            Ok(accepted) => accepted,
            Err(rejection) => {
                let answer =
                    rejected(rejection, &alias.limits()).map_err(|it| bad(service, id, it))?;
                let status = answer.status().as_u16();
                return Err(Ended::Closed(CloseReason::Rejected { status }));
            }
        };
        let acceptance = &mut accepted.acceptance;
        let agreed = std::mem::take(subprotocols).into_iter().next();
        let chosen = acceptance.subprotocol.take();
        if let Some(chosen) = chosen.filter(|chosen| Some(chosen) != agreed.as_ref()) {
            return Err(bad(service, id, too_late(&chosen)));
        }
        if !std::mem::take(&mut acceptance.headers).is_empty() && gateway.tells() {
            let (function, trigger) = (alias.function(), &service.trigger.name);
            let hint = "the host answers handshakes of this trigger itself: send it in `open`";
            tracing::info!(request = %id, %function, %trigger, hint, "headers of a function are lost");
        }
        let facts = Facts {
            peer,
            tls,
            subprotocol: agreed,
            route_params,
            alias: alias.name().clone(),
            auto_responses: Arc::clone(&accepted.split.auto_responses),
            compressed: compressed.take(),
            dialect: service.trigger.dialect,
            user: shown.identity.as_ref().and_then(super::subject),
            ..Facts::now()
        };
        Ok(Box::new(Taken {
            accepted,
            facts,
            shown,
        }))
    }

    /// Makes a connection of one that the function has taken.
    fn connect(
        self: Box<Self>,
        taken: Taken,
        spoken: Option<&mut Spoken>,
    ) -> Result<joined::Owned, Ended> {
        let Self {
            gateway,
            candidate,
            place,
            ..
        } = *self;
        let (service, id) = (candidate.service, candidate.id);
        let Taken {
            accepted,
            facts,
            shown,
        } = taken;
        let held = (candidate.places, place);
        let accepted = (accepted, spoken.map(Spoken::greeting));
        let connected = connect(&gateway, &service, accepted, facts, shown, held);
        connected.map_err(|refusal| bad(&service, id, refusal))
    }
}

impl Proof {
    /// The most bytes of the first message: no more than every connection may
    /// hold.
    fn message_bytes(&self) -> usize {
        match self {
            Self::FirstMessage(first) => {
                usize::try_from(first.message_bytes_max.0).unwrap_or(usize::MAX)
            }
            Self::Command(_) => RECEIVED_FREE_BYTES,
        }
    }

    /// What the peer speaks, if it has a dialect. A second time there is nothing.
    fn take_spoken(&mut self) -> Option<Box<Spoken>> {
        let proof = std::mem::replace(self, Self::FirstMessage(FirstMessageConfig::default()));
        match proof {
            Self::Command(spoken) => Some(spoken),
            Self::FirstMessage(first) => {
                *self = Self::FirstMessage(first);
                None
            }
        }
    }
}

/// A function chooses a subprotocol when the handshake is answered.
fn too_late(chosen: &str) -> Refusal {
    Refusal::Answer(format!(
        "the subprotocol `{}` comes too late: `first_message.subprotocols` chooses it",
        chosen.escape_debug()
    ))
}

/// A connection that its function has accepted.
struct Taken {
    accepted: Accepted,
    facts: Facts,
    shown: Shown,
}

/// Why a connection ends before it has shown a token.
fn ended(reason: CloseReason) -> Ended {
    Ended::Closed(match reason {
        CloseReason::MessageTooBig => CloseReason::Refused {
            code: 1009,
            word: "message_bytes_max",
        },
        reason => reason,
    })
}

/// The end of a connection whose function has not kept the contract, or has
/// asked for what there is no room for.
fn bad(service: &super::Service, id: RequestId, refusal: Refusal) -> Ended {
    if let Refusal::Answer(details) = &refusal {
        let function = service.alias.function();
        tracing::warn!(request = %id, %function, %details, "an answer of a function is not valid");
    }
    Ended::Refused(refusal)
}

/// Puts the claims of a token into the request that waited for it.
fn identify(service: &super::Service, request: &mut UpgradeRequest, shown: &Shown) {
    let Some(identity) = &shown.identity else {
        return;
    };
    request.claim = claim(service, identity);
    request.claims = identity.claims_json();
    if identity.edits.is_empty() {
        return;
    }
    let (path, query) = match request.uri.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*request.uri, None),
    };
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        // They were headers before.
        let name = HeaderName::try_from(name);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let query = identity.edits.apply(&mut headers, query);
    request.uri = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let headers = headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
    request.headers = headers.collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_agrees_to_what_it_prefers() {
        let list = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
        let first = FirstMessageConfig {
            subprotocols: list(&["v2", "v1"]),
            ..FirstMessageConfig::default()
        };
        let agreed = |offered: &[&str]| agreed(&first, &list(offered));
        assert_eq!(agreed(&["v1", "v2"]), ["v2"]);
        assert_eq!(agreed(&["v0", "v1"]), ["v1"]);
        assert!(agreed(&["v0"]).is_empty() && agreed(&[]).is_empty());
    }
}
