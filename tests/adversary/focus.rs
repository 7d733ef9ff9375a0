//! Plans that concentrate on a few features each.
//!
//! In a plan with a little of everything, two features rarely meet, because
//! other operations end connections and take places first. So two of three
//! seeds switch off all but a few kinds of operations, and choose small
//! configurations in which these meet often. Consecutive seeds go through the
//! list, so that a short run tries each; within one, chance decides.

use fastrand::Rng;

use super::generate::{chance, pick};
use super::plan::{
    Act, Component, Function, LONG_BACKOFF_MS, Leave, OVERLONG_MS, Peer, Plan, Server, Settings,
    Step, Timed,
};

type Make = fn(&mut Rng) -> Plan;

const FOCUSES: [Make; 12] = [
    crowd,
    freed_backoffs,
    stops,
    removals,
    limits,
    drains,
    absences,
    tight,
    alarms,
    moves,
    pauses,
    stopped_backoffs,
];

/// The plan of a seed, unless it is one of the third that is made elsewhere.
pub fn plan(seed: u64) -> Option<Plan> {
    if seed.is_multiple_of(3) {
        return None;
    }
    // Counts the seeds that are not multiples of three.
    let number = seed - seed / 3 - 1;
    let index = usize::try_from(number % FOCUSES.len() as u64).unwrap();
    let mut rng = Rng::with_seed(seed);
    let mut plan = FOCUSES[index](&mut rng);
    plan.seed = seed;
    Some(plan)
}

/// One function with affinity in a quiet host, without any events.
pub(super) fn calm(rng: &mut Rng, asynchronous: bool) -> Plan {
    let settings = Settings {
        instances: 4,
        concurrency: 3,
        idle_timeout_ms: pick(rng, &[20, 500]),
        backoff: "wait".into(),
        backoff_ms: 50,
        faults_in_a_row: 0,
        migration: "migrate".into(),
        responses: Vec::new(),
    };
    let function = Function {
        component: Component {
            asynchronous,
            version: 'a',
        },
        mixed: false,
        affinity: true,
        settings,
        outbox_overflow: "close".into(),
        pings: false,
        fuel: false,
        connection_time: false,
        away: false,
        memory_mib: None,
    };
    Plan {
        seed: 0,
        server: Server::default(),
        functions: vec![function],
        peers: Vec::new(),
        strangers: Vec::new(),
        operator: Vec::new(),
        patient: true,
    }
}

/// The settings that the peers of a plan share.
struct Crowd<'a> {
    peers: usize,
    rooms: &'a [&'a str],
    /// They arrive within this time.
    within_ms: u64,
    steps: usize,
    leave: &'a [Leave],
}

/// Peers whose steps are chosen each time.
fn crowd_of(
    rng: &mut Rng,
    crowd: &Crowd<'_>,
    mut next: impl FnMut(&mut Rng, usize) -> Vec<Step>,
) -> Vec<Peer> {
    let mut peers = Vec::new();
    for number in 0..crowd.peers {
        let steps = (0..crowd.steps)
            .flat_map(|step| next(rng, number * 100 + step))
            .collect();
        peers.push(Peer {
            number,
            function: 0,
            room: pick(rng, crowd.rooms).into(),
            query: String::new(),
            at_ms: rng.u64(0..crowd.within_ms),
            steps,
            leave: pick(rng, crowd.leave),
            narrow: false,
        });
    }
    peers
}

fn ask(script: impl Into<String>) -> Step {
    Step::Ask(script.into())
}

fn other(component: Component) -> Component {
    Component {
        version: if component.version == 'a' { 'b' } else { 'a' },
        ..component
    }
}

