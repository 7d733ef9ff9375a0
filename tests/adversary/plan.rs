//! A plan: a configuration and all that happens under it, as data. A seed makes
//! one, a file holds one, shrinking takes parts away from one.
//!
//! All that decides is in the plan. Times are from the beginning; what a busy
//! machine does in between is not repeated exactly.

use std::fmt::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// How long a call takes that is to be ended by `handler_timeout`: so far past
/// it that a busy machine is no excuse for one that returns.
pub const OVERLONG_MS: &str = "13000";
/// A back-off from this on lasts longer than a plan.
pub const LONG_BACKOFF_MS: u64 = 60_000;

/// Two versions of a handler that differ in one letter.
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
    pub operator: Vec<Timed<Act>>,
    /// The operator waits for each reload.
    #[serde(default)]
    pub patient: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Server {
    /// Worker threads of the host.
    pub workers: Option<u32>,
    /// With a data directory.
    pub data: bool,
    pub instances: Option<u32>,
    pub versions: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Function {
    pub component: Component,
    /// Deploys may change the kind of its handler.
    pub mixed: bool,
    pub affinity: bool,
    pub settings: Settings,
    pub outbox_overflow: String,
    pub pings: bool,
    pub fuel: bool,
    pub connection_time: bool,
    /// It is not in the configuration now.
    #[serde(default)]
    pub away: bool,
}

/// What a reload changes.
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
}

fn usual_backoff() -> u64 {
    50
}

/// The life of one peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Stays when others are taken out.
    pub number: usize,
    pub function: usize,
    pub room: String,
    /// Of the handshake, with its `?`.
    pub query: String,
    pub at_ms: u64,
    pub steps: Vec<Step>,
    pub leave: Leave,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Sends a script and waits for its answer. `{7}` is the id of peer 7.
    Ask(String),
    /// Sends a script so often and waits for nothing.
    Say(String, u32),
    /// Asks for an echo of so many bytes, in frames that are cut there.
    Fragments(usize, Vec<usize>),
    Ping,
    Wait(u64),
    /// Reads nothing for so long.
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
    /// It stays until all have had their turn.
    Stay,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timed<T> {
    pub at_ms: u64,
    pub what: T,
}

/// What an operator does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    Deploy {
        function: usize,
        component: Component,
        /// None to leave it to what is said elsewhere.
        migration: Option<String>,
        weight: Option<u32>,
        /// How many connections are drained in a second.
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
    /// Leaves the configuration, and comes back after so many milliseconds.
    Away(usize, u64),
    /// SIGTERM, and start again.
    Terminate,
    /// kill -9, and start again.
    Kill,
    /// The removable function.
    Remove,
    Add(Component, String),
}

/// The function that is removed and deployed again; no configuration has it.
pub const REMOVABLE: &str = "removable";

impl Plan {
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
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
                // Back to a version with whatever migration it was deployed.
                Act::Rollback(_) => self.has(
                    |act| matches!(act, Act::Deploy { migration: Some(it), .. } if drains(it)),
                ),
                _ => false,
            })
    }

    /// Whether the steps of a peer have a word.
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
            Step::Say(_, times) => u64::from(*times),
            _ => 1,
        };
        let peers = self.peers.iter();
        peers
            .map(|peer| 1 + peer.steps.iter().map(of).sum::<u64>())
            .sum()
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

impl Function {
    fn toml(&self, name: &str, component: &str) -> String {
        let Settings {
            instances,
            concurrency,
            idle_timeout_ms,
            backoff,
            backoff_ms,
            faults_in_a_row,
            migration,
        } = &self.settings;
        let backoff_max_ms = 6 * backoff_ms;
        let mut text = format!(
            "\n[[function]]\nname = \"{name}\"\ncomponent = \"{component}\"\nroute = \"/{name}/{{room}}\"\nmigration = \"{migration}\"\n\
             [function.instance]\nconcurrency = {concurrency}\ninstances = {instances}\nidle_timeout = \"{idle_timeout_ms} ms\"\n\
             faults_in_a_row = {faults_in_a_row}\nbackoff_time = \"{backoff_ms} ms\"\nbackoff_time_max = \"{backoff_max_ms} ms\"\nbackoff = \"{backoff}\"\n"
        );
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
        text
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
            ] {
                if on {
                    write!(f, ", {word}")?;
                }
            }
        }
        Ok(())
    }
}
