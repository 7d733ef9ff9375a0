//! A message for many connections, which is encoded once.
//!
//! A shared message is one object: each outbox has a reference to it, so
//! that a subscriber costs no allocation. It keeps what the first connection
//! that writes it makes of the message, for all that write it later; what that
//! is only the code that writes knows. A message that is sent to one connection
//! is not shared and pays for none of this.
//!
//! Compressed encodings belong here, too: without context takeover they depend
//! only on the size of the peer's window. Each is made once, bit by bit, by the
//! connections that want to write it; none waits for another thread.
//!
//! Bounded by the message, one encoding of it, and [`VARIANTS`] that are smaller;
//! freed when the last outbox gives it up.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use openline_core::message::{Compress, Message};

use crate::sync::Mutex;

/// How many compressed encodings there may be.
pub const VARIANTS: usize = 3;

/// A message, and its encoding once a connection has written it.
#[derive(Debug)]
pub struct SharedMessage {
    message: Message,
    compress: Compress,
    counts: bool,
    frame: OnceLock<Bytes>,
    /// Made when the first connection compresses it.
    variants: OnceLock<Box<[Variant; VARIANTS]>>,
}

/// A compressed encoding, and its making.
#[derive(Debug, Default)]
struct Variant {
    made: OnceLock<Option<Bytes>>,
    making: Mutex<Option<Box<dyn Encoder>>>,
}

/// Makes a compressed encoding bit by bit.
pub trait Encoder: Debug + Send {
    /// Goes on for so many bytes of the message, which it takes from `allowed`.
    /// Answers the payload at the end, or `None` inside if it is no smaller than
    /// the message.
    fn advance(&mut self, message: &Message, allowed: &mut usize) -> Option<Option<Bytes>>;
}

impl SharedMessage {
    /// A message that nothing has written yet.
    pub fn new(message: Message) -> Arc<Self> {
        Self::with(message, Compress::Configured)
    }

    /// The same, and whether it is compressed.
    pub fn with(message: Message, compress: Compress) -> Arc<Self> {
        Self::make(message, compress, false)
    }

    /// The same of a publication that its subscribers count on: an outbox never
    /// drops it and goes on.
    pub(crate) fn counted(message: Message, compress: Compress) -> Arc<Self> {
        Self::make(message, compress, true)
    }

    fn make(message: Message, compress: Compress, counts: bool) -> Arc<Self> {
        Arc::new(Self {
            message,
            compress,
            counts,
            frame: OnceLock::new(),
            variants: OnceLock::new(),
        })
    }

    /// Whether it is compressed.
    pub fn compress(&self) -> Compress {
        self.compress
    }

