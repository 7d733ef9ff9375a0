//! A WebSocket of the client, over each way to the server: as little as possible,
//! so that what is measured is the server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request};
use openline_kit::bytes::{close_frame, handshake};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Room for a read; and for what of a stream of HTTP/2 comes unread.
const READ_BYTES: usize = 64 << 10;
/// The window of all streams of a TCP connection.
const CONNECTION_WINDOW: u32 = 1 << 26;
/// The first byte of a close frame.
const CLOSE: u8 = 0x88;
/// Longest answer to a handshake that is read.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// The way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    Http1,
    Http1Tls,
    Http2,
    Http2Tls,
}

impl Way {
    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }

    pub(super) fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }
}

/// Opens lines to one place.
#[derive(Clone)]
pub(super) struct Dialer {
    address: SocketAddr,
    path: String,
    way: Way,
    tls: Option<TlsConnector>,
}

/// A TCP connection with a stream that can be written and read.
trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Both for S {}

/// A TCP connection over HTTP/2.
pub(super) struct Shared {
    requests: SendRequest<Bytes>,
}

/// An open WebSocket.
pub(super) enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Stream(SendStream<Bytes>, RecvStream),
}

impl Dialer {
    /// `resumes`: handshakes of TLS resume the session of one before.
    pub(super) fn new(
        address: SocketAddr,
        path: &str,
        way: Way,
        (authority, resumes): (&Path, bool),
    ) -> anyhow::Result<Self> {
        let tls = way.is_tls().then(|| client(authority, way, resumes));
        let tls = tls.transpose()?;
        Ok(Self {
            address,
            path: path.to_owned(),
            way,
            tls: tls.map(|config| TlsConnector::from(Arc::new(config))),
        })
    }

    async fn tcp(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn secured(&self, tls: &TlsConnector) -> anyhow::Result<Box<TlsStream<TcpStream>>> {
        let name = "localhost".try_into()?;
        Ok(Box::new(tls.connect(name, self.tcp().await?).await?))
    }

    /// Opens a line on a TCP connection of its own, by HTTP/1.1.
    pub(super) async fn open(&self) -> anyhow::Result<Line> {
        let Some(tls) = &self.tls else {
            let mut stream = self.tcp().await?;
            upgrade(&mut stream, &self.path).await?;
            return Ok(Line::Plain(stream));
        };
        let mut stream = self.secured(tls).await?;
        upgrade(&mut stream, &self.path).await?;
        Ok(Line::Tls(stream))
    }

    /// Makes a TCP connection over HTTP/2, for lines that share it.
    pub(super) async fn share(&self) -> anyhow::Result<Shared> {
        let stream: Box<dyn Both + Send> = match &self.tls {
            None => Box::new(self.tcp().await?),
            Some(tls) => self.secured(tls).await?,
        };
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(u32::try_from(READ_BYTES)?)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (requests, connection) = builder.handshake(stream).await?;
        tokio::spawn(connection);
        // The server's settings have come when there is room for a stream.
        let mut requests = requests.ready().await?;
        while !requests.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
            requests = requests.ready().await?;
        }
        Ok(Shared { requests })
    }

    /// Opens a line on a shared TCP connection.
    pub(super) async fn open_on(&self, shared: &Shared) -> anyhow::Result<Line> {
        let mut requests = shared.requests.clone().ready().await?;
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://localhost{}", self.path))
            .header("sec-websocket-version", "13")
            .extension(Protocol::from("websocket"))
            .body(())?;
        let (answer, send) = requests.send_request(request, false)?;
        let answer = answer.await?;
        ensure!(answer.status() == 200, "refused: {answer:?}");
        Ok(Line::Stream(send, answer.into_body()))
    }

    /// Opens so many lines, with so many on each TCP connection of HTTP/2.
    pub(super) async fn open_all(&self, lines: u32, each: u32) -> anyhow::Result<Vec<Line>> {
        let mut all = Vec::new();
        let mut shared = None;
        for number in 0..lines {
            if !self.way.is_http2() {
                all.push(self.open().await?);
                continue;
            }
            if number % each == 0 {
                shared = Some(self.share().await?);
            }
            let shared = shared.as_ref().context("it was made for the first line")?;
            all.push(self.open_on(shared).await?);
        }
        Ok(all)
    }
}

