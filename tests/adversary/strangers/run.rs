//! The life of a stranger, and whether it has heard what it is owed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::judge::STUCK;
use super::super::raw::close_frame;
use super::super::run::World;
use super::rfc6455::{End, Owed, owed};
use super::{Ending, Stranger, request};

/// A handshake that took longer than this may have passed `request_timeout`
/// (3 s) on a machine that is busy.
const SLOW: Duration = Duration::from_millis(1500);
/// `request_timeout` and `close_timeout` end what they bound within this.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// A connection that need not end is watched for so long.
const WATCHED: Duration = Duration::from_millis(200);

/// What has come.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    ended: bool,
    /// Bytes could not be written: the host has closed, and a reset may have
    /// overtaken what it said.
    unwritten: bool,
}

/// What the bytes that have come say.
#[derive(Default)]
struct Parsed {
    statuses: Vec<u16>,
    echoes: Vec<(u8, Vec<u8>)>,
    pongs: Vec<Vec<u8>>,
    /// A close frame, and its code.
    close: Option<Option<u16>>,
    /// What no server may send.
    wrong: Option<String>,
}

/// What a stranger is owed for what it sends.
struct Due {
    statuses: Vec<u16>,
    /// None if there is no upgrade.
    frames: Option<Owed>,
    /// A request that is not whole.
    is_cut: bool,
    /// Behind the last status there may be anything.
    is_vague: bool,
}

pub async fn live(world: &World, stranger: &Stranger) {
    let at = world.judge.borrow().began + Duration::from_millis(stranger.at_ms);
    sleep_until(at).await;
    while world.judge.borrow().down {
        sleep(Duration::from_millis(20)).await;
    }
    let start = world.judge.borrow().start;
    let begun = Instant::now();
    let Ok(socket) = TcpStream::connect(world.address.get()).await else {
        return;
    };
    let has_room = world.plan.borrow().server.instances.is_none();
    let judged = converse(socket, stranger, begun, has_room).await;
    let mut judge = world.judge.borrow_mut();
    // A host that ends owes less.
    let same = judge.start == start && !judge.down;
    match judged {
        _ if !same => judge.count("strangers undecided"),
        Ok(word) => judge.count(&format!("strangers {word}")),
        Err(text) => {
            let number = stranger.number;
            judge.break_rule("strangers", format!("stranger {number}: {text}"));
        }
    }
}

async fn converse(
    socket: TcpStream,
    stranger: &Stranger,
    begun: Instant,
    has_room: bool,
) -> Result<&'static str, String> {
    let _ = socket.set_nodelay(true);
    let (all, frames_at) = stranger.bytes();
    let sent = stranger
        .stop_at
        .map_or(all.len(), |at| all.len() * at / 1000);
    let due = due(stranger, &all[..sent], frames_at.min(sent));
    let (read, mut write) = socket.into_split();
    let heard = Rc::new(RefCell::new(Heard::default()));
    let changed = Rc::new(Notify::new());
    let deaf = begun + Duration::from_millis(stranger.deaf_ms);
    let reading =
        tokio::task::spawn_local(listen(read, deaf, Rc::clone(&heard), Rc::clone(&changed)));
    heard.borrow_mut().unwritten = !say(&mut write, &all[..sent], &stranger.cuts).await;
    let is_slow = begun.elapsed() > SLOW;
    match stranger.ending {
        Ending::Reset => {
            let _ = write.as_ref().set_zero_linger();
            reading.abort();
            write.forget();
            return Ok("reset");
        }
        Ending::Half => _ = write.shutdown().await,
        Ending::Close | Ending::Silent => {}
    }
    let until = async |so: &dyn Fn(&Heard) -> bool, most: Duration| {
        let waiting = async {
            while !so(&heard.borrow()) {
                changed.notified().await;
            }
        };
        timeout(most, waiting).await.is_ok()
    };
    let ends = stranger.ending == Ending::Half || due.must_end();
    if ends || !stranger.is_strict() {
        let ended = until(&|heard| heard.ended, ENDS_WITHIN).await;
        reading.abort();
        if !ended && ends && stranger.is_strict() {
            return Err(format!(
                "the host does not end the stream within {ENDS_WITHIN:?}: {}",
                told(&heard.borrow())
            ));
        }
    } else {
        let paid = until(
            &|heard| heard.ended || due.is_paid(&parse(&heard.bytes)),
            STUCK,
        )
        .await;
        if paid && due.closes(stranger) {
            let _ = write.write_all(&close_frame(1000, b"")).await;
            until(&|heard| heard.ended, ENDS_WITHIN).await;
        } else {
            until(&|heard| heard.ended, WATCHED).await;
        }
        reading.abort();
    }
    drop(write);
    let heard = heard.borrow();
    if !stranger.is_strict() {
        return Ok("loose");
    }
    let parsed = parse(&heard.bytes);
    let starved = parsed.statuses.contains(&503) || parsed.close == Some(Some(1013));
    if starved && !has_room {
        return Ok("without room");
    }
    due.judge(&parsed, &heard, stranger, is_slow)
        .map_err(|text| format!("{text}; {}", told(&heard)))
}

