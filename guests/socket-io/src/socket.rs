//! A peer in a namespace, as the application uses it: events, acknowledgements,
//! rooms and broadcasts.
//!
//! A room is a channel, and so are a namespace and a single socket. Broadcasts
//! have no binary data: nothing would keep the messages of one binary packet
//! together on their way to a subscriber, which may miss some of them, or get
//! those of another publication in between. To its own peer a socket sends them
//! with `send`, which loses nothing without closing the connection.

use openline_sdk::{Connection, Error, publish_except};
use serde_json::Value;

use crate::engine::MESSAGE;
use crate::packet::{Kind, Packet};
use crate::session::{Entry, Full};

/// A peer in a namespace.
#[derive(Debug)]
pub(crate) struct Socket<'a> {
    connection: &'a Connection,
    entry: &'a mut Entry,
}

/// Whom a broadcast is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To<'a> {
    /// Everybody in a room, whether this socket is there or not.
    Room(&'a str),
    /// One socket, by its id.
    Id(&'a str),
}

/// Why a room was not joined.
#[derive(Debug)]
pub(crate) enum NotJoined {
    /// A limit of the session.
    Full(Full),
    /// The host refuses the channel.
    Channel(Error),
}

impl<'a> Socket<'a> {
    pub(crate) fn new(connection: &'a Connection, entry: &'a mut Entry) -> Self {
        Self { connection, entry }
    }

    /// Its id, which other peers may know.
    pub(crate) fn id(&self) -> &str {
        &self.entry.id
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.entry.namespace
    }

    /// What the application remembers of it.
    pub(crate) fn data(&self) -> &str {
        &self.entry.data
    }

    /// The rooms that it has joined.
    pub(crate) fn rooms(&self) -> &[String] {
        &self.entry.rooms
    }

    /// Sends the answer to its connect packet, and lets it receive what is for
    /// its namespace or for itself.
    pub(crate) fn open(&mut self, answer: Packet) {
        self.send(&answer);
        for channel in own_channels(self.entry) {
            // There are few of them, with valid names.
            let _ = self.connection.subscribe(&channel);
        }
    }

    fn send(&self, packet: &Packet) {
        // What is larger than `message_bytes` is lost as a whole.
        if !self.connection.send(message(packet)).is_accepted() {
            return;
        }
        for attachment in &packet.attachments {
            self.connection.send(attachment);
        }
    }

    /// Sends an event: an array of its name and its arguments.
    pub(crate) fn emit(&self, event: Value, attachments: Vec<Vec<u8>>) {
        self.send(&self.event(event).attach(attachments));
    }

    /// Sends an event that the peer is to acknowledge. The note comes back with
    /// the answer, perhaps in another instance.
    pub(crate) fn ask(&mut self, event: Value, note: &str) -> Result<(), Full> {
        let id = self.entry.expect(note)?;
        self.send(&self.event(event).with_id(id));
        Ok(())
    }

    /// Answers an event of the peer with an array, if it has asked for it.
    pub(crate) fn acknowledge(&self, id: Option<u64>, data: Value, attachments: Vec<Vec<u8>>) {
        if let Some(id) = id {
            let packet = Packet::new(Kind::Ack, self.namespace());
            self.send(&packet.with_id(id).with(data).attach(attachments));
        }
    }

    /// The note of an event that the peer acknowledges.
    pub(crate) fn acknowledged(&mut self, id: u64) -> Option<String> {
        self.entry.acknowledged(id)
    }

    /// Joins a room; `false` if it was there already.
    pub(crate) fn join(&mut self, room: &str) -> Result<bool, NotJoined> {
        if !self.entry.join(room).map_err(NotJoined::Full)? {
            return Ok(false);
        }
        let channel = room_channel(self.namespace(), room);
        if let Err(error) = self.connection.subscribe(&channel) {
            self.entry.leave(room);
            return Err(NotJoined::Channel(error));
        }
        Ok(true)
    }

    /// Leaves a room; `false` if it was not there.
    pub(crate) fn leave(&mut self, room: &str) -> bool {
        self.connection
            .unsubscribe(&room_channel(self.namespace(), room));
        self.entry.leave(room)
    }

    /// Sends an event to others, and not to this connection. Returns how many
    /// connections of this host it is for.
    pub(crate) fn broadcast(&self, to: To<'_>, event: Value) -> Result<u64, Error> {
        let channel = self.channel(to);
        let message = message(&self.event(event));
        Ok(publish_except(&channel, message, self.connection)?.deliveries())
    }

    /// Sends an event to everybody else in the namespace.
    pub(crate) fn broadcast_to_namespace(&self, event: Value) -> Result<u64, Error> {
        let message = message(&self.event(event));
        let channel = namespace_channel(self.namespace());
        Ok(publish_except(&channel, message, self.connection)?.deliveries())
    }

    fn channel(&self, to: To<'_>) -> String {
        match to {
            To::Room(room) => room_channel(self.namespace(), room),
            To::Id(id) => socket_channel(self.namespace(), id),
        }
    }

    fn event(&self, event: Value) -> Packet {
        Packet::new(Kind::Event, self.namespace()).with(event)
    }
}

/// Ends all subscriptions of a socket that has left its namespace.
pub(crate) fn leave_all(connection: &Connection, entry: &Entry) {
    for channel in own_channels(entry) {
        connection.unsubscribe(&channel);
    }
    for room in &entry.rooms {
        connection.unsubscribe(&room_channel(&entry.namespace, room));
    }
}

/// The channels that a socket has without a room.
fn own_channels(entry: &Entry) -> [String; 2] {
    [
        namespace_channel(&entry.namespace),
        socket_channel(&entry.namespace, &entry.id),
    ]
}

// Namespaces have no comma, so none of these can be another one.

fn namespace_channel(namespace: &str) -> String {
    format!("{namespace},all")
}

fn socket_channel(namespace: &str, id: &str) -> String {
    format!("{namespace},id,{id}")
}

fn room_channel(namespace: &str, room: &str) -> String {
    format!("{namespace},room,{room}")
}

fn message(packet: &Packet) -> String {
    format!("{MESSAGE}{}", packet.encode())
}
