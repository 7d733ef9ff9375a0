//! Converts between the contract's types and the host's.

use bytes::Bytes;
use openline_core::call::CallError;
use openline_core::close::{CloseInfo, CloseOrigin, CloseReason};
use openline_core::event::{Acceptance, Rejection, SendOutcome, UpgradeRequest};
use openline_core::inspection::{Answered, Inspection, Verdict};
use openline_core::message::{Compress, Message};
use openline_core::name::{ChannelName, Tag};
use openline_core::tls::{ClientCertificate, TlsFacts};

use super::bindings::{MessageOwned, MessageRef, common, firewall, rpc_types, types};
use super::exports::RpcResult;

/// The result of `upgrade`.
pub(crate) type Decision = Result<types::Acceptance, types::Rejection>;

pub(crate) fn request(request: UpgradeRequest) -> types::UpgradeRequest {
    types::UpgradeRequest {
        method: request.method,
        uri: request.uri,
        headers: request.headers,
        peer: request.peer,
        subprotocols: request.subprotocols,
        route_params: request.route_params,
        tls: request.tls.as_deref().map(tls),
        claims: request.claims,
    }
}

/// A request for a firewall function.
pub(crate) fn inspected(inspection: Inspection) -> firewall::Request {
    firewall::Request {
        method: inspection.method,
        scheme: inspection.scheme,
        host: inspection.host,
        path: inspection.path,
        query: inspection.query,
        headers: inspection.headers,
        peer_address: inspection.peer.to_string(),
        peer_port: inspection.peer_port,
        tls: inspection.tls.as_deref().map(tls),
        id: inspection.id,
        target: inspection.target.map(|place| firewall::Target {
            function: place.function.as_str().to_owned(),
            trigger: place.trigger.as_str().to_owned(),
        }),
        claims: inspection.claims,
    }
}

/// The answer of a firewall function. The rules of answers are checked later.
pub(crate) fn verdict(verdict: firewall::Verdict) -> Verdict {
    let answered = |answer: firewall::Answer| Answered {
        status: answer.status,
        content_type: answer.content_type,
        body: answer.body.into(),
    };
    match verdict {
        firewall::Verdict::Allow(headers) => Verdict::Allow(headers),
        firewall::Verdict::Deny(answer) => Verdict::Deny(answered(answer)),
        firewall::Verdict::Drop => Verdict::Drop,
        firewall::Verdict::Respond(answer) => Verdict::Respond(answered(answer)),
    }
}

fn tls(facts: &TlsFacts) -> types::TlsFacts {
    let certificate = |of: &ClientCertificate| types::PeerCertificate {
        subject: (*of.subject).to_owned(),
        issuer: (*of.issuer).to_owned(),
        serial: (*of.serial).to_owned(),
        fingerprint: of.fingerprint.to_string(),
    };
    types::TlsFacts {
        version: facts.version.number().to_owned(),
        server_name: facts.server_name.as_deref().map(str::to_owned),
        certificate: facts.client.as_ref().map(certificate),
    }
}

pub(crate) fn close_arguments(reason: &CloseReason) -> (types::CloseInfo, types::CloseOrigin) {
    let CloseInfo { code, reason: text } = reason.info();
    let origin = match reason.origin() {
        CloseOrigin::Peer => types::CloseOrigin::Peer,
        CloseOrigin::Function => types::CloseOrigin::Function,
        CloseOrigin::Host => types::CloseOrigin::Host,
        CloseOrigin::Lost => types::CloseOrigin::Lost,
    };
    (types::CloseInfo { code, reason: text }, origin)
}

/// Converts a decision; the error says how it breaks the contract. The gateway
/// checks the limits, and whether headers, status and subprotocol may be sent.
pub(crate) fn judge(decision: Decision) -> Result<Result<Acceptance, Rejection>, String> {
    let acceptance = match decision {
        Ok(acceptance) => acceptance,
        Err(rejection) => {
            return Ok(Err(Rejection {
                status: rejection.status,
                headers: rejection.headers,
                body: rejection.body.into(),
            }));
        }
    };
    let channels: Result<Vec<_>, _> = acceptance
        .channels
        .iter()
        .map(|name| ChannelName::new(name))
        .collect();
    let tags: Result<_, _> = acceptance.tags.iter().map(|tag| Tag::new(tag)).collect();
    let named = channels.and_then(|channels| Ok((channels, tags?)));
    let (channels, tags) = named.map_err(|error| error.to_string())?;
    Ok(Ok(Acceptance {
        subprotocol: acceptance.subprotocol,
        headers: acceptance.headers,
        attachment: acceptance.attachment.into(),
        tags,
        channels,
    }))
}

