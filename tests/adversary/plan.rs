//! A plan: a configuration and everything that happens under it, as data. A
//! seed makes a plan, a file holds it, and shrinking removes parts of it.
//!
//! The plan has all decisions. Times are from the beginning; the timing of a
//! busy machine is not repeated exactly.

use std::fmt::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use super::strangers::Stranger;

/// How long a call takes that `handler_timeout` must end: so much longer that
/// even on a busy machine it must not return.
pub const OVERLONG_MS: &str = "13000";
/// A back-off of at least this lasts longer than a plan.
pub const LONG_BACKOFF_MS: u64 = 60_000;

/// The versions of each handler.
pub const VERSIONS: [char; 2] = ['a', 'b'];

/// One of two versions of a handler, which differ in one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub asynchronous: bool,
    pub version: char,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub server: Server,
    pub functions: Vec<Function>,
    pub peers: Vec<Peer>,
    /// Peers that speak bytes.
    #[serde(default)]
    pub strangers: Vec<Stranger>,
    pub operator: Vec<Timed<Act>>,
    /// Whether the operator waits for each reload.
    #[serde(default)]
    pub patient: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Server {
    /// Worker threads of the host.
    pub workers: Option<u32>,
    /// Whether it has a data directory.
    pub data: bool,
    pub instances: Option<u32>,
    pub versions: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Function {
    pub component: Component,
    /// Whether deploys may change the kind of its handler.
    pub mixed: bool,
    pub affinity: bool,
    pub settings: Settings,
    pub outbox_overflow: String,
    pub pings: bool,
    pub fuel: bool,
    pub connection_time: bool,
    /// Whether it is out of the configuration now.
    #[serde(default)]
    pub away: bool,
    /// `memory_bytes`; `None` for the default.
    #[serde(default)]
    pub memory_mib: Option<u32>,
}

/// The settings that a reload changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub instances: u32,
    pub concurrency: u32,
    pub idle_timeout_ms: u64,
    pub backoff: String,
    #[serde(default = "usual_backoff")]
    pub backoff_ms: u64,
    pub faults_in_a_row: u32,
    pub migration: String,
    /// Its automatic responses.
    #[serde(default)]
    pub responses: Vec<Pair>,
}

/// A message with an automatic response, and the reply without the `Z ` with
/// which each begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub prefix: bool,
    pub request: String,
    pub reply: String,
}

fn usual_backoff() -> u64 {
    50
}

/// The life of one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Identifies it when others are taken out.
    pub number: usize,
    pub function: usize,
    pub room: String,
    /// The query of the handshake, with its `?`.
    pub query: String,
    pub at_ms: u64,
    pub steps: Vec<Step>,
    /// Whether its kernel buffer is small.
    #[serde(default)]
    pub narrow: bool,
    pub leave: Leave,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Sends a script and waits for its answer. `{7}` is the id of peer 7.
    Ask(String),
    /// Sends a script this many times, without waiting.
    Say(String, u32),
    /// Requests an echo of this many bytes, in frames that are cut at these
    /// places.
    Fragments(usize, Vec<usize>),
    /// Sends a message this many times that an automatic response may answer.
    /// It begins with `auto`.
    Auto(String, u32),
    Ping,
    Wait(u64),
    /// Reads nothing for this long.
    Deaf(u64),
    /// The operator sends to a peer, or closes its connection.
    AdminSend(usize),
    AdminClose(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leave {
    Close,
    /// With messages in flight.
    CloseBusy,
    Reset,
    Half,
    /// It stays until all others have finished.
    Stay,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timed<T> {
    pub at_ms: u64,
    pub what: T,
}

/// An operation of the operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    Deploy {
        function: usize,
        component: Component,
        /// `None` leaves it to the alias or the configuration.
        migration: Option<String>,
        weight: Option<u32>,
        /// The pace of a drain.
        #[serde(default)]
        pace: Option<u32>,
    },
    Rollback(usize),
    Weights(usize, u32),
    /// SIGHUP with other settings and another component.
    Reload {
        function: usize,
        settings: Settings,
        component: Component,
    },
    /// Leaves the configuration, and comes back after this many milliseconds.
    Away(usize, u64),
    /// SIGTERM, and start again.
    Terminate,
    /// kill -9, and start again.
    Kill,
    /// Stops the process for this many milliseconds, and continues it.
    Freeze(u64),
    /// Fills the disk, and frees it again.
    FillDisk,
    FreeDisk,
    /// The removable function.
    Remove,
    Add(Component, String),
}

