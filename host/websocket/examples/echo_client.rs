//! An echo client on tokio: goes through the cases of a fuzzing server of the
//! Autobahn test suite, and so judges the codec as a client.
//!
//!     cargo build --release -p openline-websocket --example echo_client
//!     tests/conformance/run.sh client target/conformance/mine target/release/examples/echo_client

#![expect(clippy::print_stdout, reason = "it says how far it is")]

use std::io::{Error, ErrorKind, Result};

use openline_websocket::deflate::{LEVEL_DEFAULT, Settings};
use openline_websocket::{
    Close, Deflater, Frame, Inflater, Limits, Message, Received, Receiver, Role, accept_key,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A key is random, so that no peer can foresee it; here nothing depends on it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

struct Connection {
    socket: TcpStream,
    receiver: Receiver,
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
    /// The bytes that came after the handshake.
    rest: Vec<u8>,
    answer: Vec<u8>,
    random: fastrand::Rng,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().ok_or(Error::other("ADDRESS AGENT"));
    let (address, agent) = (argument()?, argument()?);
    let mut count = String::new();
    run(&address, "/getCaseCount", |message| {
        count = String::from_utf8_lossy(message.payload()).into_owned();
        None
    })
    .await?;
    let count: u32 = count.parse().map_err(Error::other)?;
    for case in 1..=count {
        let path = format!("/runCase?case={case}&agent={agent}");
        // Many cases end without a word, as they should.
        let _ = run(&address, &path, Some).await;
    }
    println!("{count} cases");
    run(&address, &format!("/updateReports?agent={agent}"), |_| None).await
}

/// Connects, and answers messages until the connection ends.
async fn run(
    address: &str,
    path: &str,
    mut answer: impl FnMut(Message) -> Option<Message>,
) -> Result<()> {
    let mut connection = connect(address, path).await?;
    loop {
        let rest = std::mem::take(&mut connection.rest);
        let is_over = connection.answer_all(&rest, &mut answer);
        connection.socket.write_all(&connection.answer).await?;
        connection.answer.clear();
        if is_over {
            // The server closes first (RFC 6455 section 7.1.1).
            while let Ok(1..) = connection.socket.read(&mut [0; 4096]).await {}
            return Ok(());
        }
        connection.rest = rest;
        connection.rest.clear();
        connection.rest.reserve(64 * 1024);
        if connection.socket.read_buf(&mut connection.rest).await? == 0 {
            return Ok(());
        }
    }
}

async fn connect(address: &str, path: &str) -> Result<Connection> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let settings = Settings::DEDICATED;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Extensions: {}\r\n\r\n",
        settings.offer(),
    );
    socket.write_all(request.as_bytes()).await?;
    let mut rest = Vec::new();
    let end = loop {
        if let Some(end) = rest.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut rest).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&rest[..end]).into_owned();
    rest.drain(..end);
    let values = |name: &'static str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let named = lines.filter(move |(it, _)| it.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim())
    };
    if values("sec-websocket-accept").next() != Some(&accept_key(KEY.as_bytes())) {
        return Err(ErrorKind::InvalidData.into());
    }
    let agreed = settings.answered(values("sec-websocket-extensions"));
    let agreed = agreed.map_err(Error::other)?;
    let limits = Limits {
        message_bytes: 32 * 1024 * 1024,
        ..Limits::DEFAULT
    };
    Ok(Connection {
        socket,
        receiver: Receiver::new(Role::Client, limits),
        inflater: agreed.map(|it| it.inflater(Role::Client)),
        deflater: agreed.and_then(|it| it.deflater(Role::Client, LEVEL_DEFAULT)),
        rest,
        answer: Vec::new(),
        random: fastrand::Rng::new(),
    })
}

impl Connection {
    /// Answers what has come; says whether it was the last.
    fn answer_all(
        &mut self,
        mut read: &[u8],
        answer: &mut impl FnMut(Message) -> Option<Message>,
    ) -> bool {
        loop {
            let (frame, is_over) = match self.receiver.receive(&mut read, self.inflater.as_mut()) {
                Ok(None) => return false,
                Ok(Some(Received::Pong(_) | Received::Skipped)) => continue,
                Ok(Some(Received::Ping(payload))) => {
                    let pong = Frame::pong(payload);
                    (pong.expect("it is as long as the ping"), false)
                }
                Ok(Some(Received::Message(message))) => match answer(message) {
                    Some(message) => (self.frame(message), false),
                    None => continue,
                },
                Ok(Some(Received::Close(close))) => (Frame::close(close.as_ref()), true),
                Err(violation) => {
                    let close = Close {
                        code: violation.close_code(),
                        reason: violation.to_string().into(),
                    };
                    (Frame::close(Some(&close)), true)
                }
            };
            let key = self.random.u32(..).to_ne_bytes();
            frame.masked(key).append_to(&mut self.answer);
            if is_over {
                return true;
            }
        }
    }

    fn frame(&mut self, message: Message) -> Frame {
        match &mut self.deflater {
            Some(deflater) => deflater.frame(&message),
            None => message.into(),
        }
    }
}
