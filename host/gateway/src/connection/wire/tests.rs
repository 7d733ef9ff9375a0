//! What a wire keeps, and what it does not: with sockets in memory, outside of
//! a runtime, whose budget for a task would end a poll early.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use openline_channels::budget::{FunctionBudget, HostBudget};
use openline_channels::connection::Item;
use openline_channels::received::Share;
use openline_channels::shared::SharedMessage;
use openline_core::close::CloseReason;
use openline_core::limits::RECEIVED_FREE_BYTES;
use openline_core::message::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};

use super::super::intake::{Intake, Room};
use super::reading::READ_BYTES_PER_POLL_MAX;
use super::scratch::READ_BYTES;
use super::writing::{COPIED_BYTES_MAX, GATHERED_BYTES};
use super::*;

impl Socket for DuplexStream {}

impl Socket for BufWriter<DuplexStream> {
    const KEEPS: bool = true;
}

/// A masked ping without a payload.
const PING: [u8; 6] = [0x89, 0x80, 1, 2, 3, 4];

pub(super) fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// A wire and its peer, with so many bytes between them.
fn pair(bytes: usize) -> (Wire<DuplexStream>, DuplexStream) {
    let (socket, peer) = duplex(bytes);
    let limits = FunctionLimits {
        message_bytes: 4 * 1024 * 1024,
        ..FunctionLimits::default()
    };
    (Wire::new(socket, Bytes::new(), &limits, None), peer)
}

fn send(peer: &mut DuplexStream, bytes: &[u8]) {
    let sent = peer.write_all(bytes).now_or_never();
    sent.expect("there is room").unwrap();
}

/// A masked binary message whose key does nothing.
fn binary(payload: &[u8]) -> Vec<u8> {
    let header = openline_websocket::Header::new(openline_websocket::Opcode::Binary, payload.len());
    [header.masked([0; 4]).as_bytes(), payload].concat()
}

/// Receives at most so many in one poll.
pub(super) fn receive(wire: &mut Wire<DuplexStream>, most: usize) -> Vec<Received> {
    receive_within(wire, most, &mut Intake::default(), &unbounded())
}

/// The budget of a function that may keep anything.
fn unbounded() -> Arc<FunctionBudget> {
    HostBudget::new(0, 0).function()
}

/// Receives at most so many in one poll, as far as there is room for them.
pub(super) fn receive_within(
    wire: &mut Wire<DuplexStream>,
    most: usize,
    intake: &mut Intake,
    function: &Arc<FunctionBudget>,
) -> Vec<Received> {
    let mut reader = wire.reader();
    let mut all = Vec::new();
    let mut room = Room {
        intake,
        function,
        kept: 0,
    };
    while all.len() < most
        && let Poll::Ready(received) = reader.poll_received(&mut cx(), &mut room)
    {
        all.push(received);
    }
    all
}

fn message(payload: impl Into<Bytes>) -> Message {
    Message::Binary(payload.into())
}

/// Writes messages until the peer takes no more; returns how many.
fn write(wire: &mut Wire<DuplexStream>, messages: impl IntoIterator<Item = Message>) -> usize {
    let mut writer = wire.writer();
    let mut count = 0;
    for message in messages {
        if writer.poll_ready(&mut cx()).is_pending() {
            return count;
        }
        writer.start(Item::Message(message));
        count += 1;
    }
    let _ = writer.poll_flush(&mut cx());
    count
}

#[test]
fn a_publication_is_written_as_a_message_is_whatever_its_size() {
    let (mut wire, mut peer) = pair(1000);
    for bytes in [
        0,
        1,
        125,
        126,
        COPIED_BYTES_MAX - 4,
        COPIED_BYTES_MAX,
        70_000,
    ] {
        let published = Item::Published(SharedMessage::new(message(vec![7; bytes])));
        let written = [Item::Message(message(vec![7; bytes])), published].map(|item| {
            wire.writer().start(item);
            drained(&mut wire, &mut peer)
        });
        assert_eq!(written[0], written[1], "{bytes}");
        assert!(wire.is_empty());
    }
}

/// Flushes the wire and reads at the peer, in turns, until all has come.
pub(super) fn drained(wire: &mut Wire<DuplexStream>, peer: &mut DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let flushed = wire.writer().poll_flush(&mut cx());
        while let Some(read) = peer.read_buf(&mut all).now_or_never() {
            assert!(read.unwrap() > 0);
        }
        if let Poll::Ready(flushed) = flushed {
            flushed.unwrap();
            return all;
        }
    }
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

#[test]
fn what_a_poll_leaves_comes_next_and_nothing_is_kept_afterwards() {
    let (mut wire, mut peer) = pair(READ_BYTES);
    let sent: Vec<u8> = (0..200).flat_map(|number| binary(&[number])).collect();
    send(&mut peer, &sent);
    let mut received = Vec::new();
    for left in [150_usize, 100, 50, 0] {
        received.extend(receive(&mut wire, 50));
        assert_eq!(wire.rest.len(), left * binary(&[0]).len());
        assert_eq!(wire.is_empty(), left == 0);
    }
    let wanted: Vec<_> = (0..200)
        .map(|number| Received::Message(message(vec![number])))
        .collect();
    assert_eq!(received, wanted);
    let (counted, _) = wire.take_heard();
    let bytes = sent.len() as u64;
    assert_eq!(counted, Counted { frames: 200, bytes });
}

