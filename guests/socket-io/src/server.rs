//! Socket.IO's server over one kind of connection: it opens and ends sessions,
//! keeps the heartbeat, reads packets and gives the application what is in
//! them.
//!
//! Everything that a connection needs later is in its [`Session`], except the
//! attachments of a binary packet that is not complete, which may be larger than
//! a session: see [`crate::partials`]. If the instance ends between two messages
//! of such a packet, the packet is lost. Then the connection is closed, and the
//! peer connects again.
//!
//! Ends are what they are in the reference server: a wrong packet closes the
//! connection, a namespace that does not exist or refuses is a `CONNECT_ERROR`.

use std::hash::{BuildHasher, RandomState};
use std::mem;

use openline_sdk::prelude::*;
use serde_json::json;

use crate::chat;
use crate::engine::{self, Heartbeat, PAYLOAD_BYTES_MAX};
use crate::packet::{self, Decoded, Kind, Packet};
use crate::partials::Partials;
use crate::session::{Entry, Session};
use crate::socket::{Socket, leave_all};

/// Sends the next ping.
const PING_ALARM: &str = "ping";
/// Ends a connection whose pong has not come.
const PONG_ALARM: &str = "pong";
/// Ends a connection that has joined no namespace.
const CONNECT_ALARM: &str = "connect";

/// The server, as one instance has it.
#[derive(Debug, Default)]
pub(crate) struct Server {
    partials: Partials,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer has asked for it.
    Asked,
    /// No pong.
    PingTimeout,
    /// No namespace.
    ConnectTimeout,
    /// A message that is no packet.
    Parse,
    /// A packet that cannot come now.
    State,
    /// A message or a packet that is too large.
    TooLarge,
    /// An instance has ended in the midst of a binary packet, or has had too
    /// many of them.
    PacketLost,
    /// The attachment is no session.
    SessionLost,
}

impl End {
    /// The close code and the reason. To a client of Socket.IO all are
    /// `transport close`.
    fn close(self) -> (u16, &'static str) {
        match self {
            Self::Asked => (1000, ""),
            Self::PingTimeout => (1001, "ping timeout"),
            Self::ConnectTimeout => (1001, "no namespace was joined in time"),
            Self::Parse => (1002, "parse error"),
            Self::State => (1002, "packet out of order"),
            Self::TooLarge => (1009, "packet too large"),
            Self::PacketLost => (1012, "binary packet interrupted"),
            Self::SessionLost => (1012, "session lost"),
        }
    }
}

impl From<packet::Invalid> for End {
    fn from(invalid: packet::Invalid) -> Self {
        match invalid {
            packet::Invalid::TooLarge => Self::TooLarge,
            _ => Self::Parse,
        }
    }
}

/// Checks the request of a connection, with the words of the reference server.
pub(crate) fn upgrade(request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
    let refuse = |text: &str| Err(Rejection::text(400, text));
    if request.query("transport").as_deref() != Some("websocket") {
        return refuse("Transport unknown\nhint: use `transports: [\"websocket\"]`\n");
    }
    if request.query("EIO").as_deref() != Some("4") {
        return refuse("Unsupported protocol version\nhint: use Socket.IO 3 or newer\n");
    }
    // A session of another transport, which there is none of.
    if request.query("sid").is_some() {
        return refuse("Session ID unknown\n");
    }
    let times = |name| request.route_param(name).unwrap_or_default();
    let route_has_times = request.route_param("ping_interval").is_some();
    if route_has_times && Heartbeat::parse(times("ping_interval"), times("ping_timeout")).is_none()
    {
        return refuse("The times of the heartbeat are numbers from 100 to 3600000\n");
    }
    Ok(Acceptance::new().attachment(Session::default().to_bytes()))
}

/// The heartbeat of a connection: that of its route, if it has the parameters.
fn heartbeat(connection: &Connection) -> Heartbeat {
    let interval = connection.route_param("ping_interval");
    let timeout = connection.route_param("ping_timeout");
    interval
        .zip(timeout)
        .and_then(|(interval, timeout)| Heartbeat::parse(&interval, &timeout))
        .unwrap_or(Heartbeat::DEFAULT)
}

/// The session of a connection that goes on. One that another version of the
/// function has left behind in a form that this one does not know ends: its peer
/// connects again.
fn session_of(connection: &Connection) -> Option<Session> {
    let session = Session::from_bytes(&connection.attachment());
    if session.is_none() {
        let (code, reason) = End::SessionLost.close();
        let _ = connection.close(code, reason);
    }
    session.filter(|session| !session.is_over)
}

/// Writes a session back. It fails only if the connection has ended, because
/// no session is too large.
fn save(connection: &Connection, session: &Session) {
    let _ = connection.set_attachment(session.to_bytes());
}

/// An id that cannot be guessed: two hashes, whose random keys never leave this
/// instance.
fn random_id() -> String {
    let half = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", half(), half())
}

impl Server {
    pub(crate) fn open(connection: &Connection) {
        let heartbeat = heartbeat(connection);
        connection.send(engine::open(&connection.id(), heartbeat));
        // These fail only if the connection has already ended.
        let _ = connection.set_alarm(PING_ALARM, heartbeat.interval);
        let _ = connection.set_alarm(CONNECT_ALARM, heartbeat.connect_timeout());
    }

