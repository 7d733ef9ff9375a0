//! `openline publish --lines`: a publication a line, in batches.
//!
//! A thread reads lines until no whole one is there, a batch is full, or the
//! input ends; while a batch is on its way, the next one is read, and no more. A
//! batch travels in one request, or in several if it is large as JSON. Bounded by
//! [`LINES_MAX`], [`BATCH_BYTES`], [`LINE_BYTES_MAX`] and [`BODY_BYTES_MAX`].

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::bail;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_hint::Hinted;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::client::{Answer, ClientError};
use super::publish::{Form, Options, tell_of};
use super::publishers::{ErrorWords, Publishers, refused};
use super::remote::unasked;
use super::table::{cell, plain, plain_json};
use crate::hints::Refused;
use crate::telemetry::{print, tell};

/// The most publications that a host takes in one request.
const LINES_MAX: usize = 1_000;
/// A batch of as many bytes takes no further line: two batches are in memory, and
/// larger ones would not be faster.
const BATCH_BYTES: usize = 256 << 10;
/// The longest line: a few lines must not fill the memory of this command. It is
/// also the longest message that a host takes by default.
const LINE_BYTES_MAX: usize = 1 << 20;
/// The largest body of a request: what a host takes by default (`body_bytes` in
/// `[server.api]`). The JSON of a line is up to six times as long as the line,
/// and has the tags and the other options beside it.
const BODY_BYTES_MAX: usize = 6 << 20;
/// What is around the publications in a body.
const AROUND: (&[u8], &[u8]) = (b"{\"publications\":[", b"]}");
/// How often a batch is sent again when the host asks to wait.
const TRIES_MAX: u32 = 60;
/// The longest of these waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A line without its end, after its number.
type Line = (u64, Vec<u8>);

/// Lines that are read together.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<Line>,
    bytes: usize,
}