/// More rooms than instances, and instances that are hardly idle.
fn crowd(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    plan.functions[0].settings.instances = rng.u32(1..=2);
    plan.functions[0].settings.idle_timeout_ms = pick(rng, &[1, 20]);
    let crowd = Crowd {
        peers: 16,
        rooms: &["c0", "c1", "c2", "c3"],
        within_ms: 1_000,
        steps: 12,
        leave: &[Leave::Close, Leave::Stay],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, _| match rng.u32(0..5) {
        0 => vec![Step::Wait(pick(rng, &[5, 50, 200]))],
        1 => vec![ask("save")],
        2 => vec![ask(format!("sleep {}", pick(rng, &[1, 20])))],
        _ => vec![ask("remember 1")],
    });
    plan
}

/// Version `b` frees events that wait for version `a`.
fn freed_backoffs(rng: &mut Rng) -> Plan {
    let mut plan = backoffs(rng);
    let deploy = Act::Deploy {
        function: 0,
        component: other(plan.functions[0].component),
        migration: None,
        weight: None,
        pace: None,
    };
    plan.operator = vec![Timed {
        at_ms: 2_000,
        what: deploy,
    }];
    plan
}

/// The end of the host frees events that wait.
fn stopped_backoffs(rng: &mut Rng) -> Plan {
    let mut plan = backoffs(rng);
    plan.operator = vec![Timed {
        at_ms: 2_000,
        what: Act::Terminate,
    }];
    plan
}

/// Version `a` fails, and the host backs off from it for longer than the plan
/// lasts.
fn backoffs(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    let function = &mut plan.functions[0];
    function.affinity = rng.bool();
    function.settings.faults_in_a_row = 1;
    function.settings.backoff_ms = LONG_BACKOFF_MS;
    let crowd = Crowd {
        peers: 20,
        rooms: &["d0", "d1", "d2"],
        within_ms: 300,
        steps: 1,
        leave: &[Leave::Close, Leave::CloseBusy, Leave::Stay],
    };
    let fault_at = rng.usize(0..crowd.peers);
    plan.peers = crowd_of(rng, &crowd, |rng, unique| {
        let fault = unique / 100 == fault_at || chance(rng, 20);
        // Most do something when the back-off has begun.
        let wait = Step::Wait(rng.u64(400..1_000));
        match fault {
            true => vec![ask("echo a"), Step::Wait(350), ask("trap-in a")],
            false => vec![ask("echo a"), wait, ask("remember 1"), ask("save")],
        }
    });
    plan
}

/// The host is stopped and started while rooms have data to remember.
fn stops(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    plan.server.data = true;
    plan.functions[0].settings.idle_timeout_ms = 500;
    let crowd = Crowd {
        peers: 16,
        rooms: &["c0", "c1", "c2", "c3"],
        within_ms: 2_500,
        steps: 20,
        leave: &[Leave::Close, Leave::Stay, Leave::CloseBusy],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, unique| match rng.u32(0..6) {
        0 => vec![Step::Wait(50)],
        1 => vec![ask("save")],
        2 => vec![ask(format!("key-durable k{unique} {}", rng.u32(0..800)))],
        _ => vec![ask("remember 1")],
    });
    let mut at_ms = 0;
    while at_ms < 2_500 {
        at_ms += pick(rng, &[700, 1_300]);
        let what = Act::Terminate;
        plan.operator.push(Timed { at_ms, what });
    }
    plan
}

/// A function is removed while it saves, and the next one of its name comes at
/// once.
fn removals(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    plan.server.data = rng.bool();
    let crowd = Crowd {
        peers: 30,
        rooms: &["c0", "c1"],
        within_ms: 3_500,
        steps: 15,
        leave: &[Leave::Close, Leave::CloseBusy, Leave::Reset],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, _| match rng.u32(0..4) {
        0 => vec![ask("remember 1"), Step::Wait(20)],
        1 => vec![ask("save;sleep 5;save"), ask("remember 1")],
        2 => vec![Step::Say("save".into(), 3), ask("remember 1")],
        _ => vec![ask("save")],
    });
    for peer in &mut plan.peers {
        peer.function = 1;
        if chance(rng, 10) {
            peer.query = "?wait=50".into();
        }
        // After the first function of that name is there.
        peer.at_ms += 400;
    }
    let component = plan.functions[0].component;
    let mut at_ms = 0;
    while at_ms < 3_500 {
        let what = Act::Add(component, "migrate".into());
        plan.operator.push(Timed { at_ms, what });
        at_ms += pick(rng, &[600, 900]);
        let what = Act::Remove;
        plan.operator.push(Timed { at_ms, what });
        at_ms += pick(rng, &[1, 50]);
    }
    plan
}

