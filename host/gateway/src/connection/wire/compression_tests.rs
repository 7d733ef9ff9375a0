//! Compression on a wire: what a poll does at most, what is kept between
//! messages, and what is given up.

use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;
use openline_channels::budget::{FunctionBudget, HostBudget};
use openline_channels::connection::{Compressed, Item};
use openline_channels::shared::SharedMessage;
use openline_core::close::CloseReason;
use openline_core::limits::Compression as Mode;
use openline_core::message::Message;
use openline_websocket::{Deflater, Inflater, Kind, Limits, Received as Event, Receiver, Role};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::super::intake::{Holding, Intake, Room};
use super::compression::{AT_ONCE_BYTES_MAX, QUIET_CHECKS};
use super::reading::INFLATED_BYTES_PER_POLL_MAX;
use super::tests::{cx, drained, receive, receive_within};
use super::writing::DEFLATED_BYTES_PER_POLL_MAX;
use super::*;

const MIB: usize = 1024 * 1024;

fn budget(compressors: usize) -> Arc<FunctionBudget> {
    let bytes = compressors * Deflater::memory_bytes(15);
    HostBudget::new(0, 0).with_compression(bytes).function()
}

/// A wire that compresses everything, its peer, and its counts.
fn pair(
    mode: Mode,
    budget: &Arc<FunctionBudget>,
    bytes: usize,
) -> (Wire<DuplexStream>, DuplexStream, Arc<Compressed>) {
    let (socket, peer) = duplex(bytes);
    let limits = FunctionLimits {
        message_bytes: 8 * MIB,
        compression_threshold: 0,
        ..FunctionLimits::default()
    };
    let facts = Arc::new(Compressed::new(mode, 15));
    let compression = Compression::new(&facts, &limits, budget);
    let wire = Wire::new(socket, Bytes::new(), &limits, Some(compression));
    (wire, peer, facts)
}

/// A compressed message of a client.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::new();
    Deflater::new(6, 15, false).deflate(payload, &mut deflated);
    let frame = openline_websocket::Frame::compressed(Kind::Binary, deflated);
    let mut bytes = Vec::new();
    frame.masked([0; 4]).append_to(&mut bytes);
    bytes
}

/// Writes one message, in as many polls as it takes; returns how many.
fn write(wire: &mut Wire<DuplexStream>, payload: &[u8]) -> usize {
    let mut writer = wire.writer();
    assert!(writer.poll_ready(&mut cx()).is_ready());
    let message = Message::Binary(Bytes::copy_from_slice(payload));
    writer.start(Item::Message(message));
    let mut polls = 1;
    let mut flushed = writer.poll_flush(&mut cx());
    drop(writer);
    while flushed.is_pending() && wire.compression.as_ref().unwrap().is_pending() {
        polls += 1;
        flushed = wire.writer().poll_flush(&mut cx());
    }
    polls
}

/// The messages that a client reads from these bytes.
fn read(bytes: &[u8], inflater: &mut Inflater) -> Vec<Bytes> {
    let limits = Limits::DEFAULT;
    let mut receiver = Receiver::new(Role::Client, limits);
    let (mut rest, mut messages) = (bytes, Vec::new());
    while let Some(event) = receiver.receive(&mut rest, Some(inflater)).unwrap() {
        if let Event::Message(message) = event {
            messages.push(message.into_payload());
        }
    }
    messages
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(next).collect()
}

#[test]
fn a_poll_decompresses_so_much_and_the_next_one_goes_on() {
    let (mut wire, mut peer, _) = pair(Mode::Shared, &budget(0), 64 * 1024);
    let payload = vec![0; 8 * MIB];
    let sent = compressed(&payload);
    send(&mut peer, &sent);
    let mut polls = 1;
    let received = loop {
        match receive(&mut wire, 1).pop() {
            Some(received) => break received,
            None => {
                assert!(!wire.is_empty(), "it is in the middle of a message");
                // What has come is handled even if nothing more is read.
                wire.hold(Hold::Everything);
                polls += 1;
            }
        }
    };
    assert!(received == Received::Message(Message::Binary(payload.clone().into())));
    // Each poll may go past its bound, by two MiB at most.
    assert!((3..=8).contains(&polls), "{polls}");
    assert_eq!(INFLATED_BYTES_PER_POLL_MAX, MIB);
    assert!(wire.is_empty());
    let (counted, _) = wire.take_heard();
    let header = (sent.len() - compressed_bytes(&payload)) as u64;
    assert_eq!(counted.bytes, payload.len() as u64 + header);
    wire.hold(Hold::Nothing);
}

