//! The steps of `script` that test the data that the host keeps for a
//! connection, how much may wait for its peer, and handles of connections that
//! have ended.
//!
//! - `tags TAG…` replaces the tags; `tagged TAG LIMIT` finds all connections
//!   with a tag, in pages of this size, and answers their ids.
//! - `attach BYTES` sets the size of the attachment; `attached` answers its
//!   size, or `damaged` if its content has changed.
//! - `auto none`, or `auto KIND REQUEST REPLY…`: the connection's own automatic
//!   responses. `auto-count` answers how many messages they have answered.
//! - `burst MESSAGES` sends this many messages of 16 KiB at once, waits for
//!   room, and answers how many were accepted, dropped and refused. `stream
//!   MESSAGES` waits for room before each. They are numbered: `G NUMBER INDEX
//!   …`, `S NUMBER INDEX …`.
//! - `use-held` uses every held handle, and answers `ID=open` or `ID=` and the
//!   result of each use of an ended one. `ghosts` answers how many connections
//!   such uses have tagged and subscribed.
//! - `calls TIMES` calls the host this often, `deep` overflows the stack
//!   without touching memory, `print-long KIB` prints one line of that size,
//!   `doom-hibernate` makes this instance's `hibernate` trap.
//!
//! The query of a handshake: `tag=TAG`, `doom=open` and `doom=close` make those
//! handlers trap, `answer=KIND` answers with something that the contract
//! forbids, or with `answer=most` everything that it allows.

use std::hint::black_box;
use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::{AutoResponse, Error, SendOutcome, by_tag, by_tag_page, subscribers};

/// The size of one message of a burst or a stream.
pub(crate) const PIECE_BYTES: usize = 16 * 1024;
/// The number of handled messages, and the byte after it that says which
/// handlers trap.
const HEAD_BYTES: usize = 9;
const DOOM_OPEN: u8 = 1;
const DOOM_CLOSE: u8 = 2;
/// A tag and channel that no open connection ever has.
const GHOST: &str = "ghost";

/// Counts the message, and returns its number among the handled ones.
pub(crate) fn count(here: &Connection) -> u64 {
    let mut attachment = here.attachment();
    attachment.resize(attachment.len().max(HEAD_BYTES), 0);
    let handled = handled(&attachment) + 1;
    attachment[..8].copy_from_slice(&handled.to_le_bytes());
    let _ = here.set_attachment(attachment);
    handled
}

fn handled(attachment: &[u8]) -> u64 {
    attachment
        .first_chunk()
        .map_or(0, |head| u64::from_le_bytes(*head))
}

/// Traps if the handshake has asked for it.
pub(crate) fn meet_doom(here: &Connection, is_open: bool) {
    let doom = if is_open { DOOM_OPEN } else { DOOM_CLOSE };
    let attachment = here.attachment();
    assert!(
        attachment.get(8).is_none_or(|byte| byte & doom == 0),
        "asked for"
    );
}

/// The answer to a handshake, according to its query.
pub(crate) fn accept(request: &UpgradeRequest) -> Acceptance {
    let mut head = [0; HEAD_BYTES];
    let mut acceptance = Acceptance::new();
    for (key, value) in request.query_pairs() {
        match (&*key, &*value) {
            ("doom", "open") => head[8] |= DOOM_OPEN,
            ("doom", "close") => head[8] |= DOOM_CLOSE,
            ("tag", tag) => acceptance = acceptance.tag(tag),
            ("answer", kind) => return odd(kind, &head),
            _ => {}
        }
    }
    acceptance.attachment(head)
}

/// Answers that are just allowed, or just not. The limits are the defaults.
fn odd(kind: &str, head: &[u8]) -> Acceptance {
    let acceptance = Acceptance::new().attachment(head);
    let attachment = |bytes: usize| -> Vec<u8> {
        let mut attachment = head.to_vec();
        attachment.resize(bytes, 0);
        attachment
    };
    let tags = |count: usize| (0..count).map(|number| format!("{number:0>256}"));
    let channels = |count: usize| {
        (0..count).fold(Acceptance::new(), |all, number| {
            all.channel(format!("{number:0>256}"))
        })
    };
    match kind {
        "most" => channels(127)
            .attachment(attachment(16 * 1024))
            .tags(tags(10)),
        "attachment" => Acceptance::new().attachment(attachment(16 * 1024 + 1)),
        "tags" => acceptance.tags(tags(11)),
        "long-tag" => acceptance.tag("t".repeat(257)),
        "no-tag" => acceptance.tag(""),
        "channels" => channels(129),
        "no-channel" => acceptance.channel(""),
        "subprotocol" => acceptance.subprotocol("nobody-offers-this"),
        "header" => acceptance.header("connection", "close"),
        "line-break" => acceptance.header("x-two", "one\r\ntwo: 2"),
        "headers" => acceptance.header("x-large", vec![b'x'; 8 * 1024]),
        _ => acceptance,
    }
}

