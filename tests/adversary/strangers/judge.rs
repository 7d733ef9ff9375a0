//! Compares what a stranger is owed for its bytes with what it has received.

use super::rfc6455::{End, Owed, inflated, owed};
use super::run::Heard;
use super::{Ending, Stranger, request};

/// The meaning of the received bytes.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) statuses: Vec<u16>,
    pub(super) echoes: Vec<(u8, Vec<u8>)>,
    pub(super) pongs: Vec<Vec<u8>>,
    /// A close frame, and its code.
    pub(super) close: Option<Option<u16>>,
    /// A frame that no server may send.
    pub(super) wrong: Option<String>,
}

/// The answers that a stranger is owed for its bytes.
pub(super) struct Due {
    pub(super) statuses: Vec<u16>,
    /// `None` if there is no upgrade.
    pub(super) frames: Option<Owed>,
    /// An incomplete request.
    pub(super) is_cut: bool,
    /// After the last status there may be anything.
    pub(super) is_vague: bool,
}

pub(super) fn due(stranger: &Stranger, sent: &[u8], frames_at: usize) -> Due {
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
    let compresses = stranger.compresses();
    let frames = upgraded.then(|| owed(&sent[frames_at..], compresses));
    Due {
        statuses,
        frames,
        is_cut: false,
        is_vague,
    }
}

impl Due {
    /// Whether the host ends the stream by itself.
    pub(super) fn must_end(&self) -> bool {
        match &self.frames {
            Some(owed) => matches!(owed.end, End::Violation(_) | End::Closed(_)),
            None => self.is_cut,
        }
    }

    /// Whether the stranger ends it with a close frame, which it cannot do
    /// within a frame.
    pub(super) fn closes(&self, stranger: &Stranger) -> bool {
        let between = self.frames.as_ref().is_some_and(|owed| !owed.is_cut);
        stranger.ending == Ending::Close && between
    }

    /// Whether everything except the end has come.
    pub(super) fn is_paid(&self, parsed: &Parsed) -> bool {
        let frames = self.frames.as_ref().is_none_or(|owed| {
            let last = owed.pings.last();
            let ponged = last.is_none() || parsed.pongs.last() == last;
            parsed.echoes.len() >= owed.echoes.len() && ponged
        });
        parsed.statuses.len() >= self.statuses.len() && frames
    }

