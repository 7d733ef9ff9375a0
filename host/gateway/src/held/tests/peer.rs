//! A peer that speaks HTTP/1, and reads what is held for it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::host::{Host, PATIENCE, within};

/// A peer that speaks HTTP/1.
pub(super) struct Peers {
    pub(super) socket: TcpStream,
    pub(super) got: Vec<u8>,
}

impl Peers {
    pub(super) async fn ask(host: &Host, request: &str, headers: &[&str]) -> Self {
        let socket = TcpStream::connect(host.address).await.unwrap();
        let mut peer = Self {
            socket,
            got: Vec::new(),
        };
        peer.send(request, headers).await;
        peer
    }

    /// One whose kernel takes little before it must read.
    pub(super) async fn narrow(host: &Host, request: &str, headers: &[&str]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let socket = socket.connect(host.address).await.unwrap();
        let mut peer = Self {
            socket,
            got: Vec::new(),
        };
        peer.send(request, headers).await;
        peer
    }

    pub(super) async fn events(host: &Host, headers: &[&str]) -> Self {
        let hold = ["x-openline-hold: event-stream"];
        let all = [&hold, headers].concat();
        Self::ask(host, "GET /chat/lobby HTTP/1.1", &all).await
    }

    pub(super) async fn send(&mut self, request: &str, headers: &[&str]) {
        let request = format!("{request}\r\nhost: h\r\n{}\r\n\r\n", headers.join("\r\n"));
        let request = request.replace("\r\n\r\n\r\n", "\r\n\r\n");
        self.socket.write_all(request.as_bytes()).await.unwrap();
    }

    /// Reads until it has this text in the head or the body.
    pub(super) async fn until(&mut self, text: &str) {
        let reading = async {
            while !self.head().contains(text) && !self.body().0.contains(text) {
                let mut room = vec![0; 64 * 1024];
                let count = self.socket.read(&mut room).await.unwrap();
                assert_ne!(count, 0, "ended without {text}: {:?}", self.body());
                self.got.extend_from_slice(&room[..count]);
            }
        };
        if tokio::time::timeout(PATIENCE, reading).await.is_err() {
            panic!(
                "waited in vain for {text}: {} {:?}",
                self.head(),
                self.body()
            );
        }
    }

    /// Reads to the end: the body, and whether that is whole.
    pub(super) async fn end(&mut self) -> (String, bool) {
        let mut rest = Vec::new();
        let read = within("the end", self.socket.read_to_end(&mut rest)).await;
        self.got.extend_from_slice(&rest);
        let (body, whole) = self.body();
        (body, whole && read.is_ok())
    }

    pub(super) fn head(&self) -> String {
        let text = String::from_utf8_lossy(&self.got);
        let head = text.split_once("\r\n\r\n").map_or("", |(head, _)| head);
        head.to_owned()
    }

    /// What has come of the body, and whether its end has.
    pub(super) fn body(&self) -> (String, bool) {
        let head = self.head();
        let mut rest = &self.got[(head.len() + 4).min(self.got.len())..];
        if !head.contains("transfer-encoding: chunked") {
            return (String::from_utf8_lossy(rest).into_owned(), false);
        }
        let mut body = Vec::new();
        while let Some(line) = rest.windows(2).position(|it| it == b"\r\n") {
            let size = std::str::from_utf8(&rest[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if rest.len() < line + 2 + size + 2 {
                break;
            }
            if size == 0 {
                assert_eq!(&rest[line + 2..], b"\r\n", "nothing comes behind the end");
                return (String::from_utf8_lossy(&body).into_owned(), true);
            }
            body.extend_from_slice(&rest[line + 2..line + 2 + size]);
            rest = &rest[line + 2 + size + 2..];
        }
        (String::from_utf8_lossy(&body).into_owned(), false)
    }
}
