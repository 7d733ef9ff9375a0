//! A TCP connection of the client over HTTP/1.1, one request after the other: as
//! little as possible, so that what is measured is the server. It reads the status and
//! how the body ends, and hands out the body piece by piece.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;

/// Room for a read.
const READ_BYTES: usize = 64 << 10;

/// Of a head, and of a line between chunks.
const HEAD_BYTES_MAX: usize = 8 << 10;

pub(super) struct Line {
    address: SocketAddr,
    stream: TcpStream,
    read: BytesMut,
    /// Whether the server closes it after the answer: the next request opens another.
    is_over: bool,
}

/// How the rest of a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// After so many bytes.
    Length(usize),
    /// With a chunk without bytes; so many are left of the one that is being read.
    Chunks(usize),
}

impl Line {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream,
            read: BytesMut::new(),
            is_over: false,
        })
    }

    /// Sends a request and reads the answer, also while it is still being sent. Each
    /// piece of the body goes to `body`.
    pub(super) async fn ask(
        &mut self,
        request: &[u8],
        body: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.is_over {
            *self = Self::open(self.address).await?;
        }
        // Most are written at once.
        let sent = self.stream.try_write(request).unwrap_or(0);
        let (mut reader, mut writer) = self.stream.split();
        let answer = answer(&mut reader, &mut self.read, body);
        if sent == request.len() {
            self.is_over = answer.await?;
            return Ok(());
        }
        let send = async { Ok(writer.write_all(&request[sent..]).await?) };
        ((), self.is_over) = tokio::try_join!(send, answer)?;
        Ok(())
    }

    /// The same for an answer that does not end: reads its head, and hands it out with
    /// what has come.
    pub(super) async fn listen(mut self, request: &[u8]) -> anyhow::Result<TcpStream> {
        self.stream.write_all(request).await?;
        let (mut reader, _) = self.stream.split();
        head(&mut reader, &mut self.read).await?;
        Ok(self.stream)
    }
}

async fn more(reader: &mut ReadHalf<'_>, read: &mut BytesMut) -> anyhow::Result<()> {
    read.reserve(READ_BYTES);
    ensure!(reader.read_buf(read).await? > 0, "the server has closed");
    Ok(())
}

/// The end of what comes before `end`, and so many bytes of it; read on until it is
/// there.
async fn until(
    reader: &mut ReadHalf<'_>,
    read: &mut BytesMut,
    end: &[u8],
) -> anyhow::Result<usize> {
    loop {
        let found = read.windows(end.len()).position(|part| part == end);
        if let Some(at) = found {
            return Ok(at);
        }
        ensure!(read.len() < HEAD_BYTES_MAX, "a head is too long");
        more(reader, read).await?;
    }
}

/// How the body ends, and whether the connection ends with it.
async fn head(reader: &mut ReadHalf<'_>, read: &mut BytesMut) -> anyhow::Result<(Rest, bool)> {
    let length = until(reader, read, b"\r\n\r\n").await?;
    let head = read_head(&read[..length]);
    read.advance(length + 4);
    head
}

async fn answer(
    reader: &mut ReadHalf<'_>,
    read: &mut BytesMut,
    mut body: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let (mut rest, is_over) = head(reader, read).await?;
    loop {
        let left = match rest {
            Rest::Length(0) => return Ok(is_over),
            Rest::Chunks(0) => {
                let line = until(reader, read, b"\r\n").await?;
                let size = chunk(&read[..line])?;
                read.advance(line + 2);
                if size == 0 {
                    let trailer = until(reader, read, b"\r\n").await?;
                    ensure!(trailer == 0, "trailers are not expected");
                    read.advance(2);
                    return Ok(is_over);
                }
                rest = Rest::Chunks(size);
                size
            }
            Rest::Length(left) | Rest::Chunks(left) => left,
        };
        if read.is_empty() {
            more(reader, read).await?;
        }
        let piece = left.min(read.len());
        body(&read[..piece])?;
        read.advance(piece);
        rest = match rest {
            Rest::Length(_) => Rest::Length(left - piece),
            Rest::Chunks(_) => Rest::Chunks(left - piece),
        };
        if rest == Rest::Chunks(0) {
            ensure!(
                until(reader, read, b"\r\n").await? == 0,
                "a chunk is longer"
            );
            read.advance(2);
        }
    }
}

fn read_head(head: &[u8]) -> anyhow::Result<(Rest, bool)> {
    let head = std::str::from_utf8(head).context("a head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(
        status.starts_with("HTTP/1.1 200"),
        "the server says: {status}"
    );
    let (mut rest, mut is_over) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            rest = Some(Rest::Length(value.trim().parse()?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            rest = Some(Rest::Chunks(0));
        } else if name.eq_ignore_ascii_case("connection") {
            is_over = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Ok((rest.context("a body has no end")?, is_over))
}

/// The bytes of a chunk, by the line before it.
fn chunk(line: &[u8]) -> anyhow::Result<usize> {
    let line = std::str::from_utf8(line).context("a chunk has no size")?;
    let size = line.split(';').next().unwrap_or_default();
    usize::from_str_radix(size.trim(), 16).context("a chunk has no size")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::{Line, Rest, read_head};

    #[test]
    fn a_head_says_how_the_body_ends() {
        let of = |text: &str| read_head(text.as_bytes()).ok();
        let length = "HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: 17";
        assert_eq!(of(length), Some((Rest::Length(17), false)));
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close";
        assert_eq!(of(chunks), Some((Rest::Chunks(0), true)));
        assert_eq!(of("HTTP/1.1 200 OK"), None);
        assert_eq!(of("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 1"), None);
    }

    /// The bodies of the answers to requests that are all answered by `bytes`.
    async fn bodies(bytes: &'static [u8], count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            // In pieces, as networks do.
            for piece in bytes.chunks(3) {
                let mut written = 0;
                while written < piece.len() {
                    stream.writable().await?;
                    written += stream.try_write(&piece[written..]).unwrap_or(0);
                }
                tokio::task::yield_now().await;
            }
            Ok::<_, std::io::Error>(stream)
        });
        let mut line = Line::open(address).await?;
        let mut bodies = Vec::new();
        for _ in 0..count {
            let mut body = Vec::new();
            let read = |piece: &[u8]| {
                body.extend_from_slice(piece);
                Ok(())
            };
            line.ask(b"GET / HTTP/1.1\r\n\r\n", read).await?;
            bodies.push(body);
        }
        server.await??;
        Ok(bodies)
    }

    #[tokio::test]
    async fn answers_are_read_in_pieces() {
        let two = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello\
            HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let bodies = bodies(two, 2).await.unwrap();
        assert_eq!(bodies, [&b"hello"[..], b"abcde"]);
    }

    #[tokio::test]
    async fn a_chunk_that_is_longer_than_it_says_is_an_error() {
        let longer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n";
        let error = bodies(longer, 1).await.unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
    }
}