#[test]
fn what_came_behind_the_handshake_is_received_first_and_counted() {
    let (socket, mut peer) = duplex(1024);
    let read = Bytes::from(binary(b"first"));
    let mut wire = Wire::new(socket, read.clone(), &FunctionLimits::default(), None);
    send(&mut peer, &binary(b"second"));
    let wanted = [&b"first"[..], b"second"].map(|bytes| Received::Message(message(bytes)));
    assert_eq!(receive(&mut wire, 9), wanted);
    let bytes = (read.len() + binary(b"second").len()) as u64;
    assert_eq!(wire.take_heard().0, Counted { frames: 2, bytes });
}

#[test]
fn a_held_wire_takes_nothing_and_parses_what_it_should() {
    let (mut wire, mut peer) = pair(READ_BYTES);
    send(&mut peer, &PING.repeat(4));
    assert_eq!(receive(&mut wire, 1).len(), 1);
    send(&mut peer, &PING.repeat(4));
    assert!(!wire.hold(Hold::Everything));
    assert_eq!(receive(&mut wire, 9).len(), 0);
    assert!(wire.hold(Hold::Socket) && wire.is_held());
    assert_eq!(receive(&mut wire, 9).len(), 3);
    assert!(wire.hold(Hold::Nothing) && !wire.is_held());
    assert_eq!(receive(&mut wire, 9).len(), 4);
}

#[test]
fn a_poll_reads_up_to_its_bytes_and_wakes_for_the_rest() {
    let (mut wire, mut peer) = pair(2 * READ_BYTES_PER_POLL_MAX);
    let header = binary(&[]).len() + 8;
    for (bytes, polls) in [
        (READ_BYTES_PER_POLL_MAX, 1),
        (READ_BYTES_PER_POLL_MAX + 1, 2),
    ] {
        let sent = binary(&vec![7; bytes - header]);
        assert_eq!(sent.len(), bytes);
        send(&mut peer, &sent);
        let mut taken = 0;
        let mut received = Vec::new();
        while received.is_empty() {
            received = receive(&mut wire, 1);
            taken += 1;
            assert!(wire.take_heard().0.bytes > 0, "after {taken} polls");
        }
        assert_eq!(
            received,
            [Received::Message(message(vec![7; bytes - header]))]
        );
        // A read into the message itself takes as much as there is.
        assert!(taken <= polls, "{taken}");
    }
    // A flood of small frames is cut at the bound.
    send(
        &mut peer,
        &PING.repeat(READ_BYTES_PER_POLL_MAX / 2 / PING.len()),
    );
    send(
        &mut peer,
        &PING.repeat(READ_BYTES_PER_POLL_MAX / PING.len()),
    );
    receive(&mut wire, usize::MAX);
    let read = wire.take_heard().0.bytes;
    let bound = READ_BYTES_PER_POLL_MAX as u64;
    assert!((bound..bound + READ_BYTES as u64).contains(&read), "{read}");
}

#[test]
fn a_violation_comes_behind_what_was_valid_and_nothing_comes_behind_it() {
    let (mut wire, mut peer) = pair(READ_BYTES);
    let both = [&binary(b"valid")[..], &[0x83, 0x80], &PING].concat();
    send(&mut peer, &both);
    let wanted = [
        Received::Message(message(&b"valid"[..])),
        Received::End(CloseReason::Protocol),
    ];
    assert_eq!(receive(&mut wire, 2), wanted);
    assert!(wire.rest.is_empty());
}

#[test]
fn what_the_kernel_does_not_take_is_kept_in_order_and_within_its_bound() {
    let sizes = [
        0,
        125,
        126,
        COPIED_BYTES_MAX,
        COPIED_BYTES_MAX + 1,
        GATHERED_BYTES,
        100_000,
        3,
    ];
    for room in [1, 100, 5000, 70_000] {
        let (mut wire, mut peer) = pair(room);
        let mut all = sizes.repeat(5).into_iter();
        let (mut wanted, mut read) = (Vec::new(), Vec::new());
        while all.len() > 0 {
            // What did not fit stays in the outbox, as here.
            let mut taken = Vec::new();
            let messages = all.by_ref().inspect(|bytes| taken.push(*bytes));
            let written = write(&mut wire, messages.map(|bytes| message(vec![7; bytes])));
            // One too many was taken from the iterator, if the wire is full.
            let more = taken.split_off(written);
            for bytes in taken {
                openline_websocket::Frame::binary(vec![7; bytes]).append_to(&mut wanted);
            }
            if let Some(unsent) = &wire.unsent {
                assert!(unsent.bytes() <= GATHERED_BYTES + COPIED_BYTES_MAX + 100_000);
                assert!(wire.is_blocked());
            }
            read.extend(drained(&mut wire, &mut peer));
            for bytes in more {
                assert_eq!(write(&mut wire, [message(vec![7; bytes])]), 1);
                openline_websocket::Frame::binary(vec![7; bytes]).append_to(&mut wanted);
            }
        }
        read.extend(drained(&mut wire, &mut peer));
        assert!(read == wanted, "with room for {room}");
        assert!(wire.is_empty() && !wire.is_blocked());
        assert!(wire.take_heard().1, "bytes were taken after it was full");
    }
}

