//! Judges of the data that the host keeps for a connection: its tags, its
//! attachment, its automatic responses, messages that wait for its peer; and of
//! handles that outlive it.
//!
//! The models follow the answers to a peer. While something is still under way,
//! every possible result is allowed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::time::Instant;

use super::judge::Judge;
use super::line::Line;
use super::plan::Pair;

/// `attachment_bytes` and `tags` of a function, which no plan changes.
const ATTACHMENT_BYTES: usize = 16 * 1024;
const TAGS: usize = 10;
/// The guest's data in each attachment.
const HEAD_BYTES: usize = 9;

/// The host's data of one connection, as far as its peer can know.
#[derive(Default)]
pub struct Carried {
    /// Tags that were set, and when this was answered.
    tags: Vec<String>,
    tagged: Option<Instant>,
    /// Every tag that it may have had at any time.
    tags_ever: Vec<String>,
    /// Whether tags are being set.
    tagging: bool,
    attachment_bytes: Option<usize>,
    /// The pairs that may be in force: those of the configuration at some time
    /// since the handshake began, or those that the function has set.
    responders: Vec<Responder>,
    /// When the oldest message without an answer was sent.
    unanswered: Option<Instant>,
    /// Pieces of the burst or stream that is arriving.
    pieces: Pieces,
    /// Whether messages of others may be missing, because its outbox was
    /// filled.
    pub may_miss: bool,
    /// When its peer got a close frame.
    pub ended: Option<Instant>,
}

/// One set of automatic responses, and its consequences.
#[derive(Clone, Default)]
struct Responder {
    pairs: Vec<Pair>,
    /// Replies that the host still owes.
    replies: VecDeque<String>,
    /// Messages that the function must get.
    given: VecDeque<String>,
    count: u64,
}

#[derive(Default)]
struct Pieces {
    script: String,
    heard: u64,
    last: Option<u64>,
}

impl Responder {
    fn send(&mut self, text: &str) {
        match self.pairs.iter().find(|pair| pair.matches(text)) {
            Some(pair) => {
                self.count += 1;
                self.replies.push_back(pair.reply.clone());
            }
            None => self.given.push_back(text.into()),
        }
    }

    fn is_quiet(&self) -> bool {
        self.replies.is_empty() && self.given.is_empty()
    }
}

impl Carried {
    /// A model with the pairs that the configuration may have.
    pub fn new(configured: &[Vec<Pair>], query: &str) -> Self {
        let tag = query.strip_prefix("?tag=").map(str::to_owned);
        let responder = |pairs: &Vec<Pair>| Responder {
            pairs: pairs.clone(),
            ..Responder::default()
        };
        Self {
            tagged: tag.is_some().then(Instant::now),
            tags_ever: tag.iter().cloned().collect(),
            tags: tag.into_iter().collect(),
            attachment_bytes: query.is_empty().then_some(HEAD_BYTES),
            responders: configured.iter().map(responder).collect(),
            ..Self::default()
        }
    }

    /// When the oldest message was sent for which an automatic response is
    /// still missing.
    pub fn unanswered(&self) -> Option<Instant> {
        self.unanswered
    }

    pub fn say(&mut self, script: &str) {
        if let Some(tags) = script.strip_prefix("tags ") {
            self.tagging = true;
            self.tags_ever.extend(tags.split(' ').map(str::to_owned));
        }
        if script.starts_with("burst") || script.starts_with("stream") {
            self.pieces = Pieces {
                script: script.into(),
                ..Pieces::default()
            };
            self.may_miss |= script.starts_with("burst");
        }
    }

    /// Whether it has had a tag without a break since before some time.
    fn has_had(&self, tag: &str, before: Instant) -> bool {
        let set = self.tagged.is_some_and(|tagged| tagged < before);
        set && !self.tagging && self.tags.iter().any(|other| other == tag)
    }

    /// Whether it has had other tags since before some time.
    fn has_lost(&self, tag: &str, before: Instant) -> bool {
        let set = self.tagged.is_some_and(|tagged| tagged < before);
        set && !self.tagging && !self.tags.iter().any(|other| other == tag)
    }

