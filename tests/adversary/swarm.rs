//! Swarm testing: each seed switches whole classes of operations on or off, so
//! that a few of them meet often instead of all of them rarely.
//!
//! It works on a plan of `generate`, with a random generator of its own, so
//! that additions here do not change the rest.

use fastrand::Rng;

use super::generate::LENGTH_MS;
use super::plan::{Act, Leave, Pair, Peer, Plan, Step, Timed};
use super::strangers;

/// A class of operations, of peers or of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Tags,
    Responses,
    Attachments,
    Room,
    Held,
    /// Floods of host calls and of lines.
    Floods,
    /// Answers to handshakes at and past their limits.
    Answers,
    /// Memory, stack, and handlers other than `message` that trap.
    Faults,
    Strangers,
    Disk,
    Freeze,
}

const CLASSES: [Class; 11] = [
    Class::Tags,
    Class::Responses,
    Class::Attachments,
    Class::Room,
    Class::Held,
    Class::Floods,
    Class::Answers,
    Class::Faults,
    Class::Strangers,
    Class::Disk,
    Class::Freeze,
];

/// The most peers that are added.
const PEERS_MAX: usize = 25;

/// Adds operations of some classes to a plan.
pub fn widen(mut plan: Plan) -> Plan {
    let mut rng = Rng::with_seed(plan.seed ^ 0x5357_4152_4d00);
    let share = pick(&mut rng, &[15, 30, 60]);
    let on: Vec<_> = CLASSES
        .into_iter()
        .filter(|_| rng.u32(0..100) < share)
        .collect();
    let has = |class| on.contains(&class);
    // With fewer others, there is more room for the classes that are on.
    if !on.is_empty() && rng.bool() {
        let kept = plan.functions.len() * 2 + rng.usize(0..5);
        plan.peers.truncate(kept.min(plan.peers.len()));
    }
    if has(Class::Responses) {
        responses(&mut rng, &mut plan);
    }
    if has(Class::Faults) && rng.bool() {
        let function = rng.usize(0..plan.functions.len());
        plan.functions[function].memory_mib = Some(8);
    }
    let of_peers: Vec<_> = on
        .iter()
        .copied()
        .filter(|class| is_of_peers(*class))
        .collect();
    if !of_peers.is_empty() {
        let first = plan
            .peers
            .iter()
            .map(|peer| peer.number + 1)
            .max()
            .unwrap_or(0);
        for number in first..first + rng.usize(4..PEERS_MAX) {
            let peer = peer(&mut rng, number, &plan, &of_peers);
            plan.peers.push(peer);
        }
    }
    if has(Class::Strangers) {
        plan.strangers = strangers::generate::strangers(&mut rng, plan.functions.len());
    }
    if has(Class::Disk) && plan.server.data {
        disk(&mut rng, &mut plan);
    }
    if has(Class::Freeze) {
        for _ in 0..rng.usize(1..4) {
            let freeze = Act::Freeze(pick(&mut rng, &[20, 300, 1000]));
            act(&mut rng, &mut plan, freeze);
        }
    }
    plan.operator.sort_by_key(|timed| timed.at_ms);
    plan
}

fn is_of_peers(class: Class) -> bool {
    !matches!(class, Class::Strangers | Class::Disk | Class::Freeze)
}

fn act(rng: &mut Rng, plan: &mut Plan, what: Act) {
    let at_ms = rng.u64(100..LENGTH_MS);
    plan.operator.push(Timed { at_ms, what });
}

/// The disk is full for a while, once or twice.
fn disk(rng: &mut Rng, plan: &mut Plan) {
    for _ in 0..rng.usize(1..3) {
        let at_ms = rng.u64(500..LENGTH_MS - 1500);
        let full_ms = pick(rng, &[50, 500, 1200]);
        plan.operator.push(Timed {
            at_ms,
            what: Act::FillDisk,
        });
        let at_ms = at_ms + full_ms;
        plan.operator.push(Timed {
            at_ms,
            what: Act::FreeDisk,
        });
    }
}

/// Automatic responses in the configuration, and others at each reload.
fn responses(rng: &mut Rng, plan: &mut Plan) {
    for function in &mut plan.functions {
        function.settings.responses = some_pairs(rng);
    }
    for timed in &mut plan.operator {
        if let Act::Reload { settings, .. } = &mut timed.what {
            settings.responses = some_pairs(rng);
        }
    }
}

/// Pairs of which some overlap: the first that matches answers.
fn some_pairs(rng: &mut Rng) -> Vec<Pair> {
    let pair = |rng: &mut Rng| Pair {
        prefix: rng.bool(),
        request: pick(rng, &["auto", "auto-a", "auto-b", "auto-bb"]).into(),
        reply: format!("reply{}", rng.u32(0..3)),
    };
    (0..rng.usize(0..4)).map(|_| pair(rng)).collect()
}

fn peer(rng: &mut Rng, number: usize, plan: &Plan, classes: &[Class]) -> Peer {
    let dirty = classes.contains(&Class::Faults) && rng.u32(0..3) == 0;
    let steps = (0..rng.usize(1..25)).flat_map(|_| {
        let class = pick(rng, classes);
        steps(rng, class, plan, dirty)
    });
    let steps: Vec<_> = steps.collect();
    let answers = classes.contains(&Class::Answers) && rng.u32(0..3) == 0;
    let query = match rng.u32(0..10) {
        _ if answers => format!("?answer={}", pick(rng, &ANSWERS)),
        0..3 if classes.contains(&Class::Tags) => format!("?tag={}", tag(rng)),
        3..6 if dirty => format!("?doom={}", pick(rng, &["open", "close"])),
        _ => String::new(),
    };
    Peer {
        number,
        function: rng.usize(0..plan.functions.len()),
        room: format!("{}{}", if dirty { 'd' } else { 'c' }, rng.u32(0..3)),
        query,
        at_ms: rng.u64(0..LENGTH_MS),
        steps,
        narrow: classes.contains(&Class::Room) && rng.bool(),
        leave: pick(
            rng,
            &[
                Leave::Close,
                Leave::CloseBusy,
                Leave::Reset,
                Leave::Half,
                Leave::Stay,
            ],
        ),
    }
}