/// The function that is removed and deployed again; no configuration has it.
pub const REMOVABLE: &str = "removable";

impl Plan {
    /// Reads a plan from a file, or says why it cannot be carried out.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let plan: Self = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        plan.check()?;
        Ok(plan)
    }

    /// Refuses what no seed makes: components that there are not, and acts on
    /// functions that there are not.
    fn check(&self) -> Result<(), String> {
        let acts = self.operator.iter().map(|timed| &timed.what);
        let later = acts.clone().filter_map(|act| match act {
            Act::Deploy { component, .. }
            | Act::Reload { component, .. }
            | Act::Add(component, _) => Some(*component),
            _ => None,
        });
        let first = self.functions.iter().map(|function| function.component);
        let mut versions = first.chain(later).map(|component| component.version);
        if let Some(version) = versions.find(|version| !VERSIONS.contains(version)) {
            return Err(format!("there is no version `{version}` of a component"));
        }
        let mut configured = acts.filter_map(|act| match act {
            Act::Reload { function, .. } | Act::Away(function, _) => Some(*function),
            _ => None,
        });
        let count = self.functions.len();
        match configured.find(|function| *function >= count) {
            Some(function) => Err(format!("an act is on function {function} of {count}")),
            None => Ok(()),
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap()
    }

    /// The name of a function by its number; past the configured ones is the
    /// removable one.
    pub fn function_name(&self, number: usize) -> String {
        match number < self.functions.len() {
            true => format!("f{number}"),
            false => REMOVABLE.into(),
        }
    }

    /// Whether the disk is full at some time.
    pub fn fills_disk(&self) -> bool {
        self.has(|act| matches!(act, Act::FillDisk))
    }

    pub fn has(&self, what: impl Fn(&Act) -> bool) -> bool {
        self.operator.iter().any(|timed| what(&timed.what))
    }

    /// Whether some migration drains connections.
    pub fn drains(&self) -> bool {
        let drains = |migration: &str| migration == "drain";
        let configured = |function: &Function| drains(&function.settings.migration);
        self.functions.iter().any(configured)
            || self.has(|act| match act {
                Act::Deploy { migration, .. } => migration.as_deref().is_some_and(drains),
                Act::Add(_, migration) => drains(migration),
                Act::Reload { settings, .. } => drains(&settings.migration),
                // A rollback uses the migration of the last deploy.
                Act::Rollback(_) => self.has(
                    |act| matches!(act, Act::Deploy { migration: Some(it), .. } if drains(it)),
                ),
                _ => false,
            })
    }

    /// Whether the steps of a peer contain a word.
    pub fn says(peer: &Peer, words: &[&str]) -> bool {
        peer.steps.iter().any(|step| match step {
            Step::Ask(script) | Step::Say(script, _) => {
                words.iter().any(|word| script.contains(word))
            }
            _ => false,
        })
    }

    pub fn operations(&self) -> u64 {
        let of = |step: &Step| match step {
            Step::Say(_, times) | Step::Auto(_, times) => u64::from(*times),
            _ => 1,
        };
        let peers = self.peers.iter();
        let peers = peers.map(|peer| 1 + peer.steps.iter().map(of).sum::<u64>());
        let strangers = self.strangers.iter().map(Stranger::operations);
        peers.chain(strangers).sum()
    }

    /// The configuration file, with the settings that are in force.
    pub fn toml(&self, components: impl Fn(Component) -> String) -> String {
        let mut text = String::from(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\npage = \"loopback\"\nrequest_timeout = \"3 s\"\nclose_timeout = \"1 s\"\ndrain_timeout = \"12 s\"\n",
        );
        if self.server.data {
            text += "data = \"data\"\n";
        }
        for (key, value) in [
            ("instances", self.server.instances),
            ("versions", self.server.versions),
        ] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        for (number, function) in self.functions.iter().enumerate() {
            if function.away {
                continue;
            }
            let name = self.function_name(number);
            let component = components(function.component);
            let _ = write!(text, "{}", function.toml(&name, &component));
        }
        text
    }
}

impl Pair {
    /// Reads the words of the guest's step `auto`.
    pub fn parse(words: &[&str]) -> Vec<Self> {
        let pairs = words.chunks_exact(3).map(|pair| Self {
            prefix: pair[0] == "prefix",
            request: pair[1].into(),
            reply: pair[2].into(),
        });
        pairs.collect()
    }