/// A client that trusts this authority.
fn client(authority: &Path, way: Way, resumes: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = match way.is_http2() {
        true => vec![b"h2".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    if !resumes {
        client.resumption = Resumption::disabled();
    }
    Ok(client)
}

async fn upgrade<S: Both>(stream: &mut S, path: &str) -> anyhow::Result<()> {
    stream.write_all(handshake(path).as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(
            stream.read_buf(&mut head).await? > 0,
            "a handshake was not answered"
        );
        ensure!(
            head.len() <= HEAD_BYTES_MAX,
            "an answer to a handshake is too long"
        );
    }
    let is_open = head.starts_with(b"HTTP/1.1 101 ");
    ensure!(is_open, "refused: {}", String::from_utf8_lossy(&head));
    Ok(())
}

impl Line {
    /// Sends frames with one write.
    pub(super) async fn send(&mut self, frames: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(frames).await?,
            Self::Tls(stream) => {
                stream.write_all(frames).await?;
                stream.flush().await?;
            }
            Self::Stream(send, _) => {
                let mut rest = Bytes::copy_from_slice(frames);
                while !rest.is_empty() {
                    send.reserve_capacity(rest.len());
                    let room = std::future::poll_fn(|context| send.poll_capacity(context)).await;
                    let room = room.context("the stream has ended")??;
                    send.send_data(rest.split_to(room.min(rest.len())), false)?;
                }
            }
        }
        Ok(())
    }

    /// Reads what is there, at least something, behind what has been read; the
    /// caller takes it out.
    pub(super) async fn receive(&mut self, read: &mut Vec<u8>) -> anyhow::Result<()> {
        let count = match self {
            Self::Plain(stream) => {
                read.reserve(READ_BYTES);
                stream.read_buf(read).await?
            }
            Self::Tls(stream) => {
                read.reserve(READ_BYTES);
                stream.read_buf(read).await?
            }
            Self::Stream(_, receive) => match receive.data().await {
                None => 0,
                Some(piece) => {
                    let piece = piece?;
                    receive.flow_control().release_capacity(piece.len())?;
                    read.extend_from_slice(&piece);
                    piece.len()
                }
            },
        };
        ensure!(count > 0, "the line has ended");
        Ok(())
    }

    /// Reads these bytes and no others.
    pub(super) async fn expect(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut read = Vec::new();
        while read.len() < bytes.len() {
            self.receive(&mut read).await?;
        }
        ensure!(read == bytes, "not what was sent: {} bytes", read.len());
        Ok(())
    }

    /// Waits for a close frame, answers it and waits for the end: its code.
    pub(super) async fn closed(mut self) -> anyhow::Result<u16> {
        let mut read = Vec::new();
        let code = loop {
            self.receive(&mut read).await?;
            if let [CLOSE, _, high, low, ..] = read[..] {
                break u16::from_be_bytes([high, low]);
            }
            ensure!(read.len() < 4, "no close frame: {read:?}");
        };
        self.send(&close_frame(code, b"")).await?;
        if let Self::Stream(send, _) = &mut self {
            send.send_data(Bytes::new(), true)?;
        }
        // Behind the reason there is nothing but the end.
        while self.receive(&mut read).await.is_ok() {}
        Ok(code)
    }

    /// Whether its handshake resumed a session.
    pub(super) fn is_resumed(&self) -> bool {
        match self {
            Self::Tls(stream) => {
                stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
            }
            _ => false,
        }
    }

    /// Ends without a word, with a reset of TCP: so neither side keeps the pair
    /// of ports for a minute, and they do not run out.
    pub(super) fn reset(self) -> anyhow::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_zero_linger()?,
            Self::Tls(stream) => stream.get_ref().0.set_zero_linger()?,
            Self::Stream(..) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use openline_kit::bytes::{frame, server_frame};
    use tokio::net::TcpListener;

    use super::*;
    use crate::native::{self, EchoOptions};

    #[tokio::test]
    async fn the_native_server_echoes_over_tls_and_resumes_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("it"), folder.path().join("key"));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = EchoOptions {
            read_buffer_bytes: 4 << 10,
            flush_each: false,
        };
        let tls = native::acceptor(&certificate, &key).unwrap();
        tokio::spawn(native::serve(listener, options, Some(tls)));
        for resumes in [false, true] {
            let trust = (certificate.as_path(), resumes);
            let dialer = Dialer::new(address, "/", Way::Http1Tls, trust).unwrap();
            for is_first in [true, false] {
                let mut line = dialer.open().await.unwrap();
                assert_eq!(line.is_resumed(), resumes && !is_first);
                for bytes in [0, 125, 16 << 10] {
                    let payload = vec![b'x'; bytes];
                    line.send(&frame(0x82, &payload)).await.unwrap();
                    line.expect(&server_frame(0x82, &payload)).await.unwrap();
                }
            }
        }
        let plain = (certificate.as_path(), false);
        let plain = Dialer::new(address, "/", Way::Http1, plain).unwrap();
        assert!(plain.open().await.is_err());
    }
}
