//! Makes a plan from a seed.

use fastrand::Rng;

use super::plan::{Act, Component, Function, Leave, Peer, Plan, Server, Settings, Step, Timed};

/// How long peers go on arriving and operators go on working.
pub const LENGTH_MS: u64 = 6_000;

/// The events that may happen in a plan, in addition to what peers always do.
struct Wild {
    faults: Vec<&'static str>,
    /// Peers close, terminate and flood others.
    rude: bool,
    /// Faults are confined to rooms that begin with `d`.
    removable: bool,
}

pub fn plan(seed: u64) -> Plan {
    let mut rng = Rng::with_seed(seed);
    let server = Server {
        workers: pick(&mut rng, &[None, None, Some(1), Some(2), Some(4), Some(8)]),
        data: chance(&mut rng, 60),
        instances: pick(&mut rng, &[None, None, Some(2), Some(3), Some(5)]),
        versions: pick(&mut rng, &[None, None, Some(1), Some(2)]),
    };
    let count = if chance(&mut rng, 40) { 2 } else { 1 };
    let functions: Vec<_> = (0..count).map(|_| function(&mut rng)).collect();
    let faults: &[&[&'static str]] = &[
        &[],
        &["trap"],
        &["trap", "forever", "sleep 13000"],
        &["trap", "block 13000", "recurse 1", "allocate 400000"],
    ];
    let wild = Wild {
        faults: pick(&mut rng, faults).to_vec(),
        rude: chance(&mut rng, 50),
        removable: chance(&mut rng, 30),
    };
    let peers = peers(&mut rng, &functions, &wild);
    let operator = operator(&mut rng, &functions, &wild);
    Plan {
        seed,
        server,
        functions,
        peers,
        strangers: Vec::new(),
        operator,
        patient: false,
    }
}

pub(super) fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(0..100) < percent
}

pub(super) fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())].clone()
}

fn component(rng: &mut Rng, asynchronous: bool) -> Component {
    Component {
        asynchronous,
        version: pick(rng, &['a', 'b']),
    }
}

fn settings(rng: &mut Rng) -> Settings {
    Settings {
        instances: rng.u32(1..=4),
        concurrency: rng.u32(1..=3),
        idle_timeout_ms: pick(rng, &[0, 1, 20, 500]),
        backoff: pick(rng, &["wait", "wait", "refuse"]).into(),
        backoff_ms: 50,
        faults_in_a_row: rng.u32(0..=3),
        migration: migration(rng),
        responses: Vec::new(),
    }
}

fn migration(rng: &mut Rng) -> String {
    pick(rng, &["migrate", "migrate", "pin", "drain"]).into()
}

fn function(rng: &mut Rng) -> Function {
    let asynchronous = rng.bool();
    Function {
        component: component(rng, asynchronous),
        mixed: chance(rng, 33),
        affinity: chance(rng, 60),
        settings: settings(rng),
        outbox_overflow: pick(rng, &["close", "close", "drop-newest", "drop-oldest"]).into(),
        pings: rng.bool(),
        fuel: chance(rng, 15),
        connection_time: chance(rng, 15),
        away: false,
        memory_mib: None,
    }
}

fn peers(rng: &mut Rng, functions: &[Function], wild: &Wild) -> Vec<Peer> {
    let count = rng.usize(10..60);
    let mut peers = Vec::new();
    for number in 0..count {
        let removable = wild.removable && chance(rng, 20);
        let function = match removable {
            true => functions.len(),
            false => rng.usize(0..functions.len()),
        };
        let dirty = !wild.faults.is_empty() && chance(rng, 40);
        let room = format!("{}{}", if dirty { 'd' } else { 'c' }, rng.u32(0..3));
        let query = match rng.u32(0..100) {
            0..4 => "?reject=1".into(),
            4..9 => format!("?wait={}", pick(rng, &[5, 50, 300])),
            9..12 if dirty => "?trap=1".into(),
            _ => String::new(),
        };
        // Observers, which do nothing and receive everything.
        let steps = match number < functions.len() * 2 {
            true => Vec::new(),
            false => (0..rng.usize(1..40))
                .flat_map(|step| steps(rng, number * 100 + step, count, dirty, wild))
                .collect(),
        };
        let observes = steps.is_empty();
        peers.push(Peer {
            number,
            function: if observes {
                number % functions.len()
            } else {
                function
            },
            room: if observes { "c0".into() } else { room },
            query: if observes { String::new() } else { query },
            at_ms: if observes { 0 } else { rng.u64(0..LENGTH_MS) },
            steps,
            narrow: false,
            leave: match observes {
                true => Leave::Stay,
                false => pick(
                    rng,
                    &[
                        Leave::Close,
                        Leave::Close,
                        Leave::CloseBusy,
                        Leave::Reset,
                        Leave::Half,
                        Leave::Stay,
                    ],
                ),
            },
        });
    }
    peers
}