/// Functions that try to get more time than they may have.
fn limits(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    plan.functions[0].affinity = rng.bool();
    let mut second = plan.functions[0].clone();
    second.component.asynchronous = !asynchronous;
    plan.functions.push(second);
    plan.server.workers = pick(rng, &[None, Some(1), Some(4)]);
    let faults = [
        format!("block {OVERLONG_MS}"),
        format!("sleep {OVERLONG_MS}"),
        "evade 1500".to_owned(),
        "forever".to_owned(),
    ];
    let crowd = Crowd {
        peers: 16,
        rooms: &["d0", "d1", "d2"],
        within_ms: 1_000,
        steps: 3,
        leave: &[Leave::Close],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, unique| {
        let first = unique < 2 * faults.len() * 100 && unique % 100 == 0;
        match first {
            // Each of them once in each function, and then by chance.
            true => vec![ask("echo b"), ask(faults[unique / 200].clone())],
            false if chance(rng, 10) => vec![ask(pick(rng, &faults))],
            false => vec![ask("echo b"), Step::Wait(100)],
        }
    });
    for peer in &mut plan.peers {
        peer.function = peer.number % 2;
    }
    plan
}

/// A drain that takes seconds, and is rolled back.
fn drains(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    let function = &mut plan.functions[0];
    function.affinity = rng.bool();
    function.settings.instances = 16;
    let component = other(function.component);
    let crowd = Crowd {
        peers: 40,
        rooms: &["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"],
        within_ms: 500,
        steps: 1,
        leave: &[Leave::Stay],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, _| {
        let quiet = Step::Wait(rng.u64(7_500..8_500));
        vec![ask("remember 1"), quiet, ask("echo z")]
    });
    let deploy = Act::Deploy {
        function: 0,
        component,
        migration: Some("drain".into()),
        weight: None,
        pace: Some(rng.u32(3..=6)),
    };
    let back = 1_200 + pick(rng, &[200, 400]);
    plan.operator = [(1_200, deploy), (back, Act::Rollback(0))]
        .map(|(at_ms, what)| Timed { at_ms, what })
        .to_vec();
    plan
}

/// A function leaves the configuration and comes back while its connections
/// stay.
fn absences(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    let mut second = plan.functions[0].clone();
    second.affinity = false;
    plan.functions.push(second);
    plan.server.data = rng.bool();
    let crowd = Crowd {
        peers: 30,
        rooms: &["c0", "c1"],
        within_ms: 3_000,
        steps: 14,
        leave: &[Leave::Close, Leave::Stay, Leave::Stay],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, unique| {
        let channel = pick(rng, &["channel0", "channel1"]);
        match rng.u32(0..7) {
            0 => vec![ask(format!("subscribe {channel}"))],
            1 => vec![ask(format!("publish {channel} {unique}"))],
            2 => vec![ask(format!("broadcast {unique}"))],
            3 => vec![ask(format!("key-alarm k{unique} {}", pick(rng, &[5, 300])))],
            4 => vec![Step::Wait(pick(rng, &[50, 200]))],
            _ => vec![ask("remember 1"), Step::Wait(50)],
        }
    });
    plan.operator = [600, 1_600]
        .map(|at_ms| Timed {
            at_ms,
            what: Act::Away(0, pick(rng, &[1, 150])),
        })
        .to_vec();
    plan
}

