//! A connection's wire: messages in, messages out, its end. Only this folder
//! knows the WebSocket library.
//!
//! A wire gives up its stream while nothing happens. The WebSocket library
//! keeps a read buffer, a write buffer and half a kilobyte of state for each
//! stream. Between messages, with everything written, none of that holds
//! information, and the wire can sleep: it keeps only the socket and waits for
//! it to be readable. It makes the stream again when there is something to read
//! or to write.

mod closing;
pub(crate) mod frames;
pub(crate) mod meter;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use openline_channels::connection::Item;
use openline_core::close::CloseReason;
use openline_core::limits::FunctionLimits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(super) use frames::Received;
pub(super) use meter::Counted;
use meter::Meter;

/// The read buffer of a connection, in bytes. It is allocated at once, and is
/// most of the cost of a connection that has not slept yet; 2 KiB hold sixteen
/// small messages. A connection whose reads fill the buffer gets a larger one
/// until it sleeps, because a read costs more than handling what it brings.
const READ_BUFFER_BYTES: usize = 2 * 1024;

/// The largest read buffer, in bytes. The library clears the buffer before each
/// read; past this size that costs as much as fewer reads save.
const READ_BUFFER_BYTES_MAX: usize = 32 * 1024;

/// A socket that can be waited for without a read buffer.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// Ready when a read may bring bytes, an error or the end; it may also
    /// bring nothing.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Makes writing fail when the peer's machine acknowledges or takes nothing
    /// for that long; `None` restores the system's own time.
    fn give_up_after(&self, _time: Option<Duration>) {}
}

impl Socket for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The read reports an error.
        self.poll_read_ready(cx).map(drop)
    }

    #[cfg(target_os = "linux")]
    fn give_up_after(&self, time: Option<Duration>) {
        let time = time.map_or(0, |time| time.as_millis().max(1));
        let time = u32::try_from(time).unwrap_or(u32::MAX);
        // If this fails, the system's own, longer time applies.
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(self, time) {
            tracing::debug!(%error, "could not set the time after which the system gives up a peer");
        }
    }
}

/// A WebSocket of a peer, awake or asleep.
#[derive(Debug)]
pub(super) struct Wire<S> {
    state: State<S>,
    message_bytes: usize,
    read_buffer_bytes: usize,
    /// The peer has sent its close frame, but this stream does not know of it.
    closed: bool,
}

#[derive(Debug)]
enum State<S> {
    Awake(Box<WebSocketStream<Meter<S>>>),
    Asleep(Meter<S>),
    /// During the change from one to the other.
    Between,
}

/// The awake stream, to write messages to.
#[derive(Debug)]
pub(super) struct Writer<'a, S>(Pin<&'a mut WebSocketStream<Meter<S>>>);

impl<S: Socket> Wire<S> {
    /// `read` holds the bytes that the peer sent right after its handshake.
    pub(super) async fn new(socket: S, read: Bytes, limits: &FunctionLimits) -> Self {
        let socket = Meter::new(socket, &read, limits.fragments);
        let (read, message_bytes) = (Vec::from(read), limits.message_bytes);
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

    fn meter(&self) -> &Meter<S> {
        match &self.state {
            State::Awake(stream) => stream.get_ref(),
            State::Asleep(meter) => meter,
            State::Between => unreachable!("it only lasts within `rest` and `wake`"),
        }
    }

    fn meter_mut(&mut self) -> &mut Meter<S> {
        match &mut self.state {
            State::Awake(stream) => stream.get_mut(),
            State::Asleep(meter) => meter,
            State::Between => unreachable!("it only lasts within `rest` and `wake`"),
        }
    }

    // === reading ===

    /// Reads the next frame. A sleeping wire wakes when there may be one.
    pub(super) fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        if self.is_asleep() && self.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        Pin::new(self.wake(cx)).poll_next(cx).map(frames::received)
    }

    /// Stops reading or resumes it; returns whether it was stopped before.
    pub(super) fn hold(&mut self, held: bool) -> bool {
        let meter = self.meter_mut();
        let was_held = meter.is_held();
        meter.hold(held);
        was_held
    }

    pub(super) fn is_held(&self) -> bool {
        self.meter().is_held()
    }

    /// The counts of what was read since the last call, and whether the peer's
    /// machine has shown that it is alive by taking bytes.
    pub(super) fn take_heard(&mut self) -> (Counted, bool) {
        let meter = self.meter_mut();
        (meter.scan.take_counted(), meter.take_progress())
    }

    /// Whether the message after the first `messages` has too many fragments.
    pub(super) fn is_past_fragments(&self, messages: u64) -> bool {
        self.meter().scan.is_past_fragments(messages)
    }