fn compressed_bytes(payload: &[u8]) -> usize {
    let mut deflated = Vec::new();
    Deflater::new(6, 15, false).deflate(payload, &mut deflated);
    deflated.len()
}

fn send(peer: &mut DuplexStream, bytes: &[u8]) {
    let sent = peer.write_all(bytes).now_or_never();
    sent.expect("there is room").unwrap();
}

#[test]
fn a_poll_compresses_so_much_and_the_next_one_goes_on() {
    for mode in [Mode::Shared, Mode::Dedicated] {
        let (mut wire, mut peer, facts) = pair(mode, &budget(1), 2 * MIB);
        let mut inflater = Inflater::new(15, true);
        for bytes in [AT_ONCE_BYTES_MAX, AT_ONCE_BYTES_MAX + 1, MIB] {
            let payload: Vec<u8> = noise(bytes).iter().map(|byte| byte & 0x0f).collect();
            let polls = write(&mut wire, &payload);
            let least = bytes / (DEFLATED_BYTES_PER_POLL_MAX + AT_ONCE_BYTES_MAX);
            let most = bytes / DEFLATED_BYTES_PER_POLL_MAX + 1;
            assert!((least..=most).contains(&polls), "{bytes}: {polls}");
            let sent = drained(&mut wire, &mut peer);
            assert!(sent.len() < bytes);
            assert!(read(&sent, &mut inflater) == [Bytes::from(payload)]);
        }
        let (plain, _) = facts.sent.bytes();
        assert_eq!(plain, (2 * AT_ONCE_BYTES_MAX + 1 + MIB) as u64);
        assert!(wire.is_empty());
    }
}

#[test]
fn connections_that_have_begun_a_message_need_no_compressor_each() {
    let budget = budget(0);
    let payload: Vec<u8> = noise(MIB / 2).iter().map(|byte| byte & 0x0f).collect();
    let message = Message::Binary(payload.clone().into());
    let most = super::pool::MADE.get() + 1;
    // As many messages, or as many publications.
    for published in [false, true] {
        let begin = |_| {
            let (mut wire, peer, _) = pair(Mode::Shared, &budget, MIB);
            let mut writer = wire.writer();
            assert!(writer.poll_ready(&mut cx()).is_ready());
            writer.start(match published {
                false => Item::Message(message.clone()),
                true => Item::Published(SharedMessage::new(message.clone())),
            });
            assert!(writer.poll_flush(&mut cx()).is_pending());
            drop(writer);
            (wire, peer)
        };
        let mut wires: Vec<_> = (0..50).map(begin).collect();
        assert!(super::pool::MADE.get() <= most);
        // In turn, so that each compressor serves many messages.
        let mut flushed = 0;
        while flushed < wires.len() {
            let polls = wires.iter_mut();
            let polled = polls.map(|(wire, _)| wire.writer().poll_flush(&mut cx()));
            flushed = polled.filter(Poll::is_ready).count();
        }
        for (wire, peer) in &mut wires {
            let sent = drained(wire, peer);
            assert!(sent.len() < payload.len() * 6 / 10, "{}", sent.len());
            let read = read(&sent, &mut Inflater::new(15, false));
            assert!(read == [Bytes::from(payload.clone())]);
        }
        assert!(super::pool::MADE.get() <= most);
    }
}

#[test]
fn many_small_messages_are_for_several_polls() {
    let (mut wire, mut peer, _) = pair(Mode::Shared, &budget(0), 2 * MIB);
    let payload = vec![b'a'; 1000];
    let (mut written, mut polls) = (0, 0);
    while written < 500 {
        let mut writer = wire.writer();
        let before = written;
        while written < 500 && writer.poll_ready(&mut cx()).is_ready() {
            writer.start(Item::Message(Message::Binary(payload.clone().into())));
            written += 1;
        }
        assert!(written - before <= 1 + DEFLATED_BYTES_PER_POLL_MAX / payload.len());
        polls += 1;
    }
    assert!(polls > 5, "{polls}");
    let messages = read(
        &drained(&mut wire, &mut peer),
        &mut Inflater::new(15, false),
    );
    assert!(messages.len() == 500 && messages.iter().all(|it| *it == payload));
}

