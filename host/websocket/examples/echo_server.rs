//! An echo server on tokio, with compression: what the Autobahn test suite
//! judges the codec by.
//!
//!     cargo run --release -p openline-websocket --example echo_server -- 127.0.0.1:9001 [shared|dedicated|off]
//!     tests/conformance/run.sh ws://127.0.0.1:9001/ target/conformance/codec full
//!
//! It has what a server needs and no more: one buffer to read into and one to
//! write from for each connection, and a handshake that believes its peer.

#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::io::{Error, ErrorKind, Result};

use openline_websocket::deflate::{LEVEL_DEFAULT, Settings};
use openline_websocket::{
    Close, Deflater, Frame, Inflater, Limits, Message, Received, Receiver, Role, accept_key,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

struct Connection {
    socket: TcpStream,
    receiver: Receiver,
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
    /// The bytes to write.
    answer: Vec<u8>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let settings = match arguments.next().as_deref() {
        None | Some("shared") => Some(Settings::SHARED),
        Some("dedicated") => Some(Settings::DEDICATED),
        Some(_) => None,
    };
    let listener = TcpListener::bind(address).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A peer that goes away is nothing to report.
            let _ = serve(socket, settings).await;
        });
    }
}

async fn serve(mut socket: TcpStream, settings: Option<Settings>) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut read = Vec::with_capacity(64 * 1024);
    let end = loop {
        if let Some(end) = read.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        if read.len() > HEAD_BYTES_MAX || socket.read_buf(&mut read).await? == 0 {
            return Err(ErrorKind::InvalidData.into());
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    read.drain(..end);
    let mut connection = upgrade(socket, &head, settings).await?;
    let mut rest = read;
    loop {
        let is_over = connection.answer_all(&rest);
        connection.socket.write_all(&connection.answer).await?;
        connection.answer.clear();
        if is_over {
            connection.socket.shutdown().await?;
            // Unread bytes of the peer would reset the connection.
            while connection.socket.read(&mut [0; 4096]).await? > 0 {}
            return Ok(());
        }
        rest.clear();
        if connection.socket.read_buf(&mut rest).await? == 0 {
            return Ok(());
        }
    }
}

/// Answers the opening handshake.
async fn upgrade(
    mut socket: TcpStream,
    head: &str,
    settings: Option<Settings>,
) -> Result<Connection> {
    let values = |name: &'static str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let named = lines.filter(move |(it, _)| it.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim())
    };
    let key = values("sec-websocket-key").next();
    let key = key.ok_or(Error::from(ErrorKind::InvalidData))?;
    let agreed = match settings {
        Some(settings) => settings
            .accept(values("sec-websocket-extensions"))
            .map_err(Error::other)?,
        None => None,
    };
    let extensions = agreed.map(|it| format!("Sec-WebSocket-Extensions: {it}\r\n"));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n{}\r\n",
        accept_key(key.as_bytes()),
        extensions.unwrap_or_default(),
    );
    socket.write_all(answer.as_bytes()).await?;
    let limits = Limits {
        message_bytes: 32 * 1024 * 1024,
        ..Limits::DEFAULT
    };
    Ok(Connection {
        socket,
        receiver: Receiver::new(Role::Server, limits),
        inflater: agreed.map(|it| it.inflater(Role::Server)),
        deflater: agreed.and_then(|it| it.deflater(Role::Server, LEVEL_DEFAULT)),
        answer: Vec::new(),
    })
}

impl Connection {
    /// Answers what has come; says whether it was the last.
    fn answer_all(&mut self, mut read: &[u8]) -> bool {
        loop {
            let close = match self.receiver.receive(&mut read, self.inflater.as_mut()) {
                Ok(None) => return false,
                Ok(Some(Received::Pong(_) | Received::Skipped)) => continue,
                Ok(Some(Received::Ping(payload))) => {
                    let pong = Frame::pong(payload).expect("it is as long as the ping");
                    pong.append_to(&mut self.answer);
                    continue;
                }
                Ok(Some(Received::Message(message))) => {
                    self.echo(message).append_to(&mut self.answer);
                    continue;
                }
                Ok(Some(Received::Close(close))) => close,
                Err(violation) => Some(Close {
                    code: violation.close_code(),
                    reason: violation.to_string().into(),
                }),
            };
            Frame::close(close.as_ref()).append_to(&mut self.answer);
            return true;
        }
    }

    fn echo(&mut self, message: Message) -> Frame {
        match &mut self.deflater {
            Some(deflater) => deflater.frame(&message),
            None => message.into(),
        }
    }
}
