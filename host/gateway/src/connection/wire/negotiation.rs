//! Which compression a peer and a function agree on, from the header
//! `Sec-WebSocket-Extensions` of a handshake (RFC 7692 section 7.1). It does not
//! matter by which version of HTTP the handshake comes.
//!
//! Bounded by the header, which is a part of `request_header_bytes`.

use http::header::{HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use http::{HeaderMap, HeaderName};
use openline_channels::connection::Compressed;
use openline_core::limits::Compression;
use openline_websocket::deflate::{Agreed, Settings};

/// What functions with `dedicated` agree to. The client must not refer to its
/// earlier messages: a decompressor that remembers them could not be given up as
/// long as the connection lives, however quiet it is.
const DEDICATED: Settings = Settings {
    server_takeover: true,
    ..Settings::SHARED
};

/// The header is no list of extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The extensions that a request offers.
#[derive(Debug, Default)]
pub(crate) struct Offers(Vec<HeaderValue>);

/// What was agreed on.
#[derive(Debug)]
pub(crate) struct Agreement(Agreed);

impl Offers {
    /// The offers of a request.
    ///
    /// # Errors
    ///
    /// A list that is malformed is refused whatever the function wants (RFC 6455
    /// section 9.1).
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Malformed> {
        let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
        let offers = Self(lines.cloned().collect());
        offers.accept(Compression::Off).map(|_| offers)
    }

    /// What a function with this setting agrees to; none if it does not compress
    /// or meets none of the offers.
    pub(crate) fn agree(&self, to: Compression) -> Option<Agreement> {
        match to {
            Compression::Off => None,
            // They were checked.
            _ => self.accept(to).ok()?,
        }
    }

    fn accept(&self, to: Compression) -> Result<Option<Agreement>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let lines = self.0.iter().map(HeaderValue::to_str);
        let lines: Vec<_> = lines.collect::<Result<_, _>>().map_err(|_| Malformed)?;
        let settings = match to {
            Compression::Dedicated => DEDICATED,
            Compression::Off | Compression::Shared => Settings::SHARED,
        };
        let agreed = settings.accept(lines).map_err(|_| Malformed)?;
        Ok(agreed.map(Agreement))
    }
}

impl Agreement {
    /// The header of the answer.
    pub(crate) fn header(&self) -> (HeaderName, HeaderValue) {
        let value = HeaderValue::try_from(self.0.to_string());
        let value = value.expect("an extension consists of tokens");
        (SEC_WEBSOCKET_EXTENSIONS, value)
    }

    /// The connection's compression.
    pub(crate) fn compressed(&self) -> Compressed {
        let mode = match self.0.server_takeover {
            true => Compression::Dedicated,
            false => Compression::Shared,
        };
        Compressed::new(mode, self.0.server_window_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(lines: &[&'static [u8]]) -> Result<Offers, Malformed> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line).unwrap();
            headers.append(SEC_WEBSOCKET_EXTENSIONS, value);
        }
        Offers::of(&headers)
    }

    fn agreed(lines: &[&'static [u8]], to: Compression) -> Option<(String, Compression, u8)> {
        let agreement = offers(lines).unwrap().agree(to)?;
        let compressed = agreement.compressed();
        let (_, header) = agreement.header();
        let header = header.to_str().unwrap().to_owned();
        Some((header, compressed.mode, compressed.window_bits))
    }

    #[test]
    fn each_setting_has_its_answer() {
        const ALONE: &str = "; client_no_context_takeover";
        let (shared, dedicated) = (Compression::Shared, Compression::Dedicated);
        let plain: &[&[u8]] = &[b"permessage-deflate"];
        assert_eq!(agreed(plain, Compression::Off), None);
        let none = "permessage-deflate; server_no_context_takeover";
        assert_eq!(
            agreed(plain, shared),
            Some((format!("{none}{ALONE}"), shared, 15))
        );
        assert_eq!(
            agreed(plain, dedicated),
            Some((format!("permessage-deflate{ALONE}"), dedicated, 15))
        );
        // The peer does not want it, so it is shared.
        let asked: &[&[u8]] = &[b"permessage-deflate; server_no_context_takeover"];
        assert_eq!(
            agreed(asked, dedicated),
            Some((format!("{none}{ALONE}"), shared, 15))
        );
    }

    #[test]
    fn the_first_offer_that_can_be_met_is_met_on_whichever_line() {
        let bits = |bits: u8| {
            let answer = "permessage-deflate; server_no_context_takeover; \
                          client_no_context_takeover; server_max_window_bits";
            Some((format!("{answer}={bits}"), Compression::Shared, bits))
        };
        for (lines, wanted) in [
            // No compressor keeps to a window of 256 bytes.
            (&[&b"permessage-deflate; server_max_window_bits=8"[..]][..], None),
            (&[b"permessage-deflate; server_max_window_bits=9"], bits(9)),
            (
                &[b"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10"],
                bits(10),
            ),
            (
                &[b"x-webkit-deflate-frame, permessage-deflate; unknown", b"permessage-deflate; server_max_window_bits=\"12\""],
                bits(12),
            ),
            (&[b"permessage-deflate; server_max_window_bits=16"], None),
            (&[b"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9"], None),
            (&[b"", b" ,"], None),
        ] {
            assert_eq!(agreed(lines, Compression::Shared), wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_header_that_is_no_list_is_refused_even_where_nothing_is_compressed() {
        for lines in [
            &[&b"permessage-deflate; ="[..]][..],
            &[b"permessage-deflate", b";"],
            &[b"caf\xe9"],
        ] {
            assert_eq!(offers(lines).map(|_| ()), Err(Malformed), "{lines:?}");
        }
    }
}
