//! The two traits of which a function implements one.
//!
//! For each connection the host calls `upgrade`, then `open`, then `message`
//! any number of times, then `close`, each once the one before has returned.
//! An instance of the function serves many connections and may end at any time
//! between calls, so keep what you cannot lose in the connection's attachment, or
//! in the [`state`](crate::state). A panic ends the instance; only connections
//! with a call in flight on it are closed (1011), all others go on with a new one.

use std::future::{Future, ready};

use crate::alarms::Alarm;
use crate::close::{CloseInfo, CloseOrigin};
use crate::connection::Connection;
use crate::message::Message;
use crate::upgrade::{Acceptance, Rejection, UpgradeRequest};

/// A function with plain handlers: the cheapest kind. Exported with
/// [`export!`](crate::export).
///
/// One value of the type serves all connections of an instance; the host makes
/// it by `Default` when the first call needs it. `&mut self` is sound because
/// such an instance runs one call at a time: no call begins, on whichever
/// connection, before the one before it has returned.
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
    /// Decides about a connection before the handshake is answered. Accepts
    /// unless it is implemented.
    ///
    /// # Errors
    ///
    /// The HTTP response by which the connection is refused.
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let _ = request;
        Ok(Acceptance::new())
    }

    /// The connection is open. Called once, before any message.
    fn open(&mut self, connection: &Connection) {
        let _ = connection;
    }

    /// A message has arrived. Called for each, in the order they were sent.
    fn message(&mut self, connection: &Connection, message: Message);

    /// The connection has ended; sends do nothing any more. Called exactly
    /// once for each connection that `open` was called for.
    fn close(&mut self, connection: &Connection, info: CloseInfo, origin: CloseOrigin) {
        let _ = (connection, info, origin);
    }

    /// It is time: an alarm goes off that was set by
    /// [`Connection::set_alarm`], then with the connection, or by
    /// [`alarms::set`](crate::alarms::set), then without. A panic makes the
    /// host try again: see [`alarms`](crate::alarms).
    fn alarm(&mut self, connection: Option<&Connection>, alarm: Alarm) {
        let _ = (connection, alarm);
    }

    /// The instance is about to be dropped, because nothing has happened for a
    /// while, another version of the function takes over, or the host is
    /// stopped; but for the last, its connections stay. The last moment to save
    /// what the next instance should have: see [`state`](crate::state). It has
    /// little time (`hibernate_timeout`), and is not called when a fault ends
    /// the instance or the host is killed: what must not be lost is saved at
    /// once.
    fn hibernate(&mut self) {}
}

/// A function with asynchronous handlers: while one call awaits, the instance
/// serves other connections. Exported with
/// [`export_async!`](crate::export_async).
///
/// One value of the type serves all connections of an instance, and calls of
/// different connections overlap, so handlers share it as `&self`: keep what
/// changes in a `Cell` or a `RefCell`, and hold no borrow of a `RefCell` over
/// an `.await`. Calls of one connection are made one after the other. All run
/// on one thread; futures need not be `Send`.
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
    /// Decides about a connection before the handshake is answered. Accepts
    /// unless it is implemented.
    ///
    /// # Errors
    ///
    /// The HTTP response by which the connection is refused.
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

    /// A message has arrived. Called for each, in the order they were sent;
    /// the next one waits until this call has returned.
    fn message(&self, connection: &Connection, message: Message) -> impl Future<Output = ()>;

    /// The connection has ended; sends do nothing any more. Called exactly
    /// once for each connection that `open` was called for.
    fn close(
        &self,
        connection: &Connection,
        info: CloseInfo,
        origin: CloseOrigin,
    ) -> impl Future<Output = ()> {
        let _ = (connection, info, origin);
        ready(())
    }

    /// It is time: an alarm goes off that was set by
    /// [`Connection::set_alarm`], then with the connection, or by
    /// [`alarms::set`](crate::alarms::set), then without. A panic makes the
    /// host try again: see [`alarms`](crate::alarms).
    fn alarm(&self, connection: Option<&Connection>, alarm: Alarm) -> impl Future<Output = ()> {
        let _ = (connection, alarm);
        ready(())
    }

    /// The instance is about to be dropped, as for [`Handler::hibernate`]. No
    /// call is in flight, and this one does not await.
    fn hibernate(&self) {}
}
