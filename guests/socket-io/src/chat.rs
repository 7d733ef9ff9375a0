//! The application: what the namespaces do.
//!
//! `/chat` is a chat with rooms. A peer connects with `auth: { name }`, and then
//! emits, each with an acknowledgement `{ ok: true, … }` or `{ error }`:
//!
//! | event | what it does |
//! | --- | --- |
//! | `join`, room | others there get `joined`; then the peer gets `introduce` and may acknowledge it with a text, which they get as `introduced` |
//! | `leave`, room | others there get `left`, as they do when the peer goes |
//! | `say`, room, text | others there get `said`; `heard` is how many |
//! | `typing`, room | others there get `typing` |
//! | `whisper`, id, text | the socket with this id gets `whispered` |
//!
//! `/` and `/custom` do what the application does that the protocol's own test
//! suite expects: `auth` tells the peer its payload, `message` is answered with
//! `message-back`, and `message-with-ack` is acknowledged, all with the binary
//! data that they came with.

use serde_json::{Value, json};

use crate::packet::Packet;
use crate::session::{Full, NAME_BYTES_MAX};
use crate::socket::{NotJoined, Socket, To};

pub(crate) const CHAT: &str = "/chat";

/// All namespaces.
pub(crate) const NAMESPACES: [&str; 3] = ["/", "/custom", CHAT];

/// The most characters of a name: at four bytes each it is as long as a session
/// allows.
const NAME_CHARACTERS_MAX: usize = NAME_BYTES_MAX / 4;

/// The most characters of what a peer says.
const TEXT_CHARACTERS_MAX: usize = 2000;

/// Decides about a peer that asks for a namespace: what to remember of it, or
/// the data of the refusal.
pub(crate) fn authorize(namespace: &str, auth: &Value) -> Result<String, Value> {
    if !NAMESPACES.contains(&namespace) {
        return Err(json!({"message": "Invalid namespace"}));
    }
    if namespace != CHAT {
        return Ok(String::new());
    }
    let name = auth.get("name").and_then(Value::as_str);
    name.filter(|name| is_name(name))
        .map(str::to_owned)
        .ok_or_else(|| {
            let hint = "connect with `auth: { name: \"ada\" }`: 1 to 32 characters, \
                        none a control character";
            json!({"message": "Not authorized", "data": {"hint": hint}})
        })
}

/// A peer is in a namespace.
pub(crate) fn connected(socket: &mut Socket<'_>, auth: Value) {
    if socket.namespace() == CHAT {
        let arrived = json!({"id": socket.id(), "name": socket.data()});
        let _ = socket.broadcast_to_namespace(json!(["arrived", arrived]));
    } else {
        socket.emit(json!(["auth", auth]), Vec::new());
    }
}

/// A peer has left a namespace, or its connection has ended.
pub(crate) fn disconnected(socket: &mut Socket<'_>) {
    for room in socket.rooms() {
        tell(socket, room, "left", None);
    }
}

/// A peer has emitted an event.
pub(crate) fn event(socket: &mut Socket<'_>, packet: Packet) {
    let Some(Value::Array(mut arguments)) = packet.data else {
        return;
    };
    let name = arguments.remove(0);
    let name = name.as_str().unwrap_or_default();
    if socket.namespace() != CHAT {
        echo(socket, name, arguments, packet.id, packet.attachments);
        return;
    }
    let answer = chat(socket, name, &arguments);
    let answer = answer.unwrap_or_else(|error| json!({"error": error}));
    socket.acknowledge(packet.id, json!([answer]), Vec::new());
    // After the answer, so that the peer knows that it is in the room.
    if name == "join" && answer.get("here").is_some() {
        let room = arguments[0].as_str().unwrap_or_default();
        // It only fails for a peer that owes many answers already.
        let _ = socket.ask(json!(["introduce", room]), room);
    }
}

/// A peer has acknowledged `introduce`, with the room as the note.
pub(crate) fn acknowledged(socket: &mut Socket<'_>, room: &str, packet: &Packet) {
    let text = packet.data.as_ref().and_then(|data| data.get(0));
    let text = text.and_then(Value::as_str).filter(|text| is_text(text));
    if let Some(text) = text.filter(|_| is_in(socket, room)) {
        tell(socket, room, "introduced", Some(text));
    }
}