    pub fn matches(&self, text: &str) -> bool {
        match self.prefix {
            true => text.starts_with(&self.request),
            false => text == self.request,
        }
    }

    fn toml(&self) -> String {
        let Self { request, reply, .. } = self;
        let kind = if self.prefix { "prefix" } else { "exact" };
        format!(
            "[[function.auto_response]]\ntext = \"{request}\"\nreply = \"Z {reply}\"\nmatch = \"{kind}\"\n"
        )
    }
}

impl Peer {
    /// Whether its handshake asks for a trap.
    pub fn may_trap(&self) -> bool {
        ["trap", "doom"]
            .iter()
            .any(|word| self.query.contains(word))
    }
}

impl Function {
    fn toml(&self, name: &str, component: &str) -> String {
        let migration = &self.settings.migration;
        let mut text = format!(
            "\n[[function]]\nname = \"{name}\"\ncomponent = \"{component}\"\nroute = \"/{name}/{{room}}\"\nmigration = \"{migration}\"\n"
        );
        text += &self.settings.toml();
        if let Some(memory_mib) = self.memory_mib {
            let _ = writeln!(text, "memory_bytes = \"{memory_mib} MiB\"");
        }
        if self.affinity {
            text += "affinity = \"room\"\n";
        }
        let _ = write!(
            text,
            "[function.limit]\nhandler_timeout = \"2 s\"\nupgrade_timeout = \"4 s\"\ncpu_timeout = \"100 ms\"\nmessage_bytes = \"128 KiB\"\n\
             outbox_bytes = \"256 KiB\"\noutbox_overflow = \"{}\"\nlog_lines_per_second = 100000\nalarms = 200\n",
            self.outbox_overflow
        );
        if self.pings {
            text += "ping_interval = \"300 ms\"\npong_timeout = \"3 s\"\n";
        }
        if self.fuel {
            text += "fuel_per_event = 1000000000\n";
        }
        if self.connection_time {
            text += "connection_time = \"2500 ms\"\n";
        }
        for pair in &self.settings.responses {
            text += &pair.toml();
        }
        text
    }
}

impl Settings {
    /// The table of instances.
    fn toml(&self) -> String {
        format!(
            "[function.instance]\nconcurrency = {}\ninstances = {}\nidle_timeout = \"{} ms\"\nhibernate_timeout = \"5 s\"\n\
             faults_in_a_row = {}\nbackoff_time = \"{} ms\"\nbackoff_time_max = \"{} ms\"\nbackoff = \"{}\"\n",
            self.concurrency,
            self.instances,
            self.idle_timeout_ms,
            self.faults_in_a_row,
            self.backoff_ms,
            6 * self.backoff_ms,
            self.backoff
        )
    }
}

/// One line for a person.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server {
            workers,
            data,
            instances,
            versions,
        } = &self.server;
        write!(f, "data {data}")?;
        for (name, value) in [
            ("workers", workers),
            ("instances", instances),
            ("versions", versions),
        ] {
            if let Some(value) = value {
                write!(f, ", {name} {value}")?;
            }
        }
        write!(f, ", peers {}", self.peers.len())?;
        if !self.strangers.is_empty() {
            write!(f, ", strangers {}", self.strangers.len())?;
        }
        for Timed { at_ms, what } in &self.operator {
            let debug = format!("{what:?}");
            let word = debug.split([' ', '(']).next().unwrap_or_default();
            write!(f, ", {word} at {at_ms}")?;
        }
        for function in &self.functions {
            let Settings {
                instances,
                concurrency,
                idle_timeout_ms,
                backoff,
                backoff_ms,
                faults_in_a_row,
                migration,
                responses,
            } = &function.settings;
            let kind = match function.component.asynchronous {
                true => "async",
                false => "plain",
            };
            write!(
                f,
                "; {kind}{} {instances}x{concurrency}, idle {idle_timeout_ms} ms, back-off {backoff}/{faults_in_a_row} {backoff_ms} ms, {migration}, outbox {}",
                if function.affinity { " by room" } else { "" },
                function.outbox_overflow,
            )?;
            for (word, on) in [
                ("mixed", function.mixed),
                ("pings", function.pings),
                ("fuel", function.fuel),
                ("connection_time", function.connection_time),
                ("8 MiB of memory", function.memory_mib.is_some()),
                ("automatic responses", !responses.is_empty()),
            ] {
                if on {
                    write!(f, ", {word}")?;
                }
            }
        }
        Ok(())
    }
}