#[test]
fn pongs_leave_before_messages_and_behind_what_is_unsent() {
    let (mut wire, mut peer) = pair(8);
    assert_eq!(write(&mut wire, [message(vec![1; 20])]), 1);
    assert!(wire.is_blocked());
    wire.reader().pong(&Bytes::from_static(b"ping"));
    assert_eq!(write(&mut wire, [message(vec![2; 2])]), 0);
    let read = drained(&mut wire, &mut peer);
    let wanted = [&[0x82, 20][..], &[1; 20], &[0x8a, 4], b"ping"].concat();
    assert_eq!(read, wanted);
    assert_eq!(write(&mut wire, [message(vec![2; 2])]), 1);
    assert_eq!(drained(&mut wire, &mut peer), [0x82, 2, 2, 2]);
}

#[test]
fn what_a_socket_keeps_is_unsent_until_it_is_flushed() {
    let (socket, mut peer) = duplex(8);
    let socket = BufWriter::with_capacity(1024, socket);
    let mut wire = Wire::new(socket, Bytes::new(), &FunctionLimits::default(), None);
    let mut writer = wire.writer();
    assert!(writer.poll_ready(&mut cx()).is_ready());
    writer.start(Item::Message(message(vec![7; 20])));
    // The socket takes all 22 bytes at once, and the peer 8.
    assert!(writer.poll_flush(&mut cx()).is_pending());
    drop(writer);
    assert!(wire.unsent.is_none() && !wire.is_empty() && wire.is_blocked());
    // Meanwhile the outbox gives up nothing more.
    assert!(wire.writer().poll_ready(&mut cx()).is_pending());
    let mut read = Vec::new();
    for _ in 0..3 {
        while let Some(bytes) = peer.read_buf(&mut read).now_or_never() {
            assert!(bytes.unwrap() > 0);
        }
        let _ = wire.writer().poll_flush(&mut cx());
    }
    assert_eq!(read.len(), 22);
    assert!(wire.is_empty() && !wire.is_blocked());
    // That it has taken the rest shows that it is alive.
    assert!(wire.take_heard().1);
    assert!(wire.writer().poll_ready(&mut cx()).is_ready());
}

#[test]
fn a_poll_discards_so_much_until_the_peer_s_close_and_the_next_one_goes_on() {
    use std::future::Future;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let (wire, mut peer) = pair(64 * 1024);
    // In one read.
    send(&mut peer, &PING.repeat(5 * 1024));
    let count = Arc::<Count>::default();
    let waker = Waker::from(Arc::clone(&count));
    let (mut intake, function) = (Intake::default(), unbounded());
    let mut room = Room {
        intake: &mut intake,
        function: &function,
        kept: 0,
    };
    let reason = CloseReason::ShuttingDown { retry_after: 0 };
    let mut closing = std::pin::pin!(wire.close(&reason, &mut room));
    let mut polls = 0;
    while count.0.load(Ordering::Relaxed) == polls {
        polls += 1;
        let polled = closing.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    assert_eq!(polls, 6, "five with pings, and one without");
}

#[test]
fn an_ending_wire_asks_for_no_room_and_reads_more_than_byte_by_byte() {
    const PIECE: usize = 64 * 1024;
    let function = HostBudget::new(0, 0).with_received(PIECE).function();
    let mut other = Share::new(&function);
    assert!(other.try_take(PIECE));
    for kept in [RECEIVED_FREE_BYTES, RECEIVED_FREE_BYTES - 1] {
        let (wire, mut peer) = pair(256 * 1024);
        // A part of a message, and its end is not there.
        let mut sent = vec![0x02, 0x80 | 127];
        sent.extend(100_000_u64.to_be_bytes());
        sent.extend([0; 4]);
        sent.resize(90_000, 0);
        send(&mut peer, &sent);
        let mut intake = Intake::default();
        let mut room = Room {
            intake: &mut intake,
            function: &function,
            kept,
        };
        let reason = CloseReason::ShuttingDown { retry_after: 0 };
        let mut closing = std::pin::pin!(wire.close(&reason, &mut room));
        for _ in 0..3 {
            assert!(closing.as_mut().poll(&mut cx()).is_pending());
        }
        assert!(!function.received.is_wanted(), "{kept}");
        // All has been read: its place in the pipe is free.
        let more = vec![0; 250 * 1024];
        assert!(peer.write_all(&more).now_or_never().is_some(), "{kept}");
    }
}
