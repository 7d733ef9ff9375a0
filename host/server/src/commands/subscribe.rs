//! `openline subscribe`: prints what is published on channels of a running host,
//! until it is told to stop.
//!
//! Each channel has an event stream of its own. One that breaks is opened again
//! and continues behind the last publication that came, so nothing is lost and
//! nothing comes twice as long as the channel keeps it; what is lost is told. If
//! more was missed than a stream may begin with, pages bring it first.
//!
//! A thread prints, so that a reader who is slow delays no signal. It takes the
//! publications from a queue of [`QUEUE`]; when that is full, nothing more is
//! read, and the host ends a stream that it cannot get rid of. Bounded by
//! [`CHANNELS_MAX`] streams, each with an event of `events` at most.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::error::ErrorKind;
use clap::{Args, Command};
use http::header::{HeaderName, HeaderValue};
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::client::{ClientError, Flow, Opened, encoded};
use super::events::{Event, Events};
use super::publication::{Publication, escaped};
use super::publishers::{EXIT_CODES, PublisherArguments, Publishers, channel, refused};
use super::remote::unasked;
use super::table::{plain, plain_value};
use crate::telemetry::{print, tell};

/// Channels of one command: each takes one of the host's `streams`.
const CHANNELS_MAX: usize = 64;
/// Publications that wait to be printed.
const QUEUE: usize = 4;
/// The event by which a host says that publications are lost.
const LOST: &str = "openline-lost";
/// Publications of a page at most.
const PAGE: usize = 1_000;
/// The wait before a stream is opened again, at first and at most; half of it or
/// more, so that the readers of a host that was restarted come one after the
/// other.
const WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// A stream that was open for as long does not count as a failure.
const STEADY: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  openline subscribe news
  openline subscribe room:1 room:2 --json | jq .data
  openline subscribe news --count 1
  openline subscribe news --since POSITION

Prints the data of each publication on a line: JSON as it was published, text with
control characters escaped, bytes in base64. With several channels, the channel and a
tab come first. Of a channel with keyed values, the key and a tab come before the data;
a key alone means that its value was removed. At the end, after Ctrl-C or as many as
--count says, it says how to continue.";

/// The words after `openline subscribe`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct SubscribeArguments {
    /// The channels, 64 at most
    #[arg(value_name = "CHANNEL", required = true, num_args = 1..=CHANNELS_MAX, value_parser = channel)]
    channels: Vec<ChannelName>,
    /// Begin with what came after this position of the channel [default: with what
    /// comes from now on]
    #[arg(long, value_name = "POSITION")]
    since: Option<String>,
    /// End after so many publications
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    publishers: PublisherArguments,
}

/// A publication on its way to standard output.
#[derive(Debug)]
struct Came {
    channel: ChannelName,
    position: Option<String>,
    /// The document, as the host has sent it.
    document: String,
}

/// The positions of what was printed.
type Printed = Arc<Mutex<BTreeMap<ChannelName, String>>>;

/// How publications are printed.
#[derive(Clone, Copy, Debug)]
struct Printing {
    json: bool,
    /// Whether each line says its channel.
    several: bool,
    count: Option<u64>,
}

/// One channel that is followed.
struct Followed {
    publishers: Arc<Publishers>,
    channel: ChannelName,
    /// Behind what came last.
    since: Option<String>,
    queue: mpsc::Sender<Came>,
    /// Streams in a row that have failed.
    failures: u32,
    was_open: bool,
    /// Whether pages have just brought what it missed.
    caught_up: bool,
}

pub(crate) async fn run(arguments: &SubscribeArguments) -> anyhow::Result<()> {
    let channels = &arguments.channels;
    if arguments.since.is_some() && channels.len() > 1 {
        let mut command = SubscribeArguments::augment_args(Command::new("openline subscribe"));
        let what = "a position is one of a channel, and there are several\n\nhint: subscribe to each channel with a position by itself";
        bail!(command.error(ErrorKind::ArgumentConflict, what));
    }
    let publishers = arguments
        .publishers
        .publishers(Scope::Subscribe, channels)?;
    // Before anything is printed: a signal that comes early counts.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let printing = Printing {
        json: publishers.json,
        several: channels.len() > 1,
        count: arguments.count,
    };
    let (queue, came) = mpsc::channel(QUEUE);
    let printed = Printed::default();
    let mut printer = spawn_blocking({
        let printed = Arc::clone(&printed);
        move || print_all(came, printing, &printed)
    });
    let mut following = JoinSet::new();
    let publishers = Arc::new(publishers);
    for channel in channels {
        let followed = Followed {
            publishers: Arc::clone(&publishers),
            channel: channel.clone(),
            since: arguments.since.clone(),
            queue: queue.clone(),
            failures: 0,
            was_open: false,
            caught_up: false,
        };
        following.spawn(followed.follow());
    }
    let working = async {
        tokio::select! {
            ended = &mut printer => ended?,
            Some(failed) = following.join_next() => {
                following.shutdown().await;
                // What has come is printed, all the same; before, the queue must
                // not end, or the printer would end first and without a reason.
                drop(queue);
                printer.await??;
                failed?
            }
        }
    };
    tokio::select! {
        // As many as were to be printed.
        ended = working => ended.and_then(|()| stopped(&printed)),
        _ = interrupt.recv() => stopped(&printed),
        _ = terminate.recv() => stopped(&printed),
    }
}