/// The result of a call for a peer. The gateway checks it.
pub(crate) fn called(result: RpcResult) -> Result<Message, CallError> {
    result.map(Message::from).map_err(|error| match error {
        rpc_types::RpcError::NoSuchMethod => CallError::NoSuchMethod,
        rpc_types::RpcError::Failed(failure) => CallError::Failed {
            code: failure.code,
            message: failure.message,
            temporary: failure.temporary,
        },
    })
}

/// A message for a plain call, borrowed.
pub(crate) fn lowered(message: &Message) -> MessageRef<'_> {
    match message {
        Message::Text(text) => MessageRef::Text(text),
        Message::Binary(bytes) => MessageRef::Binary(bytes),
    }
}

/// A message for an asynchronous call, which outlives the caller's frame.
pub(crate) fn owned(message: Message) -> MessageOwned {
    match message {
        Message::Text(text) => MessageOwned::Text(String::from(&*text)),
        Message::Binary(bytes) => MessageOwned::Binary(bytes),
    }
}

impl From<common::Message> for Message {
    fn from(message: common::Message) -> Self {
        match message {
            common::Message::Text(text) => Self::Text(text.into()),
            common::Message::Binary(bytes) => Self::Binary(Bytes::from(bytes)),
        }
    }
}

impl From<common::Compress> for Compress {
    fn from(compress: common::Compress) -> Self {
        match compress {
            common::Compress::Configured => Self::Configured,
            common::Compress::Always => Self::Always,
            common::Compress::Never => Self::Never,
        }
    }
}

impl From<SendOutcome> for types::SendOutcome {
    fn from(outcome: SendOutcome) -> Self {
        match outcome {
            SendOutcome::Sent => Self::Sent,
            SendOutcome::Queued(bytes) => Self::Queued(bytes),
            SendOutcome::Dropped => Self::Dropped,
            SendOutcome::Gone => Self::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acceptance() -> types::Acceptance {
        types::Acceptance {
            subprotocol: Some("chat".into()),
            headers: vec![("x".into(), b"y".to_vec())],
            attachment: b"kept".to_vec(),
            tags: vec!["tag".into()],
            channels: vec!["channel".into()],
        }
    }

    #[test]
    fn a_decision_is_taken_over_whole() {
        let ours = judge(Ok(acceptance())).unwrap().unwrap();
        assert_eq!(ours.subprotocol.as_deref(), Some("chat"));
        assert_eq!(ours.headers, [("x".into(), b"y".to_vec())]);
        assert_eq!(&ours.attachment[..], b"kept");
        assert_eq!(ours.tags, [Tag::new("tag").unwrap()]);
        assert_eq!(ours.channels, [ChannelName::new("channel").unwrap()]);
        let rejection = types::Rejection {
            status: 404,
            headers: Vec::new(),
            body: b"no".to_vec(),
        };
        let ours = judge(Err(rejection)).unwrap().unwrap_err();
        assert_eq!((ours.status, &ours.body[..]), (404, &b"no"[..]));
    }

    #[test]
    fn names_that_are_none_break_the_contract() {
        for (tags, channels) in [(vec![String::new()], vec![]), (vec![], vec![String::new()])] {
            let broken = types::Acceptance {
                tags,
                channels,
                ..acceptance()
            };
            let text = judge(Ok(broken)).unwrap_err();
            assert!(!text.is_empty());
        }
    }

    #[test]
    fn a_message_is_borrowed_for_a_plain_call_and_shared_for_an_asynchronous_one() {
        let text = Message::from(common::Message::Text("text".into()));
        assert!(matches!(lowered(&text), MessageRef::Text("text")));
        assert!(matches!(owned(text), MessageOwned::Text(text) if text == "text"));
        let bytes = Bytes::from_static(b"bytes");
        let message = Message::Binary(bytes.clone());
        assert!(
            matches!(lowered(&message), MessageRef::Binary(lent) if lent.as_ptr() == bytes.as_ptr())
        );
        let MessageOwned::Binary(shared) = owned(message) else {
            panic!("it stays binary");
        };
        assert_eq!(shared.as_ptr(), bytes.as_ptr());
    }
}