/// Why there are no more lines.
#[derive(Debug, thiserror::Error)]
enum LinesError {
    #[error("cannot read the lines: {0}")]
    Read(#[from] io::Error),
    #[error("line {0} has more than {LINE_BYTES_MAX} bytes")]
    Long(u64),
}

#[derive(Debug, Deserialize)]
struct Results {
    results: Vec<Value>,
}

/// What was published so far.
#[derive(Debug, Default)]
struct Published {
    lines: u64,
    position: Option<String>,
}

/// Publishes the lines of an input.
pub(super) async fn publish(
    publishers: &Publishers,
    channel: &ChannelName,
    with: &Options,
    form: Form,
    input: Box<dyn Read + Send>,
) -> anyhow::Result<()> {
    let (sender, mut batches) = mpsc::channel(1);
    let reading =
        spawn_blocking(move || read(BufReader::with_capacity(BATCH_BYTES, input), &sender));
    let mut published = Published::default();
    while let Some(batch) = batches.recv().await {
        let mut lines = &batch.lines[..];
        while !lines.is_empty() {
            let sent = async {
                let (body, count) = body(channel, with, form, lines)?;
                Ok((send(publishers, body, count).await?, count))
            };
            let (results, count) = sent.await.map_err(|error| published.cut(error))?;
            let (sent, rest) = lines.split_at(count);
            published.take(publishers, sent, &results)?;
            lines = rest;
        }
    }
    reading.await?.map_err(|error| {
        let hint = match error {
            LinesError::Read(_) => "the system says why; what was published stays so",
            LinesError::Long(_) => "publish it by itself with `--file`, or cut it",
        };
        published.cut(Hinted::new(error.to_string(), hint).into())
    })?;
    if !publishers.json {
        let at = published
            .position
            .map_or_else(String::new, |it| format!(" at {it}"));
        let (lines, channel) = (published.lines, channel.as_str());
        print(&plain(&format!("published  {channel}{at}: {lines} lines")))?;
    }
    Ok(())
}

/// The body with as many of the lines as fit, and their number, which is not 0. A
/// line that cannot be published is an error after those before it.
fn body(
    channel: &ChannelName,
    with: &Options,
    form: Form,
    lines: &[Line],
) -> anyhow::Result<(Vec<u8>, usize)> {
    let (mut body, mut count) = (AROUND.0.to_vec(), 0);
    for (number, line) in lines {
        let comma = usize::from(count > 0);
        match encoded(channel, with, form, *number, line) {
            Ok(json) if body.len() + comma + json.len() + AROUND.1.len() <= BODY_BYTES_MAX => {
                body.extend_from_slice(&b","[..comma]);
                body.extend_from_slice(&json);
                count += 1;
            }
            _ if count > 0 => break,
            Ok(json) => bail!(Hinted::new(
                format!(
                    "line {number} has {} bytes as JSON, and a request {BODY_BYTES_MAX} at most",
                    json.len()
                ),
                "publish the lines with `--binary`, which needs no escapes, or this one by itself with `--file`",
            )),
            Err(error) => return Err(error),
        }
    }
    body.extend_from_slice(AROUND.1);
    Ok((body, count))
}

/// The JSON of a line.
fn encoded(
    channel: &ChannelName,
    with: &Options,
    form: Form,
    number: u64,
    line: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let publish = with.publication(channel, Some(line), form);
    let publish =
        publish.map_err(|error| Hinted::about(format!("line {number}: {error}"), &error))?;
    Ok(serde_json::to_vec(&publish)?)
}

/// Sends so many lines: what became of each.
async fn send(publishers: &Publishers, body: Vec<u8>, count: usize) -> anyhow::Result<Vec<Value>> {
    let ask = publishers.publication(body);
    let answer = patiently(|| publishers.answer(ask.clone())).await;
    let answer = answer.map_err(|error| unasked(&error))?;
    if answer.status != 200 {
        return Err(refused(&answer, Scope::Publish).into());
    }
    let Results { results } = serde_json::from_slice(&answer.body)?;
    if results.len() != count {
        bail!(Hinted::new(
            "the host does not say what became of each line",
            "is this an Openline host of the same version?"
        ));
    }
    Ok(results)
}

/// Asks again and again while the host asks for it.
async fn patiently<A: Future<Output = Result<Answer, ClientError>>>(
    mut ask: impl FnMut() -> A,
) -> Result<Answer, ClientError> {
    let mut tries = 0;
    loop {
        let answer = ask().await?;
        let Some(wait) = asked_to_wait(&answer).filter(|_| tries < TRIES_MAX) else {
            return Ok(answer);
        };
        if tries == 0 {
            tell("the host asks to wait");
        }
        tries += 1;
        sleep(wait).await;
    }
}

/// How long to wait before asking again, if the host asks for that. It has then
/// done nothing of the request.
fn asked_to_wait(answer: &Answer) -> Option<Duration> {
    let is_busy = [429, 503].contains(&answer.status);
    answer
        .retry_after
        .filter(|_| is_busy)
        .map(|wait| wait.min(WAIT_MAX))
}

impl Published {
    /// Counts and prints what became of lines.
    fn take(
        &mut self,
        publishers: &Publishers,
        lines: &[Line],
        results: &[Value],
    ) -> anyhow::Result<()> {
        let mut wrong = None;
        let mut wrong_lines = 0;
        for ((number, _), result) in lines.iter().zip(results) {
            if publishers.json {
                print(&plain_json(&result.to_string()))?;
            }
            if result["error"].is_object() {
                wrong_lines += 1;
                let error = ErrorWords::deserialize(&result["error"])?;
                wrong.get_or_insert((*number, error));
                continue;
            }
            self.lines += 1;
            if result["position"].is_string() {
                self.position = Some(cell(&result["position"]));
            }
        }
        if let Some(result) = results.iter().find(|it| it["scope"] == "local") {
            tell_of(result);
        }
        let Some((number, error)) = wrong else {
            return Ok(());
        };
        let explained = error.explained(Scope::Publish);
        let others = match wrong_lines - 1 {
            0 => String::new(),
            others => format!(" (and so for {others} more of the same batch)"),
        };
        let what = format!("line {number}: {explained}{others}");
        Err(self.cut(Refused(Hinted::about(what, &explained)).into()))
    }

