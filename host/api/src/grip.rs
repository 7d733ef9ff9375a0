//! Requests of Pushpin's and Fanout's publishers.
//!
//! An item's `id` is the key that makes a repetition harmless. Items of channels
//! where it has no use (`http-response`, hints) publish nothing and are accepted.
//! `prev-id` is ignored: the order is that of the requests.

use http::Method;
use openline_broker::outcome::PublishError;
use openline_broker::publication::Data;
use openline_core::close::CloseInfo;
use openline_core::key::Scope;
use openline_dialects::grip::{self, Accepted, Action};
use openline_dialects::{Answer, Refusal};

use crate::access::{Denied, Place};
use crate::body::BodyError;
use crate::publish::{Fault, of_data, publish, tags, text};
use crate::{Call, Reply};

/// Answers a request.
pub(crate) async fn answer(mut call: Call<'_>) -> Reply {
    let key = match call.key(false) {
        Ok(key) => key,
        Err(denied) => return refused(&denied.into()),
    };
    if call.parts.method != Method::POST {
        return grip::method_not_allowed().into();
    }
    let Some(accepted) = Accepted::of(call.header("accept")) else {
        return grip::not_acceptable().into();
    };
    let place = match call.place(&key) {
        Ok(place) => place,
        Err(denied) => return refused(&denied.into()),
    };
    let body = match call.body().await {
        Ok(body) => body,
        Err(BodyError::Large) => return words(413, "Body too large."),
        Err(BodyError::Full) => return words(503, "Too many bodies."),
        Err(BodyError::Broken | BodyError::Late) => return words(408, "Body incomplete."),
    };
    let items = match grip::read(&body.bytes) {
        Ok(items) => items,
        Err(error) => return error.answer().into(),
    };
    // All or none of them are the key's to publish.
    for item in &items {
        let scope = match item.action {
            Action::Close { .. } => Scope::Manage,
            _ => Scope::Publish,
        };
        if let Err(denied) = place.channel(&key, scope, &item.channel) {
            return refused(&denied.into());
        }
    }
    for item in items {
        if let Err(fault) = run(&place, &key, item).await {
            return refused(&fault);
        }
    }
    accepted.published().into()
}

async fn run(
    place: &Place,
    key: &openline_admission::keys::Key,
    item: grip::Item,
) -> Result<(), Fault> {
    let data = match item.action {
        Action::Text(content) => text(content),
        Action::Binary(bytes) => Data::Binary(bytes),
        Action::Close { code, reason } => {
            let (name, space) = place.channel(key, Scope::Manage, &item.channel)?;
            let info = CloseInfo::checked(code.unwrap_or(1000), reason);
            let info = info.map_err(|_| Fault::Denied(Denied::Channel))?;
            // It looks at all subscribers.
            let closing = move || space.close_all(&name, &info);
            let _ = tokio::task::spawn_blocking(closing).await;
            return Ok(());
        }
        Action::Nothing => return Ok(()),
    };
    let mut publishing = of_data(data);
    publishing.request.tags = tags(item.tags)?;
    publishing.request.idempotency_key = item.id.map(Into::into);
    publish(place, key, &item.channel, publishing)
        .await
        .map(drop)
}

fn refused(fault: &Fault) -> Reply {
    let refusal = fault.refusal();
    let status = match refusal {
        // It may be published later, unlike what is too large.
        _ if matches!(fault, Fault::Refused(PublishError::Full { .. })) => 503,
        Refusal::Unauthorized => 401,
        Refusal::Denied => 403,
        Refusal::UnknownChannel => 404,
        Refusal::TooManyRequests => 429,
        Refusal::LimitExceeded => 413,
        Refusal::BadRequest => 400,
        _ => 503,
    };
    let Reply::Answer(answer) = words(status, &refusal.to_string()) else {
        return words(status, "");
    };
    match fault.wait_s() {
        Some(wait_s) => Reply::Later(answer, wait_s),
        None => answer.into(),
    }
}

fn words(status: u16, text: &str) -> Reply {
    Answer {
        status,
        content_type: Some("text/plain"),
        header: None,
        body: format!("{text}\n"),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again_is_told_from_what_is_too_large() {
        let status = |fault: PublishError| match refused(&Fault::Refused(fault)) {
            Reply::Answer(answer) => answer.status,
            _ => 0,
        };
        let (what, found, most) = ("it", 2, 1);
        assert_eq!(status(PublishError::TooLarge { what, found, most }), 413);
        assert_eq!(status(PublishError::Full { what }), 503);
        assert_eq!(status(PublishError::Unavailable), 503);
    }
}
