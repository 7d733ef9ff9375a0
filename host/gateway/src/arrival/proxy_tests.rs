//! Headers of the PROXY protocol: both versions, their limits, and pieces.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

/// A header of version 2.
fn binary_of(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, body].concat()
}

fn source(bytes: &[u8]) -> Result<Option<String>, Malformed> {
    match parse(bytes)? {
        Parsed::Partial => panic!("it is whole"),
        Parsed::Header(header) => {
            assert!(header.bytes <= bytes.len());
            Ok(match header.source {
                Source::At(source) => Some(source.to_string()),
                Source::Unknown => Some("unknown".into()),
                Source::Proxy => None,
            })
        }
    }
}

const BODY_4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];

#[test]
fn lines_of_version_1() {
    for (text, shown) in [
        (
            "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n",
            Some("192.0.2.7:12345"),
        ),
        (
            "PROXY TCP6 2001:db8::7 fd00::1 0 65535\r\nGET /",
            Some("[2001:db8::7]:0"),
        ),
        ("PROXY UNKNOWN\r\n", Some("unknown")),
        ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Some("unknown")),
    ] {
        assert_eq!(
            source(text.as_bytes()),
            Ok(shown.map(str::to_owned)),
            "{text}"
        );
    }
    for text in [
        "PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80 \r\n",
        "PROXY TCP4 192.0.2.7  10.0.0.1 12345 80\r\n",
        "PROXY TCP4 2001:db8::7 fd00::1 12345 80\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 12345 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 +1 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 01 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1  80\r\n",
        "PROXY TCP4 192.0.2.7 host 1 80\r\n",
    ] {
        assert_eq!(source(text.as_bytes()), Err(Malformed::Addresses), "{text}");
    }
    assert_eq!(
        source(b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n"),
        Err(Malformed::Family)
    );
    assert_eq!(source(b"PROXY  TCP4 1.1.1.1\r\n"), Err(Malformed::Family));
}

#[test]
fn a_line_of_the_most_bytes_and_one_of_more() {
    let of = |bytes: usize| {
        let mut text = b"PROXY UNKNOWN ".to_vec();
        text.resize(bytes - 2, b'x');
        text.extend(b"\r\n");
        text
    };
    assert_eq!(source(&of(LINE_BYTES_MAX)), Ok(Some("unknown".into())));
    assert_eq!(parse(&of(LINE_BYTES_MAX + 1)), Err(Malformed::Line));
}

#[test]
fn headers_of_version_2() {
    let body_6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 28], &[0, 7, 0, 80]].concat();
    let with_tlvs = [&BODY_4[..], &[0x04, 0, 1, 0]].concat();
    for (bytes, shown) in [
        (binary_of(0x21, 0x11, &BODY_4), Some("192.0.2.7:12345")),
        (binary_of(0x21, 0x11, &with_tlvs), Some("192.0.2.7:12345")),
        (binary_of(0x21, 0x21, &body_6), Some("[2001:db8::]:7")),
        (binary_of(0x21, 0x00, &[]), Some("unknown")),
        (binary_of(0x21, 0x31, &[0; 216]), Some("unknown")),
        // A proxy's own: whatever its addresses are.
        (binary_of(0x20, 0x00, &[]), None),
        (binary_of(0x20, 0x11, &BODY_4), None),
        (binary_of(0x20, 0xff, &[1]), None),
    ] {
        assert_eq!(source(&bytes), Ok(shown.map(str::to_owned)), "{bytes:?}");
    }
    for (bytes, error) in [
        (binary_of(0x22, 0x11, &BODY_4), Malformed::Command),
        (binary_of(0x11, 0x11, &BODY_4), Malformed::Command),
        (binary_of(0x21, 0x12, &BODY_4), Malformed::Family),
        (binary_of(0x21, 0x41, &BODY_4), Malformed::Family),
        (binary_of(0x21, 0x11, &BODY_4[..11]), Malformed::Short),
        (binary_of(0x21, 0x21, &BODY_4), Malformed::Short),
        (b"GET / HTTP/1.1\r\n".to_vec(), Malformed::Signature),
        (b"proxy UNKNOWN\r\n".to_vec(), Malformed::Signature),
    ] {
        assert_eq!(parse(&bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn a_header_of_the_most_bytes_and_one_of_more() {
    let of = |bytes: usize| binary_of(0x21, 0x00, &vec![0; bytes - FIXED_BYTES]);
    assert_eq!(source(&of(HEADER_BYTES_MAX)), Ok(Some("unknown".into())));
    // It is refused by its length, before its bytes have come.
    let long = of(HEADER_BYTES_MAX + 1);
    assert_eq!(parse(&long[..FIXED_BYTES]), Err(Malformed::Long));
}

#[tokio::test]
async fn a_header_in_pieces_is_read_to_its_end_and_no_further() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for header in [
        binary_of(0x21, 0x11, &BODY_4),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n".to_vec(),
    ] {
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.set_nodelay(true).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let sending = async {
            let (last, first) = header.split_last().unwrap();
            for byte in first {
                peer.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            // With what is behind it in one piece.
            let end = [&[*last], &b"GET /"[..]].concat();
            peer.write_all(&end).await.unwrap();
            peer.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(read(&mut stream), sending);
        assert_eq!(
            read.unwrap(),
            Source::At("192.0.2.7:12345".parse().unwrap())
        );
        let mut rest = [0; 5];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET /");
    }
    // One that ends within it.
    let mut peer = TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    peer.write_all(b"PROXY ").await.unwrap();
    drop(peer);
    assert!(matches!(read(&mut stream).await, Err(ProxyError::Ended)));
}

proptest! {
    /// A header is the same however it is cut: each beginning is a part of it.
    #[test]
    fn each_beginning_of_a_header_is_partial(
        is_line in any::<bool>(),
        ip in any::<[u8; 4]>(),
        port in any::<u16>(),
        tlvs in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let ip = Ipv4Addr::from(ip);
        let bytes = match is_line {
            true => format!("PROXY TCP4 {ip} 10.0.0.1 {port} 80\r\n").into_bytes(),
            false => {
                let port = port.to_be_bytes();
                let body = [&ip.octets()[..], &[10, 0, 0, 1], &port, &[0, 80], &tlvs].concat();
                binary_of(0x21, 0x11, &body)
            }
        };
        for end in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..end]), Ok(Parsed::Partial));
        }
        let source = Source::At(SocketAddr::new(ip.into(), port));
        let whole = Ok(Parsed::Header(Header { bytes: bytes.len(), source }));
        prop_assert_eq!(parse(&bytes), whole);
    }
}
