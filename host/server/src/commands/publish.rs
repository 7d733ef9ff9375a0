//! `openline publish`: publishes data on a channel of a running host, once or a
//! publication a line.
//!
//! Bounded by [`DATA_BYTES_MAX`]; `lines` bounds what `--lines` reads.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::slice;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use openline_core::key::Scope;
use openline_core::name::ChannelName;
use openline_hint::Hinted;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::lines;
use super::publishers::{EXIT_CODES, PublisherArguments, channel};
use super::table::{cell, plain};
use crate::causes;
use crate::telemetry::tell;

/// The largest data that is read: ten times the largest body that a host takes
/// by default.
const DATA_BYTES_MAX: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  openline publish news '{\"text\": \"hello\"}'
  openline publish room:1 hello --event greeting --tag language=en
  date | openline publish clock
  openline publish pictures --file cat.png --binary
  openline publish price:gold 2345.6 --version 17
  tail -f access.log | openline publish log --lines --text

Data that is JSON is published as JSON, other text as text without its last line end,
and what is no text as bytes.";

/// The words after `openline publish`.
#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}")
)]
pub(crate) struct PublishArguments {
    /// The channel
    #[arg(value_name = "CHANNEL", value_parser = channel)]
    channel: ChannelName,
    /// The data; `-`, or none, reads standard input
    #[arg(
        value_name = "DATA",
        conflicts_with = "file",
        allow_negative_numbers = true
    )]
    data: Option<String>,
    /// Publish what is in this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Publish each line of the input by itself, as soon as it is there; empty
    /// lines are left out
    #[arg(long, conflicts_with_all = ["data", "idempotency_key", "number", "expect", "value_key", "remove"])]
    lines: bool,
    /// Publish text, also if it is JSON
    #[arg(long, conflicts_with = "binary")]
    text: bool,
    /// Publish bytes as they are, also if they are text
    #[arg(long)]
    binary: bool,
    #[command(flatten)]
    with: Options,
    #[command(flatten)]
    publishers: PublisherArguments,
}

/// What a publication has beside its data.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Options {
    /// The name of its event
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// A tag, by which subscribers filter; may be repeated
    #[arg(long = "tag", visible_alias = "tags", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// The key of the value, on a channel with `keyed` values
    #[arg(long = "key-of-value", value_name = "KEY")]
    value_key: Option<String>,
    /// Remove the value of the key instead of setting it
    #[arg(long, requires = "value_key", conflicts_with_all = ["data", "file"])]
    remove: bool,
    /// A repetition with the same key within five minutes publishes nothing
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The version of the data: it is dropped if a later one was published
    #[arg(long = "version", value_name = "N")]
    number: Option<u64>,
    /// What versions count in; another epoch begins anew
    #[arg(long, value_name = "EPOCH", requires = "number")]
    version_epoch: Option<String>,
    /// Publish only if the channel, or the value of the key, is at this position
    #[arg(long, value_name = "POSITION")]
    expect: Option<String>,
    /// A connection that does not get it
    #[arg(long, value_name = "ID")]
    skip_connection: Option<String>,
    /// A user whose connections do not get it
    #[arg(long, value_name = "USER")]
    skip_user: Option<String>,
}

/// How data is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By what it is: JSON, text or bytes.
    Found,
    Text,
    Binary,
}

/// A request to publish, as the interface takes it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Publish<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tags: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    remove: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_connection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_user: Option<&'a str>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not of the form `NAME=VALUE`")),
    }
}

impl Options {
    #[cfg(test)]
    pub(super) fn of_tags(tags: Vec<(String, String)>) -> Self {
        Self {
            tags,
            ..Self::default()
        }
    }

    /// The publication of this data; none removes a value.
    pub(super) fn publication<'a>(
        &'a self,
        channel: &'a ChannelName,
        data: Option<&'a [u8]>,
        form: Form,
    ) -> Result<Publish<'a>, Hinted> {
        let tags = self.tags.iter();
        let publish = Publish {
            channel: channel.as_str(),
            event: self.event.as_deref(),
            tags: tags
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect(),
            idempotency_key: self.idempotency_key.as_deref(),
            version: self.number,
            version_epoch: self.version_epoch.as_deref(),
            expect: self.expect.as_deref(),
            key: self.value_key.as_deref(),
            remove: self.remove,
            skip_connection: self.skip_connection.as_deref(),
            skip_user: self.skip_user.as_deref(),
            ..Publish::default()
        };
        match data {
            Some(data) => publish.of(data, form),
            None => Ok(publish),
        }
    }
}

impl<'a> Publish<'a> {
    fn of(mut self, data: &'a [u8], form: Form) -> Result<Self, Hinted> {
        let text = std::str::from_utf8(data);
        match (form, text) {
            (Form::Binary, _) | (Form::Found, Err(_)) => self.base64 = Some(STANDARD.encode(data)),
            (Form::Text, Err(error)) => {
                return Err(Hinted::new(
                    format!("the data is no text: {error}"),
                    "publish it with `--binary`",
                ));
            }
            (Form::Found, Ok(text)) => match serde_json::from_str(text) {
                Ok(json) => self.data = Some(json),
                Err(_) => self.text = Some(without_line_end(text)),
            },
            (Form::Text, Ok(text)) => self.text = Some(without_line_end(text)),
        }
        Ok(self)
    }
}

