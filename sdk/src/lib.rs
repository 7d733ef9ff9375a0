//! Write WebSocket functions for Openline in Rust.
//!
//! A function is a struct with a handler, exported with one line:
//!
//! ```
//! use openline_sdk::prelude::*;
//!
//! #[derive(Default)]
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn message(&mut self, connection: &Connection, message: Message) {
//!         connection.send(message);
//!     }
//! }
//!
//! openline_sdk::export!(Echo);
//! ```
//!
//! Put it into a library crate of type `cdylib` and run `openline build`.
//!
//! There are two kinds of handlers, and a function has one of them:
//!
//! - [`Handler`], exported with [`export!`]: plain functions. An instance runs
//!   one call at a time, at the lowest cost.
//! - [`AsyncHandler`], exported with [`export_async!`]: asynchronous functions.
//!   While one call awaits, the instance serves others.
//!
//! Both receive the same events, and only `message` must be implemented.
//! `upgrade` may refuse a connection, give it a first attachment and subscribe
//! it to channels:
//!
//! ```
//! use openline_sdk::prelude::*;
//!
//! /// Passes every message on to all other readers of the same topic.
//! #[derive(Default)]
//! struct Topics;
//!
//! impl Handler for Topics {
//!     fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
//!         match request.query("topic") {
//!             Some(topic) => Ok(Acceptance::new()
//!                 .attachment(topic.as_bytes())
//!                 .channel(topic)),
//!             None => Err(Rejection::text(400, "the query needs a `topic`\n")),
//!         }
//!     }
//!
//!     fn message(&mut self, connection: &Connection, message: Message) {
//!         let topic = String::from_utf8_lossy(&connection.attachment()).into_owned();
//!         if let Err(error) = openline_sdk::publish_except(&topic, message, connection) {
//!             connection.send(format!("not published: {error}"));
//!         }
//!     }
//! }
//!
//! openline_sdk::export!(Topics);
//!
//! // Pure code can be tested without a host.
//! let request = UpgradeRequest::new("/?topic=a+b");
//! assert_eq!(
//!     Topics.upgrade(&request),
//!     Ok(Acceptance::new().attachment("a b").channel("a b")),
//! );
//! ```
//!
//! The memory of an instance is a cache: instances come and go while
//! connections stay. Keep data that you cannot lose in the connection's
//! [attachment](Connection::set_attachment), or in the [`state`] if it belongs
//! to more than one connection. An [alarm](alarms) calls the function later,
//! whether there is an instance then or not.
//!
//! Functions also answer requests, and call others: see [`http`].
//!
//! A function of another kind decides about requests before connections are
//! asked for: see [`firewall`].

pub mod alarms;
pub mod channel;
pub mod firewall;
pub mod http;
pub mod state;
pub mod time;

mod channels;
mod close;
mod connection;
mod export;
#[doc(hidden)]
pub mod freeing;
mod handler;
mod headers;
mod message;
mod options;
mod outcome;
mod query;
#[doc(hidden)]
pub mod raw;
mod rpc;
mod upgrade;

pub use alarms::Alarm;
pub use channels::{
    broadcast, broadcast_except, broadcast_with, publish, publish_except, publish_with, subscribers,
};
pub use close::{CloseInfo, CloseOrigin};
pub use connection::{
    AutoResponse, Connection, Connections, by_tag, by_tag_page, connection, connections,
    connections_page,
};
pub use handler::{AsyncHandler, Handler};
pub use message::{AsMessage, Message, MessageRef};
pub use options::{Compress, PublishOptions, SendOptions};
pub use outcome::{Error, Published, SendOutcome};
pub use rpc::RpcError;
pub use upgrade::{Acceptance, PeerCertificate, Rejection, TlsFacts, UpgradeRequest};

/// The names that nearly every function uses: `use openline_sdk::prelude::*`.
pub mod prelude {
    pub use crate::{
        Acceptance, Alarm, AsyncHandler, CloseInfo, CloseOrigin, Connection, Handler, Message,
        Rejection, SendOutcome, UpgradeRequest,
    };
}
