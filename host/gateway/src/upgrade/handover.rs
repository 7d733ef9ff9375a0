//! How hyper hands over the stream of a request that is upgraded, for each kind
//! of stream: the connection's task knows its type, so nothing is boxed where
//! messages travel.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::stream::Stream;
use crate::connection::wire::Socket;
use crate::held::loan::Lent;

/// A stream that hyper can hand over.
pub(crate) trait Handover: Socket + Sized + Send + 'static {
    /// The stream, and what hyper has read of it; `None` if it is none of this
    /// kind.
    fn of(upgraded: Upgraded) -> Option<(Self, Bytes)>;

    /// Has the peer see an error when it is dropped, and not an end. What the peer
    /// has not got by then may be lost.
    fn reset(&self);
}

impl Handover for TcpStream {
    fn of(upgraded: Upgraded) -> Option<(Self, Bytes)> {
        given(upgraded)
    }

    fn reset(&self) {
        // An error means that it is gone.
        let _ = self.set_zero_linger();
    }
}

impl Handover for TlsStream<TcpStream> {
    fn of(upgraded: Upgraded) -> Option<(Self, Bytes)> {
        given(upgraded)
    }

    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

impl Handover for Stream {
    fn of(upgraded: Upgraded) -> Option<(Self, Bytes)> {
        Some((Self::new(upgraded), Bytes::new()))
    }

    /// hyper resets a stream of HTTP/2 by itself.
    fn reset(&self) {}
}

/// The stream that hyper was given.
fn given<S>(upgraded: Upgraded) -> Option<(S, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let parts = upgraded.downcast::<TokioIo<Lent<S>>>().ok()?;
    Some((parts.io.into_inner().into_stream()?, parts.read_buf))
}
