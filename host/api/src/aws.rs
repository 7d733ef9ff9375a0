//! `@connections` of API Gateway. The stage in the path is the name of the
//! function; without one, every function of the key is looked at.
//!
//! A request is signed by a key's pair (version 4, five minutes before and after),
//! or bears a key: clients that are told not to sign can send one.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use openline_admission::authenticate::now;
use openline_admission::keys::Key;
use openline_core::close::CloseInfo;
use openline_core::key::Scope;
use openline_core::message::Message;
use openline_dialects::aws::{
    Authorization, ConnectionView, Failure, SERVICE, SignedRequest, Target, deleted, posted,
};

use crate::access::{Denied, signature};
use crate::body::{BodyError, Held};
use crate::connections::{Found, Put, Shown, close, put};
use crate::{Call, Reply};

/// Answers a request.
pub(crate) async fn answer(mut call: Call<'_>) -> Reply {
    match Box::pin(answered(&mut call)).await {
        Ok(reply) => reply,
        Err((failure, wait_s)) => match wait_s {
            Some(wait_s) => Reply::Later(failure.answer(), wait_s),
            None => failure.answer().into(),
        },
    }
}

type Failed = (Failure, Option<u64>);

async fn answered(call: &mut Call<'_>) -> Result<Reply, Failed> {
    let target = Target::of_path(call.path()).ok_or((Failure::BadRequest, None))?;
    let (key, body) = authenticate(call).await?;
    let scope = match call.parts.method {
        Method::POST => Scope::Publish,
        Method::GET => Scope::Read,
        Method::DELETE => Scope::Manage,
        _ => return Err((Failure::BadRequest, None)),
    };
    let found = call.api.connection(&key, scope, &target.connection);
    let found = found.map_err(denied)?;
    let found = found.filter(|(function, _)| match &target.stage {
        Some(stage) => leads(call, stage, function.name()),
        None => true,
    });
    let found: Found = found.ok_or((Failure::Gone, None))?;
    let connection = &found.1;
    if !connection.is_open() {
        return Err((Failure::Gone, None));
    }
    Ok(match scope {
        Scope::Read => {
            let shown = Shown::of(&found);
            // Without the port: programs read it as an address.
            let socket = shown.address.parse::<SocketAddr>().ok();
            let address = socket.map_or(shown.address, |it| it.ip().to_string());
            let view = ConnectionView {
                connected_ms: shown.opened_ms,
                active_ms: shown.opened_ms,
                address: &address,
                user_agent: "",
            };
            view.answer().into()
        }
        Scope::Manage => {
            let info = CloseInfo {
                code: 1000,
                reason: String::new(),
            };
            close(connection, info);
            deleted().into()
        }
        _ => {
            // As at AWS, what is UTF-8 is text.
            let is_binary = call
                .header("openline-message")
                .is_some_and(|it| it.eq_ignore_ascii_case("binary"));
            let text = bytestring::ByteString::try_from(body.bytes.clone());
            let message = match text {
                Ok(text) if !is_binary => Message::Text(text),
                _ => Message::Binary(body.bytes.clone()),
            };
            match put(connection, message) {
                Put::Sent => posted().into(),
                Put::Large => return Err((Failure::Large, None)),
                Put::Slow => return Err((Failure::Limit, None)),
                Put::Gone => return Err((Failure::Gone, None)),
            }
        }
    })
}

/// Whether a stage is a function, or one of its aliases.
fn leads(call: &Call<'_>, stage: &str, function: &openline_core::name::FunctionName) -> bool {
    if function.as_str() == stage {
        return true;
    }
    let aliases = call.api.services.aliases();
    let mut own = aliases.iter().filter(|it| it.function() == function);
    own.any(|alias| alias.name().as_str() == stage)
}

async fn authenticate(call: &mut Call<'_>) -> Result<(Arc<Key>, Held), Failed> {
    let Some(header) = signature(&call.parts.headers).map(str::to_owned) else {
        let key = call.key(false).map_err(denied)?;
        return Ok((key, body(call).await?));
    };
    let authorization = Authorization::read(&header);
    let authorization = authorization.map_err(|error| (error.failure(), None))?;
    let now = now().wall;
    let keys = call.api.services.keys();
    let found = keys.secret_of(authorization.access_key(), now);
    let (key, secret) = found.map_err(|_| (Failure::UnknownKey, None))?;
    // Only now, so that a stranger does not have the host keep a body.
    let held = body(call).await?;
    let host = call
        .caller
        .sent
        .authority()
        .map(|it| it.as_str().to_owned());
    let mut headers: Vec<(&str, &str)> = call
        .parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    if let Some(host) = host.as_deref()
        && !headers.iter().any(|(name, _)| *name == "host")
    {
        headers.push(("host", host));
    }
    let request = SignedRequest {
        method: call.parts.method.as_str(),
        path: call.path(),
        query: call.query(),
        headers: &headers,
        body: &held.bytes,
    };
    let verified = authorization.verify(&request, secret.bytes(), SERVICE, now.0);
    verified.map_err(|error| (error.failure(), None))?;
    let rate = call.config.requests_per_second;
    call.api.rates.take(&key, rate).map_err(denied)?;
    Ok((key, held))
}

async fn body(call: &mut Call<'_>) -> Result<Held, Failed> {
    call.body().await.map_err(|error| match error {
        BodyError::Large => (Failure::Large, None),
        BodyError::Full => (Failure::Limit, Some(1)),
        BodyError::Broken | BodyError::Late => (Failure::BadRequest, None),
    })
}

fn denied(denied: Denied) -> Failed {
    match denied {
        Denied::Missing => (Failure::Unsigned, None),
        Denied::Invalid => (Failure::UnknownKey, None),
        Denied::Rate(wait) => (Failure::Limit, Some(wait.as_secs().max(1))),
        Denied::Scope => (Failure::Forbidden, None),
        Denied::Query | Denied::Channel | Denied::Function | Denied::NoFunction => {
            (Failure::BadRequest, None)
        }
    }
}
