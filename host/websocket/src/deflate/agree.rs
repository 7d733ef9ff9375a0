//! The negotiation of both ends (RFC 7692 section 7.1).

use std::fmt;

use super::extensions::{self, Extension, MalformedExtensions};
use super::{Deflater, Inflater, WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::terms::Role;

const NAME: &str = "permessage-deflate";
const SERVER_ALONE: &str = "server_no_context_takeover";
const CLIENT_ALONE: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// One end's wishes. Windows are powers of two, from [`WINDOW_BITS_MIN`] to
/// [`WINDOW_BITS_MAX`]; others are taken for the nearest of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether the server's messages may refer to earlier ones.
    pub server_takeover: bool,
    /// Whether the client's messages may refer to earlier ones.
    pub client_takeover: bool,
    /// The largest window that the server compresses with.
    pub server_window_bits: u8,
    /// The largest window that the client compresses with. A client that does
    /// not let the server choose uses 15 all the same.
    pub client_window_bits: u8,
}

/// The result of a negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Whether the server's messages may refer to earlier ones.
    pub server_takeover: bool,
    /// Whether the client's messages may refer to earlier ones.
    pub client_takeover: bool,
    /// The largest window that the server may compress with: 8 to 15.
    pub server_window_bits: u8,
    /// The largest window that the client may compress with: 8 to 15.
    pub client_window_bits: u8,
    /// Whether the answer names the windows.
    names_server_bits: bool,
    names_client_bits: bool,
}

/// Why a client ends the connection because of a server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The header is no list of extensions.
    #[error(transparent)]
    Malformed(#[from] MalformedExtensions),
    /// An extension, or a second one, that was not offered.
    #[error("the server answers with an extension that was not offered")]
    NotOffered,
    /// Parameters that are unknown, repeated, out of range, or do not fit the
    /// offer.
    #[error("the server answers with parameters that do not fit the offer")]
    Parameters,
}

/// The parameters of an offer or an answer, each at most once.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    server_alone: bool,
    client_alone: bool,
    server_bits: Option<u8>,
    client_bits: Option<Option<u8>>,
}

impl Settings {
    /// No takeover in either direction: no memory for a connection that is
    /// quiet, and compressors that all connections share.
    pub const SHARED: Self = Self {
        server_takeover: false,
        client_takeover: false,
        server_window_bits: WINDOW_BITS_MAX,
        client_window_bits: WINDOW_BITS_MAX,
    };

    /// Takeover in both directions with the largest windows.
    pub const DEDICATED: Self = Self {
        server_takeover: true,
        client_takeover: true,
        ..Self::SHARED
    };

    /// A server's answer to the lines of a request's
    /// `Sec-WebSocket-Extensions`: it takes the first offer that it can meet,
    /// and none if there is none. Display [`Agreed`] as the answer's header.
    ///
    /// ```
    /// use openline_websocket::deflate::Settings;
    ///
    /// let offers = ["permessage-deflate; server_max_window_bits=8, permessage-deflate"];
    /// let agreed = Settings::DEDICATED.accept(offers).unwrap().unwrap();
    /// assert_eq!(agreed.to_string(), "permessage-deflate");
    /// ```
    ///
    /// # Errors
    ///
    /// [`MalformedExtensions`] if a line is no list of extensions.
    pub fn accept<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Agreed>, MalformedExtensions> {
        let mut agreed = None;
        for line in lines {
            // Read to the end, so that a header is malformed or not whatever
            // this end wants.
            for offer in extensions::parse(line)? {
                agreed = agreed.or_else(|| self.meet(&offer));
            }
        }
        Ok(agreed)
    }

    /// An offer as a server meets it; none if it declines.
    fn meet(&self, offer: &Extension<'_>) -> Option<Agreed> {
        if offer.name != NAME {
            return None;
        }
        let offered = Parameters::read(offer)?;
        let server_bits = in_range(self.server_window_bits);
        let server_window_bits = server_bits.min(offered.server_bits.unwrap_or(WINDOW_BITS_MAX));
        if server_window_bits < WINDOW_BITS_MIN {
            return None;
        }
        // Only a client that names the parameter can be told a window.
        let client_window_bits = match offered.client_bits {
            Some(bits) => in_range(self.client_window_bits).min(bits.unwrap_or(WINDOW_BITS_MAX)),
            None => WINDOW_BITS_MAX,
        };
        Some(Agreed {
            server_takeover: self.server_takeover && !offered.server_alone,
            client_takeover: self.client_takeover && !offered.client_alone,
            server_window_bits,
            client_window_bits,
            names_server_bits: offered.server_bits.is_some(),
            names_client_bits: client_window_bits < WINDOW_BITS_MAX,
        })
    }

