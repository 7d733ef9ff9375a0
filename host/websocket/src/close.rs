//! Close frames: a code, and a reason of at most 123 bytes (RFC 6455 sections
//! 5.5.1 and 7.4).

use std::borrow::Cow;

use crate::header::CONTROL_BYTES_MAX;
use crate::violation::Violation;

/// The longest reason, in bytes: a control frame without the code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// The content of a close frame, if it has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// The code; [`may_be_sent`] if it was received.
    pub code: u16,
    /// At most [`REASON_BYTES_MAX`] bytes.
    pub reason: Cow<'a, str>,
}

/// Whether a code may be in a close frame: those that RFC 6455 defines for it,
/// those in IANA's registry of WebSocket close codes (1012 to 1014), and those
/// that are for libraries (3000 to 3999) and applications (4000 to 4999).
///
/// ```
/// assert!([1000, 1011, 1014, 4999].iter().all(|code| openline_websocket::may_be_sent(*code)));
/// assert!(![999, 1004, 1005, 1006, 1015, 2999, 5000].iter().any(|code| openline_websocket::may_be_sent(*code)));
/// ```
pub const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

impl Close<'_> {
    /// Reads the payload of a close frame; none if it is empty.
    ///
    /// # Errors
    ///
    /// [`Violation::CloseOneByte`], [`Violation::CloseCode`], or
    /// [`Violation::InvalidText`].
    pub fn parse(payload: &[u8]) -> Result<Option<Close<'_>>, Violation> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return match payload {
                [] => Ok(None),
                _ => Err(Violation::CloseOneByte),
            };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Violation::CloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::InvalidText)?;
        Ok(Some(Close {
            code,
            reason: reason.into(),
        }))
    }

    /// The payload of a close frame. A reason that is too long is cut at the
    /// last character that fits.
    pub fn payload(&self) -> Vec<u8> {
        let fits = self.reason.floor_char_boundary(REASON_BYTES_MAX);
        let mut payload = Vec::with_capacity(2 + fits);
        payload.extend(self.code.to_be_bytes());
        payload.extend(&self.reason.as_bytes()[..fits]);
        payload
    }

    /// The same with a reason of its own.
    pub fn into_owned(self) -> Close<'static> {
        Close {
            code: self.code,
            reason: self.reason.into_owned().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_of_codes() {
        // https://www.iana.org/assignments/websocket/websocket.xhtml
        let legal = (0..=u16::MAX).filter(|code| may_be_sent(*code));
        let listed = [
            1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
        ];
        assert!(legal.eq(listed.into_iter().chain(3000..5000)));
    }

    #[test]
    fn bodies() {
        assert_eq!(Close::parse(b""), Ok(None));
        assert_eq!(Close::parse(b"\x03"), Err(Violation::CloseOneByte));
        let close = |code, reason: &'static str| Close {
            code,
            reason: reason.into(),
        };
        assert_eq!(Close::parse(b"\x03\xe8"), Ok(Some(close(1000, ""))));
        assert_eq!(Close::parse(b"\x03\xf5 hm"), Ok(Some(close(1013, " hm"))));
        assert_eq!(Close::parse(b"\x03\xed"), Err(Violation::CloseCode(1005)));
        assert_eq!(Close::parse(b"\x03\xe8\xff"), Err(Violation::InvalidText));
        // A code that may not be sent is the first that is wrong.
        assert_eq!(Close::parse(b"\0\0\xff"), Err(Violation::CloseCode(0)));
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        for (reason, bytes) in [
            ("a".repeat(123), 123),
            ("a".repeat(124), 123),
            ("€".repeat(41), 123),
            ("ab".to_owned() + &"€".repeat(41), 122),
        ] {
            let close = Close {
                code: 4000,
                reason: reason.into(),
            };
            let payload = close.payload();
            assert_eq!(payload.len(), 2 + bytes);
            let read = Close::parse(&payload).unwrap().unwrap();
            assert!(close.reason.starts_with(&*read.reason));
        }
    }
}
