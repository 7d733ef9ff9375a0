//! A call of a peer that wants an answer: `rpc` of a dialect.
//!
//! Bounded like the message in which it came.

use std::fmt;

use bytestring::ByteString;

use crate::message::Message;

/// What a peer calls.
#[derive(Debug)]
pub struct Call {
    /// The method; may be empty.
    pub method: ByteString,
    /// Its data as it came; empty if there is none.
    pub data: Message,
    /// Takes the result.
    pub answer: Answer,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The function has no such method, or no handler for calls.
    NoSuchMethod,
    /// An error of the function's own.
    Failed {
        /// Its code, as the function has chosen it.
        code: u32,
        /// Its text.
        message: String,
        /// Whether to try again may help.
        temporary: bool,
    },
}

/// Takes the result of one call. If it is dropped, the peer gets no answer: its
/// connection ends then.
pub struct Answer(Box<dyn FnOnce(Result<Message, CallError>) + Send + Sync>);

impl Call {
    /// Its bytes.
    pub fn bytes(&self) -> usize {
        self.method.len() + self.data.bytes()
    }
}

impl Answer {
    /// An answer that is told this way. It is told in the task of an instance, so
    /// `tell` must not wait.
    pub fn new(tell: impl FnOnce(Result<Message, CallError>) + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }

    /// Gives the peer its result.
    pub fn give(self, result: Result<Message, CallError>) {
        (self.0)(result);
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