    fn set_tags(&mut self, words: &[&str], result: &str) -> Result<(), String> {
        self.tagging = false;
        let mut distinct = words.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let right = |word: &&str| (1..=256).contains(&word.len());
        let expected = match distinct.len() {
            _ if !distinct.iter().all(right) => "error invalid",
            0..=TAGS => "ok",
            _ => "error limit",
        };
        if result == "ok" {
            self.tags = distinct.into_iter().map(str::to_owned).collect();
            self.tagged = Some(Instant::now());
        }
        match result == expected || result == "error gone" {
            true => Ok(()),
            false => Err(format!(
                "{} tags: `{result}`, not `{expected}`",
                words.len()
            )),
        }
    }

    fn attach(&mut self, bytes: usize, result: &str) -> Result<(), String> {
        let bytes = bytes.max(HEAD_BYTES);
        let expected = match bytes <= ATTACHMENT_BYTES {
            true => "ok",
            false => "error limit",
        };
        if result == "ok" {
            self.attachment_bytes = Some(bytes);
        }
        match result == expected || result == "error gone" {
            true => Ok(()),
            false => Err(format!(
                "an attachment of {bytes} bytes: `{result}`, not `{expected}`"
            )),
        }
    }

    fn attached(&self, result: &str) -> Result<(), String> {
        match self.attachment_bytes {
            Some(bytes) if result != bytes.to_string() => Err(format!(
                "the attachment is `{result}`, and {bytes} bytes were kept"
            )),
            _ => Ok(()),
        }
    }

    fn set_pairs(&mut self, pairs: &[Pair], result: &str) -> Result<(), String> {
        let expected = if pairs.len() > 8 { "error limit" } else { "ok" };
        if result == "ok" {
            for responder in &mut self.responders {
                responder.pairs = pairs.to_vec();
            }
        }
        match result == expected || result == "error gone" {
            true => Ok(()),
            false => Err(format!(
                "{} pairs: `{result}`, not `{expected}`",
                pairs.len()
            )),
        }
    }

    /// A message that an automatic response may answer.
    pub fn send_auto(&mut self, text: &str) {
        if !self.responders.is_empty() {
            self.unanswered.get_or_insert_with(Instant::now);
        }
        self.responders.iter_mut().for_each(|each| each.send(text));
    }

    /// `Z REPLY` is the host's answer, `U MESSAGE` the function's.
    fn hear_auto(&mut self, kind: &str, text: &str) -> Result<(), String> {
        let next = self.responders.iter();
        let next = next.map(|each| each.replies.front().cloned());
        let expected: Vec<_> = next.collect();
        self.responders.retain_mut(|each| {
            let next = match kind {
                "Z" => &mut each.replies,
                _ => &mut each.given,
            };
            next.pop_front().is_some_and(|next| next == text)
        });
        // If no possible set fits any more, report it and expect nothing.
        let quiet = self.responders.is_empty() || self.responders.iter().any(Responder::is_quiet);
        self.unanswered = (!quiet).then(Instant::now);
        match self.responders.is_empty() {
            true => Err(format!(
                "`{kind} {text}` is no answer that is due; the host's is {expected:?}"
            )),
            false => Ok(()),
        }
    }

    fn count_auto(&mut self, result: &str) -> Result<(), String> {
        let counts: Vec<_> = self.responders.iter().map(|each| each.count).collect();
        self.responders
            .retain(|each| each.count.to_string() == result);
        match self.responders.is_empty() {
            true => Err(format!(
                "{result} messages were answered by the host, not {counts:?}"
            )),
            false => Ok(()),
        }
    }

    /// A piece of a burst or of a stream: in order, none twice.
    fn hear_piece(&mut self, index: u64) -> Result<(), String> {
        let pieces = &mut self.pieces;
        let in_order = pieces.last.is_none_or(|last| index > last);
        let whole = !pieces.script.starts_with("stream") || index == pieces.heard;
        pieces.heard += 1;
        pieces.last = Some(index);
        match in_order && whole {
            true => Ok(()),
            false => Err(format!(
                "piece {index} of `{}` is not the next",
                pieces.script
            )),
        }
    }

