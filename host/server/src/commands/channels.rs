//! `openline channels`, `openline presence`, `openline history`: what a running
//! host knows of channels.

use clap::Args;
use openline_core::channel::ChannelPattern;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::encoded;
use super::functions::each;
use super::publication::Publication;
use super::publishers::{EXIT_CODES, PublisherArguments, Publishers, channel};
use super::table::{cell, plain_value, table};
use crate::telemetry::{print, tell};

/// The most entries of one answer.
const PAGE: usize = 1000;

const CHANNELS_EXAMPLES: &str = "\
Examples:
  openline channels
  openline channels --pattern 'room:*'
  openline channels --limit 100000 --json";

const PRESENCE_EXAMPLES: &str = "\
Examples:
  openline presence room:1
  openline presence room:1 --json";

const HISTORY_EXAMPLES: &str = "\
Examples:
  openline history news
  openline history news --limit 10 --reverse
  openline history news --since POSITION --json

With --json, each publication is a line of JSON.";

/// The words after `openline channels`.
#[derive(Debug, Args)]
#[command(after_help = CHANNELS_EXAMPLES, after_long_help = format!("{CHANNELS_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct ChannelsArguments {
    /// Only channels whose names match, as in 'room:*' or 'inbox:{user}'
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pattern: Option<ChannelPattern>,
    /// The most channels to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    publishers: PublisherArguments,
}

/// The words after `openline presence`.
#[derive(Debug, Args)]
#[command(after_help = PRESENCE_EXAMPLES, after_long_help = format!("{PRESENCE_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct PresenceArguments {
    /// The channel, whose table has `presence = true`
    #[arg(value_name = "CHANNEL", value_parser = channel)]
    channel: ChannelName,
    /// The most subscribers to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    publishers: PublisherArguments,
}

/// The words after `openline history`.
#[derive(Debug, Args)]
#[command(after_help = HISTORY_EXAMPLES, after_long_help = format!("{HISTORY_EXAMPLES}\n\n{EXIT_CODES}"))]
pub(crate) struct HistoryArguments {
    /// The channel
    #[arg(value_name = "CHANNEL", value_parser = channel)]
    channel: ChannelName,
    /// Only what came after this position, or before it with --reverse
    #[arg(long, value_name = "POSITION")]
    since: Option<String>,
    /// The most publications to list
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// The newest first
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    publishers: PublisherArguments,
}

/// A page of a history.
#[derive(Debug, Deserialize)]
struct HistoryPage<'a> {
    #[serde(borrow)]
    publications: Vec<&'a RawValue>,
}

fn pattern(text: &str) -> Result<ChannelPattern, String> {
    ChannelPattern::new(text).map_err(|error| error.to_string())
}

pub(crate) async fn channels(arguments: &ChannelsArguments) -> anyhow::Result<()> {
    let publishers = arguments.publishers.publishers(Scope::Read, &[])?;
    let pattern = arguments.pattern.as_ref();
    let prefix = pattern.map_or("", |pattern| beginning(pattern.as_str()));
    let matches = |channel: &Value| {
        let name = channel["channel"].as_str().unwrap_or_default();
        pattern.is_none_or(|it| ChannelName::new(name).is_ok_and(|name| it.matches(&name)))
    };
    let mut query = Vec::new();
    if !prefix.is_empty() {
        query.push(("prefix", prefix.to_owned()));
    }
    let listing = Listing {
        publishers: &publishers,
        path: "/v1/channels",
        query: &query,
        list: "channels",
        limit: arguments.limit,
    };
    let (found, more, _) = listing.collect(matches).await?;
    let found = Value::from(found);
    publishers.print(&found, || {
        let row =
            |it: &Value| ["channel", "subscribers", "kept", "position"].map(|key| cell(&it[key]));
        table(
            ["CHANNEL", "SUBSCRIBERS", "KEPT", "POSITION"],
            each(&found).map(row).collect(),
        )
    })?;
    tell_of_more(more);
    Ok(())
}

pub(crate) async fn presence(arguments: &PresenceArguments) -> anyhow::Result<()> {
    let channel = &arguments.channel;
    let channels = std::slice::from_ref(channel);
    let publishers = arguments.publishers.publishers(Scope::Read, channels)?;
    let path = format!("/v1/channels/{}/presence", encoded(channel.as_str()));
    let listing = Listing {
        publishers: &publishers,
        path: &path,
        query: &[],
        list: "members",
        limit: arguments.limit,
    };
    let (members, more, first) = listing.collect(|_| true).await?;
    let (connections, users) = (&first["connections"], &first["users"]);
    let answer = json!({"connections": connections, "users": users, "members": members});
    publishers.print(&answer, || {
        let row =
            |it: &Value| ["connection", "user", "info", "channel_info"].map(|key| cell(&it[key]));
        let head = ["CONNECTION", "USER", "INFO", "CHANNEL INFO"];
        table(head, each(&answer["members"]).map(row).collect())
    })?;
    tell(&format!(
        "{} connections of {} users",
        cell(connections),
        cell(users)
    ));
    tell_of_more(more);
    Ok(())
}

