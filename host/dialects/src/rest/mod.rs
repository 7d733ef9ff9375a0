//! Our own requests: publish, history, presence, channels, connections.
//!
//! Requests and answers are JSON. A position is a text that means something to
//! the host alone: keep it, and send it back. Members that a request does not
//! know are refused, so that a wrong name is noticed; readers of answers pass by
//! those that they do not know.
//!
//! ```yaml
//! paths:
//!   /v1/publish:
//!     post: # a Publication, or a Batch of them
//!       requestBody: { oneOf: [Publication, { publications: [Publication] }] }
//!       responses:
//!         200: { oneOf: [Result, { results: [Result] }] } # in the order of the requests
//!         4XX, 5XX: Error
//!   /v1/channels:
//!     get: { query: { prefix, after, limit }, 200: { channels: [Channel], next } }
//!   /v1/channels/{channel}/history:
//!     get: { query: { since, limit, reverse }, 200: { publications: [Stored], position } }
//!   /v1/channels/{channel}/presence:
//!     get: { query: { after, limit }, 200: { connections, users, members: [Member], next } }
//!   /v1/channels/{channel}/events: # Server-Sent Events; see `sse`
//!     get: { query: { since }, headers: { Last-Event-ID } }
//!   /v1/channels/{channel}/poll:
//!     get: { query: { since, wait, limit }, 200: { publications: [Stored], position, recovered } }
//!   /v1/connections:
//!     get: { query: { user, tag, after, limit }, 200: { connections: [Connection], next } }
//!   /v1/connections/{connection}:
//!     get: { 200: Connection }
//!     delete: { query: { code, reason }, 204: closed }
//!   /v1/connections/{connection}/messages:
//!     post: # the body is the message: text, or bytes if its type is application/octet-stream
//!       responses: { 202: on its way }
//! components:
//!   Publication:
//!     channel: text            # or `channels`, a list of texts: one result for each
//!     data: any JSON           # or `text`, or `base64`: exactly one, none with `remove`
//!     event: text
//!     tags: { name: text }
//!     idempotency_key: text    # a repetition gets the first result
//!     version: number          # of the value; older than the newest is suppressed
//!     version_epoch: text
//!     expect: position         # published only if the channel is there
//!     key: text                # of a channel that keeps one value for each key
//!     remove: true             # the key is removed
//!     skip_connection: text    # this connection does not get it
//!     skip_user: text          # nor do this user's
//!   Result:                    # or `channel` and an Error
//!     channel, id: text
//!     position: position       # if the channel keeps history
//!     delivered: number        # subscribers of this node that take it
//!     scope: everywhere | local # all nodes, or this one alone
//!     suppressed: repeated | stale
//!   Stored:
//!     channel, id: text
//!     position: position
//!     event: text
//!     key: text                # of a channel that keeps one value for each key
//!     removed: true            # the key was removed; `text` is empty
//!     data: any JSON           # or `text`, or `base64`
//!     tags: { name: text }
//!     sender: Member
//!     time: ISO 8601
//!   Member: { connection, user: text, info: any JSON, channel_info: any JSON }
//!   Channel: { channel: text, subscribers: number, kept: number, position: position }
//!   Connection: { connection, function, user, address: text, tags: [text],
//!                 channels: [text], opened: ISO 8601, active: ISO 8601 }
//!   Error: # `name` says which part is `invalid`, or what is `not-found`
//!     { error: { code, name, message: text, position: position } }
//! ```
//!
//! Bounded by the body, which the host bounds, and by the numbers of
//! [`limits`](crate::limits).

mod error;
mod list;
mod outcome;
mod publish;
mod route;

#[cfg(test)]
mod tests;

pub use error::{ApiError, Missing};
pub use list::{
    ChannelSummary, ConnectionSummary, HistoryPage, ListQuery, PollQuery, Stored, channels,
    connection, connections, history, polled, presence, published_event,
};
pub use outcome::{Published, Scope, Suppressed, batch, published};
pub use publish::{Body, Publication, Publications, Version};
pub use route::Route;
