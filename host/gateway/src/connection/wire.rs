//! The stream of a connection, which is given away while nothing happens.
//!
//! The WebSocket library keeps a read buffer, a write buffer and half a
//! kilobyte of state for each stream. At a moment when all of that says
//! nothing, between messages and with everything written, only the socket need
//! be kept: it sleeps, waiting for the socket to be readable, and the stream is
//! made anew when there is something to read or to write.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use super::frames;
use super::meter::Meter;

/// The read buffer of a connection, in bytes. It is allocated at once and is
/// most of what a connection costs that has not slept yet: 2 KiB holds sixteen
/// small messages. One whose reads fill it gets a larger one, until it sleeps:
/// a read costs more than what it brings.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// The largest read buffer, in bytes. The library clears it before each read:
/// past this size that costs what fewer reads save.
const READ_BUFFER_BYTES_MAX: usize = 32 * 1024;

/// A socket that can be waited for without a buffer to read into.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// Ready when a read may bring something, an error or the end included; it
    /// may also bring nothing.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Has writing fail when the peer's machine acknowledges nothing, or takes
    /// nothing, for that long; none for as long as the system is used to.
    fn give_up_after(&self, _time: Option<Duration>) {}
}

impl Socket for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error is for the read to find.
        self.poll_read_ready(cx).map(drop)
    }

    #[cfg(target_os = "linux")]
    fn give_up_after(&self, time: Option<Duration>) {
        let time = time.map_or(0, |time| time.as_millis().max(1));
        let time = u32::try_from(time).unwrap_or(u32::MAX);
        // The system's own time is longer, but it has one.
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(self, time) {
            tracing::debug!(%error, "the time to give a peer up is not set");
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Wire<S> {
    state: State<S>,
    message_bytes: usize,
    read_buffer_bytes: usize,
    /// The peer has sent its close frame, and the stream does not know.
    closed: bool,
}

#[derive(Debug)]
enum State<S> {
    Awake(Box<WebSocketStream<Meter<S>>>),
    Asleep(Meter<S>),
    /// While one becomes the other.
    Between,
}

impl<S: Socket> Wire<S> {
    /// `read` is what the peer sent behind its handshake.
    pub(super) async fn new(socket: Meter<S>, read: Vec<u8>, message_bytes: usize) -> Self {
        let config = Some(frames::config(message_bytes, READ_BUFFER_BYTES));
        let stream = if read.is_empty() {
            WebSocketStream::from_raw_socket(socket, Role::Server, config).await
        } else {
            WebSocketStream::from_partially_read(socket, read, Role::Server, config).await
        };
        Self {
            state: State::Awake(Box::new(stream)),
            message_bytes,
            read_buffer_bytes: READ_BUFFER_BYTES,
            closed: false,
        }
    }

    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.state, State::Asleep(_))
    }

    pub(super) fn meter(&mut self) -> &mut Meter<S> {
        match &mut self.state {
            State::Awake(stream) => stream.get_mut(),
            State::Asleep(meter) => meter,
            State::Between => unreachable!("it only lasts within `rest` and `wake`"),
        }
    }

    /// Gives the library's buffers away. The caller has seen that there is
    /// nothing in them.
    pub(super) fn rest(&mut self, cx: &mut Context<'_>) {
        self.read_buffer_bytes = READ_BUFFER_BYTES;
        self.meter().forget_reads();
        self.state = match std::mem::replace(&mut self.state, State::Between) {
            State::Awake(stream) => State::Asleep(stream.into_inner()),
            other => other,
        };
        // Awaited at once: the library was the last to wait for the socket, by
        // a waker of its own.
        if self.poll_readable(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Whether reads bring as much as the buffer holds, and it may be larger.
    pub(super) fn is_narrow(&mut self) -> bool {
        let bytes = self.read_buffer_bytes;
        let larger = bytes < READ_BUFFER_BYTES_MAX && !self.is_asleep();
        larger && self.meter().read_bytes_max() >= bytes
    }

    /// Gives the library a larger read buffer. The caller has seen that there
    /// is nothing in the buffers.
    pub(super) fn grow(&mut self, cx: &mut Context<'_>) {
        let State::Awake(stream) = std::mem::replace(&mut self.state, State::Between) else {
            unreachable!("it has just read");
        };
        self.state = State::Asleep(stream.into_inner());
        self.read_buffer_bytes *= 2;
        self.wake(cx);
        // The new stream does not wait for the socket yet.
        cx.waker().wake_by_ref();
    }

    /// Makes the stream anew after a close frame that is a violation: the
    /// library would answer it at once, and write none of the answers to what
    /// came before. One whose peer does not read stays as it is: its buffers
    /// hold the rest of a frame.
    pub(super) fn reopen(&mut self, cx: &mut Context<'_>) {
        if self.meter().is_blocked() {
            return;
        }
        self.state = match std::mem::replace(&mut self.state, State::Between) {
            State::Awake(stream) => State::Asleep(stream.into_inner()),
            other => other,
        };
        self.closed = true;
        self.wake(cx);
    }

    /// Whether no close frame of the peer is to come any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The stream, made anew if it sleeps.
    pub(super) fn wake(&mut self, cx: &mut Context<'_>) -> &mut WebSocketStream<Meter<S>> {
        if self.is_asleep() {
            let State::Asleep(meter) = std::mem::replace(&mut self.state, State::Between) else {
                unreachable!("it was asleep");
            };
            let config = Some(frames::config(self.message_bytes, self.read_buffer_bytes));
            let stream = pin!(WebSocketStream::from_raw_socket(
                meter,
                Role::Server,
                config
            ));
            let Poll::Ready(stream) = stream.poll(cx) else {
                unreachable!("without a handshake there is nothing to wait for");
            };
            self.state = State::Awake(Box::new(stream));
        }
        match &mut self.state {
            State::Awake(stream) => stream,
            _ => unreachable!("it is awake"),
        }
    }

    /// The stream, for its end.
    pub(super) async fn into_stream(self) -> WebSocketStream<Meter<S>> {
        match self.state {
            State::Awake(stream) => *stream,
            State::Asleep(meter) => {
                let config = Some(frames::config(self.message_bytes, self.read_buffer_bytes));
                WebSocketStream::from_raw_socket(meter, Role::Server, config).await
            }
            State::Between => unreachable!("it only lasts within `rest` and `wake`"),
        }
    }

    /// The next frame. One that sleeps wakes when there may be one.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, Error>>> {
        if self.is_asleep() && self.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        Pin::new(self.wake(cx)).poll_next(cx)
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let meter = self.meter();
        // Who lifts the hold asks again.
        if meter.is_held() {
            return Poll::Pending;
        }
        meter.socket().poll_readable(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::task::noop_waker;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    impl Socket for DuplexStream {
        fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }

    /// A masked ping without a payload.
    const PING: [u8; 6] = [0x89, 0x80, 1, 2, 3, 4];

    /// Lets the host read so many bytes, the peer having sent no more.
    fn read(wire: &mut Wire<DuplexStream>, peer: &mut DuplexStream, bytes: usize) {
        let whole = bytes / PING.len() * PING.len();
        peer.write_all(&PING.repeat(bytes / PING.len()))
            .now_or_never()
            .expect("there is room")
            .unwrap();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut frames = 0;
        while let Poll::Ready(frame) = wire.poll_frame(&mut cx) {
            assert!(matches!(frame, Some(Ok(Frame::Ping(_)))));
            frames += 1;
        }
        assert_eq!(frames * PING.len(), whole);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_is_told_when_to_give_a_peer_up() {
        use rustix::net::sockopt::tcp_user_timeout;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        for (time, told) in [(Some(50_000), 50_000), (Some(0), 1), (None, 0)] {
            socket.give_up_after(time.map(Duration::from_millis));
            assert_eq!(tcp_user_timeout(&socket).unwrap(), told);
        }
    }

    // Without a runtime, whose budget for a task would end the reading early.
    #[test]
    fn the_read_buffer_grows_to_its_bound_and_begins_anew_after_sleep() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let (socket, mut peer) = duplex(1024 * 1024);
        let meter = Meter::new(socket, &[], 1024);
        let mut wire = Wire::new(meter, Vec::new(), 1024 * 1024)
            .now_or_never()
            .expect("there is no handshake to wait for");
        read(&mut wire, &mut peer, READ_BUFFER_BYTES - PING.len());
        assert!(!wire.is_narrow(), "the buffer was not full");
        let mut sizes = vec![wire.read_buffer_bytes];
        loop {
            read(&mut wire, &mut peer, 4 * READ_BUFFER_BYTES_MAX);
            if !wire.is_narrow() {
                break;
            }
            wire.grow(&mut cx);
            sizes.push(wire.read_buffer_bytes);
        }
        assert_eq!(sizes, [2, 4, 8, 16, 32].map(|size| size * 1024));
        wire.rest(&mut cx);
        assert!(!wire.is_narrow(), "asleep it has none");
        read(&mut wire, &mut peer, PING.len());
        assert_eq!(wire.read_buffer_bytes, READ_BUFFER_BYTES);
        assert!(!wire.is_narrow());
    }
}