/// Files and the output of programs end in a line end that is not meant.
fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

pub(crate) async fn run(arguments: &PublishArguments) -> anyhow::Result<()> {
    let channel = &arguments.channel;
    let publishers = arguments
        .publishers
        .publishers(Scope::Publish, slice::from_ref(channel))?;
    let form = match (arguments.text, arguments.binary) {
        (true, _) => Form::Text,
        (_, true) => Form::Binary,
        _ => Form::Found,
    };
    if arguments.lines {
        let input = input(arguments)?;
        return lines::publish(&publishers, channel, &arguments.with, form, input).await;
    }
    let data = match arguments.with.remove {
        true => None,
        false => Some(data(arguments)?),
    };
    let publication = arguments.with.publication(channel, data.as_deref(), form)?;
    let body = serde_json::to_vec(&publication)?;
    let answer = publishers
        .ask(publishers.publication(body), Scope::Publish)
        .await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    publishers.print(&answer, || words(&answer))?;
    tell_of(&answer);
    Ok(())
}

/// What became of a publication, for people.
fn words(answer: &Value) -> String {
    let what = match answer["suppressed"].as_str() {
        Some("repeated") => "repeated ",
        Some("stale") => "stale    ",
        _ => "published",
    };
    let position = match answer["position"].as_str() {
        Some(position) => format!(" at {position}"),
        None => String::new(),
    };
    plain(&format!(
        "{what}  {}{position}: delivered to {} here",
        cell(&answer["channel"]),
        cell(&answer["delivered"])
    ))
}

/// Tells what a person has to know about an answer beside its data.
pub(super) fn tell_of(answer: &Value) {
    if answer["scope"] == "local" {
        tell("only the subscribers of this node get it: other nodes could not be reached");
    }
    match answer["suppressed"].as_str() {
        Some("repeated") => tell("nothing is published: it was, with the same idempotency key"),
        Some("stale") => tell("nothing is published: there is a later version"),
        _ => {}
    }
}

// === input ===

fn input(arguments: &PublishArguments) -> anyhow::Result<Box<dyn Read + Send>> {
    let Some(path) = &arguments.file else {
        if io::stdin().is_terminal() {
            tell("reading from the terminal; Ctrl-D ends the input");
        }
        return Ok(Box::new(io::stdin()));
    };
    let opened = File::open(path);
    let file = opened.map_err(|error| {
        let hint = causes::of_reading(error.kind(), "name a file that is there");
        Hinted::new(format!("cannot read {}: {error}", path.display()), hint)
    })?;
    Ok(Box::new(file))
}

fn data(arguments: &PublishArguments) -> anyhow::Result<Vec<u8>> {
    match arguments.data.as_deref() {
        Some(data) if data != "-" => return Ok(data.as_bytes().to_vec()),
        _ => {}
    }
    let mut data = Vec::new();
    let read = input(arguments)?
        .take(DATA_BYTES_MAX + 1)
        .read_to_end(&mut data);
    let from = match &arguments.file {
        Some(path) => path.display().to_string(),
        None => "standard input".to_owned(),
    };
    read.map_err(|error| {
        let hint = causes::of_reading(error.kind(), "name a file that is there");
        Hinted::new(format!("cannot read {from}: {error}"), hint)
    })?;
    if data.len() as u64 > DATA_BYTES_MAX {
        bail!(Hinted::new(
            format!("{from} has more than {} MiB", DATA_BYTES_MAX >> 20),
            "publish a link to it, or its lines with `--lines`",
        ));
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(data: &[u8], form: Form) -> String {
        let options = Options {
            number: Some(3),
            ..Options::of_tags(vec![("a".into(), "b=c".into())])
        };
        let channel = ChannelName::new("c").unwrap();
        let publication = options.publication(&channel, Some(data), form);
        let written = serde_json::to_string(&publication.unwrap()).unwrap();
        let rest = written.strip_suffix(r#","tags":{"a":"b=c"},"version":3}"#);
        rest.unwrap_or_else(|| panic!("{written}"))
            .strip_prefix(r#"{"channel":"c","#)
            .unwrap()
            .to_owned()
    }

    #[test]
    fn data_is_taken_for_what_it_is_or_is_said_to_be() {
        for (data, form, expected) in [
            (
                &b"{\"a\": 1e999}\n"[..],
                Form::Found,
                r#""data":{"a": 1e999}"#,
            ),
            (b" 42 ", Form::Found, r#""data":42"#),
            (b"42\n", Form::Text, r#""text":"42""#),
            (b"hello\r\n", Form::Found, r#""text":"hello""#),
            (b"a\n\n", Form::Found, r#""text":"a\n""#),
            (b"", Form::Found, r#""text":"""#),
            (b"\xff\n", Form::Found, r#""base64":"/wo=""#),
            (b"42\n", Form::Binary, r#""base64":"NDIK""#),
        ] {
            assert_eq!(written(data, form), expected, "{data:?}");
        }
    }

    #[test]
    fn a_tag_has_a_name() {
        assert_eq!(tag("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(tag("a="), Ok(("a".into(), String::new())));
        for bad in ["", "a", "=b"] {
            assert!(tag(bad).is_err(), "{bad}");
        }
    }
}
