//! A host with one function, and a peer that talks to it over the loopback
//! network; both on the same thread, which is what makes their counts repeat.
//!
//! The peer is a part of what is counted, so it is as small as it can be: its
//! frames are made once, it neither masks nor reads them, and it allocates
//! nothing for a message.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use openline_admission::services::{Led, Services};
use openline_core::config::ServerConfig;
use openline_core::route::Route;
use openline_core::trigger::Trigger;
use openline_engine::alias::Alias;
use openline_gateway::gateway::Gateway;
use openline_gateway::listen;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::paths::PAYLOAD_BYTES;

/// More than the head of a 101 response has.
const HEAD_BYTES_MAX: usize = 1024;

/// A host that listens.
pub(crate) struct Host {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Host {
    pub(crate) fn start(function: Arc<Alias>) -> anyhow::Result<Self> {
        let route = Route::new("/echo").context("the route")?;
        let services = Services::new(
            ServerConfig::default(),
            vec![Led {
                trigger: Trigger::new(route),
                alias: function,
                authenticator: None,
            }],
        )?;
        let gateway = Gateway::new(Arc::new(services));
        let listener = listen::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(listen::accept(listener, Arc::new(gateway), None));
        Ok(Self { address, accepting })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One open connection, seen from the other side.
pub(crate) struct Peer {
    stream: TcpStream,
    /// The frames of one round.
    frames: Vec<u8>,
    /// The bytes of the replies: as many, without the mask.
    replies: Vec<u8>,
}

impl Peer {
    /// Opens a connection that sends `batch` messages at a time.
    pub(crate) async fn open(host: &Host, batch: usize) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(host.address).await?;
        stream.set_nodelay(true)?;
        let request = b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request).await?;
        let mut head = [0; HEAD_BYTES_MAX];
        let mut length = 0;
        while !head[..length].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut head[length..]).await?;
            anyhow::ensure!(read > 0, "the host has answered no upgrade");
            length += read;
        }
        anyhow::ensure!(head.starts_with(b"HTTP/1.1 101"), "no upgrade");
        let frame = frame();
        Ok(Self {
            stream,
            frames: frame.repeat(batch),
            replies: vec![0; (frame.len() - MASK_BYTES) * batch],
        })
    }

    /// Sends all messages of a round with one write and reads the replies.
    pub(crate) async fn rounds(&mut self, rounds: usize) -> anyhow::Result<()> {
        for _ in 0..rounds {
            self.stream.write_all(&self.frames).await?;
            self.stream.read_exact(&mut self.replies).await?;
        }
        anyhow::ensure!(self.replies.ends_with(&[7; PAYLOAD_BYTES]), "it is no echo");
        Ok(())
    }

    /// Closes and waits until the host has closed, too.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        // Code 1000, masked with zeros.
        let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        self.stream.write_all(&close).await?;
        let mut rest = [0; 16];
        while self.stream.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

const MASK_BYTES: usize = 4;

/// A binary message of [`PAYLOAD_BYTES`], masked (RFC 6455 section 5.2).
fn frame() -> Vec<u8> {
    const MASK: [u8; MASK_BYTES] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x82, 0x80 | u8::try_from(PAYLOAD_BYTES).expect("it is 125")];
    frame.extend(MASK);
    frame.extend((0..PAYLOAD_BYTES).map(|index| 7 ^ MASK[index % MASK_BYTES]));
    frame
}