    /// Whether its receivers count on it.
    pub(crate) fn counts(&self) -> bool {
        self.counts
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

impl SharedMessage {
    fn variant(&self, index: usize) -> &Variant {
        &self.variants.get_or_init(Box::default)[index]
    }

    /// Whether one of the [`VARIANTS`] has been made.
    pub fn is_compressed(&self, index: usize) -> bool {
        self.variant(index).made.get().is_some()
    }

    /// One of the [`VARIANTS`]: the compressed payload, or `None` inside if the
    /// message is sent as it is. Makes it, with what `begin` answers the first
    /// time, for so many bytes of the message. `None` if it is not made after
    /// that, or if another thread goes on with it at this moment: ask again
    /// later.
    pub fn compressed(
        &self,
        index: usize,
        allowed: &mut usize,
        begin: impl FnOnce() -> Box<dyn Encoder>,
    ) -> Option<Option<Bytes>> {
        let variant = self.variant(index);
        if let Some(made) = variant.made.get() {
            return Some(made.clone());
        }
        let mut making = variant.making.try_lock()?;
        // It may have been made meanwhile.
        if let Some(made) = variant.made.get() {
            return Some(made.clone());
        }
        // Taken out meanwhile: after a panic it is begun anew.
        let mut encoder = making.take().unwrap_or_else(begin);
        let Some(made) = encoder.advance(&self.message, allowed) else {
            *making = Some(encoder);
            return None;
        };
        let made = variant.made.get_or_init(|| made).clone();
        drop(making);
        drop(encoder);
        Some(made)
    }
}

/// Equal messages, whether or not they were written.
impl PartialEq for SharedMessage {
    fn eq(&self, other: &Self) -> bool {
        self.message == other.message
    }
}

impl Eq for SharedMessage {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a message apart, and makes nothing of it or its first byte.
    #[derive(Debug)]
    struct First {
        left: usize,
        is_smaller: bool,
    }

    impl Encoder for First {
        fn advance(&mut self, message: &Message, allowed: &mut usize) -> Option<Option<Bytes>> {
            let now = self.left.min(*allowed);
            (self.left, *allowed) = (self.left - now, *allowed - now);
            let Message::Binary(bytes) = message else {
                panic!("{message:?}");
            };
            (self.left == 0).then(|| self.is_smaller.then(|| bytes.slice(..1)))
        }
    }

    fn first(bytes: usize, is_smaller: bool) -> Box<dyn Encoder> {
        Box::new(First {
            left: bytes,
            is_smaller,
        })
    }

    #[test]
    fn a_compressed_form_is_made_once_by_all_that_want_it() {
        let message = Message::Binary(Bytes::from_static(b"12345"));
        let shared = SharedMessage::with(message, Compress::Always);
        assert_eq!(shared.compress(), Compress::Always);
        assert!(!shared.is_compressed(2));
        // Two connections, each for a part.
        let mut allowed = 3;
        let begun = shared.compressed(2, &mut allowed, || first(5, true));
        assert_eq!((begun, allowed), (None, 0));
        allowed = 3;
        let made = shared.compressed(2, &mut allowed, || panic!("it has begun"));
        assert_eq!(made, Some(Some(Bytes::from_static(b"1"))));
        assert_eq!(allowed, 1);
        let again = shared.compressed(2, &mut allowed, || panic!("it is made"));
        assert_eq!((again, allowed), (made, 1));
        assert!(shared.is_compressed(2));
        // Another one, which is no smaller.
        let other = shared.compressed(0, &mut 9, || first(5, false));
        assert_eq!(other, Some(None));
        assert_eq!(
            shared.compressed(0, &mut 0, || panic!("it is made")),
            Some(None)
        );
    }

    #[test]
    fn a_thread_that_goes_on_with_a_form_is_not_waited_for() {
        let message = Message::Binary(Bytes::from_static(b"12345"));
        let shared = SharedMessage::new(message);
        let held = shared.variant(1).making.lock();
        assert_eq!(shared.compressed(1, &mut 9, || first(5, true)), None);
        drop(held);
        assert!(shared.compressed(1, &mut 9, || first(5, true)).is_some());
    }

    /// Takes a part of the message and panics.
    #[derive(Debug)]
    struct Defective;

    impl Encoder for Defective {
        fn advance(&mut self, _: &Message, allowed: &mut usize) -> Option<Option<Bytes>> {
            *allowed -= 1;
            panic!("a defect");
        }
    }

    #[test]
    fn after_a_panic_nothing_of_a_form_is_used() {
        let message = Message::Binary(Bytes::from_static(b"12345"));
        let shared = SharedMessage::new(message);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            shared.compressed(1, &mut 9, || Box::new(Defective))
        }));
        assert!(panicked.is_err());
        let made = shared.compressed(1, &mut 9, || first(5, true));
        assert_eq!(made, Some(Some(Bytes::from_static(b"1"))));
    }

    #[test]
    fn it_is_encoded_once() {
        let shared = SharedMessage::new(Message::Text("a".into()));
        let first = shared.frame(|message| {
            assert_eq!(message, shared.message());
            Bytes::from_static(b"\x81\x01a")
        });
        let again = shared.frame(|_| panic!("it is there"));
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(*shared, *SharedMessage::new(Message::Text("a".into())));
    }
}