pub(crate) async fn history(arguments: &HistoryArguments) -> anyhow::Result<()> {
    let channel = &arguments.channel;
    let channels = std::slice::from_ref(channel);
    let publishers = arguments.publishers.publishers(Scope::Read, channels)?;
    let path = format!("/v1/channels/{}/history", encoded(channel.as_str()));
    let mut since = arguments.since.clone();
    let mut left = arguments.limit;
    let mut rows = Vec::new();
    let more = loop {
        // One more shows whether there are more.
        let limit = left.saturating_add(1).min(PAGE);
        let mut query = vec![("limit", limit.to_string())];
        query.extend(since.clone().map(|since| ("since", since)));
        if arguments.reverse {
            query.push(("reverse", "true".to_owned()));
        }
        let body = publishers
            .ask(publishers.request(&path, &query), Scope::Read)
            .await?;
        let page: HistoryPage<'_> = serde_json::from_slice(&body)?;
        let more = page.publications.len() > left;
        let shown = &page.publications[..page.publications.len().min(left)];
        for document in shown {
            let publication: Publication<'_> = serde_json::from_str(document.get())?;
            since = publication.position.as_deref().map(str::to_owned);
            match publishers.json {
                true => print(&plain_value(document.get()))?,
                false => rows.push(row(&publication)),
            }
        }
        left -= shown.len();
        // A page may be cut off by its bytes.
        if more || page.publications.is_empty() || since.is_none() {
            break more;
        }
    };
    if !publishers.json {
        print(&table(["POSITION", "TIME", "KEY", "EVENT", "DATA"], rows))?;
    }
    if more {
        tell(match arguments.reverse {
            true => "there are older ones: raise `--limit` to see them",
            false => "there are newer ones: raise `--limit`, or see the newest with `--reverse`",
        });
    }
    Ok(())
}

fn row(publication: &Publication<'_>) -> [String; 5] {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| match text {
        Some(text) => text.to_string(),
        None => "-".to_owned(),
    };
    [
        text(&publication.position),
        text(&publication.time),
        text(&publication.key),
        text(&publication.event),
        match publication.removed {
            true => "(removed)".to_owned(),
            false => publication.shown(),
        },
    ]
}

// === lists ===

/// A list in pages.
struct Listing<'a> {
    publishers: &'a Publishers,
    path: &'a str,
    query: &'a [(&'a str, String)],
    /// The name of the list in each answer.
    list: &'static str,
    limit: usize,
}

impl Listing<'_> {
    /// Fetches the wanted number of entries that are wanted; with them, whether
    /// there are more, and the first answer without its entries.
    async fn collect(
        &self,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<(Vec<Value>, bool, Value)> {
        let (mut found, mut first, mut after) = (Vec::new(), None, None);
        loop {
            let mut query = self.query.to_vec();
            query.push(("limit", PAGE.to_string()));
            query.extend(after.take().map(|after| ("after", after)));
            let ask = self.publishers.request(self.path, &query);
            let body = self.publishers.ask(ask, Scope::Read).await?;
            let mut page: Value = serde_json::from_slice(&body)?;
            if let Value::Array(entries) = page[self.list].take() {
                found.extend(entries.into_iter().filter(&is_wanted));
            }
            let next = page["next"].as_str().map(str::to_owned);
            let first = first.get_or_insert(page);
            let more = found.len() > self.limit;
            if more || next.is_none() {
                found.truncate(self.limit);
                return Ok((found, more, first.take()));
            }
            after = next;
        }
    }
}

/// What all names that match a pattern begin with.
fn beginning(pattern: &str) -> &str {
    let end = pattern.find(['{', '*']).unwrap_or(pattern.len());
    &pattern[..end]
}

fn tell_of_more(more: bool) {
    if more {
        tell("there are more: raise `--limit` to see them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_as_their_pattern_does() {
        for (pattern, expected) in [
            ("room:*", "room:"),
            ("a:{b}:c", "a:"),
            ("*", ""),
            ("news", "news"),
        ] {
            assert_eq!(beginning(pattern), expected);
        }
    }
}
