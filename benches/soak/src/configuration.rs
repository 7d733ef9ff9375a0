//! The host's configuration for a soak: every sample function and every
//! misbehaving one, with bounds tight enough to be met, and times short enough
//! to wait for.

use std::time::Duration;

use openline_kit::configuration::Configuration;
use openline_kit::programs::Programs;

/// How long the host waits for a request's head.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the host waits for a peer's answer to its close frame.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the host may take to end.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an instance without a connection is kept.
pub(crate) const INSTANCE_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection of `echo-brief` and `echo-abort` may live.
pub(crate) const BRIEF_TIME: Duration = Duration::from_secs(8);
/// The warning to the first of these, four seconds before: a host that shares
/// two cores with ten thousand peers may be late by one.
pub(crate) const TIME_WARNING: &str = "time is nearly up";
/// The largest message, in either direction, in bytes.
pub(crate) const MESSAGE_BYTES: usize = 1 << 20;
/// Messages a second that `echo-rated` and `echo-paused` take.
pub(crate) const MESSAGES_PER_SECOND: usize = 50;
/// TCP connections that are not upgraded. A run has a few dozen at a time.
pub(crate) const REQUESTS: u32 = 512;
/// Rooms of the counter; each has an instance of its own.
pub(crate) const COUNTER_ROOMS: u32 = 32;

/// Connections of one instance: the host's default.
const CONCURRENCY: u32 = 100;
/// Instances of a function that few connections have: a fault's instance is
/// there for a moment longer than the next one.
const INSTANCES_FEW: u32 = 16;

/// Waits are short, so that calls which never return do not pile up; computing
/// is ended soon, so that a few of these a second do not fill a core.
const HASTY: &str =
    "upgrade_timeout = \"2 s\"\nhandler_timeout = \"2 s\"\ncpu_timeout = \"25 ms\"\n";

/// A function of the host.
struct Function {
    name: &'static str,
    /// The component's file without `.wasm`.
    component: &'static str,
    /// The part of its route after `/NAME`.
    parameters: &'static str,
    instances: Instances,
    /// Lines of `[function.instance]`.
    instance: &'static str,
    /// Lines of `[function.limit]`.
    limit: &'static str,
}

enum Instances {
    /// Room for every connection of the host at once.
    ForAll,
    Few,
    OneForEachRoom,
}

const fn function(name: &'static str, component: &'static str, limit: &'static str) -> Function {
    Function {
        name,
        component,
        parameters: "",
        instances: Instances::Few,
        instance: "",
        limit,
    }
}

const fn for_all(name: &'static str) -> Function {
    Function {
        instances: Instances::ForAll,
        ..function(name, name, "")
    }
}

const FUNCTIONS: [Function; 24] = [
    for_all("echo"),
    for_all("echo-async"),
    Function {
        parameters: "/{room}",
        ..for_all("chat")
    },
    Function {
        parameters: "/{room}",
        instances: Instances::OneForEachRoom,
        instance: "affinity = \"room\"\n",
        ..function("counter", "counter", "")
    },
    // Ended by the host's timers.
    function(
        "echo-brief",
        "echo",
        "connection_time = \"8 s\"\ntime_warning = \"4 s\"\ntime_warning_message = \"time is nearly up\"\n",
    ),
    function(
        "echo-abort",
        "echo-async",
        "connection_time = \"8 s\"\ntime_up = \"abort\"\n",
    ),
    function(
        "echo-quiet",
        "echo",
        "idle_timeout = \"4 s\"\nping_interval = \"0\"\n",
    ),
    // Bounded in what their peers may send.
    function(
        "echo-rated",
        "echo",
        "messages_per_second = 50\nrate_exceeded = \"close\"\n",
    ),
    function(
        "echo-paused",
        "echo-async",
        "messages_per_second = 50\nrate_exceeded = \"pause\"\n",
    ),
    function("echo-metered", "echo", "fuel_per_event = 5000000\n"),
    function("fault-async", "fault-async", HASTY),
    function("fault-await-forever", "fault-await-forever", HASTY),
    function("fault-close", "fault-close", ""),
    function("fault-compute", "fault-compute", HASTY),
    function(
        "fault-compute-metered",
        "fault-compute",
        "cpu_timeout = \"25 ms\"\nfuel_per_event = 1000000\n",
    ),
    function("fault-flood", "fault-flood", HASTY),
    function(
        "fault-flood-newest",
        "fault-flood",
        "cpu_timeout = \"25 ms\"\noutbox_overflow = \"drop-newest\"\n",
    ),
    function(
        "fault-flood-oldest",
        "fault-flood",
        "cpu_timeout = \"25 ms\"\noutbox_overflow = \"drop-oldest\"\n",
    ),
    function("fault-hub", "fault-hub", ""),
    Function {
        instance: "memory_bytes = \"16 MiB\"\n",
        ..function("fault-memory", "fault-memory", HASTY)
    },
    function("fault-recurse", "fault-recurse", HASTY),
    function("fault-reject", "fault-reject", ""),
    function("fault-sleep", "fault-sleep", ""),
    function("fault-trap", "fault-trap", ""),
];

