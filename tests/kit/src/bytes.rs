//! Handshakes and frames as bytes (RFC 6455), for peers that write them
//! themselves.

/// The key of a handshake: the example of RFC 6455, section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake that is right, for the path in the place of `{path}`; tests change
/// lines of it.
pub const HANDSHAKE: &str = "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The mask of a client. It need not be random: peers here trust each other.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// The bit of a frame's second byte that says that a mask follows.
const MASKED: u8 = 0x80;

/// [`HANDSHAKE`] for a path.
#[must_use]
pub fn handshake(path: &str) -> String {
    HANDSHAKE.replace("{path}", path)
}

/// The status of a response, by the beginning of its bytes.
#[must_use]
pub fn status(response: &[u8]) -> Option<u16> {
    let digits = response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A masked frame with any first byte, as a client sends it.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_saying(first, payload.len() as u64, Some(MASK), payload)
}

/// A frame as a server sends it: without a mask.
#[must_use]
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_saying(first, payload.len() as u64, None, payload)
}

/// A frame that says it has so many bytes of payload, with any mask or none.
#[must_use]
pub fn frame_saying(first: u8, bytes: u64, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut frame = vec![first];
    let length = bytes.to_be_bytes();
    match bytes {
        0..126 => frame.push(masked | length[7]),
        126..65536 => {
            frame.push(masked | 126);
            frame.extend_from_slice(&length[6..]);
        }
        _ => {
            frame.push(masked | 127);
            frame.extend_from_slice(&length);
        }
    }
    let Some(mask) = mask else {
        frame.extend_from_slice(payload);
        return frame;
    };
    frame.extend_from_slice(&mask);
    let bytes = payload.iter().zip(mask.iter().cycle());
    frame.extend(bytes.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A close frame as a client sends it.
#[must_use]
pub fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_frame_is_the_servers_when_it_is_unmasked() {
        for bytes in [0, 1, 125] {
            let payload = vec![b'a'; bytes];
            let masked = frame(0x81, &payload);
            let (head, rest) = masked.split_at(2);
            let (mask, masked) = rest.split_at(4);
            let unmasked = masked.iter().zip(mask.iter().cycle());
            let unmasked: Vec<u8> = unmasked.map(|(byte, mask)| byte ^ mask).collect();
            let back = [&[head[0], head[1] & 0x7f], &unmasked[..]].concat();
            assert_eq!(back, server_frame(0x81, &payload));
        }
    }

    #[test]
    fn lengths_are_as_long_as_they_must_be() {
        let head = |bytes| frame_saying(0x82, bytes, None, b"");
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(65535), [0x82, 126, 255, 255]);
        assert_eq!(head(65536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(close_frame(1000, b"ok").len(), 2 + 4 + 2 + 2);
    }

    #[test]
    fn the_status_is_that_of_the_first_line() {
        assert_eq!(status(b"HTTP/1.1 404 Not Found\r\n"), Some(404));
        assert_eq!(status(b"HTTP/1.1 4"), None);
        assert_eq!(status(b"SSH-2.0"), None);
        assert!(
            HANDSHAKE.contains(KEY) && handshake("/echo").starts_with("GET /echo HTTP/1.1\r\n")
        );
    }
}
