//! Bodies of other crates: those of the crate `http-body`, which hyper, tower and tonic
//! share. With the feature `http-body`.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_core::Stream;

use super::{AsyncBody, Error, Frame};

impl AsyncBody {
    /// A body of another crate.
    pub fn from_body<B>(body: B) -> Self
    where
        B: http_body::Body + 'static,
        B::Error: ToString,
    {
        Self::frames(Foreign(Box::pin(body)))
    }
}

impl http_body::Body for AsyncBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let frame = Self::poll_frame(self.get_mut(), context);
        frame.map(|frame| {
            frame.map(|frame| {
                frame.map(|frame| match frame {
                    Frame::Data(bytes) => http_body::Frame::data(bytes),
                    Frame::Trailers(trailers) => http_body::Frame::trailers(trailers),
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length()
            .map_or_else(http_body::SizeHint::new, http_body::SizeHint::with_exact)
    }
}

struct Foreign<B>(Pin<Box<B>>);

impl<B> Stream for Foreign<B>
where
    B: http_body::Body,
    B::Error: ToString,
{
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let frame = match self.0.as_mut().poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(Error::Other(error.to_string()))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            let frame = match frame.into_data() {
                Ok(mut data) => Frame::Data(data.copy_to_bytes(data.remaining())),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Frame::Trailers(trailers),
                    // A kind of frame that HTTP does not have yet.
                    Err(_) => continue,
                },
            };
            return Poll::Ready(Some(Ok(frame)));
        }
    }
}