/// The names of all components.
pub(crate) fn components() -> Vec<&'static str> {
    let components = FUNCTIONS.iter().map(|function| function.component);
    components.collect()
}

/// For about `peers` connections at once. Answers the host's bound of connections,
/// too.
pub(crate) fn configuration(peers: u32, programs: &Programs) -> (Configuration, u32) {
    // A connection that the host ends is replaced at once and is counted until its
    // peer has answered.
    let connections = peers + peers / 10 + 100;
    let for_all = connections.div_ceil(CONCURRENCY) + INSTANCES_FEW;
    let instances = |function: &Function| match function.instances {
        Instances::ForAll => for_all,
        Instances::Few => INSTANCES_FEW,
        Instances::OneForEachRoom => COUNTER_ROOMS,
    };
    let all: u32 = FUNCTIONS.iter().map(instances).sum();
    let server = format!(
        "connections = {connections}\nrequests = {REQUESTS}\ninstances = {all}\n\
         request_timeout = \"{}\"\nclose_timeout = \"{}\"\ndrain_timeout = \"{}\"",
        seconds(REQUEST_TIMEOUT),
        seconds(CLOSE_TIMEOUT),
        seconds(DRAIN_TIMEOUT),
    );
    let host = Configuration::new(&server);
    let configuration = FUNCTIONS.iter().fold(host, |host, function| {
        let Function {
            name, parameters, ..
        } = function;
        let component = programs.function(function.component);
        let route = format!("/{name}{parameters}");
        host.function(
            name,
            &component,
            &route,
            &function.lines(instances(function)),
        )
    });
    (configuration, connections)
}

impl Function {
    /// Its lines in the configuration besides its name.
    fn lines(&self, instances: u32) -> String {
        let Self {
            instance, limit, ..
        } = self;
        let message_bytes = MESSAGE_BYTES;
        let outbox_bytes = 2 * MESSAGE_BYTES;
        let idle_timeout = seconds(INSTANCE_IDLE_TIMEOUT);
        // A function's own value replaces the one for all. Half a minute is
        // the host's default, and long in comparison with a round.
        let pings = match limit.contains("ping_interval") {
            true => "",
            false => "ping_interval = \"10 s\"\n",
        };
        // They fail on purpose: backed off, their peers would wait in vain.
        format!(
            "[function.instance]\ninstances = {instances}\nconcurrency = {CONCURRENCY}\n\
             idle_timeout = \"{idle_timeout}\"\nfaults_in_a_row = 0\n{instance}[function.limit]\n\
             message_bytes = \"{message_bytes} B\"\noutbox_bytes = \"{outbox_bytes} B\"\n{pings}{limit}"
        )
    }
}

/// As the configuration has times.
fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{BRIEF_TIME, FUNCTIONS, MESSAGES_PER_SECOND, TIME_WARNING, seconds};

    #[test]
    fn what_peers_count_on_is_what_the_host_is_told() {
        let limit_of = |name: &str| {
            let function = FUNCTIONS.iter().find(|function| function.name == name);
            function.map(|function| function.limit).unwrap()
        };
        let brief = limit_of("echo-brief");
        assert!(brief.contains(&format!("connection_time = \"{}\"", seconds(BRIEF_TIME))));
        assert!(brief.contains(&format!("time_warning_message = \"{TIME_WARNING}\"")));
        assert!(limit_of("echo-abort").contains(&seconds(BRIEF_TIME)));
        for name in ["echo-rated", "echo-paused"] {
            let rate = format!("messages_per_second = {MESSAGES_PER_SECOND}\n");
            assert!(limit_of(name).contains(&rate));
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FUNCTIONS.len());
    }
}