    pub(crate) fn message(&mut self, connection: &Connection, message: Message) {
        let Some(mut session) = session_of(connection) else {
            return;
        };
        let before = session.clone();
        let read = match message {
            _ if message.len() > PAYLOAD_BYTES_MAX => Err(End::TooLarge),
            Message::Text(text) => self.text(connection, &mut session, &text),
            Message::Binary(bytes) => self.binary(connection, &mut session, bytes),
        };
        match read {
            Ok(()) if session == before => {}
            Ok(()) => save(connection, &session),
            Err(end) => self.end(connection, session, end),
        }
    }

    pub(crate) fn alarm(&mut self, connection: &Connection, name: &str) {
        let Some(session) = session_of(connection) else {
            return;
        };
        match name {
            PING_ALARM => {
                connection.send(engine::PING);
                let _ = connection.set_alarm(PONG_ALARM, heartbeat(connection).timeout);
            }
            PONG_ALARM => self.end(connection, session, End::PingTimeout),
            CONNECT_ALARM if session.sockets.is_empty() => {
                self.end(connection, session, End::ConnectTimeout);
            }
            _ => {}
        }
    }

    pub(crate) fn close(&mut self, connection: &Connection) {
        self.partials.remove(&connection.id());
        let session = Session::from_bytes(&connection.attachment());
        for mut entry in session.unwrap_or_default().sockets {
            chat::disconnected(&mut Socket::new(connection, &mut entry));
        }
    }

    /// Ends a connection. Whatever it has sent after this point is ignored.
    fn end(&mut self, connection: &Connection, mut session: Session, end: End) {
        self.partials.remove(&connection.id());
        let sockets = mem::take(&mut session.sockets);
        session.is_over = true;
        save(connection, &session);
        for mut entry in sockets {
            leave_all(connection, &entry);
            chat::disconnected(&mut Socket::new(connection, &mut entry));
        }
        let (code, reason) = end.close();
        // The code and the reason are always valid.
        let _ = connection.close(code, reason);
    }

    fn text(
        &mut self,
        connection: &Connection,
        session: &mut Session,
        text: &str,
    ) -> Result<(), End> {
        match engine::decode(text) {
            Ok(engine::Packet::Message(text)) => {
                // The rest of a binary packet comes first.
                if session.partial.is_some() {
                    return Err(End::Parse);
                }
                let decoded = packet::decode(text)?;
                self.decoded(connection, session, decoded)
            }
            Ok(engine::Packet::Pong) => {
                connection.clear_alarm(PONG_ALARM);
                let _ = connection.set_alarm(PING_ALARM, heartbeat(connection).interval);
                Ok(())
            }
            Ok(engine::Packet::Close) => Err(End::Asked),
            Ok(engine::Packet::Ignored) => Ok(()),
            Err(_) => Err(End::Parse),
        }
    }

    fn binary(
        &mut self,
        connection: &Connection,
        session: &mut Session,
        bytes: Vec<u8>,
    ) -> Result<(), End> {
        let expected = session.partial.take().ok_or(End::Parse)?;
        let partial = self.partials.take(&connection.id(), expected);
        let decoded = partial.ok_or(End::PacketLost)?.attach(bytes)?;
        self.decoded(connection, session, decoded)
    }

    fn decoded(
        &mut self,
        connection: &Connection,
        session: &mut Session,
        decoded: Decoded,
    ) -> Result<(), End> {
        let partial = match decoded {
            Decoded::Whole(packet) => return packet_of(connection, session, packet),
            Decoded::Part(partial) => partial,
        };
        session.partials += 1;
        session.partial = Some(session.partials);
        self.partials
            .insert(connection.id(), session.partials, partial);
        Ok(())
    }
}

/// Does what a whole packet says.
fn packet_of(connection: &Connection, session: &mut Session, packet: Packet) -> Result<(), End> {
    let is_connected = session.socket(&packet.namespace).is_some();
    match packet.kind {
        Kind::Connect if !is_connected => {
            connect(connection, session, packet);
            Ok(())
        }
        Kind::Connect | Kind::ConnectError => Err(End::State),
        _ if !is_connected => Err(End::State),
        Kind::Disconnect => {
            let is_left = |entry: &Entry| entry.namespace == packet.namespace;
            if let Some(place) = session.sockets.iter().position(is_left) {
                let mut entry = session.sockets.remove(place);
                leave_all(connection, &entry);
                chat::disconnected(&mut Socket::new(connection, &mut entry));
            }
            Ok(())
        }
        Kind::Event | Kind::Ack => {
            let Some(entry) = session.socket(&packet.namespace) else {
                return Err(End::State);
            };
            let mut socket = Socket::new(connection, entry);
            if packet.kind == Kind::Event {
                chat::event(&mut socket, packet);
            } else if let Some(note) = packet.id.and_then(|id| socket.acknowledged(id)) {
                chat::acknowledged(&mut socket, &note, &packet);
            }
            Ok(())
        }
    }
}

/// A peer asks for a namespace.
fn connect(connection: &Connection, session: &mut Session, packet: Packet) {
    let namespace = &packet.namespace;
    let auth = packet.data.unwrap_or_else(|| json!({}));
    let data = match chat::authorize(namespace, &auth) {
        Ok(data) => data,
        Err(refusal) => {
            let refused = Packet::new(Kind::ConnectError, namespace).with(refusal);
            connection.send(format!("{}{}", engine::MESSAGE, refused.encode()));
            return;
        }
    };
    connection.clear_alarm(CONNECT_ALARM);
    let mut entry = Entry::new(namespace, random_id(), data);
    let mut socket = Socket::new(connection, &mut entry);
    let answer = Packet::new(Kind::Connect, namespace).with(json!({"sid": socket.id()}));
    socket.open(answer);
    chat::connected(&mut socket, auth);
    session.sockets.push(entry);
}
