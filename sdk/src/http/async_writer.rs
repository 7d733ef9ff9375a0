//! Code that writes a body, and the place where it meets the reader: one chunk at
//! a time, which the reader takes before the code goes on.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;

use super::Error;
use super::async_body::Frame;

/// Writes a body that is [streamed](super::AsyncBody::streaming).
#[derive(Debug)]
pub struct AsyncWriter {
    slot: Rc<RefCell<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    chunk: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// Nobody reads any more.
    gone: bool,
    /// Of the code that waits until the chunk is taken.
    waker: Option<Waker>,
}

impl AsyncWriter {
    /// Sends bytes, which leave at once. Waits while the peer reads more slowly than
    /// the function writes.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] when the peer has left: the function can end.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let mut bytes = Some(bytes.into()).filter(|bytes| !bytes.is_empty());
        poll_fn(|context| {
            let mut slot = self.slot.borrow_mut();
            if slot.gone {
                return Poll::Ready(Err(Error::Gone));
            }
            if slot.chunk.is_none() {
                if bytes.is_none() {
                    return Poll::Ready(Ok(()));
                }
                slot.chunk = bytes.take();
            }
            slot.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Sets the trailers, which leave at the end. HTTP/1.1 carries them only to peers
    /// that ask for them (`te: trailers`).
    pub fn trailers(&mut self, trailers: HeaderMap) {
        self.slot.borrow_mut().trailers = Some(trailers);
    }
}

/// The code that writes, as a source of frames.
pub(super) struct Producer {
    slot: Rc<RefCell<Slot>>,
    state: State,
}

enum State {
    Running(Pin<Box<dyn Future<Output = Result<(), Error>>>>),
    /// What comes behind the last chunk.
    Ended(Option<Error>),
}

impl Producer {
    pub(super) fn new(
        produce: impl AsyncFnOnce(&mut AsyncWriter) -> Result<(), Error> + 'static,
    ) -> Self {
        let slot = Rc::new(RefCell::new(Slot::default()));
        let mut writer = AsyncWriter {
            slot: Rc::clone(&slot),
        };
        Self {
            slot,
            state: State::Running(Box::pin(async move { produce(&mut writer).await })),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, Error>>> {
        if let State::Running(code) = &mut self.state {
            if let Poll::Ready(result) = code.as_mut().poll(context) {
                self.state = State::Ended(result.err());
            }
        }
        let mut slot = self.slot.borrow_mut();
        if let Some(chunk) = slot.chunk.take() {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
            return Poll::Ready(Some(Ok(Frame::Data(chunk))));
        }
        match &mut self.state {
            State::Running(_) => Poll::Pending,
            State::Ended(error) => Poll::Ready(match error.take() {
                Some(error) => Some(Err(error)),
                None => mem::take(&mut slot.trailers).map(|all| Ok(Frame::Trailers(all))),
            }),
        }
    }

    /// Tells the code that nobody reads, and waits until it ends.
    pub(super) async fn abandon(self) {
        {
            let mut slot = self.slot.borrow_mut();
            slot.gone = true;
            slot.chunk = None;
        }
        if let State::Running(code) = self.state {
            // It has been told why.
            let _ = code.await;
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Producer")
    }
}