/// A peer's next steps; `unique` makes names that no other step has.
fn steps(rng: &mut Rng, unique: usize, peers: usize, dirty: bool, wild: &Wild) -> Vec<Step> {
    let other = rng.usize(0..peers);
    let ask = |text: String| vec![Step::Ask(text)];
    let channel = format!("channel{}", rng.u32(0..4));
    match rng.u32(0..100) {
        0..22 => {
            let times = pick(rng, &[1, 1, 3, 20, 60, 300]);
            let mut steps = vec![Step::Say(format!("echo e{}", rng.u32(0..10)), times)];
            if rng.bool() {
                steps.push(Step::Ask("echo z".into()));
            }
            steps
        }
        22..34 => ask("remember 1".into()),
        34..42 => ask("save".into()),
        42..45 => vec![Step::Ping, Step::Ask("echo q".into())],
        45..49 => ask(format!("subscribe {channel}")),
        49..55 => ask(format!("publish {channel} {unique}")),
        55..58 => ask(format!("broadcast {unique}")),
        58..63 => {
            let mut steps = ask(format!(
                "alarm a{unique} {}",
                pick(rng, &[0, 1, 5, 50, 300])
            ));
            if chance(rng, 30) {
                steps.push(Step::Ask(format!("clear a{unique}")));
            }
            steps
        }
        63..69 => key_alarm(rng, unique, dirty),
        69..73 => ask(format!("sleep {}", pick(rng, &[0, 1, 5, 50, 200]))),
        73..75 => ask(format!("block {}", pick(rng, &[1, 5, 50]))),
        75..77 => ask(format!("compute {}", pick(rng, &[1, 10, 30]))),
        77..80 => vec![Step::Wait(pick(rng, &[0, 1, 20, 100, 500, 1200]))],
        80..83 => vec![
            Step::Ask(format!("pause {} resume{unique}", pick(rng, &[1, 20, 200]))),
            Step::Say("echo p".into(), 5),
        ],
        83..85 => ask(format!("send {{{other}}} hello;hold {{{other}}};echo h")),
        85..89 if wild.rude => rude(rng, other),
        89..90 => vec![
            Step::Say("close".into(), 1),
            Step::Say("echo after".into(), 1),
        ],
        90..91 => vec![Step::Say("terminate".into(), 1)],
        91..94 if dirty => {
            let fault = pick(rng, &wild.faults);
            let before = pick(rng, &[0, 0, 3]);
            vec![
                Step::Say("echo b".into(), before),
                Step::Say(fault.to_owned(), 1),
            ]
        }
        94..96 => ask(format!("print {};save;sleep 1;echo x", pick(rng, &[1, 5]))),
        96..98 => {
            let bytes = pick(rng, &[100, 5_000, 60_000, 100_000]);
            let cuts = (0..rng.usize(0..4)).map(|_| rng.usize(1..bytes)).collect();
            vec![Step::Fragments(bytes, cuts)]
        }
        _ => ask("echo w".into()),
    }
}

/// Steps that may affect others, or that the host has to contain.
fn rude(rng: &mut Rng, other: usize) -> Vec<Step> {
    match rng.u32(0..8) {
        0 => vec![Step::Ask(format!("close-other {{{other}}}"))],
        1 => vec![Step::Ask(format!("terminate-other {{{other}}}"))],
        2 => vec![Step::AdminClose(other)],
        3 => vec![Step::AdminSend(other)],
        _ => {
            let flood = format!("flood {}", pick(rng, &[3, 30, 100]));
            let mut steps = vec![Step::Say(flood, 1)];
            if rng.bool() {
                steps.push(Step::Deaf(rng.u64(0..1000)));
            }
            steps.push(Step::Say("echo f".into(), 3));
            steps
        }
    }
}

fn key_alarm(rng: &mut Rng, unique: usize, dirty: bool) -> Vec<Step> {
    let kind = pick(rng, &["key-alarm", "key-durable"]);
    let name = match dirty && chance(rng, 20) {
        true => format!("{}{unique}", pick(rng, &["trap", "always"])),
        false => format!("k{unique}"),
    };
    let after = pick(rng, &[0, 5, 50, 300]);
    match rng.u32(0..10) {
        0..2 => vec![
            Step::Ask(format!("{kind} {name} {after}")),
            Step::Ask(format!("key-clear {name}")),
        ],
        // After a call that is longer than the alarm's time.
        2 => vec![
            Step::Say(format!("{kind} {name} 5"), 1),
            Step::Say("sleep 60".into(), 1),
            Step::Ask(format!("key-clear {name}")),
        ],
        _ => vec![Step::Ask(format!("{kind} {name} {after}"))],
    }
}

fn operator(rng: &mut Rng, functions: &[Function], wild: &Wild) -> Vec<Timed<Act>> {
    let words: &[&[&str]] = &[
        &[],
        &["deploy"],
        &["deploy", "reload"],
        &["deploy", "reload", "weights", "rollback"],
        &["reload"],
        &["terminate"],
        &["kill"],
        &[
            "deploy",
            "terminate",
            "kill",
            "reload",
            "weights",
            "rollback",
        ],
    ];
    let mut words = pick(rng, words).to_vec();
    if wild.removable {
        words.push("removable");
    }
    let mut acts = Vec::new();
    let mut at_ms = 0;
    while !words.is_empty() {
        at_ms += pick(rng, &[50, 300, 800, 1500]);
        if at_ms > LENGTH_MS {
            break;
        }
        let function = rng.usize(0..functions.len());
        let now = &functions[function];
        let asynchronous = match now.mixed {
            true => rng.bool(),
            false => now.component.asynchronous,
        };
        let component = component(rng, asynchronous);
        let what = match pick(rng, &words) {
            "deploy" => Act::Deploy {
                function,
                component,
                migration: Some(migration(rng)),
                pace: None,
                weight: pick(rng, &[None, None, Some(10), Some(50)]),
            },
            "reload" => Act::Reload {
                function,
                settings: settings(rng),
                component,
            },
            "weights" => Act::Weights(function, pick(rng, &[10, 50, 90])),
            "rollback" => Act::Rollback(function),
            "terminate" => Act::Terminate,
            "kill" => Act::Kill,
            _ if rng.bool() => Act::Remove,
            _ => Act::Add(component, migration(rng)),
        };
        acts.push(Timed { at_ms, what });
    }
    acts
}
