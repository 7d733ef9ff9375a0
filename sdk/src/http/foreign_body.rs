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
        // That there is nothing must be known before the head leaves: an answer of gRPC
        // that has only a status is a head without a body.
        if body.is_end_stream() {
            return Self::empty();
        }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use http::HeaderMap;
    use http_body::Body as _;

    use super::*;

    /// A body of another crate: one chunk, then trailers.
    #[derive(Default)]
    struct Other(u8);

    impl http_body::Body for Other {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            self.0 += 1;
            Poll::Ready(match self.0 {
                1 => Some(Ok(http_body::Frame::data(Bytes::from_static(b"a")))),
                2 => Some(Ok(http_body::Frame::trailers(HeaderMap::new()))),
                _ => None,
            })
        }

        fn is_end_stream(&self) -> bool {
            self.0 > 2
        }
    }

    #[test]
    fn a_body_passes_through_both_ways() {
        let mut context = Context::from_waker(Waker::noop());
        let mut body = AsyncBody::from_body(AsyncBody::from_body(Other(0)));
        assert!(!body.is_end_stream());
        let data = Frame::Data(Bytes::from_static(b"a"));
        let trailers = Frame::Trailers(HeaderMap::new());
        for expected in [Some(Ok(data)), Some(Ok(trailers)), None] {
            assert_eq!(body.poll_frame(&mut context), Poll::Ready(expected));
        }
    }

    #[test]
    fn what_has_nothing_is_known_to_have_nothing() {
        let body = AsyncBody::from_body(Other(3));
        assert!(body.is_end_stream());
        assert_eq!(body.length(), Some(0));
        let body = AsyncBody::from("abc");
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(3));
        let body = AsyncBody::from_body(Other(0));
        assert_eq!(http_body::Body::size_hint(&body).exact(), None);
    }
}
