//! The commands of `keeper` and `keeper-async`. Each is answered with one text:
//! the result, `ok`, or the code of an error. A message has one command, or
//! several separated by semicolons.
//!
//! - `id`, `instance`: the connection's id, and a random one of the instance.
//! - `tags`, `tag WORD...`, `by-tag WORD`, `all N [AFTER]`: ids and tags are
//!   joined by spaces; `all` is one page.
//! - `alarm NAME MS`, `clear NAME`: alarms of the connection, which then gets
//!   `alarm NAME ATTEMPT`. `key-alarm NAME MS [durable]`, `key-clear NAME`:
//!   alarms of the affinity value, which publish `key-alarm NAME ATTEMPT` to
//!   the channel `alarms`, to which every connection is subscribed. An alarm
//!   named `trap` always traps, one named `trap-twice` the first two times.
//! - `auto REQUEST REPLY [prefix]`, `autos N` (`request-1` and `reply-1`, and
//!   so on), `auto-count`.
//! - `save TEXT [EXPECTED]`: the version, or `conflict VERSION`. `load`:
//!   `VERSION TEXT`, or `none`. `forget`.
//! - `save-on-hibernate TEXT`: this instance's `hibernate` saves `hibernated N
//!   TEXT`, where N is one more than in the last such state.
//! - `attach TEXT`, `attachment`.
//! - `of ID COMMAND...`: runs the command for another connection, or answers
//!   `gone`.
//! - `wait MS`: makes the call take this long.
//! - `terminate`, `trap`: have no answer.
//!
//! The query `?tag=WORD` (several times) and `?attach=TEXT` set them in
//! `upgrade`.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::state::{self, SaveError};
use openline_sdk::{AutoResponse, Error, alarms, by_tag, connection, connections_page, publish};

pub(crate) struct Probe {
    /// Differs from the number of any other instance.
    instance: u64,
    saves_on_hibernate: RefCell<Option<String>>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            instance: RandomState::new().hash_one(()),
            saves_on_hibernate: RefCell::default(),
        }
    }
}

pub(crate) fn accept(request: &UpgradeRequest) -> Acceptance {
    let tags = request.query_pairs().filter(|(key, _)| key == "tag");
    Acceptance::new()
        .channel("alarms")
        .tags(tags.map(|(_, tag)| tag))
        .attachment(request.query("attach").unwrap_or_default().as_bytes())
}

pub(crate) fn ring(of: Option<&Connection>, alarm: &Alarm) {
    let Alarm { name, attempt } = alarm;
    let fails = match name.as_str() {
        "trap" => true,
        "trap-twice" => *attempt < 3,
        _ => false,
    };
    assert!(!fails, "this is the trap that was asked for");
    match of {
        Some(here) => _ = here.send(format!("alarm {name} {attempt}")),
        None => _ = publish("alarms", format!("key-alarm {name} {attempt}")),
    }
}

impl Probe {
    pub(crate) fn obey(&self, here: &Connection, text: &str) {
        for command in text.split(';') {
            self.obey_one(here, command);
        }
    }

    fn obey_one(&self, here: &Connection, text: &str) {
        let mut words = text.split(' ');
        let command = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        match command {
            "trap" => panic!("this is the trap that was asked for"),
            "terminate" => here.terminate(),
            _ => _ = here.send(self.answer(here, command, &words)),
        }
    }

    fn answer(&self, here: &Connection, command: &str, words: &[&str]) -> String {
        match (command, words) {
            ("id", []) => here.id(),
            ("instance", []) => format!("{:016x}", self.instance),
            ("save-on-hibernate", words) => {
                *self.saves_on_hibernate.borrow_mut() = Some(words.join(" "));
                "ok".to_owned()
            }
            ("wait", [time]) => {
                std::thread::sleep(Duration::from_millis(number(time).unwrap_or(0)));
                "ok".to_owned()
            }
            ("attach", words) => said(here.set_attachment(words.join(" "))),
            ("of", [id, command, words @ ..]) => match connection(id) {
                Some(other) => self.answer(&other, command, words),
                None => "gone".to_owned(),
            },
            ("attachment", []) => String::from_utf8_lossy(&here.attachment()).into_owned(),
            _ => tags(here, command, words)
                .or_else(|| ring_later(here, command, words))
                .or_else(|| auto(here, command, words))
                .or_else(|| keep(command, words))
                .unwrap_or_else(|| "what?".to_owned()),
        }
    }