/// Tells how to continue.
fn stopped(printed: &Printed) -> anyhow::Result<()> {
    for (channel, position) in &*printed.lock() {
        let channel = channel.as_str();
        tell(&plain(&format!(
            "{channel}: continue with `--since {position}`"
        )));
    }
    Ok(())
}

// === printing ===

/// Prints until there is nothing more, or as many as are wanted.
fn print_all(
    mut came: mpsc::Receiver<Came>,
    printing: Printing,
    printed: &Printed,
) -> anyhow::Result<()> {
    let mut count = 0;
    while printing.count.is_none_or(|most| count < most) {
        let Some(came) = came.blocking_recv() else {
            break;
        };
        print(&line(&came, printing)?)?;
        count += 1;
        if let Some(position) = came.position {
            printed.lock().insert(came.channel, position);
        }
    }
    Ok(())
}

fn line(came: &Came, printing: Printing) -> anyhow::Result<String> {
    if printing.json {
        return Ok(plain_value(&came.document));
    }
    let publication: Publication<'_> = serde_json::from_str(&came.document)?;
    let mut parts = Vec::new();
    if printing.several {
        parts.push(plain(came.channel.as_str()));
    }
    parts.extend(publication.key.as_deref().map(escaped));
    if !publication.removed {
        parts.push(publication.shown());
    }
    Ok(parts.join("\t"))
}

// === following ===

impl Followed {
    /// Opens streams, one after the other; ends with the reason why no further one
    /// would be better, or without one when nothing more is printed.
    async fn follow(mut self) -> anyhow::Result<()> {
        loop {
            let begun = Instant::now();
            let (why, wait) = match self.open().await {
                Ok(Opened::Flow(flow)) => {
                    self.opened();
                    match self.read(flow).await {
                        Ok(End::Unread) => return Ok(()),
                        Ok(End::Behind) => {
                            // At once, unless pages brought nothing.
                            self.failures += 1;
                            if self.failures > 1 {
                                sleep(pause(self.failures)).await;
                            }
                            continue;
                        }
                        Ok(End::Stream) => ("the host has ended the stream".to_owned(), None),
                        Err(error) => (error.to_string(), None),
                    }
                }
                // A host that starts or has no room, as long as it was there.
                Ok(Opened::Other(answer)) if self.was_open && is_passing(answer.status) => (
                    format!("the host answers with {}", answer.status),
                    answer.retry_after,
                ),
                Ok(Opened::Other(answer)) => {
                    return Err(refused(&answer, Scope::Subscribe).into());
                }
                Err(error) if self.was_open && !is_lasting(&error) => (error.to_string(), None),
                Err(error) => return Err(unasked(&error)),
            };
            if begun.elapsed() >= STEADY {
                self.failures = 0;
            }
            if self.failures == 0 {
                let channel = self.channel.as_str();
                tell(&plain(&format!("{channel}: {why}; connecting again")));
            }
            self.failures += 1;
            let wait = wait.unwrap_or_default().min(WAIT.1);
            sleep(wait.max(pause(self.failures))).await;
        }
    }

    async fn open(&self) -> Result<Opened, ClientError> {
        let channel = encoded(self.channel.as_str());
        let path = format!("/v1/channels/{channel}/events");
        let header = self.since.as_ref().and_then(|since| {
            // What is no header is no position, and the host says so of the query.
            let value = HeaderValue::from_str(since).ok()?;
            Some((HeaderName::from_static("last-event-id"), value))
        });
        let query = match (&header, &self.since) {
            (None, Some(since)) => vec![("since", since.clone())],
            _ => Vec::new(),
        };
        let ask = self.publishers.request(&path, &query);
        self.publishers.client().open(ask, header).await
    }