/// Writes with pauses at the cuts; `false` when the stream takes no more.
async fn say(write: &mut OwnedWriteHalf, bytes: &[u8], cuts: &[super::Cut]) -> bool {
    let mut cuts = cuts.to_vec();
    cuts.sort_by_key(|cut| cut.at);
    let mut from = 0;
    for cut in &cuts {
        let to = (bytes.len() * cut.at / 1000).max(from).min(bytes.len());
        if write.write_all(&bytes[from..to]).await.is_err() {
            return false;
        }
        sleep(Duration::from_millis(cut.wait_ms)).await;
        from = to;
    }
    // A peer that does not read may be stopped by a host that does not either.
    let writing = write.write_all(&bytes[from..]);
    matches!(timeout(STUCK, writing).await, Ok(Ok(())))
}

async fn listen(
    mut read: OwnedReadHalf,
    deaf: Instant,
    heard: Rc<RefCell<Heard>>,
    changed: Rc<Notify>,
) {
    sleep_until(deaf).await;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let some = read.read(&mut buffer).await.unwrap_or(0);
        let mut heard = heard.borrow_mut();
        heard.bytes.extend_from_slice(&buffer[..some]);
        heard.ended = some == 0;
        drop(heard);
        changed.notify_one();
        if some == 0 {
            return;
        }
    }
}

fn told(heard: &Heard) -> String {
    let parsed = parse(&heard.bytes);
    let ended = if heard.ended { "the end" } else { "no end" };
    let (statuses, echoes, pongs) = (&parsed.statuses, parsed.echoes.len(), parsed.pongs.len());
    format!(
        "it heard {statuses:?}, {echoes} echoes, {pongs} pongs, close {:?}, {ended}",
        parsed.close
    )
}

fn due(stranger: &Stranger, sent: &[u8], frames_at: usize) -> Due {
    let mut statuses = Vec::new();
    let (mut at, mut is_vague) = (0, false);
    for kind in &stranger.requests {
        let end = at + request::text(kind, &stranger.path).len();
        if end > sent.len() {
            let is_cut = at < sent.len();
            return Due {
                statuses,
                frames: None,
                is_cut,
                is_vague,
            };
        }
        at = end;
        statuses.push(request::status(kind));
        if request::is_last(kind) {
            is_vague = !request::is_right(kind);
            break;
        }
    }
    let upgraded = statuses.last() == Some(&101) && at == frames_at;
    let frames = upgraded.then(|| owed(&sent[frames_at..]));
    Due {
        statuses,
        frames,
        is_cut: false,
        is_vague,
    }
}

impl Due {
    /// Whether the host ends the stream by itself.
    fn must_end(&self) -> bool {
        match &self.frames {
            Some(owed) => matches!(owed.end, End::Violation(_) | End::Closed(_) | End::Any),
            None => self.is_cut,
        }
    }

    /// Whether the stranger ends it with a close frame: within a frame it would
    /// be none.
    fn closes(&self, stranger: &Stranger) -> bool {
        let between = self.frames.as_ref().is_some_and(|owed| !owed.is_cut);
        stranger.ending == Ending::Close && between
    }

    /// Whether all has come but for the end.
    fn is_paid(&self, parsed: &Parsed) -> bool {
        let frames = self.frames.as_ref().is_none_or(|owed| {
            let last = owed.pings.last();
            let ponged = last.is_none() || parsed.pongs.last() == last;
            parsed.echoes.len() >= owed.echoes.len() && ponged
        });
        parsed.statuses.len() >= self.statuses.len() && frames
    }