    /// A stream, which waits for room, arrives completely; of a burst the
    /// accepted pieces arrive, or the last of them.
    fn pieces(&self, words: &[&str], result: &str, overflow: &str) -> Result<(), String> {
        let heard = self.pieces.heard;
        let asked: u64 = words[1].parse().unwrap_or_default();
        if words[0] == "stream" {
            return match result != "ok" || heard == asked {
                true => Ok(()),
                false => Err(format!("{heard} of {asked} pieces of a stream came")),
            };
        }
        let numbers: Vec<u64> = result.split(' ').filter_map(|it| it.parse().ok()).collect();
        let &[accepted, dropped, _] = numbers.as_slice() else {
            return Err(format!("`{}` is answered `{result}`", words.join(" ")));
        };
        let right = match overflow {
            "drop-oldest" => {
                dropped == 0 && heard <= accepted && self.pieces.last == Some(asked - 1)
            }
            // A full outbox closes the connection, and there is no answer.
            "close" => dropped == 0 && heard == accepted,
            _ => heard == accepted && accepted > 0,
        };
        match right {
            true => Ok(()),
            false => Err(format!(
                "{heard} pieces came of a burst with {overflow}: `{result}`"
            )),
        }
    }
}

impl Judge {
    /// Whether a script may cost the connection answers, or end it: a burst
    /// may, except where the newest message is dropped, which is part of the
    /// burst.
    pub fn may_lose(&self, line: &Line, script: &str) -> bool {
        let function = self.plan.functions.get(line.function);
        let keeps = function.is_some_and(|function| function.outbox_overflow == "drop-newest");
        script.starts_with("burst") && !keeps
    }

    /// The disk is full from now on: data that instances keep in memory until
    /// they hibernate may be lost.
    pub fn fill_disk(&mut self) {
        self.count("full disk");
        self.forgot = true;
    }

    /// A handshake was accepted.
    pub fn accepted(&mut self, line: &Line, query: &str) {
        let bad = query.strip_prefix("?answer=");
        if let Some(kind) = bad.filter(|kind| *kind != "most") {
            let text = format!("an answer to the handshake with a bad `{kind}` is accepted");
            self.blame("handshake", &text, line);
        }
    }

    /// Takes a message that `carried` steps have caused; `false` if it is
    /// another one.
    pub fn hear_carried(&mut self, line: &mut Line, text: &str) -> bool {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let heard = match kind {
            // These may have been dropped with the rest.
            "Z" | "U" if line.lossy => return true,
            "Z" | "U" => line.carried.hear_auto(kind, rest),
            "G" | "S" => {
                let index = rest.split(' ').nth(1).and_then(|index| index.parse().ok());
                line.carried.hear_piece(index.unwrap_or(u64::MAX))
            }
            _ => return false,
        };
        let invariant = match kind {
            "Z" | "U" => "automatic responses",
            _ => "outbox",
        };
        if let Err(text) = heard {
            self.blame(invariant, &text, line);
        }
        true
    }

    /// Judges the result of a step of the guest's `carried`.
    pub fn step_carried(&mut self, line: &mut Line, words: &[&str], result: &str, sent: Instant) {
        let number = || words[1].parse().unwrap_or_default();
        let (invariant, judged) = match words[0] {
            "tags" => ("tags", line.carried.set_tags(&words[1..], result)),
            "tagged" => ("tags", self.tagged(line, words[1], result, sent)),
            "attach" => ("attachment", line.carried.attach(number(), result)),
            "attached" => ("attachment", line.carried.attached(result)),
            "auto" => {
                let set = line.carried.set_pairs(&Pair::parse(&words[1..]), result);
                ("automatic responses", set)
            }
            "auto-count" => ("automatic responses", line.carried.count_auto(result)),
            "burst" | "stream" => {
                let overflow = self.plan.functions.get(line.function);
                let overflow = overflow.map_or("close", |function| &function.outbox_overflow);
                ("outbox", line.carried.pieces(words, result, overflow))
            }
            "use-held" => ("gone", self.used(line, result, sent)),
            "ghosts" => {
                let nobody = result.starts_with("0 ");
                let text = || format!("connections that have ended were given a tag: {result}");
                ("gone", if nobody { Ok(()) } else { Err(text()) })
            }
            "recurse" | "deep" | "trap" | "forever" => {
                ("limits", Err(format!("`{}` is answered", words.join(" "))))
            }
            "allocate" => {
                let most = self.memory_bytes(line);
                let judged = match number() as u64 * 1024 > most {
                    true => Err(format!("{} KiB of {most} bytes of memory", words[1])),
                    false => Ok(()),
                };
                ("limits", judged)
            }
            _ => return,
        };
        if let Err(text) = judged {
            self.blame(invariant, &text, line);
        }
    }