    /// Tells of a stream that is open again.
    fn opened(&mut self) {
        let again = std::mem::replace(&mut self.was_open, true);
        // Nobody needs to know of a stream that follows its pages.
        if again && !std::mem::take(&mut self.caught_up) {
            let rest = match self.since {
                Some(_) => "",
                None => "; the channel keeps no history, so what was published meanwhile is lost",
            };
            tell(&plain(&format!(
                "{}: connected again{rest}",
                self.channel.as_str()
            )));
        }
    }

    /// Reads a stream to its end.
    async fn read(&mut self, mut flow: Flow) -> Result<End, ReadError> {
        let mut events = Events::default();
        while let Some(piece) = flow.next().await? {
            for Event { id, name, data } in events.take(&piece)? {
                if name == LOST && self.since.is_some() {
                    drop(flow);
                    return self.catch_up(id).await;
                }
                if let Some(document) = data.filter(|_| name != LOST)
                    && !self.came(id.clone(), document).await
                {
                    return Ok(End::Unread);
                }
                self.since = id.or(self.since.take());
            }
        }
        Ok(End::Stream)
    }

    /// Passes a publication on to be printed; whether it is.
    async fn came(&mut self, position: Option<String>, document: String) -> bool {
        let channel = self.channel.clone();
        let came = Came {
            channel,
            position,
            document,
        };
        self.failures = 0;
        self.queue.send(came).await.is_ok()
    }

    /// Reads what was missed, which a stream does not begin with, page by page. If
    /// some of it is not kept, it says so, and goes on from `top`, where the
    /// channel is.
    async fn catch_up(&mut self, top: Option<String>) -> Result<End, ReadError> {
        let path = format!("/v1/channels/{}/poll", encoded(self.channel.as_str()));
        while let Some(since) = self.since.clone() {
            let query = [
                ("since", since.clone()),
                ("wait", "0".to_owned()),
                ("limit", PAGE.to_string()),
            ];
            let answer = self
                .publishers
                .answer(self.publishers.request(&path, &query));
            let answer = answer.await?;
            if is_passing(answer.status) {
                return Err(ReadError::Busy(answer.status));
            }
            // A channel without history has no pages.
            let page = serde_json::from_slice(&answer.body).ok();
            let page: Option<Page<'_>> = page.filter(|page: &Page<'_>| page.recovered);
            let Some(page) = page else {
                let channel = self.channel.as_str();
                tell(&plain(&format!(
                    "{channel}: what came after {since} is not kept: some is lost"
                )));
                self.since = top;
                break;
            };
            if page.publications.is_empty() {
                break;
            }
            for document in page.publications {
                let publication: Publication<'_> = serde_json::from_str(document.get())?;
                let position = publication.position.map(Cow::into_owned);
                if !self.came(position.clone(), document.get().to_owned()).await {
                    return Ok(End::Unread);
                }
                self.since = position.or(self.since.take());
            }
        }
        self.caught_up = true;
        Ok(End::Behind)
    }
}

/// How a stream ends, if it does not break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The host has ended it.
    Stream,
    /// It had to begin with more than it may, which was read.
    Behind,
    /// Nothing more is printed.
    Unread,
}

/// A page of what was missed.
#[derive(Debug, Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    publications: Vec<&'a RawValue>,
    recovered: bool,
}

/// Why a stream breaks.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    TooLarge(#[from] super::events::TooLarge),
    /// A page is no JSON.
    #[error("the host sends what is no publication: {0}")]
    Page(#[from] serde_json::Error),
    /// The host has no time for a page.
    #[error("the host answers with {0}")]
    Busy(u16),
}

/// Whether an answer may be another one later.
fn is_passing(status: u16) -> bool {
    status == 429 || status >= 500
}

/// Whether an error will be the same later.
fn is_lasting(error: &ClientError) -> bool {
    matches!(error, ClientError::Tls(..) | ClientError::Token(_))
}

/// The wait after so many failures in a row, by chance.
fn pause(failures: u32) -> Duration {
    let (first, most) = WAIT;
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(most).mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound() {
        for (failures, most_ms) in [
            (1, 200),
            (2, 400),
            (3, 800),
            (6, 6_400),
            (7, 10_000),
            (100, 10_000),
            (u32::MAX, 10_000),
        ] {
            for _ in 0..100 {
                let wait = pause(failures).as_millis();
                assert!(
                    (most_ms / 2..=most_ms).contains(&wait),
                    "{failures}: {wait}"
                );
            }
        }
    }
}
