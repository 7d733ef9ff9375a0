//! Parts of a frame or body that outlive it: by reference, or as a copy.

use bytes::Bytes;
use bytestring::ByteString;

/// A text of a frame, which shares its memory if it has no escapes.
pub(crate) fn shared(frame: &Bytes, text: &str) -> ByteString {
    let range = frame.as_ptr_range();
    if range.contains(&text.as_ptr()) {
        let part = frame.slice_ref(text.as_bytes());
        ByteString::try_from(part).unwrap_or_default()
    } else {
        ByteString::from(text)
    }
}

/// The data of a frame, which may be kept.
pub(crate) fn kept(frame: &Bytes, part: &[u8]) -> Bytes {
    // A part of at least half may hold the whole: it costs no more than twice
    // what is charged for it.
    let shares = part.len() >= frame.len() / 2;
    let range = frame.as_ptr_range();
    if shares && range.contains(&part.as_ptr()) {
        frame.slice_ref(part)
    } else {
        Bytes::copy_from_slice(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_part_does_not_hold_the_frame() {
        let frame = Bytes::from(vec![b'a'; 1_000]);
        let large = kept(&frame, &frame[..500]);
        assert_eq!(large.as_ptr(), frame.as_ptr());
        let small = kept(&frame, &frame[..499]);
        assert_ne!(small.as_ptr(), frame.as_ptr());
        assert_eq!(small, frame[..499]);
        // What was unescaped is not in the frame.
        let other = vec![b'b'; 900];
        assert_eq!(kept(&frame, &other), other);
        assert_eq!(kept(&Bytes::new(), b""), b""[..]);

        let frame = Bytes::from("a text");
        let text = std::str::from_utf8(&frame[2..]).unwrap();
        let part = shared(&frame, text);
        assert_eq!((&*part, part.as_ptr()), ("text", text.as_ptr()));
        assert_eq!(shared(&frame, "other"), "other");
    }
}