    /// An error that cuts the lines off, with the number of those before it.
    fn cut(&self, error: anyhow::Error) -> anyhow::Error {
        tell(&format!("{} lines were published", self.lines));
        error
    }
}

// === reading ===

/// Reads lines and passes batches on, until nobody takes them.
fn read(
    mut input: BufReader<Box<dyn Read + Send>>,
    batches: &mpsc::Sender<Batch>,
) -> Result<(), LinesError> {
    let mut number = 0;
    let mut batch = Batch::default();
    loop {
        let line = next(&mut input, number + 1);
        // What came before an error is published as well.
        let is_last = !matches!(line, Ok(Some(_)));
        let mut failed = Ok(());
        match line {
            Ok(Some(line)) => {
                number += 1;
                batch.push(number, line);
            }
            Ok(None) => {}
            Err(error) => failed = Err(error),
        }
        let is_due = is_last || batch.is_full() || !input.buffer().contains(&b'\n');
        if is_due && !batch.lines.is_empty() {
            let full = std::mem::take(&mut batch);
            if batches.blocking_send(full).is_err() {
                return Ok(());
            }
        }
        if is_last {
            return failed;
        }
    }
}

/// The next line without its end; none at the end of the input.
fn next(input: &mut impl BufRead, number: u64) -> Result<Option<Vec<u8>>, LinesError> {
    let mut line = Vec::new();
    let most = LINE_BYTES_MAX as u64 + 2;
    if input.take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    match line.len() > LINE_BYTES_MAX {
        true => Err(LinesError::Long(number)),
        false => Ok(Some(line)),
    }
}

impl Batch {
    fn push(&mut self, number: u64, line: Vec<u8>) {
        if !line.is_empty() {
            self.bytes += line.len();
            self.lines.push((number, line));
        }
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX || self.bytes >= BATCH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the lines of each batch, and the error at the end.
    fn batches(input: Vec<u8>) -> (Vec<Vec<u64>>, Result<(), LinesError>) {
        let (sender, mut received) = mpsc::channel(10_000);
        let input: Box<dyn Read + Send> = Box::new(io::Cursor::new(input));
        let read = read(BufReader::with_capacity(BATCH_BYTES, input), &sender);
        drop(sender);
        let mut all = Vec::new();
        while let Some(batch) = received.blocking_recv() {
            all.push(batch.lines.iter().map(|(number, _)| *number).collect());
        }
        (all, read)
    }

    #[test]
    fn a_batch_at_its_number_of_lines_and_past_it() {
        for (lines, expected) in [(LINES_MAX, vec![1_000]), (LINES_MAX + 1, vec![1_000, 1])] {
            let (all, read) = batches(b"a\n".repeat(lines));
            let lengths: Vec<_> = all.iter().map(Vec::len).collect();
            assert_eq!(lengths, expected);
            assert!(read.is_ok());
        }
    }

    #[test]
    fn a_batch_at_its_bytes_takes_no_further_line() {
        let line = [b"a".repeat(BATCH_BYTES / 4 - 1), b"\n".to_vec()].concat();
        let (all, _) = batches(line.repeat(8));
        assert!(all.iter().all(|batch| batch.len() <= 5), "{all:?}");
        assert_eq!(all.concat(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_line_at_its_bytes_and_past_them() {
        for end in ["", "\n", "\r\n"] {
            let line = |bytes: usize| [b"a".repeat(bytes), end.into()].concat();
            assert!(batches(line(LINE_BYTES_MAX)).1.is_ok(), "{end:?}");
            let (all, read) = batches([b"first\n".to_vec(), line(LINE_BYTES_MAX + 1)].concat());
            assert_eq!(all, [[1]], "{end:?}");
            assert!(matches!(read, Err(LinesError::Long(2))), "{end:?}");
        }
    }

    /// The bodies of these lines, each with its number of lines, up to an error.
    fn bodies(with: &Options, lines: &[Vec<u8>]) -> (Vec<(usize, Vec<u8>)>, Option<String>) {
        let channel = ChannelName::new("c").unwrap();
        let lines: Vec<Line> = (1..).zip(lines.iter().cloned()).collect();
        let (mut lines, mut all) = (&lines[..], Vec::new());
        while !lines.is_empty() {
            match body(&channel, with, Form::Found, lines) {
                Ok((body, count)) => {
                    assert!(body.len() <= BODY_BYTES_MAX, "{}", body.len());
                    all.push((count, body));
                    lines = &lines[count..];
                }
                Err(error) => return (all, Some(error.to_string())),
            }
        }
        (all, None)
    }

    #[test]
    fn a_body_at_its_bytes_and_past_them() {
        // Each control character is six letters of JSON.
        let escaped = |bytes: usize| {
            let rest = bytes - r#"{"publications":[{"channel":"c","text":""}]}"#.len();
            let text = [b"\x01".repeat(rest / 6), b"a".repeat(rest % 6)];
            text.concat()
        };
        let (all, error) = bodies(&Options::default(), &[escaped(BODY_BYTES_MAX)]);
        assert_eq!((all[0].1.len(), error), (BODY_BYTES_MAX, None));
        let lines = [b"1".to_vec(), escaped(BODY_BYTES_MAX + 1), b"3".to_vec()];
        let (all, error) = bodies(&Options::default(), &lines);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1, br#"{"publications":[{"channel":"c","data":1}]}"#);
        assert!(error.unwrap().starts_with("line 2 has 6291438 bytes"));
        // Two that fill one, to the comma between them.
        let half = BODY_BYTES_MAX / 2;
        let publication = r#"{"channel":"c","text":""}"#.len();
        let texts = |more: usize| {
            let rest = BODY_BYTES_MAX - half - 1 - AROUND.0.len() - AROUND.1.len();
            [half, rest + more].map(|bytes| b"a".repeat(bytes - publication))
        };
        for (more, expected) in [(0, vec![2]), (1, vec![1, 1])] {
            let (all, error) = bodies(&Options::default(), &texts(more));
            let counts: Vec<_> = all.iter().map(|(count, _)| *count).collect();
            assert_eq!((counts, error), (expected, None));
        }
    }

    #[test]
    fn tags_count_as_often_as_they_are_sent() {
        let tags = (0..32).map(|number| (number.to_string(), "v".repeat(256)));
        let with = Options::of_tags(tags.collect());
        let (all, error) = bodies(&with, &vec![b"1".to_vec(); LINES_MAX]);
        assert_eq!(error, None);
        assert_eq!(all.iter().map(|(count, _)| count).sum::<usize>(), LINES_MAX);
        assert_eq!(all.len(), 2);
        for (count, body) in all {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["publications"].as_array().unwrap().len(), count);
        }
    }

    fn answer(status: u16, retry_after_s: Option<u64>) -> Answer {
        Answer {
            status,
            retry_after: retry_after_s.map(Duration::from_secs),
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_wait_at_its_bound_and_past_it() {
        let wait = |status, retry_after_s| {
            asked_to_wait(&answer(status, retry_after_s)).map(|wait| wait.as_secs())
        };
        assert_eq!(
            (wait(429, Some(60)), wait(503, Some(61))),
            (Some(60), Some(60))
        );
        assert_eq!((wait(429, Some(0)), wait(429, None)), (Some(0), None));
        assert_eq!((wait(500, Some(1)), wait(200, Some(1))), (None, None));
    }

    #[tokio::test]
    async fn a_host_that_always_asks_to_wait_is_asked_a_number_of_times() {
        for (refusals, asked, status) in [(60, 61, 200), (61, 61, 429)] {
            let mut count = 0;
            let answered = patiently(|| {
                count += 1;
                let refused = count <= refusals;
                std::future::ready(Ok(match refused {
                    true => answer(429, Some(0)),
                    false => answer(200, None),
                }))
            });
            let answered = answered.await.unwrap();
            assert_eq!((count, answered.status), (asked, status));
        }
    }

    #[test]
    fn empty_lines_are_left_out_and_counted() {
        let (all, _) = batches(b"a\n\n\r\nb\nlast".to_vec());
        assert_eq!(all.concat(), [1, 4, 5]);
        assert!(batches(Vec::new()).0.is_empty());
    }

    /// The rest of a line may not come for long.
    #[test]
    fn whole_lines_do_not_wait_for_the_rest_of_another() {
        struct Slow(std::sync::mpsc::Receiver<&'static [u8]>);
        impl Read for Slow {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let piece = self.0.recv().unwrap_or_default();
                into[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let (pieces, slow) = std::sync::mpsc::sync_channel(1);
        let (sender, mut received) = mpsc::channel(1);
        let reading = std::thread::spawn(move || {
            let input: Box<dyn Read + Send> = Box::new(Slow(slow));
            read(BufReader::with_capacity(BATCH_BYTES, input), &sender)
        });
        pieces.send(b"a\nb\nhalf").unwrap();
        assert_eq!(received.blocking_recv().unwrap().lines.len(), 2);
        pieces.send(b" of it\n").unwrap();
        let batch = received.blocking_recv().unwrap();
        assert_eq!(batch.lines, [(3, b"half of it".to_vec())]);
        drop(pieces);
        reading.join().unwrap().unwrap();
    }
}
