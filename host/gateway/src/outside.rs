//! Requests of publishers outside of the host: on a listener of their own, and on
//! that of connections for hosts that the configuration names, where no trigger
//! takes the request. Another package answers them through [`Outside`]; the host's
//! firewall has let them pass before.
//!
//! An answer may be a stream, which lasts as long as its publisher of events
//! does. Its TCP connection keeps its place in `requests` meanwhile.

use std::fmt;

use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Request, Response, Uri};
use openline_admission::admit::{self, Noted};
use openline_admission::normalise::Normal;
use openline_admission::peer::Peer;
use openline_admission::refusal::Refusal as Denied;
use openline_core::config::Listener;
use openline_core::trigger::Found;

pub use crate::answer_body::AnswerBody;
use crate::arriving::Arriving;
use crate::http::Site;
use crate::request_id::Asked;
use crate::rescue::Refusal;
use crate::reserved::{RequestBody, boxed};

/// Who sends a request from outside.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The peer.
    pub peer: Peer,
    /// The target as it was sent, which signatures are about. That of the request
    /// has its one spelling.
    pub sent: Uri,
    /// How the log names the request.
    pub id: String,
}

/// Answers requests from outside.
pub trait Outside: fmt::Debug + Send + Sync + 'static {
    /// Answers one request. Refusals are answers, too.
    fn answer(
        &self,
        request: Request<RequestBody>,
        caller: Caller,
    ) -> BoxFuture<'_, Response<AnswerBody>>;
}

/// Answers a request from outside; hands its body back if it is not one.
pub(crate) async fn answer(
    site: &Site,
    normal: &Normal,
    asked: &Asked<'_>,
    sent: &Uri,
    noted: &mut Noted,
    body: Arriving,
) -> Result<Result<Response<AnswerBody>, Refusal>, Arriving> {
    let outside = site.outside.as_ref();
    let Some(outside) = outside.filter(|_| is_outside(site, normal, asked.parts)) else {
        return Err(body);
    };
    let services = site.gateway.services();
    let table = services.table();
    let request = (normal, asked.parts);
    let passing = admit::pass::<Denied>(services, &table, request, asked.peer, (&asked.id, noted));
    if let Err(refusal) = passing.await {
        return Ok(Err(refusal.into()));
    }
    drop(table);
    let caller = Caller {
        peer: asked.peer.clone(),
        sent: sent.clone(),
        id: asked.id.to_string(),
    };
    let request = boxed(Request::from_parts(asked.parts.clone(), body));
    Ok(Ok(outside.answer(request, caller).await))
}

/// Whether a request is for publishers.
fn is_outside(site: &Site, normal: &Normal, parts: &Parts) -> bool {
    if site.listener == Listener::Api {
        return true;
    }
    let table = site.gateway.services().table();
    let found = || {
        let (path, method) = (parts.uri.path(), parts.method.as_str());
        table.triggers.find(normal.host(), path, method)
    };
    table.config.api.hosts.has(normal.host()) && matches!(found(), Found::Nothing)
}