    /// The `memory_bytes` of a connection's function.
    pub fn memory_bytes(&self, line: &Line) -> u64 {
        let function = self.plan.functions.get(line.function);
        let configured = function.and_then(|function| function.memory_mib);
        u64::from(configured.unwrap_or(64)) * 1024 * 1024
    }

    /// The result must have all open connections that have had the tag since
    /// before the question, and none that never had it or has ended; each once,
    /// in the order of ids.
    fn tagged(&self, asking: &Line, tag: &str, result: &str, sent: Instant) -> Result<(), String> {
        let found: Vec<&str> = result.split(' ').filter(|id| !id.is_empty()).collect();
        if !found.is_sorted_by(|one, next| one < next) {
            return Err(format!(
                "`{tag}` finds connections twice or in no order: {result}"
            ));
        }
        let judge = |line: &Line| {
            let Some(id) = line.id.as_deref() else {
                return Ok(());
            };
            if line.function != asking.function || line.start != asking.start {
                return Ok(());
            }
            let is_found = found.contains(&id);
            let peer = line.peer;
            let stays = line.ended.is_none() && !line.leaving && !line.closed_by_others;
            if stays && !line.closes_itself && !is_found && line.carried.has_had(tag, sent) {
                return Err(format!(
                    "`{tag}` does not find {id} of peer {peer}, which is open"
                ));
            }
            if is_found && !line.carried.tags_ever.iter().any(|other| other == tag) {
                return Err(format!(
                    "`{tag}` finds {id} of peer {peer}, which never had it"
                ));
            }
            if is_found && line.carried.has_lost(tag, sent) {
                return Err(format!(
                    "`{tag}` finds {id} of peer {peer}, which has others by now"
                ));
            }
            if is_found && line.carried.ended.is_some_and(|ended| ended < sent) {
                return Err(format!(
                    "`{tag}` finds {id} of peer {peer}, which has ended"
                ));
            }
            Ok(())
        };
        judge(asking)?;
        // The asking connection is already borrowed.
        let others = self.lines.iter().filter_map(|line| line.try_borrow().ok());
        others.into_iter().try_for_each(|line| judge(&line))
    }

    /// A handle of an open connection works, and that of an ended one does not.
    fn used(&self, asking: &Line, result: &str, sent: Instant) -> Result<(), String> {
        for used in result.split(' ') {
            let Some((id, how)) = used.split_once('=') else {
                continue;
            };
            let mut lines = self.lines.iter().filter_map(|line| line.try_borrow().ok());
            let Some(line) = lines.find(|line| line.id.as_deref() == Some(id)) else {
                continue;
            };
            let stays = line.ended.is_none() && !line.leaving && !line.closed_by_others;
            if how == "open" && line.carried.ended.is_some_and(|ended| ended < sent) {
                return Err(format!(
                    "a handle of peer {}, which has ended, is open",
                    line.peer
                ));
            }
            let same = line.start == asking.start && !line.closes_itself;
            if how != "open" && stays && same {
                return Err(format!(
                    "a handle of peer {}, which is open, is gone",
                    line.peer
                ));
            }
        }
        Ok(())
    }

    /// A peer sends a message that an automatic response may answer.
    pub fn say_auto(&mut self, line: &Rc<RefCell<Line>>, text: &str) {
        let mut line = line.borrow_mut();
        line.note(self.began, &format!("> {text}"));
        line.carried.send_auto(text);
    }
}