    /// A client's offer, for its `Sec-WebSocket-Extensions`.
    ///
    /// ```
    /// use openline_websocket::deflate::Settings;
    ///
    /// let offer = Settings::SHARED.offer();
    /// assert_eq!(offer, "permessage-deflate; server_no_context_takeover; \
    ///                    client_no_context_takeover; client_max_window_bits");
    /// let agreed = Settings::SHARED.answered(["permessage-deflate; server_no_context_takeover"]);
    /// assert!(!agreed.unwrap().unwrap().server_takeover);
    /// ```
    pub fn offer(&self) -> String {
        let mut offer = String::from(NAME);
        for (named, name) in [
            (self.server_takeover, SERVER_ALONE),
            (self.client_takeover, CLIENT_ALONE),
        ] {
            if !named {
                offer += "; ";
                offer += name;
            }
        }
        match in_range(self.server_window_bits) {
            WINDOW_BITS_MAX => {}
            bits => offer += &format!("; {SERVER_BITS}={bits}"),
        }
        match in_range(self.client_window_bits) {
            WINDOW_BITS_MAX => offer += &format!("; {CLIENT_BITS}"),
            bits => offer += &format!("; {CLIENT_BITS}={bits}"),
        }
        offer
    }

    /// The result of a server's answer to [`Settings::offer`]; none if it does
    /// not compress.
    ///
    /// # Errors
    ///
    /// [`NegotiationError`] if the client has to end the connection.
    pub fn answered<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Agreed>, NegotiationError> {
        let mut agreed = None;
        for line in lines {
            for answer in extensions::parse(line)? {
                if answer.name != NAME || agreed.is_some() {
                    return Err(NegotiationError::NotOffered);
                }
                let answer = Parameters::read(&answer).and_then(|answer| self.check(answer));
                agreed = Some(answer.ok_or(NegotiationError::Parameters)?);
            }
        }
        Ok(agreed)
    }

    /// An answer that fits the offer.
    fn check(&self, answer: Parameters) -> Option<Agreed> {
        let server_max = in_range(self.server_window_bits);
        let server_window_bits = match answer.server_bits {
            Some(bits) => bits,
            None => WINDOW_BITS_MAX,
        };
        let client_max = in_range(self.client_window_bits);
        let client_window_bits = match answer.client_bits {
            // In an answer it has a value.
            Some(bits) => bits?,
            None => client_max,
        };
        let fits = server_window_bits <= server_max
            && client_window_bits <= client_max
            && (self.server_takeover || answer.server_alone);
        fits.then_some(Agreed {
            server_takeover: !answer.server_alone,
            client_takeover: self.client_takeover && !answer.client_alone,
            server_window_bits,
            client_window_bits,
            names_server_bits: answer.server_bits.is_some(),
            names_client_bits: answer.client_bits.is_some(),
        })
    }
}

// === impl Agreed ===

impl Agreed {
    /// The compressor of one end. None if the peer asks this end for windows
    /// of 256 bytes, which it cannot keep to: it then sends its messages
    /// uncompressed, as it may. `level` is zlib's, 1 to 9.
    pub fn deflater(&self, role: Role, level: u8) -> Option<Deflater> {
        let (takeover, bits) = match role {
            Role::Server => (self.server_takeover, self.server_window_bits),
            Role::Client => (self.client_takeover, self.client_window_bits),
        };
        (bits >= WINDOW_BITS_MIN).then(|| Deflater::new(level, bits, takeover))
    }

    /// The decompressor of one end.
    pub fn inflater(&self, role: Role) -> Inflater {
        let (takeover, bits) = match role {
            Role::Server => (self.client_takeover, self.client_window_bits),
            Role::Client => (self.server_takeover, self.server_window_bits),
        };
        Inflater::new(bits, takeover)
    }
}

/// A server's answer, for its `Sec-WebSocket-Extensions`.
impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if !self.server_takeover {
            write!(f, "; {SERVER_ALONE}")?;
        }
        if !self.client_takeover {
            write!(f, "; {CLIENT_ALONE}")?;
        }
        if self.names_server_bits {
            write!(f, "; {SERVER_BITS}={}", self.server_window_bits)?;
        }
        if self.names_client_bits {
            write!(f, "; {CLIENT_BITS}={}", self.client_window_bits)?;
        }
        Ok(())
    }
}

// === impl Parameters ===

impl Parameters {
    /// Answers `None` if one is unknown, repeated, or has a forbidden value.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut read = Self::default();
        for (name, value) in &extension.parameters {
            let value = value.as_deref();
            let repeated = match *name {
                SERVER_ALONE if value.is_none() => std::mem::replace(&mut read.server_alone, true),
                CLIENT_ALONE if value.is_none() => std::mem::replace(&mut read.client_alone, true),
                SERVER_BITS => read.server_bits.replace(window_bits(value?)?).is_some(),
                CLIENT_BITS => {
                    let bits = match value {
                        Some(value) => Some(window_bits(value)?),
                        None => None,
                    };
                    read.client_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if repeated {
                return None;
            }
        }
        Some(read)
    }
}

/// A number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = !value.starts_with(['0', '+']);
    let bits = value.parse().ok().filter(|bits| (8..=15).contains(bits));
    bits.filter(|_| is_plain)
}

fn in_range(bits: u8) -> u8 {
    bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
}
