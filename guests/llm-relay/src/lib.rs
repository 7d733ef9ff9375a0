//! Asks a language model what a peer asks, and passes its tokens on as they come:
//! `/llm/{conversation}`.
//!
//! The model is any HTTP API with the widespread shape of chat completions: the
//! environment names it (`LLM_URL`, `LLM_KEY`, `LLM_MODEL`). Each token is published in
//! the channel of the conversation, which remembers them:
//!
//! ```text
//! {"id":"k3v9:1","token":"Hel"}
//! {"id":"k3v9:2","token":"lo"}
//! {"id":"k3v9:3","end":"stop"}
//! ```
//!
//! So all who are in the conversation read along, an answer goes on while its peer is
//! away, and a peer that comes back with `?after=k3v9:2` gets the rest.
//!
//! A call lasts as long as the answer: set `handler_timeout` accordingly.

mod events;

use std::cell::Cell;
use std::env;
use std::hash::{BuildHasher, RandomState};

use openline_sdk::channel::{Channel, Publication, ReadError, Subscribe};
use openline_sdk::http::{AsyncBody, Error, Request, send_async};
use openline_sdk::prelude::*;
use serde_json::{Value, json};

use events::Events;

/// As many publications as one page of a history has.
const REST_MAX: u32 = 1000;

#[derive(Default)]
struct Relay {
    answers: Cell<u64>,
}

impl AsyncHandler for Relay {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        if request.route_param("conversation").is_none() {
            return Err(Rejection::text(404, "connect to /llm/{conversation}\n"));
        }
        let after = request.query("after").unwrap_or_default();
        Ok(Acceptance::new().attachment(after.as_bytes()))
    }

    /// Sends what the peer has missed, and subscribes it from there on, so that nothing
    /// is lost or repeated in between.
    async fn open(&self, connection: &Connection) {
        let name = channel_of(connection);
        let channel = Channel::new(&name);
        let after = String::from_utf8_lossy(&connection.attachment()).into_owned();
        let (rest, top) = match rest(channel, &after) {
            Ok(rest) => rest,
            Err(error) => {
                eprintln!("the history of {name}: {error}");
                (Vec::new(), None)
            }
        };
        for publication in rest {
            connection.send(publication.message);
        }
        let mut subscribe = Subscribe::new();
        if let Some(top) = &top {
            subscribe = subscribe.since(top);
        }
        if let Err(error) = channel.subscribe(connection, subscribe) {
            connection.send(json!({ "error": error.to_string() }).to_string());
        }
    }

    async fn message(&self, connection: &Connection, message: Message) {
        let Some(question) = message.as_text() else {
            connection.send(r#"{"error":"ask with text"}"#);
            return;
        };
        self.answers.set(self.answers.get() + 1);
        let mut answer = Answer {
            channel: channel_of(connection),
            // Unique among instances.
            id: format!("{:x}", RandomState::new().hash_one(self.answers.get())),
            sent: 0,
        };
        let end = match relay(question, &mut answer).await {
            Ok(reason) => json!({ "end": reason }),
            // What the peer may know. The details are for the log.
            Err(Failure::Told(text)) => json!({ "error": text }),
            Err(Failure::Call(error)) => {
                eprintln!("the call of the model: {error}");
                json!({ "error": "the model does not answer" })
            }
        };
        answer.publish(end);
    }
}

/// The channel of a connection's conversation.
fn channel_of(connection: &Connection) -> String {
    let conversation = connection.route_param("conversation").unwrap_or_default();
    format!("llm:{conversation}")
}

/// What comes in a channel's history after the publication of an id, and where the
/// history ends. Without the id in it, that is all of it; for a new peer, nothing.
fn rest(
    channel: Channel<'_>,
    after: &str,
) -> Result<(Vec<Publication>, Option<String>), ReadError> {
    let page = channel.history_back(None, REST_MAX)?;
    let rest = match after.is_empty() {
        true => Vec::new(),
        false => {
            let mut rest = page.publications;
            let known = rest
                .iter()
                .position(|publication| publication.id.as_deref() == Some(after));
            rest.truncate(known.unwrap_or(rest.len()));
            rest.reverse();
            rest
        }
    };
    Ok((rest, Some(page.top)))
}

