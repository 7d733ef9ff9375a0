//! A peer that speaks bytes: one task writes its frames, and everything that it
//! receives is judged as it comes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use openline_kit::bytes::{self, close_frame, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::judge::Judge;
use super::line::Line;

/// The longest that a handshake may take: `upgrade_timeout`, and time for a
/// busy machine.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// The kernel's buffer for a narrow peer.
const NARROW_BYTES: u32 = 16 * 1024;
/// The most frames that wait to be written.
const WRITES_MAX: usize = 4096;

/// A connection that is open, or was.
pub struct Wire {
    writes: mpsc::Sender<Write>,
    deaf: watch::Sender<bool>,
    reading: AbortHandle,
}

enum Write {
    Bytes(Vec<u8>),
    Reset,
    Half,
}

pub enum Refused {
    Status(u16),
    Lost,
    TimedOut,
}

/// Opens a connection, with a small buffer in the kernel if it is narrow.
/// Everything that it receives goes to the judge, as from `line`.
pub async fn connect(
    address: SocketAddr,
    (path, narrow): (&str, bool),
    judge: &Rc<RefCell<Judge>>,
    line: &Rc<RefCell<Line>>,
) -> Result<Wire, Refused> {
    let opened = timeout(HANDSHAKE_MAX, handshake(address, path, narrow)).await;
    let socket = opened.map_err(|_| Refused::TimedOut)??;
    let (read, mut write) = socket.into_split();
    let (writes, mut waiting) = mpsc::channel(WRITES_MAX);
    let (deaf, hears) = watch::channel(false);
    tokio::task::spawn_local(async move {
        while let Some(next) = waiting.recv().await {
            let written = match next {
                Write::Bytes(bytes) => write.write_all(&bytes).await,
                Write::Half => write.shutdown().await,
                Write::Reset => {
                    // Dropping the last half resets the stream.
                    let _ = write.as_ref().set_zero_linger();
                    return write.forget();
                }
            };
            if written.is_err() {
                return;
            }
        }
    });
    let (judge, line) = (Rc::clone(judge), Rc::clone(line));
    let pongs = writes.clone();
    let reading = tokio::task::spawn_local(async move {
        let mut reader = Reader {
            read: BufReader::new(read),
            hears,
            pongs,
        };
        let (code, reason) = reader.read(&judge, &line).await;
        judge.borrow_mut().closed(&line, code, &reason);
    });
    Ok(Wire {
        writes,
        deaf,
        reading: reading.abort_handle(),
    })
}

async fn handshake(address: SocketAddr, path: &str, narrow: bool) -> Result<TcpStream, Refused> {
    let lost = |_| Refused::Lost;
    let socket = TcpSocket::new_v4().map_err(lost)?;
    if narrow {
        socket.set_recv_buffer_size(NARROW_BYTES).map_err(lost)?;
    }
    let mut socket = socket.connect(address).await.map_err(lost)?;
    let _ = socket.set_nodelay(true);
    let request = bytes::handshake(path);
    socket.write_all(request.as_bytes()).await.map_err(lost)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.map_err(lost)?);
    }
    match bytes::status(&head) {
        Some(101) => Ok(socket),
        Some(status) => Err(Refused::Status(status)),
        None => Err(Refused::Lost),
    }
}

impl Wire {
    pub async fn text(&self, text: &str) {
        self.write(frame(0x81, text.as_bytes())).await;
    }

    /// A text in frames that are cut at these places.
    pub async fn fragments(&self, text: &str, cuts: &[usize]) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % text.len()).collect();
        cuts.sort_unstable();
        cuts.push(text.len());
        let (mut from, last) = (0, cuts.len() - 1);
        for (index, to) in cuts.into_iter().enumerate() {
            let first = if index == 0 { 1 } else { 0 } | if index == last { 0x80 } else { 0 };
            self.write(frame(first, &text.as_bytes()[from..to])).await;
            self.write(frame(0x89, b"between")).await;
            from = to;
        }
    }

    pub async fn ping(&self) {
        self.write(frame(0x89, b"ping")).await;
    }

    pub async fn close(&self) {
        self.write(close_frame(1000, b"")).await;
    }

    pub async fn half(&self) {
        let _ = self.writes.send(Write::Half).await;
    }

    pub async fn reset(&self) {
        let _ = self.writes.send(Write::Reset).await;
        self.reading.abort();
    }

    /// Whether it reads.
    pub fn hear(&self, hears: bool) {
        self.deaf.send_replace(!hears);
    }

    async fn write(&self, bytes: Vec<u8>) {
        // The stream may have ended.
        let _ = self.writes.send(Write::Bytes(bytes)).await;
    }
}

struct Reader {
    read: BufReader<OwnedReadHalf>,
    hears: watch::Receiver<bool>,
    pongs: mpsc::Sender<Write>,
}

impl Reader {
    /// Reads to the end; returns its code and reason.
    async fn read(&mut self, judge: &RefCell<Judge>, line: &Rc<RefCell<Line>>) -> (u16, String) {
        loop {
            // The sender may have gone with the peer; the reading goes on to
            // the end.
            let _ = self.hears.wait_for(|deaf| !deaf).await;
            let Ok((kind, payload)) = self.frame().await else {
                return (1006, String::new());
            };
            match kind & 0x0f {
                1 => {
                    let text = String::from_utf8_lossy(&payload);
                    judge.borrow_mut().heard(line, &text);
                }
                8 => {
                    let code = payload
                        .first_chunk()
                        .map_or(1005, |code| u16::from_be_bytes(*code));
                    let reason = payload.get(2..).unwrap_or_default();
                    let answer = close_frame(code, b"");
                    let _ = self.pongs.try_send(Write::Bytes(answer));
                    return (code, String::from_utf8_lossy(reason).into_owned());
                }
                9 => {
                    line.borrow_mut().pings += 1;
                    _ = self.pongs.try_send(Write::Bytes(frame(0x8a, &payload)));
                }
                _ => {}
            }
        }
    }

    async fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let kind = self.read.read_u8().await?;
        let length = match self.read.read_u8().await? {
            126 => usize::from(self.read.read_u16().await?),
            127 => usize::try_from(self.read.read_u64().await?).unwrap(),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.read.read_exact(&mut payload).await?;
        Ok((kind, payload))
    }
}

/// A peer of the calm function, which must be answered whatever happens.
pub struct Calm(BufReader<TcpStream>);

impl Calm {
    pub async fn open(address: SocketAddr) -> Option<Self> {
        Some(Self(BufReader::new(
            handshake(address, "/calm", false).await.ok()?,
        )))
    }

    /// Returns how long an echo took, if it came.
    pub async fn echo(&mut self) -> Option<Duration> {
        let begun = Instant::now();
        self.0.write_all(&frame(0x81, b"calm")).await.ok()?;
        let mut answer = [0; 6];
        self.0.read_exact(&mut answer).await.ok()?;
        (&answer == b"\x81\x04calm").then(|| begun.elapsed())
    }

    pub async fn close(mut self) {
        let _ = self.0.write_all(&close_frame(1000, b"")).await;
        let _ = self.0.read_to_end(&mut Vec::new()).await;
    }
}