/// As many places as instances, and instances that end through faults.
fn tight(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    let instances = rng.u32(1..=2);
    // One is for the function that must always answer.
    plan.server.instances = Some(instances + 1);
    // Another thread sees a wrong order.
    plan.server.workers = Some(4);
    plan.functions[0].settings.instances = instances;
    plan.functions[0].settings.idle_timeout_ms = 500;
    plan.functions[0].affinity = rng.bool();
    let crowd = Crowd {
        peers: 120,
        rooms: &["d0", "d1"],
        within_ms: 4_000,
        steps: 3,
        leave: &[Leave::Close, Leave::CloseBusy],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, _| match rng.u32(0..4) {
        0 => vec![ask("sleep 5"), ask("remember 1")],
        _ => vec![ask("remember 1"), Step::Say("trap".into(), 1)],
    });
    plan
}

/// Alarms of affinity values that are cleared at every moment.
fn alarms(rng: &mut Rng) -> Plan {
    let asynchronous = chance(rng, 25);
    let mut plan = calm(rng, asynchronous);
    plan.server.data = rng.bool();
    plan.functions[0].affinity = chance(rng, 75);
    let crowd = Crowd {
        peers: 12,
        rooms: &["c0", "c1", "c2"],
        within_ms: 1_000,
        steps: 10,
        leave: &[Leave::Close, Leave::Stay],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, unique| {
        let kind = pick(rng, &["key-alarm", "key-durable"]);
        let set = format!("{kind} k{unique} {}", pick(rng, &[0, 5, 20]));
        let clear = ask(format!("key-clear k{unique}"));
        let busy = format!("block {}", pick(rng, &[20, 60]));
        match rng.u32(0..5) {
            0 => vec![ask(set)],
            1 => vec![ask(set), Step::Wait(rng.u64(0..20)), clear],
            // All in one call, during which the alarm becomes due.
            2 => vec![ask(format!("{set};{busy};key-clear k{unique}"))],
            _ => vec![Step::Say(set, 1), Step::Say(busy, 1), clear],
        }
    });
    plan
}

/// The configuration sets the migration, and changes.
fn moves(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    let function = &mut plan.functions[0];
    function.affinity = rng.bool();
    function.settings.instances = 8;
    function.settings.migration = pick(rng, &["pin", "pin", "migrate"]).into();
    let (mut settings, mut component) = (function.settings.clone(), function.component);
    let configured = component;
    let crowd = Crowd {
        peers: 12,
        rooms: &["c0", "c1", "c2"],
        within_ms: 800,
        steps: 18,
        leave: &[Leave::Close, Leave::Stay],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, _| match rng.u32(0..3) {
        0 => vec![Step::Wait(300)],
        1 => vec![ask("save"), Step::Wait(100)],
        _ => vec![ask("remember 1"), Step::Wait(100)],
    });
    let mut at_ms = 800;
    while at_ms < 3_500 {
        settings.migration = match settings.migration.as_str() {
            "migrate" => "pin".into(),
            _ => "migrate".into(),
        };
        let reload = Act::Reload {
            function: 0,
            settings: settings.clone(),
            component: configured,
        };
        component = other(component);
        let deploy = Act::Deploy {
            function: 0,
            component,
            migration: None,
            weight: None,
            pace: None,
        };
        for what in [reload, deploy] {
            plan.operator.push(Timed { at_ms, what });
        }
        at_ms += 900;
    }
    plan
}

/// Connections that are not read for longer than their pings take.
fn pauses(rng: &mut Rng) -> Plan {
    let asynchronous = rng.bool();
    let mut plan = calm(rng, asynchronous);
    plan.functions[0].pings = true;
    let crowd = Crowd {
        peers: 8,
        rooms: &["c0", "c1", "c2"],
        within_ms: 500,
        steps: 1,
        leave: &[Leave::Close, Leave::Stay],
    };
    plan.peers = crowd_of(rng, &crowd, |rng, unique| {
        let ms = pick(rng, &[50, 4_500, 4_500]);
        vec![
            ask("echo a"),
            Step::Wait(rng.u64(0..700)),
            ask(format!("pause {ms} resume{unique}")),
            ask("echo b"),
        ]
    });
    plan
}
