//! WebSocket frames, messages and compression, without I/O.
//!
//! RFC 6455 and RFC 7692 for both ends of a connection. Nothing here reads,
//! writes, waits, or knows a clock, a runtime or a source of randomness: bytes
//! are handed in as they come from a socket, in any pieces, and bytes to be
//! sent are handed out as slices. So it fits beneath epoll, io_uring, tokio,
//! threads, a fuzzer, or a simulation.
//!
//! # Receiving
//!
//! [`Receiver`] makes messages of bytes. The bytes belong to the caller, who
//! needs one buffer for all sockets that a thread reads: what cannot be used
//! yet is copied out. A connection between messages has no buffer at all.
//! [`Decoder`] is the layer below, for those who want the frames.
//!
//! A peer that breaks a rule, or passes one of the [`Limits`], is a
//! [`Violation`] with its close code; what came before it has been answered.
//!
//! # Sending
//!
//! A [`Frame`] is a header of at most 14 bytes and a shared payload, so that
//! one broadcast is encoded once. A [`Queue`] points vectored writes at many
//! of them, and keeps what a socket does not take, by reference.
//!
//! # An echo
//!
//! ```
//! use openline_websocket::{Frame, Limits, Message, Received, Receiver, Role, Violation};
//!
//! /// Writes a server's answers to the bytes that a client has sent.
//! fn serve(receiver: &mut Receiver, mut read: &[u8], write: &mut Vec<u8>) -> Result<(), Violation> {
//!     while let Some(received) = receiver.receive(&mut read, None)? {
//!         let frame = match received {
//!             Received::Message(message) => Frame::from(message),
//!             Received::Ping(payload) => Frame::pong(payload).expect("as long as the ping"),
//!             Received::Pong(_) | Received::Skipped => continue,
//!             Received::Close(close) => Frame::close(close.as_ref()),
//!         };
//!         frame.append_to(write);
//!     }
//!     Ok(())
//! }
//!
//! // A client. Each frame has a key of its own, from a random source.
//! let mut sent = Vec::new();
//! Frame::text("Hello").masked([1, 2, 3, 4]).append_to(&mut sent);
//! Frame::ping("?").unwrap().masked([5, 6, 7, 8]).append_to(&mut sent);
//!
//! // The bytes may come in any pieces.
//! let (first, second) = sent.split_at(9);
//! let mut server = Receiver::new(Role::Server, Limits::DEFAULT);
//! let mut answer = Vec::new();
//! serve(&mut server, first, &mut answer).unwrap();
//! assert!(answer.is_empty());
//! serve(&mut server, second, &mut answer).unwrap();
//!
//! let mut client = Receiver::new(Role::Client, Limits::DEFAULT);
//! let mut read = &answer[..];
//! let hello = Received::Message(Message::from("Hello"));
//! assert_eq!(client.receive(&mut read, None), Ok(Some(hello)));
//! assert_eq!(client.receive(&mut read, None), Ok(Some(Received::Pong("?".into()))));
//! assert_eq!(client.receive(&mut read, None), Ok(None));
//! ```
//!
//! # Compression
//!
//! [`deflate`] has `permessage-deflate`: the negotiation, compressors and
//! decompressors.
//!
//! ```
//! use openline_websocket::deflate::{LEVEL_DEFAULT, Settings};
//! use openline_websocket::{Limits, Message, Received, Receiver, Role};
//!
//! // The opening handshake, from client to server and back.
//! let offer = Settings::SHARED.offer();
//! let agreed = Settings::SHARED.accept([offer.as_str()]).unwrap().unwrap();
//! let answer = agreed.to_string();
//! let agreed_by_client = Settings::SHARED.answered([answer.as_str()]).unwrap().unwrap();
//!
//! // The client sends.
//! let message = "the same, the same, the same, the same";
//! let mut deflater = agreed_by_client.deflater(Role::Client, LEVEL_DEFAULT).unwrap();
//! let frame = deflater.frame(&Message::from(message));
//! let mut sent = Vec::new();
//! frame.masked([1, 2, 3, 4]).append_to(&mut sent);
//! assert!(sent.len() < message.len());
//!
//! // The server receives.
//! let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
//! let mut inflater = agreed.inflater(Role::Server);
//! let received = receiver.receive(&mut &sent[..], Some(&mut inflater)).unwrap();
//! assert_eq!(received, Some(Received::Message(Message::from(message))));
//! ```
//!
//! # The opening handshake
//!
//! The handshake is an HTTP request, which the caller reads and answers. Two
//! parts of it are here: [`accept_key`], and the negotiation of [`deflate`].

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod accept;
mod close;
mod decoder;
pub mod deflate;
mod frame;
mod header;
mod mask;
mod message;
mod queue;
mod receiver;
mod terms;
mod utf8;
mod violation;

pub use accept::accept_key;
pub use close::{Close, REASON_BYTES_MAX, may_be_sent};
pub use decoder::{DataFrame, Decoder, Event, Kind, Payload};
pub use deflate::{Deflater, Inflater};
pub use frame::{ControlTooLong, Frame};
pub use header::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Header, Opcode};
pub use mask::Key;
pub use message::Message;
pub use queue::Queue;
pub use receiver::{Received, Receiver};
pub use terms::{Limits, Role};
pub use utf8::{InvalidUtf8, Utf8};
pub use violation::Violation;