/// Runs a step of this file; `None` if it belongs to another.
pub(crate) fn step(here: &Connection, held: &[Connection], words: &[&str]) -> Option<String> {
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let number = |index: usize| word(index).parse::<usize>().unwrap_or_default();
    Some(match word(0) {
        "tags" => said(here.set_tags(&words[1..])),
        "tagged" => tagged(word(1), number(2)),
        "attach" => attach(here, number(1)),
        "attached" => attached(&here.attachment()),
        "auto" => said(here.set_auto_responses(&pairs(&words[1..]))),
        "auto-count" => here.auto_responded().to_string(),
        "use-held" => {
            let used = held
                .iter()
                .map(|held| format!("{}={}", held.id(), use_of(held)));
            used.collect::<Vec<_>>().join(" ")
        }
        "ghosts" => format!("{} {}", by_tag(GHOST).count(), subscribers(GHOST)),
        "calls" => {
            let calls = (0..number(1)).map(|_| here.buffered_bytes() & 1);
            black_box(calls.sum::<u64>());
            "ok".into()
        }
        "deep" => deeper(number(1) as u64).to_string(),
        "print-long" => {
            eprintln!("{}", "x".repeat(number(1) * 1024));
            "ok".into()
        }
        _ => return None,
    })
}

/// Sends this many pieces at once, and returns what happened to them.
pub(crate) fn burst(here: &Connection, number: &str, pieces: u64) -> String {
    let (mut accepted, mut dropped, mut gone) = (0, 0, 0);
    for index in 0..pieces {
        match here.send(piece('G', number, index)) {
            SendOutcome::Sent | SendOutcome::Queued(_) => accepted += 1,
            SendOutcome::Dropped => dropped += 1,
            SendOutcome::Gone => gone += 1,
        }
    }
    format!("{accepted} {dropped} {gone}")
}

pub(crate) fn piece(kind: char, number: &str, index: u64) -> String {
    let mut text = format!("{kind} {number} {index} ");
    text.extend(std::iter::repeat_n(
        'p',
        PIECE_BYTES.saturating_sub(text.len()),
    ));
    text
}

pub(crate) fn said(result: Result<(), Error>) -> String {
    result.map_or_else(
        |error| format!("error {}", error.code()),
        |()| "ok".to_owned(),
    )
}

fn tagged(tag: &str, limit: usize) -> String {
    let limit = u32::try_from(limit).unwrap_or(1).max(1);
    let (mut ids, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let page = by_tag_page(tag, after.as_deref(), limit);
        if page.len() > limit as usize {
            return "error page".into();
        }
        let Some(last) = page.last() else { break };
        after = Some(last.id());
        ids.extend(page.iter().map(Connection::id));
    }
    ids.join(" ")
}

/// Keeps the head, and fills the rest with content that can be checked.
fn attach(here: &Connection, bytes: usize) -> String {
    let mut attachment = here.attachment();
    attachment.truncate(HEAD_BYTES);
    let filled = (attachment.len()..bytes).map(filling);
    attachment.extend(filled.collect::<Vec<_>>());
    said(here.set_attachment(attachment))
}

fn attached(attachment: &[u8]) -> String {
    let mut rest = attachment.iter().enumerate().skip(HEAD_BYTES);
    match rest.all(|(index, byte)| *byte == filling(index)) {
        true => attachment.len().to_string(),
        false => "damaged".into(),
    }
}

fn filling(index: usize) -> u8 {
    (index % 251) as u8
}

fn pairs(words: &[&str]) -> Vec<AutoResponse> {
    let mut pairs = Vec::new();
    for pair in words.chunks_exact(3) {
        let (request, reply) = (pair[1], pair[2]);
        pairs.push(match pair[0] {
            "prefix" => AutoResponse::prefix(request, format!("Z {reply}")),
            _ => AutoResponse::exact(request, format!("Z {reply}")),
        });
    }
    pairs
}

/// Tries everything on an ended connection, of which only the handle is left,
/// and returns the results.
fn use_of(held: &Connection) -> String {
    if held.send("T held") != SendOutcome::Gone {
        return "open".into();
    }
    let mut said = vec![
        held.set_tags(&[GHOST]),
        held.set_attachment([1; 100]),
        held.subscribe(GHOST),
        held.set_alarm(GHOST, Duration::ZERO),
        held.set_auto_responses(&[AutoResponse::exact("a", "b")]),
        held.ping(b"ghost"),
    ];
    held.unsubscribe(GHOST);
    held.pause();
    held.resume();
    said.retain(|result| result.as_ref().map_err(Error::code) != Err("gone"));
    let left = held.tags().len() + usize::try_from(held.buffered_bytes()).unwrap_or(usize::MAX);
    format!("{},{left}", said.len())
}

/// Its frames fit into registers, so the stack in the guest's memory does not
/// grow.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    deeper(depth + 1).wrapping_mul(3) ^ depth
}
