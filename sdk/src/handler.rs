//! The two handler traits, of which a function implements one.
//!
//! For each connection the host calls `upgrade`, then `open`, then `message`
//! any number of times, then `close`; each call begins when the previous one
//! has returned. An instance of the function serves many connections and may
//! end at any time between calls, so keep data that you cannot lose in the
//! connection's attachment, or in the [`state`](crate::state). A panic ends the
//! instance; only connections with a call in flight on it are closed (1011),
//! and all others continue with a new instance.

use std::future::{Future, ready};

use crate::alarms::Alarm;
use crate::close::{CloseInfo, CloseOrigin};
use crate::connection::Connection;
use crate::http::{self, AsyncBody, Body, Request, Response};
use crate::message::Message;
use crate::rpc::RpcError;
use crate::upgrade::{Acceptance, Rejection, UpgradeRequest};

/// A plain handler, the cheapest kind. Export it with
/// [`export!`](crate::export).
///
/// One value of the type serves all connections of an instance; it is made with
/// `Default` when the first call needs it. `&mut self` is sound because such an
/// instance runs one call at a time: no call on any connection begins before
/// the previous one has returned.
///
/// ```
/// use openline_sdk::prelude::*;
///
/// /// Says how many messages this instance has seen.
/// #[derive(Default)]
/// struct Count {
///     messages: u64,
/// }
///
/// impl Handler for Count {
///     fn message(&mut self, connection: &Connection, _message: Message) {
///         self.messages += 1;
///         connection.send(self.messages.to_string());
///     }
/// }
///
/// openline_sdk::export!(Count);
/// ```
pub trait Handler: Default + 'static {
    /// Decides about a connection before the handshake is answered. The default
    /// accepts.
    ///
    /// # Errors
    ///
    /// The HTTP response that refuses the connection.
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let _ = request;
        Ok(Acceptance::new())
    }

    /// The connection is open. Called once, before any message.
    fn open(&mut self, connection: &Connection) {
        let _ = connection;
    }

    /// A message has arrived. Called for each message, in the order in which
    /// the peer sent them.
    fn message(&mut self, connection: &Connection, message: Message);

    /// The peer calls a method by `rpc` and waits for the result, which only peers
    /// of triggers with `dialect = "centrifugo"` do. It comes in order with their
    /// messages (`send`). `data` is JSON as it came, or empty. A result of text is
    /// sent as JSON if it is JSON, otherwise as a string.
    ///
    /// # Errors
    ///
    /// What the peer gets instead. The default has no method.
    fn rpc(
        &mut self,
        connection: &Connection,
        method: &str,
        data: Message,
    ) -> Result<Message, RpcError> {
        let _ = (connection, method, data);
        Err(RpcError::NoSuchMethod)
    }

    /// The connection has ended; sends do nothing any more. Called exactly once
    /// for each connection whose `open` was called.
    fn close(&mut self, connection: &Connection, info: CloseInfo, origin: CloseOrigin) {
        let _ = (connection, info, origin);
    }

    /// A request has come that is no handshake. Only functions that are exported with
    /// `export!(Name, http)` get any: see [`http`](crate::http). The body of the answer
    /// is written when this has returned. The default answers 404.
    ///
    /// Requests have instances of their own, so `self` is not the value that serves
    /// connections, except where the function has affinity.
    fn request(&mut self, request: Request<Body>) -> Response<Body> {
        let _ = request;
        http::not_found()
    }

    /// An alarm goes off. One of [`Connection::set_alarm`] comes with its
    /// connection, one of [`alarms::set`](crate::alarms::set) without. After a
    /// panic in an alarm without a connection, the host repeats the call: see
    /// [`alarms`](crate::alarms).
    fn alarm(&mut self, connection: Option<&Connection>, alarm: Alarm) {
        let _ = (connection, alarm);
    }

    /// The host is about to drop the instance: it was idle for a while, another
    /// version of the function takes over, or the host stops. Except in the
    /// last case, its connections stay. This is the last moment to save data
    /// for the next instance: see [`state`](crate::state). The call has little
    /// time (`hibernate_timeout`), and is not made when a fault ends the
    /// instance or the host is killed, so save data that must not be lost at
    /// once.
    fn hibernate(&mut self) {}
}

