//! The cost of an echo outside the kernel: bytes of a client become messages,
//! and messages become bytes to be sent. Beside tungstenite, in one run.
//!
//! Both read from memory in pieces of at most 64 KiB, as from a socket, and
//! what they write is thrown away. This codec hands out small frames in one
//! buffer and large ones as slices, tungstenite its own buffer. `deflate` is
//! one message of JSON, compressed and decompressed at some levels. The
//! allocator is the host's: with the system's, a message of 1 MiB costs what
//! its fresh pages cost.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openline_websocket::deflate::{Deflater, Inflater};
use openline_websocket::{Frame, Key, Limits, Message, Queue, Received, Receiver, Role};
use tokio_tungstenite::tungstenite::protocol::{Role as Theirs, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message as TheirMessage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most that one read brings.
const READ_BYTES: usize = 64 * 1024;

/// Frames up to this size are copied rather than pointed at.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// A peer that sends the same over and over.
struct Peer {
    sent: Vec<u8>,
    at: usize,
}

impl Peer {
    fn new(messages: usize, message: &Message) -> Self {
        let mut sent = Vec::new();
        for at in 0..messages {
            let key = [0x37, 0xfa, 0x21, u8::try_from(at % 256).unwrap()];
            Frame::from(message.clone())
                .masked(key)
                .append_to(&mut sent);
        }
        Self { sent, at: 0 }
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.sent[self.at..];
        if rest.is_empty() {
            self.at = 0;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let size = rest.len().min(buffer.len()).min(READ_BYTES);
        buffer[..size].copy_from_slice(&rest[..size]);
        self.at += size;
        Ok(size)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(black_box(slices).iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Buffers of a thread.
struct Scratch {
    read: Vec<u8>,
    write: Vec<u8>,
}

/// Answers all that a peer has sent.
fn echo(peer: &mut Peer, receiver: &mut Receiver, queue: &mut Queue, scratch: &mut Scratch) {
    loop {
        if let Some((buffer, bytes)) = receiver.space() {
            let bytes = u64::try_from(bytes).unwrap();
            // Ends with an error when there is no more, and has read it.
            let _ = Read::by_ref(peer).take(bytes).read_to_end(buffer);
            if let Some(Received::Message(message)) = receiver.filled(None).unwrap() {
                queue.push(Frame::from(message));
            }
            continue;
        }
        let Ok(size) = peer.read(&mut scratch.read) else {
            break;
        };
        let mut read = &scratch.read[..size];
        while let Some(received) = receiver.receive(&mut read, None).unwrap() {
            let Received::Message(message) = received else {
                continue;
            };
            let frame = Frame::from(message);
            if frame.len() <= COPIED_BYTES_MAX {
                frame.append_to(&mut scratch.write);
            } else {
                queue.push(frame);
            }
        }
    }
    if !scratch.write.is_empty() {
        peer.write_all(&scratch.write).unwrap();
        scratch.write.clear();
    }
    while queue.bytes() > 0 {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = queue.fill(&mut slices);
        let written = peer.write_vectored(&slices[..filled]).unwrap();
        queue.advance(written);
    }
}

fn their_echo(peer: &mut Peer, context: &mut WebSocketContext) {
    loop {
        match context.read(peer) {
            Ok(message @ (TheirMessage::Text(_) | TheirMessage::Binary(_))) => {
                context.write(peer, message).unwrap();
            }
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => unreachable!("{error}"),
        }
    }
    context.flush(peer).unwrap();
}

fn echoes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    let text = |bytes| {
        Message::from(
            "a message ".repeat(bytes / 10 + 1)[..bytes]
                .to_owned()
                .as_str(),
        )
    };
    let binary = |bytes| Message::from(vec![7; bytes]);
    for (name, messages, message) in [
        ("125 B", 1, text(125)),
        ("125 B x 16", 16, text(125)),
        ("1 KiB", 1, text(1024)),
        ("16 KiB", 1, binary(16 * 1024)),
        ("16 KiB text", 1, text(16 * 1024)),
        ("1 MiB", 1, binary(1024 * 1024)),
        ("1 MiB text", 1, text(1024 * 1024)),
    ] {
        group.throughput(Throughput::Elements(messages));
        let mut peer = Peer::new(usize::try_from(messages).unwrap(), &message);
        group.bench_function(BenchmarkId::new("openline", name), |bencher| {
            let mut receiver = Receiver::new(Role::Server, Limits::DEFAULT);
            let mut queue = Queue::new();
            let mut scratch = Scratch {
                read: vec![0; READ_BYTES],
                write: Vec::new(),
            };
            bencher.iter(|| echo(&mut peer, &mut receiver, &mut queue, &mut scratch));
        });
        group.bench_function(BenchmarkId::new("tungstenite", name), |bencher| {
            let config = WebSocketConfig::default()
                .read_buffer_size(32 * 1024)
                .write_buffer_size(16 * 1024);
            let mut context = WebSocketContext::new(Theirs::Server, Some(config));
            bencher.iter(|| their_echo(&mut peer, &mut context));
        });
    }
    group.finish();
}

fn masks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask");
    let key = Key::new([1, 2, 3, 4]);
    for bytes in [16, 125, 1024, 16 * 1024, 1024 * 1024] {
        let from = vec![7; bytes];
        let mut to = Vec::with_capacity(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("while it is copied", bytes), |bencher| {
            bencher.iter(|| {
                to.clear();
                key.append(black_box(&from), &mut to);
                black_box(&to);
            });
        });
        group.bench_function(BenchmarkId::new("after it is copied", bytes), |bencher| {
            bencher.iter(|| {
                to.clear();
                to.extend_from_slice(black_box(&from));
                key.apply(&mut to);
                black_box(&to);
            });
        });
    }
    group.finish();
}

fn deflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deflate");
    let mut json = String::from("[");
    for id in 0..12 {
        json += &format!(
            "{{\"id\":{id},\"name\":\"reading-{}\",\"value\":{}.{},\"unit\":\"kWh\",\"ok\":{}}},",
            id * 7919 % 1000,
            id * 31,
            id * 977 % 100,
            id % 3 == 0
        );
    }
    json += "null]";
    for level in [1, 4, 6] {
        let mut deflater = Deflater::new(level, 15, false);
        let mut deflated = Vec::new();
        deflater.deflate(json.as_bytes(), &mut deflated);
        let name = format!("level {level}, {} to {} bytes", json.len(), deflated.len());
        group.bench_function(BenchmarkId::new("compress", &name), |bencher| {
            let mut to = Vec::new();
            bencher.iter(|| {
                to.clear();
                deflater.deflate(black_box(json.as_bytes()), &mut to);
            });
        });
        group.bench_function(BenchmarkId::new("decompress", &name), |bencher| {
            let mut inflater = Inflater::new(15, false);
            bencher.iter(|| inflater.inflate(black_box(&deflated), 1 << 20).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, echoes, masks, deflate);
criterion_main!(benches);
