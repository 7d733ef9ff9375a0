//! The header of the PROXY protocol, version 1 or 2, with which a proxy begins
//! a TCP connection: the address of its own peer, before any byte of that peer.
//!
//! Bounded: a header has at most [`HEADER_BYTES_MAX`], and the caller bounds
//! the time. The bytes behind the header stay in the socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The largest header, in bytes. One of version 2 could have 64 KiB of TLVs,
/// which the host ignores; proxies send less than a hundred bytes of them, or a
/// certificate.
pub(super) const HEADER_BYTES_MAX: usize = 4 * 1024;

/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What is fixed of version 2: signature, command, family, length.
const FIXED_BYTES: usize = 16;
/// The first bytes of version 1.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, with its end.
const LINE_BYTES_MAX: usize = 107;

/// A header, or its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// More bytes must come.
    Partial,
    Header(Header),
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// How long it is, in bytes.
    pub(crate) bytes: usize,
    /// The proxy's peer.
    pub(crate) source: Source,
}

/// Whom a proxy speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Its peer, which is there.
    At(SocketAddr),
    /// A peer whose address is not told, or is none of the internet.
    Unknown,
    /// Itself, as in a health check.
    Proxy,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it begins with no header of the PROXY protocol")]
    Signature,
    #[error("its line of the PROXY protocol has no end")]
    Line,
    #[error("its line of the PROXY protocol does not have two addresses and two ports")]
    Addresses,
    #[error("its header of the PROXY protocol has an unknown version or command")]
    Command,
    #[error("its header of the PROXY protocol has a family that is not TCP's")]
    Family,
    #[error("its header of the PROXY protocol is too short for its addresses")]
    Short,
    #[error("its header of the PROXY protocol has more than {HEADER_BYTES_MAX} bytes")]
    Long,
}

/// Why no header was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("it ended within its header of the PROXY protocol")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a header, and not a byte more.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Source, ProxyError> {
    let mut buffer = Vec::new();
    loop {
        let had = buffer.len();
        buffer.resize(HEADER_BYTES_MAX, 0);
        let peeked = stream.peek(&mut buffer[had..]).await?;
        if peeked == 0 {
            return Err(ProxyError::Ended);
        }
        buffer.truncate(had + peeked);
        let parsed = parse(&buffer)?;
        // A part of a header has nothing behind it.
        let all = match parsed {
            Parsed::Partial => buffer.len(),
            Parsed::Header(header) => header.bytes,
        };
        stream.read_exact(&mut buffer[had..all]).await?;
        if let Parsed::Header(header) = parsed {
            return Ok(header.source);
        }
    }
}

/// Reads what has come of a header.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    if begins(&SIGNATURE) {
        return binary(bytes);
    }
    if begins(WORD) {
        return line(bytes);
    }
    Err(Malformed::Signature)
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Parsed::Partial);
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let bytes = FIXED_BYTES + length;
    if bytes > HEADER_BYTES_MAX {
        return Err(Malformed::Long);
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Command),
    };
    let Some(rest) = rest.get(..length) else {
        return Ok(Parsed::Partial);
    };
    // TLVs follow the addresses.
    let source = match family {
        _ if is_local => Source::Proxy,
        0x11 => Source::At(addresses::<4>(rest)?),
        0x21 => Source::At(addresses::<16>(rest)?),
        // Unspecified, and a Unix socket.
        0x00 | 0x31 => Source::Unknown,
        _ => return Err(Malformed::Family),
    };
    Ok(Parsed::Header(Header { bytes, source }))
}

/// The source of two addresses with `N` bytes each, and two ports.
fn addresses<const N: usize>(bytes: &[u8]) -> Result<SocketAddr, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = bytes.split_first_chunk::<N>().ok_or(Malformed::Short)?;
    let (_, rest) = rest.split_first_chunk::<N>().ok_or(Malformed::Short)?;
    let &[high, low, _, _] = rest.first_chunk::<4>().ok_or(Malformed::Short)?;
    let port = u16::from_be_bytes([high, low]);
    Ok(SocketAddr::new(IpAddr::from(*source), port))
}

/// Version 1.
fn line(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let seen = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        return match seen.len() {
            LINE_BYTES_MAX => Err(Malformed::Line),
            _ => Ok(Parsed::Partial),
        };
    };
    let text = std::str::from_utf8(&bytes[WORD.len()..end]).map_err(|_| Malformed::Addresses)?;
    let mut words = text.split(' ');
    let source = match words.next() {
        // Whatever follows it. Health checks say so, too, but cannot be told.
        Some("UNKNOWN") => Source::Unknown,
        Some("TCP4") => Source::At(words_source::<Ipv4Addr>(words)?),
        Some("TCP6") => Source::At(words_source::<Ipv6Addr>(words)?),
        _ => return Err(Malformed::Family),
    };
    let bytes = end + 2;
    Ok(Parsed::Header(Header { bytes, source }))
}

/// The source of two addresses and two ports, in words.
fn words_source<'a, A>(words: impl Iterator<Item = &'a str>) -> Result<SocketAddr, Malformed>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let words: Vec<_> = words.take(5).collect();
    let [source, destination, source_port, destination_port] = words[..] else {
        return Err(Malformed::Addresses);
    };
    let address = |text: &str| text.parse::<A>().map_err(|_| Malformed::Addresses);
    let port = |text: &str| {
        // `parse` also takes a sign, and zeros before the number.
        let is_plain = text == "0" || text.bytes().all(|it| it.is_ascii_digit());
        let is_plain = is_plain && (text.len() == 1 || !text.starts_with('0'));
        let port = text.parse::<u16>().ok().filter(|_| is_plain);
        port.ok_or(Malformed::Addresses)
    };
    let source = SocketAddr::new(address(source)?.into(), port(source_port)?);
    address(destination)?;
    port(destination_port)?;
    Ok(source)
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
