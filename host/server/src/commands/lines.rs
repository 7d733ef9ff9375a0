//! `openline publish --lines`: a publication a line, in batches.
//!
//! A thread reads lines until no whole one is there, a batch is full, or the
//! input ends; while a batch is on its way, the next one is read, and no more.
//! Bounded by [`LINES_MAX`], [`BATCH_BYTES`] and [`LINE_BYTES_MAX`].

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use anyhow::bail;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_hint::Hinted;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::client::Answer;
use super::publish::{Form, Options, Publication, told};
use super::publishers::{ErrorWords, Publishers, refused};
use super::remote::unasked;
use super::table::{cell, plain, plain_json};
use crate::hints::Refused;
use crate::telemetry::{print, tell};

/// The most publications that a host takes in one request.
const LINES_MAX: usize = 1_000;
/// A batch of as many bytes takes no further line, so that it fits into the body
/// that a host takes by default, whatever the escapes of JSON add.
const BATCH_BYTES: usize = 256 << 10;
/// The longest line: what a host takes by default as a message.
const LINE_BYTES_MAX: usize = 1 << 20;
/// How often a batch is sent again when the host asks to wait.
const TRIES_MAX: u32 = 60;
/// The longest of these waits.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Lines that are published together.
#[derive(Debug, Default)]
struct Batch {
    /// The lines without their ends, each with its number.
    lines: Vec<(u64, Vec<u8>)>,
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

#[derive(Debug, Serialize)]
struct Body<'a> {
    publications: Vec<Publication<'a>>,
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
        let sent = send(publishers, channel, with, form, &batch).await;
        let results = sent.map_err(|error| published.cut(error))?;
        published.take(publishers, &batch, &results)?;
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

/// Sends a batch: what became of each line.
async fn send(
    publishers: &Publishers,
    channel: &ChannelName,
    with: &Options,
    form: Form,
    batch: &Batch,
) -> anyhow::Result<Vec<Value>> {
    let publications = batch.lines.iter().map(|(number, line)| {
        let publication = with.publication(channel, Some(line), form);
        publication.map_err(|error| Hinted::about(format!("line {number}: {error}"), &error))
    });
    let publications = publications.collect::<Result<_, _>>()?;
    let body = serde_json::to_vec(&Body { publications })?;
    let ask = publishers.publication(body);
    let mut tries = 0;
    let answer = loop {
        let answer = publishers.answer(ask.clone()).await;
        let answer = answer.map_err(|error| unasked(&error))?;
        let Some(wait) = asked_to_wait(&answer).filter(|_| tries < TRIES_MAX) else {
            break answer;
        };
        if tries == 0 {
            tell("the host asks to wait");
        }
        tries += 1;
        tokio::time::sleep(wait).await;
    };
    if answer.status != 200 {
        return Err(refused(&answer, Scope::Publish).into());
    }
    let Results { results } = serde_json::from_slice(&answer.body)?;
    if results.len() != batch.lines.len() {
        bail!(Hinted::new(
            "the host does not say what became of each line",
            "is this an Openline host of the same version?"
        ));
    }
    Ok(results)
}

/// How long to wait before nothing that was asked is asked again.
fn asked_to_wait(answer: &Answer) -> Option<Duration> {
    let is_busy = [429, 503].contains(&answer.status);
    answer
        .retry_after
        .filter(|_| is_busy)
        .map(|wait| wait.min(WAIT_MAX))
}

impl Published {
    /// Counts and prints what became of a batch.
    fn take(
        &mut self,
        publishers: &Publishers,
        batch: &Batch,
        results: &[Value],
    ) -> anyhow::Result<()> {
        let mut wrong = None;
        let mut wrong_lines = 0;
        for ((number, _), result) in batch.lines.iter().zip(results) {
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
            told(result);
        }
        let Some((number, error)) = wrong else {
            return Ok(());
        };
        let explained = error.explained(Scope::Publish);
        let others = match wrong_lines - 1 {
            0 => String::new(),
            others => format!(" (and so for {others} more of the same batch)"),
        };
        let what = format!(
            "line {number}: {explained}{others}; {} lines were published",
            self.lines
        );
        Err(Refused(Hinted::about(what, &explained)).into())
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
