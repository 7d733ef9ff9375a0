//! The life of a stranger, and whether it has received what it is owed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use openline_kit::bytes::close_frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::judge::STUCK;
use super::super::run::World;
use super::judge::{due, parse};
use super::{Ending, Stranger};

/// A handshake that took longer than this may have passed `request_timeout`
/// (3 s) on a machine that is busy.
const SLOW: Duration = Duration::from_millis(1500);
/// `request_timeout` and `close_timeout` end what they bound within this.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// How long a connection that need not end is watched.
const WATCHED: Duration = Duration::from_millis(200);

/// The received bytes.
#[derive(Default)]
pub(super) struct Heard {
    bytes: Vec<u8>,
    pub(super) ended: bool,
    /// Whether bytes could not be written: the host has closed, and a reset may
    /// have overtaken its last bytes.
    pub(super) unwritten: bool,
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
    let stop = |at| all.len() * at / 1000;
    let sent = stranger.stop_at.map_or(all.len(), stop);
    let compresses = stranger.compresses();
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
                told(&heard.borrow(), compresses)
            ));
        }
    } else {
        let paid = until(
            &|heard| heard.ended || due.is_paid(&parse(&heard.bytes, compresses)),
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
    let parsed = parse(&heard.bytes, compresses);
    let starved = parsed.statuses.contains(&503) || parsed.close == Some(Some(1013));
    if starved && !has_room {
        return Ok("without room");
    }
    due.judge(&parsed, &heard, stranger, is_slow)
        .map_err(|text| format!("{text}; {}", told(&heard, compresses)))
}

/// Writes with pauses at the cuts; `false` if the stream takes no more.
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
    // A host that does not read may block a peer that does not read either.
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

fn told(heard: &Heard, compresses: bool) -> String {
    let parsed = parse(&heard.bytes, compresses);
    let ended = if heard.ended { "the end" } else { "no end" };
    let (statuses, echoes, pongs) = (&parsed.statuses, parsed.echoes.len(), parsed.pongs.len());
    format!(
        "it heard {statuses:?}, {echoes} echoes, {pongs} pongs, close {:?}, {ended}",
        parsed.close
    )
}
