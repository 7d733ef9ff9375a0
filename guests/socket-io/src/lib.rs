//! Socket.IO as a function: `/socket.io/`, for its unmodified clients.
//!
//! It speaks revision 5 of the Socket.IO protocol over revision 4 of Engine.IO,
//! with `transports: ["websocket"]`. The other transport, long polling, needs
//! answers to HTTP requests, which functions do not give yet. It shows that a
//! protocol with a handshake, a heartbeat and state of its own can be a function
//! that comes and goes: [`engine`] and [`packet`] are the protocol, [`session`]
//! is the state of a connection, which is its attachment, [`server`] and
//! [`socket`] bind both to the SDK, and [`chat`] is the application on top.
//!
//! The server pings by alarms of the connection, so quiet connections need no
//! instance in between.
//!
//! Give the function `instances = 1`. A binary packet is several messages, and
//! clients give up when another message comes between them. Nothing does if one
//! instance sends all messages: a call sends a packet as a whole. (During a
//! deploy there are two instances for a moment; a client that gives up then
//! connects again.)
//!
//! A route with the parameters `ping_interval` and `ping_timeout`, numbers of
//! milliseconds, has another heartbeat than Socket.IO's default:
//! `/{ping_interval}/{ping_timeout}/socket.io/`.

mod chat;
mod engine;
mod packet;
mod partials;
mod server;
mod session;
mod socket;

use openline_sdk::prelude::*;

use server::Server;

#[derive(Default)]
struct SocketIo {
    server: Server,
}

impl Handler for SocketIo {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        server::upgrade(request)
    }

    fn open(&mut self, connection: &Connection) {
        Server::open(connection);
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        self.server.message(connection, message);
    }

    fn alarm(&mut self, connection: Option<&Connection>, alarm: Alarm) {
        if let Some(connection) = connection {
            self.server.alarm(connection, &alarm.name);
        }
    }

    fn close(&mut self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        self.server.close(connection);
    }
}

openline_sdk::export!(SocketIo);
