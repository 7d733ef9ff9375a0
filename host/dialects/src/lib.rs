//! Wire protocols of existing clients and publishers of channels, without I/O.
//!
//! Functions of bytes: nothing here reads, writes, waits, or knows a clock, a
//! runtime, a channel or a client. It uses no other package of the project.
//! Whatever strangers send is bounded in bytes by the host's limit on messages
//! and bodies, in depth by [`JSON_DEPTH_MAX`], and in number by [`limits`].
//!
//! | module | spoken by |
//! | --- | --- |
//! | [`Session`], [`centrifugo`] | Centrifugo's clients, over a WebSocket in JSON |
//! | [`Session`], [`pushflo`] | PushFlo's client, over a WebSocket |
//! | [`pushflo::rest`] | PushFlo's server SDK, and publishers with `fetch` |
//! | [`centrifugo::server`] | backends that call Centrifugo's server API |
//! | [`grip`] | publishers of Pushpin and Fanout |
//! | [`aws`] | SDKs that call `@connections` of API Gateway |
//! | [`sse`] | browsers' `EventSource`, also with Centrifugo's pushes |
//! | [`rest`] | our own publishers, and peers that poll |
//!
//! # Connections
//!
//! A trigger with a dialect has a [`Session`] for each connection. The host
//! hands it frames, does what its [`Action`]s say, and writes the outcome with
//! the [`Reply`] that came with each. A reply owns what it needs, so that a call
//! of a function can take its time while the session goes on.
//!
//! ```
//! use openline_dialects::{
//!     Action, DataView, Dialect, PublicationView, Session, Subscribed, Welcome,
//! };
//!
//! /// Does what a peer asks for, and gathers what is sent to it.
//! fn serve(session: &mut Session, frame: &'static str, sent: &mut Vec<String>) {
//!     // The host reads no further while the session is not ready.
//!     session.receive(frame.into()).expect("it is ready");
//!     while let Some(action) = session.next_action() {
//!         let frame = match action {
//!             Action::Connect(connect) => {
//!                 assert_eq!(connect.token, "a token that the host verifies");
//!                 session.connected(&Welcome {
//!                     connection: "c1",
//!                     version: "",
//!                     node: "",
//!                     session: "",
//!                     ping_s: 25,
//!                     pong: true,
//!                     ttl_s: None,
//!                     data: None,
//!                     subscriptions: &[],
//!                     time_ms: 0,
//!                 })
//!             }
//!             // The broker says where the channel is, and what the peer missed.
//!             Action::Subscribe(reply, _) => Some(reply.subscribed(&Subscribed::default())),
//!             Action::Publish(reply, _) => Some(reply.published()),
//!             Action::Send(frame) => Some(frame),
//!             Action::Close(close) => panic!("closed with {}", close.code),
//!             _ => None,
//!         };
//!         sent.extend(frame.map(|frame| frame.to_string()));
//!     }
//! }
//!
//! let (mut session, mut sent) = (Session::centrifugo(), Vec::new());
//! let connect = r#"{"id":1,"connect":{"token":"a token that the host verifies"}}"#;
//! serve(&mut session, connect, &mut sent);
//! serve(&mut session, r#"{"id":2,"subscribe":{"channel":"news"}}"#, &mut sent);
//! assert_eq!(sent[1], r#"{"id":2,"subscribe":{}}"#);
//!
//! // A publication is written once for all subscribers of a dialect.
//! let view = PublicationView {
//!     channel: "news",
//!     offset: 0,
//!     id: "m1",
//!     event: None,
//!     data: DataView::Json(r#"{"a":1}"#),
//!     tags: None,
//!     sender: None,
//!     time_ms: 0,
//! };
//! let push = Dialect::Centrifugo.publication(&view);
//! assert_eq!(push, r#"{"push":{"channel":"news","pub":{"data":{"a":1}}}}"#);
//! ```
//!
//! # Data
//!
//! JSON of a peer is kept byte for byte, except for line ends between its
//! tokens, which would end a frame's line. Text of functions and of publishers
//! that say no type is JSON if all of it is: [`DataView::of_text`] decides, once
//! for each publication. Bytes are in base64 wherever there is only JSON, and a
//! tag or a member beside them says so.
//!
//! # Requests
//!
//! Each protocol has functions that read its paths, queries and bodies, and
//! functions that write its answers as an [`Answer`]. Keys, tokens and
//! permissions are the host's; [`aws::Authorization`] verifies a signature with
//! the secret that the host has found.

mod action;
pub mod aws;
mod base64;
pub mod centrifugo;
mod dialect;
mod filter;
pub mod fuzzing;
pub mod grip;
mod history;
mod http;
mod json;
pub mod limits;
mod outcome;
pub mod pushflo;
mod query;
mod reply;
pub mod rest;
mod session;
mod share;
pub mod sse;
mod time;
mod view;

pub use action::{
    Action, Call, Connect, HistoryQuery, Publish, RefreshSubscription, Since, Subscribe,
};
pub use dialect::{Dialect, Ending};
pub use filter::{
    FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX, Filter, FilterError,
    Test,
};
pub use history::HistoryLimit;
pub use http::Answer;
pub use json::{DEPTH_MAX as JSON_DEPTH_MAX, JsonError};
pub use outcome::{Close, HostSubscription, PresenceStats, Recovery, Refusal, Subscribed, Welcome};
pub use reply::Reply;
pub use session::{Busy, Rejection, Session, connect_of_query, read_connect};
pub use view::{DataView, MemberView, PositionView, PublicationView, Tags};
