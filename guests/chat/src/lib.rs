//! Rooms with nicknames: `/chat/{room}?nick=ada`.
//!
//! The room is a channel. The nickname is the connection's attachment, and its
//! tag, by which `/whisper ada hello` finds ada. So the function keeps nothing
//! in its own memory: any instance may serve any connection, and a new one
//! carries on where another ended.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

use openline_sdk::prelude::*;
use openline_sdk::{by_tag, publish, publish_except, subscribers};

#[derive(Default)]
struct Chat;

impl Handler for Chat {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let guest = || format!("guest-{:04x}", RandomState::new().hash_one(()) as u16);
        let nick = request.query("nick").map_or_else(guest, Cow::into_owned);
        let room = request.route_param("room").unwrap_or("lobby");
        if !is_name(room) || !is_name(&nick) {
            let text = "room and `nick` have 1 to 32 characters, none a control character\n\
                        hint: connect to /chat/lobby?nick=ada\n";
            return Err(Rejection::text(400, text));
        }
        Ok(Acceptance::new()
            .attachment(nick.as_bytes())
            .tag(nick)
            .channel(room))
    }

    fn open(&mut self, connection: &Connection) {
        let (room, nick) = room_and_nick(connection);
        let here = subscribers(&room);
        connection.send(format!("* welcome to {room}, {nick}: {here} here"));
        let _ = publish_except(&room, format!("* {nick} joined"), connection);
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        let (room, nick) = room_and_nick(connection);
        let text = message.as_text().unwrap_or("(not text)");
        let whisper = text.strip_prefix("/whisper ");
        if let Some((to, text)) = whisper.and_then(|whisper| whisper.split_once(' ')) {
            whisper_to(connection, to, text);
        } else if let Err(error) = publish(&room, format!("{nick}: {text}")) {
            connection.send(format!("* not sent: {error}"));
        }
    }

    fn close(&mut self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        let (room, nick) = room_and_nick(connection);
        let _ = publish(&room, format!("* {nick} left"));
    }
}

/// Sends to all connections with this nickname in the same room.
fn whisper_to(connection: &Connection, to: &str, text: &str) {
    let (room, nick) = room_and_nick(connection);
    let mut heard = false;
    for other in by_tag(to).filter(|other| room_and_nick(other).0 == room) {
        heard |= other.send(format!("{nick} whispers: {text}")).is_accepted();
    }
    if !heard {
        connection.send(format!("* nobody here is called {to}"));
    }
}

fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.chars().count()) && !text.contains(char::is_control)
}

fn room_and_nick(connection: &Connection) -> (String, String) {
    let room = connection.route_param("room").unwrap_or("lobby".into());
    let nick = String::from_utf8_lossy(&connection.attachment()).into_owned();
    (room, nick)
}

openline_sdk::export!(Chat);
