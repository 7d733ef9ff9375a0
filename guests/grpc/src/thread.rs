//! tonic asks for types that may change threads. A component has one thread, which
//! `SendWrapper` checks.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use openline_sdk::http::{AsyncBody, Bytes, Error};
use send_wrapper::SendWrapper;
use tonic::Status;

use crate::generated::HelloReply;

/// The body of a request.
pub(crate) struct Incoming(pub(crate) SendWrapper<AsyncBody>);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        http_body::Body::poll_frame(Pin::new(&mut *self.0), context)
    }
}

type Code = Pin<Box<dyn Future<Output = Result<(), Status>>>>;
type Slot = Arc<Mutex<Option<HelloReply>>>;

/// The replies of a call, which code makes one at a time, when they are asked for.
pub(crate) struct Replies {
    code: SendWrapper<Option<Code>>,
    slot: Slot,
}

/// Where the code puts them.
pub(crate) struct Sender(Slot);

impl Replies {
    pub(crate) fn new(make: impl AsyncFnOnce(&mut Sender) -> Result<(), Status> + 'static) -> Self {
        let slot = Slot::default();
        let mut sender = Sender(Arc::clone(&slot));
        let code: Code = Box::pin(async move { make(&mut sender).await });
        Self {
            code: SendWrapper::new(Some(code)),
            slot,
        }
    }
}

impl Sender {
    /// Sends a reply: waits until it is taken.
    pub(crate) async fn send(&mut self, reply: HelloReply) {
        let mut reply = Some(reply);
        poll_fn(|_| {
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.is_some() {
                return Poll::Pending;
            }
            *slot = reply.take();
            // Whoever takes it polls this code again.
            match slot.is_some() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
    }
}

impl Stream for Replies {
    type Item = Result<HelloReply, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(code) = self.code.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = code.as_mut().poll(context);
        if polled.is_ready() {
            *self.code = None;
        }
        let taken = self
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (taken, polled) {
            (Some(reply), _) => Poll::Ready(Some(Ok(reply))),
            (None, Poll::Pending) => Poll::Pending,
            (None, Poll::Ready(Ok(()))) => Poll::Ready(None),
            (None, Poll::Ready(Err(status))) => Poll::Ready(Some(Err(status))),
        }
    }
}