    pub(crate) fn hibernate(&self) {
        let Some(text) = self.saves_on_hibernate.take() else {
            return;
        };
        let times = |text: String| text.split(' ').nth(1)?.parse::<u64>().ok();
        let before = saved().and_then(|(_, text)| times(text)).unwrap_or(0);
        if let Err(error) = state::save(format!("hibernated {} {text}", before + 1)) {
            eprintln!("not saved: {error}");
        }
    }
}

fn tags(here: &Connection, command: &str, words: &[&str]) -> Option<String> {
    let ids = |connections: &mut dyn Iterator<Item = Connection>| {
        let ids: Vec<String> = connections.map(|connection| connection.id()).collect();
        ids.join(" ")
    };
    Some(match (command, words) {
        ("tags", []) => here.tags().join(" "),
        ("tag", words) => said(here.set_tags(words)),
        ("by-tag", [word]) => ids(&mut by_tag(word)),
        ("all", [limit, after @ ..]) => {
            let page = connections_page(after.first().copied(), number(limit)?);
            ids(&mut page.into_iter())
        }
        _ => return None,
    })
}

fn ring_later(here: &Connection, command: &str, words: &[&str]) -> Option<String> {
    let after = |text: &str| number(text).map(Duration::from_millis);
    Some(match (command, words) {
        ("alarm", [name, time]) => said(here.set_alarm(name, after(time)?)),
        ("clear", [name]) => {
            here.clear_alarm(name);
            "ok".to_owned()
        }
        ("key-alarm", [name, time]) => said(alarms::set(name, after(time)?)),
        ("key-alarm", [name, time, "durable"]) => said(alarms::set_durable(name, after(time)?)),
        ("key-clear", [name]) => {
            alarms::clear(name);
            "ok".to_owned()
        }
        _ => return None,
    })
}

fn auto(here: &Connection, command: &str, words: &[&str]) -> Option<String> {
    Some(match (command, words) {
        ("auto", [request, reply]) => {
            said(here.set_auto_responses(&[AutoResponse::exact(*request, *reply)]))
        }
        ("auto", [request, reply, "prefix"]) => {
            said(here.set_auto_responses(&[AutoResponse::prefix(*request, *reply)]))
        }
        ("autos", [count]) => {
            let pair =
                |pair| AutoResponse::exact(format!("request-{pair}"), format!("reply-{pair}"));
            let pairs: Vec<_> = (1..=number::<u32>(count)?).map(pair).collect();
            said(here.set_auto_responses(&pairs))
        }
        ("auto-count", []) => here.auto_responded().to_string(),
        _ => return None,
    })
}

fn keep(command: &str, words: &[&str]) -> Option<String> {
    let save = match (command, words) {
        ("save", [text]) => state::save(text),
        ("save", [text, expected]) => state::save_if(text, number(expected)?),
        ("load", []) => {
            let saved = saved().map(|(version, text)| format!("{version} {text}"));
            return Some(saved.unwrap_or_else(|| "none".to_owned()));
        }
        ("forget", []) => return Some(said(state::clear())),
        _ => return None,
    };
    Some(match save {
        Ok(version) => version.to_string(),
        Err(SaveError::Conflict(version)) => format!("conflict {version}"),
        Err(error) => error.code().to_owned(),
    })
}

/// The version and the text of the state. An error is shown as a text of
/// version 0.
fn saved() -> Option<(u64, String)> {
    match state::load() {
        Ok(saved) => saved.map(|saved| {
            let text = String::from_utf8_lossy(&saved.bytes).into_owned();
            (saved.version, text)
        }),
        Err(error) => Some((0, error.code().to_owned())),
    }
}

fn said(result: Result<(), Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |()| "ok".to_owned())
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}