/// An answer on its way.
struct Answer {
    channel: String,
    id: String,
    sent: u64,
}

impl Answer {
    /// Publishes a piece of it.
    fn publish(&mut self, piece: Value) {
        self.sent += 1;
        let id = format!("{}:{}", self.id, self.sent);
        let mut message = json!({ "id": id });
        if let (Some(message), Value::Object(piece)) = (message.as_object_mut(), piece) {
            message.extend(piece);
        }
        let published = Channel::new(&self.channel)
            .publish(message.to_string())
            .id(&id)
            .send();
        if let Err(error) = published {
            eprintln!("not published: {error}");
        }
    }
}

/// Why there is no answer.
enum Failure {
    /// The peer may know it.
    Told(String),
    /// It may name what the peer must not know.
    Call(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Calls the model, and publishes the tokens. Answers why the model has ended.
async fn relay(question: &str, answer: &mut Answer) -> Result<String, Failure> {
    let response = send_async(call(question)?).await?;
    if !response.status().is_success() {
        let text = format!("the model answers {}", response.status().as_u16());
        return Err(Failure::Told(text));
    }
    let mut body = response.into_body();
    let mut events = Events::default();
    let mut reason = None;
    while let Some(chunk) = body.chunk().await? {
        let ended = events.push(&chunk);
        for data in ended.map_err(|_| Error::other("an event is too long"))? {
            if data == "[DONE]" {
                return Ok(reason.unwrap_or_else(|| "stop".to_owned()));
            }
            let (token, ends) = token(&data).ok_or(Error::other("an event is not JSON"))?;
            if let Some(token) = token {
                answer.publish(json!({ "token": token }));
            }
            reason = ends.or(reason);
        }
    }
    // Some end without a last event.
    reason.ok_or(Failure::Told("the model has broken off".to_owned()))
}

/// The request to the model.
fn call(question: &str) -> Result<Request<AsyncBody>, Error> {
    let variable = |name: &str| {
        let value = env::var(name).ok().filter(|value| !value.is_empty());
        value.ok_or_else(|| Error::other(format!("the environment has no {name}")))
    };
    let model = env::var("LLM_MODEL").unwrap_or_else(|_| "default".to_owned());
    let body = json!({
        "model": model,
        "stream": true,
        "messages": [{ "role": "user", "content": question }],
    });
    let mut request = Request::post(variable("LLM_URL")?)
        .header("content-type", "application/json")
        .header("accept", "text/event-stream");
    if let Ok(key) = variable("LLM_KEY") {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    request
        .body(body.to_string().into())
        // Without the value: it may be the key.
        .map_err(|_| Error::other("LLM_URL or LLM_KEY cannot be sent"))
}

/// The token of an event, and why the answer ends with it; none if it is not JSON.
fn token(data: &str) -> Option<(Option<String>, Option<String>)> {
    let event: Value = serde_json::from_str(data).ok()?;
    let choice = &event["choices"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let token = text(&choice["delta"]["content"]).filter(|token| !token.is_empty());
    Some((token, text(&choice["finish_reason"])))
}

openline_sdk::export_async!(Relay);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_in_the_deltas_of_the_first_choice() {
        let event = r#"{"choices":[{"delta":{"content":"Hel"},"finish_reason":null}]}"#;
        assert_eq!(token(event), Some((Some("Hel".to_owned()), None)));
        let last = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
        assert_eq!(token(last), Some((None, Some("stop".to_owned()))));
        let first = r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#;
        assert_eq!(token(first), Some((None, None)));
        assert_eq!(token(r#"{"usage":{}}"#), Some((None, None)));
        assert_eq!(token("{"), None);
    }
}