#[test]
fn a_quiet_connection_gives_its_compressor_up_and_begins_anew() {
    let budget = budget(1);
    let (mut wire, mut peer, _) = pair(Mode::Dedicated, &budget, MIB);
    let mut inflater = Inflater::new(15, true);
    let payload = noise(1000);
    let mut sizes = Vec::new();
    for round in 0..2 {
        for _ in 0..2 {
            write(&mut wire, &payload);
            let sent = drained(&mut wire, &mut peer);
            assert_eq!(read(&sent, &mut inflater), [Bytes::from(payload.clone())]);
            sizes.push(sent.len());
        }
        assert_eq!(budget.compressors.used(), Deflater::memory_bytes(15));
        for check in 1..QUIET_CHECKS {
            assert!(!wire.rest(), "{check}");
            if round == 0 && check == 5 {
                // A message in between: it is quiet from then on.
                write(&mut wire, &payload);
                let sent = drained(&mut wire, &mut peer);
                read(&sent, &mut inflater);
                (1..QUIET_CHECKS).for_each(|_| assert!(!wire.rest()));
                break;
            }
        }
        assert!(wire.rest());
        assert_eq!(budget.compressors.used(), 0);
    }
    let [first, second, third, fourth] = sizes[..] else {
        panic!("{sizes:?}");
    };
    assert_eq!((first, second), (third, fourth));
    assert!(second < first / 4, "{sizes:?}");
}

#[test]
fn a_wire_that_ends_gives_up_what_it_was_compressing() {
    let budget = budget(1);
    let (mut wire, peer, _) = pair(Mode::Dedicated, &budget, 1024);
    let mut writer = wire.writer();
    let message = Message::Binary(noise(MIB).into());
    writer.start(Item::Message(message));
    assert!(writer.poll_flush(&mut cx()).is_pending());
    drop(writer);
    assert!(!wire.is_empty() && budget.compressors.used() > 0);
    drop(peer);
    let (mut intake, function) = (Intake::default(), Arc::clone(&budget));
    let mut room = Room {
        intake: &mut intake,
        function: &function,
        kept: 0,
    };
    let reason = CloseReason::ShuttingDown { retry_after: 0 };
    let closing = wire.close(&reason, &mut room);
    let mut closing = std::pin::pin!(closing);
    assert_eq!(closing.as_mut().poll(&mut cx()), Poll::Ready(()));
    assert_eq!(budget.compressors.used(), 0);
}

#[test]
fn ten_thousand_connections_stay_within_the_budget() {
    const COMPRESSORS: usize = 10;
    let budget = budget(COMPRESSORS);
    let payload = vec![b'a'; 2000];
    let message = compressed(&payload);
    let mut wires = Vec::new();
    for number in 0..10_000 {
        let (mut wire, mut peer, _) = pair(Mode::Dedicated, &budget, 4096);
        send(&mut peer, &message);
        assert_eq!(receive(&mut wire, 9).len(), 1);
        write(&mut wire, &payload);
        let sent = drained(&mut wire, &mut peer);
        assert!(sent.len() < 100, "{number}: {}", sent.len());
        assert!(budget.compressors.used() <= COMPRESSORS * Deflater::memory_bytes(15));
        assert!(wire.is_empty(), "nothing is kept of a message");
        wires.push(wire);
    }
    let with = wires
        .iter_mut()
        .filter_map(|wire| wire.compression.as_mut());
    let own = with.filter(|it| it.has_own()).count();
    assert_eq!(own, COMPRESSORS);
    drop(wires);
    assert_eq!(budget.compressors.used(), 0);
}

#[test]
fn a_message_that_is_half_decompressed_waits_for_room_and_goes_on() {
    let function = HostBudget::new(0, 0).with_received(MIB).function();
    let sent = compressed(&vec![0; 3 * MIB]);
    let message = || Received::Message(Message::Binary(vec![0; 3 * MIB].into()));
    let mut connections = [(); 3].map(|()| {
        let (mut wire, mut peer, _) = pair(Mode::Shared, &budget(0), 64 * 1024);
        send(&mut peer, &sent);
        wire.hold(Hold::Nothing);
        (wire, peer, Intake::default())
    });
    let mut received = [0; 3];
    for _ in 0..100 {
        for (received, (wire, _, intake)) in received.iter_mut().zip(&mut connections) {
            intake.begin();
            for next in receive_within(wire, 1, intake, &function) {
                assert!(next == message());
                *received += 1;
            }
            // The message goes to its function at once.
            let (arrived, others) = wire.kept_bytes();
            let holding = Holding {
                arrived,
                others,
                hears: true,
            };
            intake.settle(&function, holding, || Duration::ZERO);
        }
        // One message may go past what there is.
        let used = function.received.used();
        assert!(used <= MIB + 4 * MIB, "{used}");
    }
    assert_eq!(received, [1, 1, 1]);
    assert_eq!(function.received.used(), 0);
    assert!(!function.received.is_wanted());
}