    /// Whether only whole messages have come.
    pub(super) fn is_between_messages(&self) -> bool {
        self.meter().scan.is_between_messages()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let meter = self.meter();
        // The code that lifts the hold reads again.
        if meter.is_held() {
            return Poll::Pending;
        }
        meter.socket().poll_readable(cx)
    }

    // === writing ===

    /// The stream to write to; wakes a sleeping wire.
    pub(super) fn writer(&mut self, cx: &mut Context<'_>) -> Writer<'_, S> {
        Writer(Pin::new(self.wake(cx)))
    }

    /// Whether the last write found the kernel's buffer full.
    pub(super) fn is_blocked(&self) -> bool {
        self.meter().is_blocked()
    }

    /// Makes writing fail when the peer's machine takes nothing for that long.
    pub(super) fn give_up_after(&self, time: Option<Duration>) {
        self.meter().socket().give_up_after(time);
    }

    /// Ends the stream: the closing handshake, and TCP's own end.
    pub(super) async fn close(self, reason: &CloseReason) {
        let closed = self.closed;
        let mut stream = self.into_stream().await;
        stream.get_mut().release();
        closing::close(stream, reason, closed).await;
    }

    // === sleep ===

    /// Gives up the library's buffers. The caller has checked that they are
    /// empty.
    pub(super) fn rest(&mut self, cx: &mut Context<'_>) {
        self.read_buffer_bytes = READ_BUFFER_BYTES;
        self.meter_mut().forget_reads();
        self.state = match std::mem::replace(&mut self.state, State::Between) {
            State::Awake(stream) => State::Asleep(stream.into_inner()),
            other => other,
        };
        // Wait for the socket at once: so far it would wake the library's own
        // waker.
        if self.poll_readable(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Whether reads fill the buffer, and it may grow.
    pub(super) fn is_narrow(&self) -> bool {
        let bytes = self.read_buffer_bytes;
        let larger = bytes < READ_BUFFER_BYTES_MAX && !self.is_asleep();
        larger && self.meter().read_bytes_max() >= bytes
    }

    /// Gives the library a larger read buffer. The caller has checked that the
    /// buffers are empty.
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

    /// Makes a new stream after a close frame that is a violation. The old one
    /// would answer it at once, and write no answers to the messages that came
    /// before. If the peer does not read, the old stream stays, because its
    /// buffers hold the rest of a frame.
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

    /// The stream; wakes a sleeping wire.
    fn wake(&mut self, cx: &mut Context<'_>) -> &mut WebSocketStream<Meter<S>> {
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
    async fn into_stream(self) -> WebSocketStream<Meter<S>> {
        match self.state {
            State::Awake(stream) => *stream,
            State::Asleep(meter) => {
                let config = Some(frames::config(self.message_bytes, self.read_buffer_bytes));
                WebSocketStream::from_raw_socket(meter, Role::Server, config).await
            }
            State::Between => unreachable!("it only lasts within `rest` and `wake`"),
        }
    }
}

impl<S: Socket> Writer<'_, S> {
    /// Ready when there is room for one more message.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let ready = self.0.as_mut().poll_ready(cx);
        ready.map_err(|error| frames::reason_of(&error))
    }

    /// Begins to write an item, for which there must be room.
    pub(super) fn start(&mut self, item: Item) -> Result<(), CloseReason> {
        let started = self.0.as_mut().start_send(frames::outgoing(item));
        started.map_err(|error| frames::reason_of(&error))
    }

    /// Ready when the kernel has everything.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let flushed = self.0.as_mut().poll_flush(cx);
        flushed.map_err(|error| frames::reason_of(&error))
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

    /// Lets the peer send this many bytes and the host read them all.
    fn read(wire: &mut Wire<DuplexStream>, peer: &mut DuplexStream, bytes: usize) {
        let whole = bytes / PING.len() * PING.len();
        peer.write_all(&PING.repeat(bytes / PING.len()))
            .now_or_never()
            .expect("there is room")
            .unwrap();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut frames = 0;
        while let Poll::Ready(received) = wire.poll_received(&mut cx) {
            assert!(matches!(received, Received::Ping));
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

    // Runs without a runtime, whose budget for a task would end the reading
    // early.
    #[test]
    fn the_read_buffer_grows_to_its_bound_and_begins_anew_after_sleep() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let (socket, mut peer) = duplex(1024 * 1024);
        let limits = FunctionLimits {
            fragments: 1024,
            message_bytes: 1024 * 1024,
            ..FunctionLimits::default()
        };
        let mut wire = Wire::new(socket, Bytes::new(), &limits)
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