    /// Checks that the received bytes are those that were owed; returns a word
    /// for them.
    pub(super) fn judge(
        &self,
        parsed: &Parsed,
        heard: &Heard,
        stranger: &Stranger,
        is_slow: bool,
    ) -> Result<&'static str, String> {
        if let Some(wrong) = &parsed.wrong {
            return Err(wrong.clone());
        }
        // A stranger that has closed, or whose bytes were answered with a
        // reset, need not receive everything.
        let is_half = stranger.ending == Ending::Half;
        let is_deafened = heard.unwritten || stranger.deaf_ms > 0;
        let is_whole = self.statuses(parsed, is_half || is_deafened, is_slow)?;
        let Some(owed) = self.frames.as_ref().filter(|_| is_whole) else {
            return Ok("refused");
        };
        frames(parsed, owed)?;
        let few = parsed.echoes.len() < owed.echoes.len();
        if matches!(owed.end, End::Open(_)) && !is_half {
            return self.stays(parsed, heard, stranger, few);
        }
        let (end, close) = (&owed.end, parsed.close);
        match (end, close) {
            _ if is_half || is_deafened && (few || close.is_none()) => Ok("unheard"),
            (End::Violation(codes), Some(Some(code))) if codes.contains(&code) && !few => {
                Ok("violation")
            }
            // Messages right before the peer's close are not answered.
            (End::Closed(code), Some(answer)) if answer == *code => Ok("closed"),
            (End::Closed(None), Some(Some(1000))) => Ok("closed"),
            _ => Err(format!(
                "closed with {close:?}, owed is {end:?}, {}",
                told(parsed, owed)
            )),
        }
    }

    /// Whether all owed statuses have come; an error if they differ.
    fn statuses(&self, parsed: &Parsed, may_miss: bool, is_slow: bool) -> Result<bool, String> {
        let known = self.statuses.len().min(parsed.statuses.len());
        let (answers, extra) = parsed.statuses.split_at(known);
        let timed_out = is_slow && extra.iter().all(|status| *status == 408);
        let cut = self.is_cut && extra.iter().all(|status| [400, 408].contains(status));
        let is_whole = known == self.statuses.len();
        // A head that is too large is refused with or without a sentence,
        // depending on the reads.
        let is_due = |(answer, due): (&u16, &u16)| answer == due || (*answer, *due) == (400, 431);
        let right = answers.iter().zip(&self.statuses).all(is_due)
            && (is_whole || may_miss || is_slow)
            && (extra.is_empty() || self.is_vague || cut || timed_out);
        match right {
            true => Ok(is_whole),
            false => Err(format!(
                "statuses {:?}, not {:?}",
                parsed.statuses, self.statuses
            )),
        }
    }

    /// It need not have ended.
    fn stays(
        &self,
        parsed: &Parsed,
        heard: &Heard,
        stranger: &Stranger,
        few: bool,
    ) -> Result<&'static str, String> {
        let Some(Owed {
            end: End::Open(codes),
            ..
        }) = &self.frames
        else {
            return Ok("refused");
        };
        match parsed.close {
            Some(Some(code)) if codes.contains(&code) => Ok("violation, early"),
            Some(Some(1000)) if !few && self.closes(stranger) => Ok("open"),
            None if !few && !heard.ended && !self.closes(stranger) => Ok("silent"),
            close => Err(format!(
                "closed with {close:?} (ended: {}), {} echoes; allowed are {codes:?}",
                heard.ended,
                parsed.echoes.len(),
            )),
        }
    }
}

/// Echoes in order and no more than there are messages, pongs in the order of
/// pings.
fn frames(parsed: &Parsed, owed: &Owed) -> Result<(), String> {
    let mut echoes = parsed.echoes.iter().zip(&owed.echoes);
    if let Some((echo, expected)) = echoes.find(|(echo, expected)| echo != expected) {
        let text = format!("an echo is {echo:x?}, not {expected:x?}");
        return Err(text.chars().take(300).collect());
    }
    let mut pings = owed.pings.iter();
    if !parsed
        .pongs
        .iter()
        .all(|pong| pings.any(|ping| ping == pong))
    {
        let (pongs, pings) = (&parsed.pongs, &owed.pings);
        let text = format!("pongs that answer no ping, or not in order: {pongs:x?} to {pings:x?}");
        return Err(text.chars().take(900).collect());
    }
    match parsed.echoes.len() <= owed.echoes.len() {
        true => Ok(()),
        false => Err(told(parsed, owed)),
    }
}

fn told(parsed: &Parsed, owed: &Owed) -> String {
    format!(
        "{} echoes of {} messages",
        parsed.echoes.len(),
        owed.echoes.len()
    )
}

/// Responses up to a 101, and the frames after it.
pub(super) fn parse(bytes: &[u8], compresses: bool) -> Parsed {
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
            0xc1 | 0xc2 if compresses => match inflated(payload) {
                Ok(inflated) => parsed.echoes.push((first & !0x40, inflated)),
                Err(code) => parsed.wrong = Some(format!("a frame that is worth {code}")),
            },
            0x8a => parsed.pongs.push(payload.to_vec()),
            0x88 => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                parsed.close = Some(code);
            }
            // Pings of the host while a stranger is quiet.
            0x89 => {}
            _ => parsed.wrong = Some(format!("a frame that begins with {first:x}")),
        }
        rest = &rest[at + length..];
    }
    parsed
}
