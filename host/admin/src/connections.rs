//! Connections: lists them in pages, shows one, sends to it, closes it.
//!
//! Bounded by [`PAGE_CONNECTIONS_MAX`] in one answer.

use bytestring::ByteString;
use http::StatusCode;
use openline_control::{ConnectionPage, ConnectionQuery, ConnectionView, schema};
use openline_core::close::CloseInfo;
use openline_core::event::SendOutcome;
use openline_core::limits::{FunctionLimits, PAGE_CONNECTIONS_MAX};
use openline_core::message::Message;
use openline_core::name::{ConnectionId, FunctionName, Tag};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::context::Context;
use crate::json::json;
use crate::problem::{Answered, Problem};
use crate::query::Query;
use crate::responses::{BadBody, NotFound, Refused, Unprocessable};

/// How many connections a page has by default: more than a person reads, and a
/// few dozen kilobytes.
const PAGE_CONNECTIONS: usize = 100;
/// The default close code: a normal end.
const CODE_NORMAL: u16 = 1000;

const TEXT: &str = "text/plain";
const BINARY: &str = "application/octet-stream";

/// What happened to a message.
#[derive(Serialize, ToSchema)]
struct Sent {
    /// `sent`: the message leaves with the next write. `queued`: it was
    /// accepted and waits for a peer that reads slowly. `dropped`: it was not
    /// accepted, because it is too large or the outbox is full. `gone`: it was
    /// not accepted, because the connection is closing.
    #[schema(pattern = "^(sent|queued|dropped|gone)$")]
    outcome: &'static str,
    /// How many bytes wait, if it is queued.
    buffered_bytes: Option<u64>,
}

/// How to close a connection.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Close)]
#[serde(deny_unknown_fields, default)]
struct Closing {
    /// 1000 to 1003, 1007 to 1014 or 3000 to 4999; 1000 by default.
    #[schema(maximum = 65535)]
    code: Option<u16>,
    /// At most 123 bytes.
    reason: String,
}

/// The result of a close.
#[derive(Serialize, ToSchema)]
struct Closed {
    /// Whether this request closed it; false if it was already closing.
    closed: bool,
}

impl Call {
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

#[utoipa::path(
    get,
    path = "/v1/connections",
    operation_id = "connections",
    tag = "connections",
    summary = "Connections, by pages",
    params(
        ("function" = Option<schema::FunctionName>, Query, description = "Connections of this function only."),
        ("tag" = Option<String>, Query, description = "Connections with this tag; needs `function`."),
        ("after" = Option<schema::ConnectionId>, Query, description = "Connections after this one."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "The most connections in the answer; 100 by default.")
    ),
    responses(
        (status = 200, description = "A page.", body = ConnectionPage),
        Refused
    )
)]
pub(crate) async fn list(call: Call) -> Answered {
    let query = query(&call.query)?;
    Ok(json(
        StatusCode::OK,
        &call.context.deployer.connections(&query),
    ))
}

#[utoipa::path(
    get,
    path = "/v1/connections/{id}",
    operation_id = "connection",
    tag = "connections",
    summary = "A connection",
    params(("id" = schema::ConnectionId, Path, description = "The connection.")),
    responses(
        (status = 200, description = "The connection.", body = ConnectionView),
        NotFound
    )
)]
pub(crate) async fn show(call: Call) -> Answered {
    let (_, view) = call.connection()?;
    Ok(json(StatusCode::OK, &view))
}

#[utoipa::path(
    post,
    path = "/v1/connections/{id}/messages",
    operation_id = "send",
    tag = "connections",
    summary = "Send a message to a connection's peer",
    params(("id" = schema::ConnectionId, Path, description = "The connection.")),
    description = "The message goes into the connection's outbox, as if the function had sent it.",
    request_body(
        description = "The message. `text/plain`, in UTF-8, makes a text message, any other type a binary one.",
        content((String = "text/plain"), ("application/octet-stream"))
    ),
    responses(
        (status = 200, description = "What happened to the message.", body = Sent),
        NotFound,
        BadBody
    )
)]
pub(crate) async fn send(call: Call) -> Answered {
    let (id, view) = call.connection()?;
    let context = call.context;
    let kind = call.body.is(&[TEXT, BINARY])?;
    let _place = context.messages.acquire().await;
    let most = message_bytes(&context, &view.function);
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

#[utoipa::path(
    post,
    path = "/v1/connections/{id}/close",
    operation_id = "close",
    tag = "connections",
    summary = "Close a connection",
    params(("id" = schema::ConnectionId, Path, description = "The connection.")),
    request_body = Option<Closing>,
    responses(
        (status = 200, description = "What the request changed.", body = Closed),
        NotFound,
        BadBody,
        Unprocessable
    )
)]
pub(crate) async fn close(call: Call) -> Answered {
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

/// The largest message that the host sends on a connection of a function.
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