/// The last is allowed, the others are not.
const ANSWERS: [&str; 11] = [
    "attachment",
    "tags",
    "long-tag",
    "no-tag",
    "channels",
    "no-channel",
    "subprotocol",
    "header",
    "line-break",
    "headers",
    "most",
];

fn tag(rng: &mut Rng) -> String {
    format!("tag{}", rng.u32(0..3))
}

fn steps(rng: &mut Rng, class: Class, plan: &Plan, dirty: bool) -> Vec<Step> {
    let one = |text: String| vec![Step::Ask(text)];
    match class {
        Class::Tags => one(match rng.u32(0..8) {
            0..4 => format!("tagged {} {}", tag(rng), pick(rng, &[1, 2, 64, 2000])),
            4 => format!(
                "tags{}",
                (0..10 + rng.u32(0..3))
                    .map(|at| format!(" many{at}"))
                    .collect::<String>()
            ),
            5 => "tags tag0  tag1".into(),
            _ => format!("tags {} {}", tag(rng), tag(rng)),
        }),
        Class::Responses => responders(rng),
        Class::Attachments => one(match rng.u32(0..3) {
            0 => format!(
                "attach {}",
                pick(rng, &[0, 9, 100, 16_384, 16_385, 100_000])
            ),
            1 => "attach 5000;sleep 1;attached".into(),
            _ => "attached".into(),
        }),
        Class::Room => room(rng),
        Class::Held => {
            let other = pick(rng, &plan.peers).number;
            let hold = Step::Ask(format!("hold {{{other}}}"));
            vec![
                hold,
                Step::Wait(pick(rng, &[0, 50, 700])),
                Step::Ask("use-held;ghosts".into()),
            ]
        }
        Class::Floods => one(match rng.u32(0..4) {
            0 => "calls 500;echo c".into(),
            1 => "print 800".into(),
            2 => format!("print-long {};echo p", pick(rng, &[1, 2, 900])),
            _ => mixed(rng),
        }),
        Class::Answers => one(mixed(rng)),
        Class::Faults => faults(rng, dirty),
        Class::Strangers | Class::Disk | Class::Freeze => Vec::new(),
    }
}

fn responders(rng: &mut Rng) -> Vec<Step> {
    match rng.u32(0..6) {
        0 => {
            let pairs = some_pairs(rng).into_iter();
            let words = pairs.map(|pair| {
                let kind = if pair.prefix { "prefix" } else { "exact" };
                format!(" {kind} {} {}", pair.request, pair.reply)
            });
            vec![Step::Ask(format!("auto{}", words.collect::<String>()))]
        }
        1 => {
            let count = 8 + rng.usize(0..2);
            let words = " exact auto-x many".repeat(count);
            vec![Step::Ask(format!("auto{words}"))]
        }
        2 => vec![Step::Ask("auto-count".into())],
        _ => {
            let text = pick(rng, &["auto", "auto-a", "auto-b", "auto-bb", "auto-c"]);
            vec![Step::Auto(text.into(), pick(rng, &[1, 3, 100]))]
        }
    }
}

/// Fills its outbox, while its peer reads or does not.
fn room(rng: &mut Rng) -> Vec<Step> {
    let mut steps = match rng.u32(0..3) {
        0 => vec![Step::Ask(format!(
            "burst {}",
            pick(rng, &[1, 5, 14, 40, 200])
        ))],
        1 => vec![Step::Ask(format!("stream {}", pick(rng, &[1, 10, 60])))],
        // It begins to read when much is waiting.
        _ => vec![
            Step::Say(format!("stream {}", pick(rng, &[60, 300])), 1),
            Step::Deaf(pick(rng, &[50, 400])),
        ],
    };
    steps.push(Step::Ask("echo r".into()));
    steps
}

/// Steps of any kind in one message, in any order.
fn mixed(rng: &mut Rng) -> String {
    let words = [
        "echo m",
        "sleep 1",
        "sleep 20",
        "block 1",
        "compute 3",
        "save",
        "remember 1",
        "attached",
        "calls 20",
        "print 3",
        "tagged tag0 1",
        "allocate 512",
        "let-go",
    ];
    let steps = (0..rng.usize(2..8)).map(|_| pick(rng, &words));
    steps.collect::<Vec<_>>().join(";")
}

fn faults(rng: &mut Rng, dirty: bool) -> Vec<Step> {
    if !dirty {
        return vec![Step::Ask("allocate 2048;echo a".into())];
    }
    let fault = pick(
        rng,
        &[
            "allocate 70000",
            "deep 1",
            "recurse 1",
            "doom-hibernate",
            "save;trap",
            "sleep 5;trap",
        ],
    );
    vec![
        Step::Say("echo b".into(), pick(rng, &[0, 2])),
        Step::Say(fault.into(), 1),
        Step::Ask("echo after".into()),
    ]
}

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())].clone()
}
