//! Uses channels that remember as the message says, and answers with the result.
//! Words of a command are separated by spaces; those with `=` are options, and
//! the text after ` -- ` is the message.
//!
//! - `subscribe C [since=P] [last=N] [own=no] [info=I]`
//! - `publish C [id=I] [event=E] [key=K] [idem=K] [version=N] [epoch=E] [at=P]
//!   [value-at=P] [absent=yes] [sender=yes] [others=yes] [tag:N=V] -- TEXT`
//! - `remove C K`, `value C K`, `values C`, `history C [since=P] [limit=N]
//!   [back=yes]`, `presence C`, `counts C`

use openline_sdk::channel::{
    Channel, Expected, Outcome, Publication, PublishError, ReadError, Subscribe,
};
use openline_sdk::prelude::*;

#[derive(Default)]
struct Broker;

impl Handler for Broker {
    fn message(&mut self, here: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let (head, said) = text.split_once(" -- ").unwrap_or((text, ""));
        let mut words = head.split(' ');
        let command = words.next().unwrap_or_default();
        let channel = Channel::new(words.next().unwrap_or_default());
        let words = Words(words.collect());
        let answer = match command {
            "subscribe" => subscribe(here, channel, &words),
            "publish" => publish(here, channel, &words, said),
            "remove" => outcome(channel.remove(words.plain()).send()),
            "value" => read(channel.value(words.plain()), |value| {
                value.as_ref().map_or_else(|| "none".to_owned(), shown)
            }),
            "values" => read(channel.values(None, 1_000), |values| list(&values)),
            "history" => history(channel, &words),
            "presence" => read(channel.presence(None, 1_000), |members| {
                let members = members.iter().map(|member| {
                    let info = member.info.as_ref().and_then(Message::as_text);
                    format!("{}:{}", member.connection == here.id(), info.unwrap_or("-"))
                });
                members.collect::<Vec<_>>().join(" ")
            }),
            "counts" => read(channel.presence_counts(), |counts| {
                format!("{} {}", counts.connections, counts.users)
            }),
            _ => "what?".to_owned(),
        };
        here.send(answer);
    }
}

/// The words behind the channel.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn option(&self, name: &str) -> Option<&'a str> {
        let mut words = self.0.iter();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.option(name)?.parse().ok()
    }

    fn plain(&self) -> &'a str {
        let mut words = self.0.iter();
        words
            .find(|word| !word.contains('='))
            .copied()
            .unwrap_or_default()
    }
}

fn subscribe(here: &Connection, channel: Channel<'_>, words: &Words<'_>) -> String {
    let mut wish = Subscribe::new();
    if let Some(position) = words.option("since") {
        wish = wish.since(position);
    }
    if let Some(last) = words.number("last") {
        wish = wish.otherwise_last(u32::try_from(last).unwrap_or(u32::MAX));
    }
    if words.option("own").is_some() {
        wish = wish.skip_own();
    }
    if let Some(info) = words.option("info") {
        wish = wish.info(info);
    }
    match channel.subscribe(here, wish) {
        Ok(subscribed) => format!(
            "{} {} {}",
            subscribed.position.as_deref().unwrap_or("-"),
            match subscribed.recovered {
                None => "-",
                Some(true) => "recovered",
                Some(false) => "lost",
            },
            subscribed.sent
        ),
        Err(error) => error.code().to_owned(),
    }
}

fn publish(here: &Connection, channel: Channel<'_>, words: &Words<'_>, said: &str) -> String {
    let mut publish = channel.publish(said);
    if let Some(id) = words.option("id") {
        publish = publish.id(id);
    }
    if let Some(event) = words.option("event") {
        publish = publish.event(event);
    }
    if let Some(key) = words.option("key") {
        publish = publish.key(key);
    }
    if let Some(key) = words.option("idem") {
        publish = publish.idempotency_key(key);
    }
    if let Some(number) = words.number("version") {
        publish = publish.version_of(number, words.option("epoch").unwrap_or_default());
    }
    if let Some(at) = words.option("at") {
        publish = publish.expecting(Expected::Channel(at));
    }
    if let Some(at) = words.option("value-at") {
        publish = publish.expecting(Expected::Value(at));
    }
    if words.option("absent").is_some() {
        publish = publish.expecting(Expected::NoValue);
    }
    if words.option("sender").is_some() {
        publish = publish.sender(here);
    }
    if words.option("others").is_some() {
        publish = publish.except(here);
    }
    for word in &words.0 {
        if let Some((name, value)) = word.strip_prefix("tag:").and_then(|it| it.split_once('=')) {
            publish = publish.tag(name, value);
        }
    }
    outcome(publish.send())
}

fn outcome(sent: Result<Outcome, PublishError>) -> String {
    match sent {
        Ok(outcome) => {
            let position = outcome.position.as_deref().unwrap_or("-");
            match outcome.suppressed {
                None => format!("{position} {}", outcome.deliveries),
                Some(why) => format!("{position} {why:?}"),
            }
        }
        Err(PublishError::Conflict(present)) => {
            format!("conflict {}", present.as_deref().unwrap_or("-"))
        }
        Err(PublishError::Invalid(_)) => "invalid".to_owned(),
        Err(PublishError::Full(_)) => "full".to_owned(),
        Err(other) => format!("{other:?}").to_lowercase(),
    }
}

fn history(channel: Channel<'_>, words: &Words<'_>) -> String {
    let limit = words.number("limit").unwrap_or(1_000);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let since = words.option("since");
    let page = match words.option("back") {
        None => channel.history(since, limit),
        Some(_) => channel.history_back(since, limit),
    };
    read(page, |page| {
        let gap = if page.has_gap { " gap" } else { "" };
        let more = if page.has_more { " more" } else { "" };
        format!("{}{gap}{more}", list(&page.publications))
    })
}

fn list(publications: &[Publication]) -> String {
    publications.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// `key:text`, with what else it has.
fn shown(publication: &Publication) -> String {
    let mut shown = publication.message.as_text().unwrap_or("?").to_owned();
    let named = [
        ("key", publication.key.clone()),
        ("event", publication.event.clone()),
        ("id", publication.id.clone()),
        (
            "from",
            publication.sender.as_ref().map(|it| it.connection.clone()),
        ),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            shown += &format!(",{name}={value}");
        }
    }
    for (name, value) in &publication.tags {
        shown += &format!(",{name}:{value}");
    }
    shown
}

fn read<T>(read: Result<T, ReadError>, show: impl FnOnce(T) -> String) -> String {
    match read {
        Ok(value) => show(value),
        Err(ReadError::Invalid(_)) => "invalid".to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

openline_sdk::export!(Broker);