/// An asynchronous handler: while one call awaits, the instance serves other
/// connections. Export it with [`export_async!`](crate::export_async).
///
/// One value of the type serves all connections of an instance, and calls of
/// different connections overlap, so methods take `&self`: keep mutable data in
/// a `Cell` or a `RefCell`, and hold no borrow of a `RefCell` over an `.await`.
/// Calls of one connection are made one after the other. All run on one thread;
/// futures need not be `Send`.
///
/// Implementations write `async fn`:
///
/// ```
/// use std::time::Duration;
///
/// use openline_sdk::prelude::*;
///
/// /// Answers after a tenth of a second; any number of connections wait at
/// /// the same time.
/// #[derive(Default)]
/// struct Later;
///
/// impl AsyncHandler for Later {
///     async fn message(&self, connection: &Connection, message: Message) {
///         openline_sdk::time::sleep(Duration::from_millis(100)).await;
///         connection.send(message);
///     }
/// }
///
/// openline_sdk::export_async!(Later);
/// ```
pub trait AsyncHandler: Default + 'static {
    /// Decides about a connection before the handshake is answered. The default
    /// accepts.
    ///
    /// # Errors
    ///
    /// The HTTP response that refuses the connection.
    fn upgrade(
        &self,
        request: &UpgradeRequest,
    ) -> impl Future<Output = Result<Acceptance, Rejection>> {
        let _ = request;
        ready(Ok(Acceptance::new()))
    }

    /// The connection is open. Called once, before any message.
    fn open(&self, connection: &Connection) -> impl Future<Output = ()> {
        let _ = connection;
        ready(())
    }

    /// A message has arrived. Called for each message, in the order in which
    /// the peer sent them; the next one waits until this call has returned.
    fn message(&self, connection: &Connection, message: Message) -> impl Future<Output = ()>;

    /// The peer calls a method by `rpc`, as for [`Handler::rpc`]; what it sends
    /// next waits until this call has returned.
    ///
    /// # Errors
    ///
    /// What the peer gets instead. The default has no method.
    fn rpc(
        &self,
        connection: &Connection,
        method: &str,
        data: Message,
    ) -> impl Future<Output = Result<Message, RpcError>> {
        let _ = (connection, method, data);
        ready(Err(RpcError::NoSuchMethod))
    }

    /// The connection has ended; sends do nothing any more. Called exactly once
    /// for each connection whose `open` was called.
    fn close(
        &self,
        connection: &Connection,
        info: CloseInfo,
        origin: CloseOrigin,
    ) -> impl Future<Output = ()> {
        let _ = (connection, info, origin);
        ready(())
    }

    /// A request has come that is no handshake, as for [`Handler::request`]: for
    /// functions that are exported with `export_async!(Name, http)`.
    fn request(&self, request: Request<AsyncBody>) -> impl Future<Output = Response<AsyncBody>> {
        let _ = request;
        ready(http::not_found())
    }

    /// An alarm goes off. One of [`Connection::set_alarm`] comes with its
    /// connection, one of [`alarms::set`](crate::alarms::set) without. After a
    /// panic in an alarm without a connection, the host repeats the call: see
    /// [`alarms`](crate::alarms).
    fn alarm(&self, connection: Option<&Connection>, alarm: Alarm) -> impl Future<Output = ()> {
        let _ = (connection, alarm);
        ready(())
    }

    /// The host is about to drop the instance, as for [`Handler::hibernate`].
    /// No other call is in flight, and this one cannot await.
    fn hibernate(&self) {}
}
