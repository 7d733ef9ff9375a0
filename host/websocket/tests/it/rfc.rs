//! The examples of RFC 6455 section 5.7 and of RFC 7692 section 7.2.3.

use openline_websocket::deflate::{Deflater, Inflater, WINDOW_BITS_MAX};
use openline_websocket::{Frame, Kind, Limits, Message, Received, Role};

use crate::streams::{Outcome, binary, receive, receive_whole, text};

fn right(received: Vec<Received>) -> Outcome {
    Outcome {
        received,
        violation: None,
    }
}

#[test]
fn frames() {
    let from_server = [
        (&b"\x81\x05Hello"[..], vec![text("Hello")]),
        (b"\x01\x03Hel\x80\x02lo", vec![text("Hello")]),
        (b"\x89\x05Hello", vec![Received::Ping("Hello".into())]),
    ];
    for (bytes, received) in from_server {
        assert_eq!(receive_whole(Role::Client, bytes), right(received));
    }
    let from_client = [
        (
            &b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..],
            text("Hello"),
        ),
        (
            b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            Received::Pong("Hello".into()),
        ),
    ];
    for (bytes, received) in from_client {
        assert_eq!(receive_whole(Role::Server, bytes), right(vec![received]));
    }
    for (header, bytes) in [
        (&b"\x82\x7e\x01\x00"[..], 256),
        (b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 64 * 1024),
    ] {
        let payload = vec![7; bytes];
        let stream = [header, &payload].concat();
        let received = receive_whole(Role::Client, &stream);
        assert_eq!(received, right(vec![binary(&payload)]));
        let mut sent = Vec::new();
        Frame::binary(payload).append_to(&mut sent);
        assert_eq!(sent, stream);
    }
}

#[test]
fn frames_that_are_sent() {
    let close = openline_websocket::Close {
        code: 1000,
        reason: "bye".into(),
    };
    for (frame, bytes) in [
        (Frame::text("Hello"), &b"\x81\x05Hello"[..]),
        (Frame::from(Message::from("Hello")), b"\x81\x05Hello"),
        (Frame::binary(&b"\0\x01"[..]), b"\x82\x02\0\x01"),
        (Frame::ping("Hello").unwrap(), b"\x89\x05Hello"),
        (
            Frame::pong("Hello")
                .unwrap()
                .masked([0x37, 0xfa, 0x21, 0x3d]),
            b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        ),
        (Frame::close(None), b"\x88\0"),
        (Frame::close(Some(&close)), b"\x88\x05\x03\xe8bye"),
        (
            Frame::compressed(Kind::Text, &b"\xf2\x48\xcd\xc9\xc9\x07\0"[..]),
            b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0",
        ),
    ] {
        let mut sent = Vec::new();
        frame.append_to(&mut sent);
        assert_eq!((&sent[..], sent.len()), (bytes, frame.len()));
    }
    assert!(Frame::ping(vec![0; 125]).is_ok());
    assert_eq!(Frame::ping(vec![0; 126]).unwrap_err().0, 126);
    assert!(Frame::pong(vec![0; 126]).is_err());
}

#[test]
fn compressed_messages() {
    for stream in [
        // One fragment, two, and the parts of a message in one read.
        &b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00",
        // A block without compression.
        b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        // A block that ends the stream, with and without the byte behind it.
        b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xc1\x07\xf3\x48\xcd\xc9\xc9\x07\x00",
        // Two blocks.
        b"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        for takeover in [false, true] {
            for cuts in [usize::MAX, 1] {
                let mut inflater = Inflater::new(WINDOW_BITS_MAX, takeover);
                let inflater = Some(&mut inflater);
                let outcome = receive(Role::Client, Limits::DEFAULT, inflater, stream, &[cuts]);
                assert_eq!(outcome, right(vec![text("Hello")]), "{stream:02x?}");
            }
        }
    }
}

#[test]
fn a_second_message_refers_to_the_first() {
    let mut inflater = Inflater::new(WINDOW_BITS_MAX, true);
    let first = inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 5);
    assert_eq!(first.unwrap(), b"Hello");
    let second = inflater.inflate(b"\xf2\x00\x11\x00\x00", 5);
    assert_eq!(second.unwrap(), b"Hello");
}

#[test]
fn the_frame_of_a_compressed_message_says_which_kind_it_is() {
    let messages = [Message::from("Hello"), Message::Binary("Hello".into())];
    for (message, first) in messages.into_iter().zip([0xc1, 0xc2]) {
        let mut deflater = Deflater::new(6, WINDOW_BITS_MAX, false);
        let mut bytes = Vec::new();
        deflater.frame(&message).append_to(&mut bytes);
        // RFC 7692 section 7.2.3.1.
        let payload = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(bytes, [&[first, 0x07][..], &payload].concat());
    }
}

#[test]
fn an_empty_message_is_one_byte() {
    for takeover in [false, true] {
        let mut deflater = Deflater::new(6, WINDOW_BITS_MAX, takeover);
        let mut inflater = Inflater::new(WINDOW_BITS_MAX, takeover);
        for _ in 0..3 {
            for message in ["", "Hello"] {
                let mut deflated = Vec::new();
                deflater.deflate(message.as_bytes(), &mut deflated);
                if message.is_empty() {
                    assert_eq!(deflated, [0]);
                }
                let inflated = inflater.inflate(&deflated, 5);
                assert_eq!(inflated.unwrap(), message.as_bytes());
            }
        }
    }
}
