//! How much is allocated, and when: counted at the allocator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use flate2::{Compress, Compression, FlushCompress};
use openline_websocket::deflate::{Deflater, InflateError, Inflater};
use openline_websocket::{Header, Limits, Opcode, Queue, Receiver, Role, Violation};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

thread_local! {
    /// Bytes that this thread has allocated and not freed, and the most so far.
    static NOW: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(change: impl Fn(usize) -> usize) {
    // A thread that ends has nothing left to count.
    let _ = NOW.try_with(|now| {
        let bytes = change(now.get().0);
        now.set((bytes, now.get().1.max(bytes)));
    });
}

#[expect(unsafe_code, reason = "an allocator that counts")]
// SAFETY: what is asked is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|bytes| bytes + layout.size());
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Another thread may have allocated it.
        count(|bytes| bytes.saturating_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that are allocated after something was done, and the most while it
/// was, beyond what there was before.
fn allocated<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = NOW.get().0;
    NOW.set((before, before));
    let done = work();
    let (now, most) = NOW.get();
    (done, now.saturating_sub(before), most - before)
}

/// Frames of a client with a key of zeros, which changes nothing.
fn frame(first: Header, payload: &[u8]) -> Vec<u8> {
    [first.masked([0; 4]).as_bytes(), payload].concat()
}

#[test]
fn compressors_take_what_they_say() {
    for bits in 9..=15 {
        let message: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let mut deflated = Vec::with_capacity(MIB);
        let mut deflater = Deflater::new(6, bits, true);
        let ((), bytes, _) = allocated(|| deflater.deflate(&message, &mut deflated));
        let stated = Deflater::memory_bytes(bits);
        assert!(
            bytes <= stated && stated <= bytes + bytes / 50,
            "{bits}: {bytes}, {stated}"
        );
        assert_eq!(deflater.allocated_bytes(), stated);

        let mut inflater = Inflater::new(bits, true);
        let (inflated, bytes, _) = allocated(|| inflater.inflate(&deflated, MIB).unwrap());
        let bytes = bytes - inflated.capacity();
        let stated = Inflater::MEMORY_BYTES;
        assert!(
            bytes <= stated && stated <= bytes + bytes / 50,
            "{bits}: {bytes}, {stated}"
        );
        assert_eq!(inflater.allocated_bytes(), stated);

        // Used again, they take no more; released, they take nothing.
        let again = || {
            deflated.clear();
            deflater.deflate(&message, &mut deflated);
            let inflated = inflater.inflate(&deflated, MIB).unwrap();
            assert_eq!(inflated.len(), message.len());
        };
        assert_eq!(allocated(again).1, 0);
    }
    let ((), left, _) = allocated(|| {
        let mut deflater = Deflater::new(1, 15, true);
        deflater.deflate(b"hello", &mut Vec::new());
        deflater.release();
        std::mem::forget(deflater);
    });
    assert_eq!(left, 0);
}

#[test]
fn a_header_that_promises_much_allocates_nothing() {
    let header = frame(Header::new(Opcode::Binary, 6 * MIB), b"");
    let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
    let (received, _, most) = allocated(|| receiver.receive(&mut &header[..], None));
    assert_eq!((received, most), (Ok(None), 0));
    // At most four times the bytes that have come.
    let payload = vec![7; 6 * MIB];
    let mut come = 0;
    for piece in payload[..6 * MIB - 1].chunks(10 * KIB) {
        come += piece.len();
        assert_eq!(receiver.receive(&mut &*piece, None), Ok(None));
        let allocated = receiver.allocated_bytes();
        assert!(
            allocated <= 4 * come && allocated <= 6 * MIB,
            "{allocated} for {come}"
        );
    }
    let ((), _, most) = allocated(|| {
        receiver.receive(&mut &[7][..], None).unwrap().unwrap();
    });
    assert!(most < KIB, "{most} bytes to hand it over");
    assert_eq!(receiver.allocated_bytes(), 0);
}

#[test]
fn a_message_that_is_read_into_space_takes_its_size() {
    let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
    let stream = frame(Header::new(Opcode::Binary, 6 * MIB), &[7; KIB]);
    let (_, before, _) = allocated(|| receiver.receive(&mut &stream[..], None));
    let mut come = KIB;
    while let Some((buffer, bytes)) = receiver.space() {
        assert!(
            buffer.capacity() <= 4 * come.max(KIB),
            "{} for {come}",
            buffer.capacity()
        );
        let capacity = buffer.capacity();
        buffer.resize(buffer.len() + bytes, 7);
        assert_eq!(buffer.capacity(), capacity);
        come += bytes;
        if receiver.filled(None).unwrap().is_some() {
            break;
        }
    }
    assert_eq!(come, 6 * MIB);
    assert!(before <= 4 * KIB);
    assert!(receiver.is_between_messages());
}

#[test]
#[should_panic(expected = "fewer bytes")]
fn space_has_an_end() {
    let mut receiver = Receiver::new(Role::Client, Limits::DEFAULT);
    let header = Header::new(Opcode::Binary, 100_000);
    let stream = [header.as_bytes(), &[7]].concat();
    receiver.receive(&mut &stream[..], None).unwrap();
    let (buffer, _) = receiver.space().unwrap();
    buffer.resize(100_001, 7);
    let _ = receiver.filled(None);
}

#[test]
fn a_message_in_one_read_takes_its_size() {
    for bytes in [0, 1, 125, 16 * KIB, MIB] {
        let stream = frame(Header::new(Opcode::Text, bytes), &vec![b'a'; bytes]);
        let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
        let (received, now, most) = allocated(|| receiver.receive(&mut &stream[..], None));
        assert!(received.unwrap().is_some());
        assert_eq!((now, most), (bytes, bytes));
    }
}

#[test]
fn fragments_without_bytes_allocate_nothing() {
    let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
    let mut stream = frame(Header::new(Opcode::Text, 0).unfinished(), b"");
    for _ in 1..131_072 {
        stream.extend(frame(
            Header::new(Opcode::Continuation, 0).unfinished(),
            b"",
        ));
    }
    let (received, _, most) = allocated(|| receiver.receive(&mut &stream[..], None));
    assert_eq!((received, most), (Ok(None), 0));
}

#[test]
fn a_peer_that_stops_anywhere_costs_no_more_than_it_sent() {
    let payload = [7; 125];
    for whole in [
        frame(Header::new(Opcode::Ping, 125), &payload),
        frame(Header::new(Opcode::Binary, 70_000), &[7; 4000]),
    ] {
        for end in 0..whole.len() {
            let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
            let (_, now, _) = allocated(|| receiver.receive(&mut &whole[..end], None));
            assert!(now <= (4 * end).max(125), "{now} for {end}");
        }
    }
}

/// One GiB of zeros, or as much as there are pieces of a MiB, in one KiB each.
fn bomb(pieces: usize) -> Vec<u8> {
    let mut state = Compress::new(Compression::new(9), false);
    let mut piece = Vec::with_capacity(8 * KIB);
    let zeros = vec![0; MIB];
    state
        .compress_vec(&zeros, &mut piece, FlushCompress::Full)
        .unwrap();
    assert_eq!(state.total_in(), MIB as u64);
    // After a full flush nothing refers back: it can be repeated.
    piece.repeat(pieces)
}

#[test]
fn a_bomb_costs_what_the_limit_says() {
    let bomb = bomb(1024);
    assert!(bomb.len() < 2 * MIB, "{}", bomb.len());
    for takeover in [false, true] {
        for limit in [1000, MIB, 6 * MIB] {
            let mut inflater = Inflater::new(15, takeover);
            let (inflated, _, most) = allocated(|| inflater.inflate(&bomb, limit));
            assert_eq!(inflated, Err(InflateError::TooBig));
            // A vector that grows is there twice for a moment.
            let allowed = 2 * limit + Inflater::MEMORY_BYTES;
            assert!(most <= allowed, "{most} bytes for a limit of {limit}");
        }
    }
    // As a message: its bytes, its limit, and nothing afterwards.
    let limits = Limits {
        message_bytes: 6 * MIB,
        ..Limits::DEFAULT
    };
    let stream = frame(Header::new(Opcode::Binary, bomb.len()).compressed(), &bomb);
    let mut receiver = Receiver::new(Role::Server, limits);
    let mut inflater = Inflater::new(15, false);
    let (received, _, most) = allocated(|| {
        let mut received = Ok(None);
        for mut piece in stream.chunks(64 * KIB) {
            received = receiver.receive(&mut piece, Some(&mut inflater));
        }
        received
    });
    assert_eq!(received, Err(Violation::MessageTooBig));
    assert!(most <= 2 * limits.message_bytes + 2 * bomb.len(), "{most}");
    assert_eq!(receiver.allocated_bytes(), 0);
}

#[test]
fn a_queue_that_is_empty_can_give_its_memory_back() {
    let ((), left, _) = allocated(|| {
        let mut queue = Queue::new();
        for _ in 0..100 {
            queue.push(openline_websocket::Frame::text(""));
        }
        queue.advance(queue.bytes());
        queue.shrink();
        std::mem::forget(queue);
    });
    assert_eq!(left, 0);
}