fn echo(
    socket: &Socket<'_>,
    name: &str,
    mut arguments: Vec<Value>,
    id: Option<u64>,
    attachments: Vec<Vec<u8>>,
) {
    match name {
        "message" => {
            arguments.insert(0, "message-back".into());
            socket.emit(arguments.into(), attachments);
        }
        "message-with-ack" => socket.acknowledge(id, arguments.into(), attachments),
        _ => {}
    }
}

/// Does what an event of the chat says; its acknowledgement, or what is wrong.
fn chat(socket: &mut Socket<'_>, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let text = |index: usize| arguments.get(index).and_then(Value::as_str);
    let room = text(0).filter(|room| is_name(room));
    let room = room.ok_or("the first argument is a name of 1 to 32 characters");
    let said = text(1).filter(|text| is_text(text));
    let said = said.ok_or("the second argument is a text of 1 to 2000 characters");
    match name {
        "join" => {
            let room = room?;
            if !socket.join(room).map_err(not_joined)? {
                return Ok(json!({"ok": true}));
            }
            let others = tell(socket, room, "joined", None);
            Ok(json!({"ok": true, "here": others + 1}))
        }
        "leave" => {
            let room = room?;
            if socket.leave(room) {
                tell(socket, room, "left", None);
            }
            Ok(json!({"ok": true}))
        }
        "say" | "typing" => {
            let room = room?;
            if !is_in(socket, room) {
                return Err(format!("join `{room}` first"));
            }
            if name == "typing" {
                tell(socket, room, "typing", None);
                return Ok(json!({"ok": true}));
            }
            let heard = tell(socket, room, "said", Some(said?));
            Ok(json!({"ok": true, "heard": heard}))
        }
        "whisper" => {
            let (id, text) = (room?, said?);
            let what = json!({"id": socket.id(), "name": socket.data(), "text": text});
            match socket.broadcast(To::Id(id), json!(["whispered", what])) {
                Ok(1..) => Ok(json!({"ok": true})),
                Ok(0) => Err("nobody has this id".into()),
                Err(error) => Err(error.to_string()),
            }
        }
        _ => Err("the events are join, leave, say, typing and whisper".into()),
    }
}

/// Tells the others in a room what this socket does; to how many.
fn tell(socket: &Socket<'_>, room: &str, event: &str, text: Option<&str>) -> u64 {
    let mut what = json!({"room": room, "id": socket.id(), "name": socket.data()});
    if let Some(text) = text {
        what["text"] = text.into();
    }
    // It only fails if the message is larger than `message_bytes`, and then no
    // peer has received it.
    let sent = socket.broadcast(To::Room(room), json!([event, what]));
    sent.unwrap_or_default()
}

fn is_in(socket: &Socket<'_>, room: &str) -> bool {
    socket.rooms().iter().any(|each| each == room)
}

fn is_name(text: &str) -> bool {
    let characters = text.chars().count();
    (1..=NAME_CHARACTERS_MAX).contains(&characters) && !text.contains(char::is_control)
}

fn is_text(text: &str) -> bool {
    (1..=TEXT_CHARACTERS_MAX).contains(&text.chars().count())
}

fn not_joined(error: NotJoined) -> String {
    match error {
        NotJoined::Full(Full::Rooms) => "leave another room first: 16 are the most".into(),
        NotJoined::Full(Full::Name | Full::Waiting) => "the room's name is too long".into(),
        NotJoined::Channel(error) => format!("not joined: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_does_not_exist_is_refused_in_the_words_of_the_protocol() {
        for namespace in NAMESPACES {
            assert!(authorize(namespace, &json!({"name": "ada"})).is_ok());
        }
        for namespace in ["/random", "", "/chat/", "/Chat", "/chat?x=1"] {
            let refusal = json!({"message": "Invalid namespace"});
            assert_eq!(authorize(namespace, &json!({})), Err(refusal));
        }
    }

    #[test]
    fn the_chat_wants_a_name() {
        let longest = "\u{1f600}".repeat(NAME_CHARACTERS_MAX);
        assert_eq!(longest.len(), NAME_BYTES_MAX);
        assert_eq!(authorize(CHAT, &json!({"name": longest})), Ok(longest));
        let long = "n".repeat(NAME_CHARACTERS_MAX + 1);
        for auth in [
            json!({}),
            json!({"name": ""}),
            json!({"name": long}),
            json!({"name": "a\nb"}),
            json!({"name": 7}),
            json!({"name": ["ada"]}),
        ] {
            let refusal = authorize(CHAT, &auth).unwrap_err();
            assert_eq!(refusal["message"], "Not authorized", "{auth}");
        }
    }
}
