//! Messages: the received one, which owns its payload, and the view of one to
//! send, which borrows it.
//!
//! The host bounds a message's size (`message_bytes`, 6 MiB unless configured)
//! in both directions, and has checked that text is UTF-8.

use std::borrow::Cow;

use crate::raw::common::{MessageParam, MessageResult};

/// One whole WebSocket message.
///
/// ```
/// use openline_sdk::Message;
///
/// let message = Message::from("hello");
/// assert!(message.is_text());
/// assert_eq!(message.as_text(), Some("hello"));
/// assert_eq!(message.as_bytes(), b"hello");
///
/// let message = Message::from(vec![1, 2, 3]);
/// assert_eq!(message.as_text(), None);
/// assert_eq!(message.into_bytes(), [1, 2, 3]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

impl Message {
    /// Whether this is a text message.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Whether this is a binary message.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }

    /// The text of a text message, `None` for a binary one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The text of a text message, by value; `None` for a binary one.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The payload of either kind, by value.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The length of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty, which RFC 6455 allows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

// === what becomes a message ===

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(bytes: [u8; N]) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

impl From<MessageResult> for Message {
    fn from(message: MessageResult) -> Self {
        match message {
            MessageResult::Text(text) => Self::Text(text),
            MessageResult::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// A message to send, borrowed from its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageRef<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl From<Message> for MessageResult {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

impl<'a> From<MessageRef<'a>> for MessageParam<'a> {
    fn from(message: MessageRef<'a>) -> Self {
        match message {
            MessageRef::Text(text) => MessageParam::Text(text),
            MessageRef::Binary(bytes) => MessageParam::Binary(bytes),
        }
    }
}

/// A value that can be sent: a [`Message`], text or bytes, owned or borrowed.
/// The host reads the payload in place, without a copy in the function.
///
/// ```
/// use openline_sdk::{AsMessage, Message, MessageRef};
///
/// assert_eq!("hi".as_message(), MessageRef::Text("hi"));
/// assert_eq!(format!("hi").as_message(), MessageRef::Text("hi"));
/// assert_eq!(b"hi".as_message(), MessageRef::Binary(b"hi"));
/// assert_eq!(Message::from("hi").as_message(), MessageRef::Text("hi"));
/// ```
pub trait AsMessage {
    /// This value as a message.
    fn as_message(&self) -> MessageRef<'_>;
}

impl AsMessage for Message {
    fn as_message(&self) -> MessageRef<'_> {
        match self {
            Self::Text(text) => MessageRef::Text(text),
            Self::Binary(bytes) => MessageRef::Binary(bytes),
        }
    }
}

impl AsMessage for MessageRef<'_> {
    fn as_message(&self) -> MessageRef<'_> {
        *self
    }
}

impl AsMessage for str {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Text(self)
    }
}

impl AsMessage for String {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Text(self)
    }
}

impl AsMessage for [u8] {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Binary(self)
    }
}

impl<const N: usize> AsMessage for [u8; N] {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Binary(self)
    }
}

impl AsMessage for Vec<u8> {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Binary(self)
    }
}

impl<T: AsMessage + ToOwned + ?Sized> AsMessage for Cow<'_, T> {
    fn as_message(&self) -> MessageRef<'_> {
        self.as_ref().as_message()
    }
}

impl<T: AsMessage + ?Sized> AsMessage for &T {
    fn as_message(&self) -> MessageRef<'_> {
        (**self).as_message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_gives_back_what_it_was_made_of() {
        assert_eq!(Message::from("ä").into_text(), Some("ä".to_owned()));
        assert_eq!(Message::from("ä").into_bytes(), "ä".as_bytes());
        assert_eq!(Message::from([1, 2]).into_bytes(), [1, 2]);
        assert_eq!(Message::from(&[1, 2][..]).into_text(), None);
    }

    #[test]
    fn an_empty_message_is_a_message() {
        assert!(Message::from("").is_empty());
        assert!(Message::from("").is_text());
        assert!(Message::from(Vec::new()).is_binary());
        assert_eq!(Message::from("äb").len(), 3);
    }

    #[test]
    fn text_is_sent_as_text_and_bytes_as_bytes() {
        assert_eq!(Cow::Borrowed("a").as_message(), MessageRef::Text("a"));
        assert_eq!((&&"a").as_message(), MessageRef::Text("a"));
        assert_eq!(vec![97].as_message(), MessageRef::Binary(b"a"));
    }
}
