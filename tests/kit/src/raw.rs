//! A peer that speaks bytes, for tests: handshakes and frames that no library
//! sends. Its waits are bounded, and panic.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::bytes::handshake;
pub use crate::bytes::{HANDSHAKE, close_frame, frame, frame_saying};
use crate::exchange::Answer;
use crate::within;

/// A TCP connection to a host.
#[derive(Debug)]
pub struct Raw {
    /// For what the methods do not do.
    pub socket: TcpStream,
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket }
    }

    /// Another peer of this machine: all addresses of 127.0.0.0/8 are its own.
    pub async fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let socket = socket.connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket }
    }

    /// A connection that is upgraded; the head of the 101 is read.
    pub async fn upgraded(address: SocketAddr, path: &str) -> Self {
        let mut raw = Self::connect(address).await;
        raw.upgrade(path).await;
        raw
    }

    /// A connection whose kernel takes little before its peer must read. It is
    /// upgraded; the head of the 101 is read.
    pub async fn narrow(address: SocketAddr, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let socket = socket.connect(address).await.unwrap();
        let mut raw = Self { socket };
        raw.upgrade(path).await;
        raw
    }

    /// Upgrades this connection; the head of the 101 is read.
    pub async fn upgrade(&mut self, path: &str) {
        self.send(handshake(path).as_bytes()).await;
        let head = self.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Sends a request as it is and reads the head of the answer.
    pub async fn request(address: SocketAddr, request: &str) -> String {
        let mut raw = Self::connect(address).await;
        raw.send(request.as_bytes()).await;
        raw.head().await
    }

    /// Writes bytes, all of them.
    pub async fn send(&mut self, bytes: &[u8]) {
        within("bytes to be sent", self.socket.write_all(bytes))
            .await
            .unwrap();
    }

    /// Reads the head of a response, and not a byte more. Empty when the host
    /// closes without one.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if within("a response", self.socket.read(&mut byte))
                .await
                .unwrap_or(0)
                == 0
            {
                break;
            }
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads an answer up to the end of its stream.
    pub async fn answer(self) -> Answer {
        within("an answer", Answer::read(self.socket))
            .await
            .unwrap()
    }

    /// Reads one unmasked frame: first byte, payload.
    pub async fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let first = self.byte().await;
        let mut length = usize::from(self.byte().await);
        assert!(length < 128, "masked: {length}");
        let more = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if more > 0 {
            length = 0;
            for _ in 0..more {
                length = length << 8 | usize::from(self.byte().await);
            }
        }
        let mut payload = vec![0; length];
        within("a frame", self.socket.read_exact(&mut payload))
            .await
            .unwrap();
        (first, payload)
    }

    /// Reads frames until a close frame: its code and reason.
    pub async fn read_close(&mut self) -> (u16, String) {
        loop {
            let (first, payload) = self.read_frame().await;
            if first == 0x88 {
                let (code, reason) = payload.split_at(2);
                let code = u16::from_be_bytes([code[0], code[1]]);
                return (code, String::from_utf8(reason.to_vec()).unwrap());
            }
        }
    }

    /// Whether the host has ended the stream in good order: no reset.
    pub async fn is_ended(&mut self) -> bool {
        let mut rest = Vec::new();
        within("the end of the stream", self.socket.read_to_end(&mut rest))
            .await
            .is_ok()
    }

    async fn byte(&mut self) -> u8 {
        within("a byte", self.socket.read_u8()).await.unwrap()
    }
}