    fn judge(
        &self,
        parsed: &Parsed,
        heard: &Heard,
        stranger: &Stranger,
        is_slow: bool,
    ) -> Result<&'static str, String> {
        if let Some(wrong) = &parsed.wrong {
            return Err(wrong.clone());
        }
        // It closed before it had heard, or what it wrote was answered by a
        // reset, which may overtake everything.
        let half = stranger.ending == Ending::Half;
        let deafened = heard.unwritten || stranger.deaf_ms > 0;
        let known = self.statuses.len().min(parsed.statuses.len());
        let timed_out = is_slow
            && parsed
                .statuses
                .get(known..)
                .is_some_and(|rest| rest.iter().all(|it| *it == 408));
        if parsed.statuses[..known] != self.statuses[..known] {
            return Err(format!(
                "statuses {:?}, not {:?}",
                parsed.statuses, self.statuses
            ));
        }
        if known < self.statuses.len() && !(half || deafened || is_slow) {
            return Err(format!(
                "statuses {:?}, not {:?}",
                parsed.statuses, self.statuses
            ));
        }
        let extra = &parsed.statuses[known..];
        let explained = self.is_vague
            || extra
                .iter()
                .all(|status| [400, 408].contains(status) && self.is_cut);
        if !explained && !timed_out {
            return Err(format!("answers to what was not asked: {extra:?}"));
        }
        let Some(owed) = self
            .frames
            .as_ref()
            .filter(|_| known == self.statuses.len())
        else {
            return Ok("refused");
        };
        for (echo, expected) in parsed.echoes.iter().zip(&owed.echoes) {
            if echo != expected {
                return Err(format!("an echo is {echo:x?}, not {expected:x?}")
                    .chars()
                    .take(300)
                    .collect());
            }
        }
        let mut pings = owed.pings.iter();
        if !parsed
            .pongs
            .iter()
            .all(|pong| pings.any(|ping| ping == pong))
        {
            return Err("pongs that answer no ping, or not in order".into());
        }
        if parsed.echoes.len() > owed.echoes.len() && owed.end != End::Any {
            return Err(format!(
                "{} echoes of {} messages",
                parsed.echoes.len(),
                owed.echoes.len()
            ));
        }
        let whole = parsed.echoes.len() == owed.echoes.len();
        let few = || {
            format!(
                "{} echoes of {} messages",
                parsed.echoes.len(),
                owed.echoes.len()
            )
        };
        match (&owed.end, parsed.close) {
            (End::Any, _) => Ok("any"),
            (End::Violation(_), _) if half || deafened && !whole => Ok("violation, unheard"),
            (End::Violation(codes), Some(Some(code))) if codes.contains(&code) => {
                if whole {
                    Ok("violation")
                } else {
                    Err(few())
                }
            }
            (End::Violation(_), None) if deafened => Ok("violation, unheard"),
            (End::Violation(codes), close) => {
                Err(format!("closed with {close:?}, not one of {codes:?}"))
            }
            // What came right before the peer's close is not answered.
            (End::Closed(code), Some(answer)) => {
                let right = answer == *code || code.is_none() && answer == Some(1000);
                if right {
                    Ok("closed")
                } else {
                    Err(format!("its close {code:?} is answered with {answer:?}"))
                }
            }
            (End::Closed(_), None) if half || deafened => Ok("closed, unheard"),
            (End::Closed(code), None) => Err(format!("its close {code:?} is not answered")),
            (End::Open(_), _) if half => Ok("half"),
            (End::Open(codes), Some(Some(code))) if codes.contains(&code) => Ok("violation, early"),
            (End::Open(_), Some(Some(1000))) if whole && self.closes(stranger) => Ok("open"),
            (End::Open(_), None) if whole && !heard.ended && !self.closes(stranger) => Ok("silent"),
            (End::Open(codes), close) => Err(format!(
                "closed with {close:?} (ended: {}), {}; allowed are {codes:?}",
                heard.ended,
                few()
            )),
        }
    }
}

/// Responses up to a 101, and the frames behind it.
fn parse(bytes: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut rest = bytes;
    while parsed.statuses.last() != Some(&101) {
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
            return parsed;
        };
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let Some(body) = rest.get(end + 4 + length.unwrap_or(0)..) else {
            return parsed;
        };
        parsed.statuses.push(status.unwrap_or(0));
        rest = body;
    }
    while let [first, second, ..] = *rest {
        let (length, at) = match second {
            126 if rest.len() >= 4 => (usize::from(u16::from_be_bytes([rest[2], rest[3]])), 4),
            0..126 => (usize::from(second), 2),
            127..=255 => {
                parsed.wrong = Some(format!("a frame that is masked or too long: {second}"));
                return parsed;
            }
            126 => return parsed,
        };
        let Some(payload) = rest.get(at..at + length) else {
            return parsed;
        };
        if parsed.close.is_some() {
            parsed.wrong = Some("frames behind the close frame".into());
        }
        match first {
            0x81 | 0x82 => parsed.echoes.push((first, payload.to_vec())),
            0x8a => parsed.pongs.push(payload.to_vec()),
            0x88 => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                parsed.close = Some(code);
            }
            // The host's own, while a stranger is quiet.
            0x89 => {}
            _ => parsed.wrong = Some(format!("a frame that begins with {first:x}")),
        }
        rest = &rest[at + length..];
    }
    parsed
}
