//! Connections: listed by pages, looked at, written to, closed.
//!
//! Bounded by [`PAGE_CONNECTIONS_MAX`] in one answer.

use bytestring::ByteString;
use http::StatusCode;
use openline_core::close::CloseInfo;
use openline_core::event::SendOutcome;
use openline_core::limits::{FunctionLimits, PAGE_CONNECTIONS_MAX};
use openline_core::message::Message;
use openline_core::name::{ConnectionId, FunctionName, Tag};
use serde::{Deserialize, Serialize};

use crate::Context;
use crate::problem::Problem;
use crate::query::Query;
use crate::serve::{Answered, Call, json};
use openline_control::{ConnectionQuery, ConnectionView};

/// How many connections are in one answer without a word about it: more than a
/// person reads, and a few dozen kilobytes.
const PAGE_CONNECTIONS: usize = 100;
/// The close code without a word about it: a normal end.
const CODE_NORMAL: u16 = 1000;

const TEXT: &str = "text/plain";
const BINARY: &str = "application/octet-stream";

/// What became of a message.
#[derive(Serialize)]
struct Sent {
    outcome: &'static str,
    /// What waits for a peer that reads slowly.
    buffered_bytes: Option<u64>,
}

/// The body of a request that closes a connection.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Closing {
    code: Option<u16>,
    reason: String,
}

#[derive(Serialize)]
struct Closed {
    /// This request has closed it; it was not closing before.
    closed: bool,
}

impl Call<'_> {
    fn id(&self) -> Result<ConnectionId, Problem> {
        ConnectionId::parse(&self.values[0]).ok_or_else(Problem::no_connection)
    }

    /// The connection that the path names.
    fn connection(&self) -> Result<(ConnectionId, ConnectionView), Problem> {
        let id = self.id()?;
        let view = self.context.deployer.connection(id);
        view.map(|view| (id, view))
            .ok_or_else(Problem::no_connection)
    }
}

pub(crate) fn list(call: &Call<'_>) -> Answered {
    let query = query(&call.query)?;
    Ok(json(
        StatusCode::OK,
        &call.context.deployer.connections(&query),
    ))
}

pub(crate) fn show(call: &Call<'_>) -> Answered {
    let (_, view) = call.connection()?;
    Ok(json(StatusCode::OK, &view))
}

pub(crate) async fn send(call: Call<'_>) -> Answered {
    let (id, view) = call.connection()?;
    let context = call.context;
    let kind = call.body.is(&[TEXT, BINARY])?;
    let _place = context.messages.acquire().await;
    let most = message_bytes(context, &view.function);
    let bytes = call.body.read(most, "a message (message_bytes)").await?;
    let message = if kind == TEXT {
        let text = ByteString::try_from(bytes);
        Message::Text(text.map_err(|_| {
            Problem::bad("not_text", "the message is not UTF-8")
                .hint("send it as `Content-Type: application/octet-stream`")
        })?)
    } else {
        Message::Binary(bytes)
    };
    let outcome = context.deployer.send(id, message);
    let outcome = outcome.ok_or_else(Problem::no_connection)?;
    let (outcome, buffered_bytes) = match outcome {
        SendOutcome::Sent => ("sent", None),
        SendOutcome::Queued(bytes) => ("queued", Some(bytes)),
        SendOutcome::Dropped => ("dropped", None),
        SendOutcome::Gone => ("gone", None),
    };
    let sent = Sent {
        outcome,
        buffered_bytes,
    };
    Ok(json(StatusCode::OK, &sent))
}

pub(crate) async fn close(call: Call<'_>) -> Answered {
    let id = call.id()?;
    let deployer = call.context.deployer.clone();
    let closing: Closing = call.body.json_or_default().await?;
    let code = closing.code.unwrap_or(CODE_NORMAL);
    let info = CloseInfo::checked(code, closing.reason).map_err(|error| {
        Problem::new(422, "close", error.to_string())
            .hint("3000 to 4999 are for what peer and function agree on")
    })?;
    let closed = deployer.close(id, info);
    let closed = closed.ok_or_else(Problem::no_connection)?;
    Ok(json(StatusCode::OK, &Closed { closed }))
}

/// The largest message that a connection of a function can be sent.
fn message_bytes(context: &Context, function: &FunctionName) -> usize {
    let aliases = context.gateway.services().aliases();
    let aliases = aliases.iter().filter(|alias| alias.function() == function);
    let largest = aliases.map(|alias| alias.limits().message_bytes).max();
    largest.unwrap_or_else(|| FunctionLimits::default().message_bytes)
}

fn query(query: &Query) -> Result<ConnectionQuery, Problem> {
    let function = query.text("function").map(FunctionName::new).transpose()?;
    let tag = query.text("tag").map(Tag::new).transpose()?;
    if tag.is_some() && function.is_none() {
        let problem = Problem::bad("bad_query", "a tag belongs to a function");
        return Err(problem.hint("name the function too, as in `?function=chat&tag=ada`"));
    }
    let page = 1..=PAGE_CONNECTIONS_MAX as usize;
    let form = format!("1 to {PAGE_CONNECTIONS_MAX}");
    let limit = query.parsed("limit", &form, |text| {
        text.parse().ok().filter(|limit| page.contains(limit))
    })?;
    let form = "the id of a connection, as `next` has it";
    Ok(ConnectionQuery {
        function,
        tag,
        after: query.parsed("after", form, ConnectionId::parse)?,
        limit: limit.unwrap_or(PAGE_CONNECTIONS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["function", "tag", "after", "limit"];

    fn read(raw: &str) -> Result<ConnectionQuery, &'static str> {
        let read = Query::parse(Some(raw), KEYS).unwrap();
        query(&read).map_err(|problem| problem.error())
    }

    #[test]
    fn a_page_at_its_size_and_past_it() {
        assert_eq!(read("").unwrap().limit, PAGE_CONNECTIONS);
        for good in [1, PAGE_CONNECTIONS_MAX as usize] {
            assert_eq!(read(&format!("limit={good}")).unwrap().limit, good);
        }
        for bad in ["0", "1001", "-1", "18446744073709551616", "", "ten"] {
            assert_eq!(read(&format!("limit={bad}")).unwrap_err(), "bad_query");
        }
    }

    #[test]
    fn which_connections_are_asked_for() {
        let id = "0".repeat(32);
        let asked = read(&format!("function=chat&tag=a%20b&after={id}")).unwrap();
        assert_eq!(asked.function.unwrap().as_str(), "chat");
        assert_eq!(asked.tag.unwrap().as_str(), "a b");
        assert_eq!(asked.after.unwrap().to_string(), id);
        let long = "t".repeat(257);
        for (bad, error) in [
            ("tag=a", "bad_query"),
            ("function=a&tag=", "bad_name"),
            (&*format!("function=a&tag={long}"), "bad_name"),
            ("function=a/b", "bad_name"),
            ("after=1", "bad_query"),
        ] {
            assert_eq!(read(bad).unwrap_err(), error, "{bad}");
        }
    }
}
