//! What a connection is in the midst of: its namespaces, their rooms, and the
//! acknowledgements that it owes. All of it is the connection's attachment, so
//! it outlives instances, and any instance, of any version, may go on with it.
//!
//! The limits here bound the attachment: at its largest it is below the 16 KiB
//! that the host allows. Only calls of the connection itself change it; so no
//! change is lost, whichever instances serve others.

use serde::{Deserialize, Serialize};

/// The most rooms that a socket is in at once.
pub(crate) const ROOMS_MAX: usize = 16;

/// The longest name of a room, and the longest note of an acknowledgement, in
/// bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// The most events of a socket that wait for the peer's acknowledgement.
pub(crate) const WAITING_MAX: usize = 16;

/// The attachment of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The namespaces that the peer is in.
    pub(crate) sockets: Vec<Entry>,
    /// The number of the binary packet whose attachments are on their way.
    pub(crate) partial: Option<u64>,
    /// How many binary packets have begun.
    pub(crate) partials: u64,
    /// Whether the connection is to end: what still arrives means nothing.
    pub(crate) is_over: bool,
}

/// A peer in a namespace, which Socket.IO calls a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) namespace: String,
    /// Its id, which other peers may know.
    pub(crate) id: String,
    /// What the application has to remember, at most [`NAME_BYTES_MAX`].
    pub(crate) data: String,
    pub(crate) rooms: Vec<String>,
    /// The id that the next event gets that is to be acknowledged.
    pub(crate) next_id: u64,
    /// Ids of events that are not acknowledged yet, each with the application's
    /// note of what it has asked.
    pub(crate) waiting: Vec<(u64, String)>,
}

/// Why a session does not take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The socket is in [`ROOMS_MAX`] rooms.
    Rooms,
    /// [`WAITING_MAX`] events wait for an acknowledgement.
    Waiting,
    /// A text is longer than [`NAME_BYTES_MAX`].
    Name,
}

impl Session {
    /// Reads an attachment; `None` if it is none of this function, or of a
    /// version of it that is too different.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers become JSON")
    }

    /// The peer in a namespace, if it is there.
    pub(crate) fn socket(&mut self, namespace: &str) -> Option<&mut Entry> {
        self.sockets
            .iter_mut()
            .find(|socket| socket.namespace == namespace)
    }
}

impl Entry {
    pub(crate) fn new(namespace: &str, id: String, data: String) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id,
            data,
            rooms: Vec::new(),
            next_id: 0,
            waiting: Vec::new(),
        }
    }

    /// Notes that it is in a room; `false` if it was already.
    pub(crate) fn join(&mut self, room: &str) -> Result<bool, Full> {
        if self.rooms.iter().any(|each| each == room) {
            return Ok(false);
        }
        if room.len() > NAME_BYTES_MAX {
            return Err(Full::Name);
        }
        if self.rooms.len() == ROOMS_MAX {
            return Err(Full::Rooms);
        }
        self.rooms.push(room.to_owned());
        Ok(true)
    }

    /// Notes that it has left a room; `false` if it was not there.
    pub(crate) fn leave(&mut self, room: &str) -> bool {
        let before = self.rooms.len();
        self.rooms.retain(|each| each != room);
        self.rooms.len() < before
    }

    /// The id of an event that is to be acknowledged.
    pub(crate) fn expect(&mut self, note: &str) -> Result<u64, Full> {
        if note.len() > NAME_BYTES_MAX {
            return Err(Full::Name);
        }
        if self.waiting.len() == WAITING_MAX {
            return Err(Full::Waiting);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push((id, note.to_owned()));
        Ok(id)
    }

    /// The note of an event that is acknowledged; `None` if none waits with
    /// this id, or not any more.
    pub(crate) fn acknowledged(&mut self, id: u64) -> Option<String> {
        let place = self.waiting.iter().position(|(each, _)| *each == id)?;
        Some(self.waiting.remove(place).1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat;

    const ATTACHMENT_BYTES_MAX: usize = 16 * 1024;

    fn socket() -> Entry {
        Entry::new("/", "id".into(), "ada".into())
    }

    #[test]
    fn the_largest_session_fits_into_an_attachment() {
        // What JSON escapes has no longer form, because control characters are
        // refused by the application.
        let name = "\"".repeat(NAME_BYTES_MAX);
        let mut session = Session {
            partial: Some(u64::MAX),
            partials: u64::MAX,
            ..Session::default()
        };
        for namespace in chat::NAMESPACES {
            let mut socket = Entry::new(namespace, "f".repeat(32), name.clone());
            socket.next_id = u64::MAX - 100;
            // Only the chat has rooms, and asks for acknowledgements.
            if namespace == chat::CHAT {
                for number in 10..10 + ROOMS_MAX {
                    let room = format!("{number}{}", &name[2..]);
                    assert_eq!(socket.join(&room), Ok(true));
                }
                for _ in 0..WAITING_MAX {
                    socket.expect(&name).unwrap();
                }
            }
            session.sockets.push(socket);
        }
        let bytes = session.to_bytes();
        assert!(bytes.len() < ATTACHMENT_BYTES_MAX, "{}", bytes.len());
        assert_eq!(Session::from_bytes(&bytes), Some(session));
    }

    #[test]
    fn rooms_are_counted_once_and_up_to_the_limit() {
        let mut socket = socket();
        for number in 0..ROOMS_MAX {
            assert_eq!(socket.join(&number.to_string()), Ok(true));
        }
        assert_eq!(socket.join("0"), Ok(false));
        assert_eq!(socket.join("one more"), Err(Full::Rooms));
        assert!(socket.leave("0"));
        assert!(!socket.leave("0"));
        assert_eq!(
            socket.join(&"r".repeat(NAME_BYTES_MAX + 1)),
            Err(Full::Name)
        );
        assert_eq!(socket.join(&"r".repeat(NAME_BYTES_MAX)), Ok(true));
    }

    #[test]
    fn an_acknowledgement_counts_once_and_only_if_it_is_expected() {
        let mut socket = socket();
        for id in 0..WAITING_MAX as u64 {
            assert_eq!(socket.expect(&format!("note {id}")), Ok(id));
        }
        assert_eq!(socket.expect("one more"), Err(Full::Waiting));
        assert_eq!(socket.acknowledged(3), Some("note 3".into()));
        assert_eq!(socket.acknowledged(3), None);
        assert_eq!(socket.acknowledged(WAITING_MAX as u64), None);
        // Ids do not come again.
        assert_eq!(socket.expect("one more"), Ok(WAITING_MAX as u64));
        let long = "n".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(socket.expect(&long), Err(Full::Name));
    }

    proptest! {
        #[test]
        fn what_is_no_session_is_none(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(Session::from_bytes(&bytes), None);
        }
    }
}
