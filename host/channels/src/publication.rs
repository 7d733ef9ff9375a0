//! A message for many connections, which is encoded once.
//!
//! A publication is one shared object: each outbox has a reference to it, so
//! that a subscriber costs no allocation. It keeps what the first connection
//! that writes it makes of the message, for all that write it later; what that
//! is only the code that writes knows. A message that is sent to one connection
//! is no publication and pays for none of this. Bounded by the message and one
//! encoding of it; freed when the last outbox gives it up.
//!
//! Compressed encodings belong here, too, one for each size of window: without
//! context takeover they do not depend on the connection.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use openline_core::message::Message;

/// A message, and its encoding once a connection has written it.
#[derive(Debug)]
pub struct Publication {
    message: Message,
    frame: OnceLock<Bytes>,
}

impl Publication {
    /// A publication that nothing has written yet.
    pub fn new(message: Message) -> Arc<Self> {
        Arc::new(Self {
            message,
            frame: OnceLock::new(),
        })
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message as it is written without compression, header included.
    /// `encode` makes it the first time; other threads wait meanwhile, so it
    /// does no more than copy.
    pub fn frame(&self, encode: impl FnOnce(&Message) -> Bytes) -> &Bytes {
        self.frame.get_or_init(|| encode(&self.message))
    }
}

/// Equal messages, whether or not they were written.
impl PartialEq for Publication {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

impl Eq for Publication {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_encoded_once() {
        let publication = Publication::new(Message::Text("a".into()));
        let first = publication.frame(|message| {
            assert_eq!(message, publication.message());
            Bytes::from_static(b"\x81\x01a")
        });
        let again = publication.frame(|_| panic!("it is there"));
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(*publication, *Publication::new(Message::Text("a".into())));
    }
}
