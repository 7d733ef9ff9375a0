//! The soak: one process of the host runs many plans, one after the other, and
//! must not keep anything of any of them.
//!
//! After each plan its functions leave the configuration and are removed, so
//! that nothing of the plan has a reason to stay. When the host is at rest, its
//! own counts and the system's must be as before the first plan ([`leaks`]);
//! memory may not grow with the number of rounds. The judges watch as always.
//! Plans do not end the process here, because a leak shows only in a long life.
//! Bounded by a number of seconds.

mod leaks;
mod reading;

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::Plans;
use super::focus;
use super::host::{self, Process};
use super::judge::Judge;
use super::operator;
use super::options::Arguments;
use super::plan::{Act, Leave, Peer, Plan, REMOVABLE, Server, Step};
use super::run::{Outcome, PLAN_MAX, Setup, World};
use reading::Reading;

/// After its functions have left, a plan's effects must end within this time:
/// longer than every time in the configuration, to allow for a busy machine.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// A back-off has a task until its time is up, and may take six times this.
const BACKOFF_MAX_MS: u64 = 2_000;
/// A configuration is in force within this time.
const SERVES_WITHIN: Duration = Duration::from_secs(30);
/// tokio ends a blocking thread that has had nothing to do for ten seconds.
const THREADS_WITHIN: Duration = Duration::from_secs(40);

/// The host of a soak.
struct Soak<'a> {
    setup: &'a Setup,
    process: Process,
    /// The counts at rest, before the first plan.
    before: Option<Reading>,
    /// Resident bytes after each round.
    resident: Vec<f64>,
}

/// Soaks a host until the time is up, or something does not hold. Answers
/// whether all held.
pub fn run(setup: &Setup, arguments: &Arguments, plans: Plans) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, soak(setup, arguments, plans))
}

async fn soak(setup: &Setup, arguments: &Arguments, plans: Plans) -> bool {
    let (begun, budget) = (Instant::now(), Duration::from_secs(arguments.budget));
    let folder = setup.folder.join("soak");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    // The same for all plans, because they share a process.
    let server = Server {
        data: arguments.seed % 2 == 1,
        ..Server::default()
    };
    let mut soak = Soak {
        setup,
        process: Process::new(&setup.binary, &folder, server.workers),
        before: None,
        resident: Vec::new(),
    };
    if !soak.begin(&server).await {
        return false;
    }
    let mut plans = plans.map(|plan| suited(plan, &server));
    let again = arguments.plan.is_some();
    let mut plan = plans.next().expect("there is a plan");
    let mut number = 0;
    let is_over = |number: u64| {
        let enough = arguments.count.is_some_and(|count| number >= count.get());
        // Without a round nothing was tried, however late it is.
        number > 0 && (enough || begun.elapsed() >= budget)
    };
    while !is_over(number) {
        number += 1;
        if !soak.round(number, &plan).await {
            return false;
        }
        if !again {
            plan = plans.next().unwrap_or(plan);
        }
    }
    soak.end(&server).await
}

/// A plan for a process that lives on: nothing ends the process, and no
/// back-off lasts for long.
fn suited(mut plan: Plan, server: &Server) -> Plan {
    plan.server = server.clone();
    plan.operator
        .retain(|timed| !matches!(timed.what, Act::Terminate | Act::Kill));
    let reloads = plan
        .operator
        .iter_mut()
        .filter_map(|it| match &mut it.what {
            Act::Reload { settings, .. } => Some(settings),
            _ => None,
        });
    let configured = plan.functions.iter_mut().map(|it| &mut it.settings);
    for settings in configured.chain(reloads) {
        settings.backoff_ms = settings.backoff_ms.min(BACKOFF_MAX_MS);
    }
    plan
}

/// Prints what did not hold; returns whether everything did.
fn held(judge: &RefCell<Judge>) -> bool {
    let judge = judge.borrow();
    for violation in &judge.violations {
        println!("  {}: {}", violation.invariant, violation.text);
    }
    judge.violations.is_empty()
}

/// A configuration without the plan's functions.
fn empty(server: &Server) -> Plan {
    Plan {
        server: server.clone(),
        functions: Vec::new(),
        peers: Vec::new(),
        ..warm_up(server)
    }
}

/// Makes the host create everything that it creates once and keeps: engines of
/// both handlers, the task of alarms.
fn warm_up(server: &Server) -> Plan {
    let mut rng = fastrand::Rng::with_seed(0);
    let mut plan = focus::calm(&mut rng, false);
    plan.functions.extend(focus::calm(&mut rng, true).functions);
    plan.server = server.clone();
    let peers = (0..plan.functions.len()).map(|number| Peer {
        number,
        function: number,
        room: "c0".into(),
        query: String::new(),
        at_ms: 0,
        steps: ["key-alarm w 5", "save", "print 1;sleep 5;echo w"]
            .map(|script| Step::Ask(script.into()))
            .into(),
        narrow: false,
        leave: Leave::Stay,
    });
    plan.peers = peers.collect();
    plan
}

impl Soak<'_> {
    fn world(&self, plan: &Plan) -> (Rc<World>, Rc<RefCell<Judge>>) {
        let judge = Rc::new(RefCell::new(Judge::new(Rc::new(plan.clone()))));
        let world = self.setup.world(plan, &self.process, &judge);
        (world, judge)
    }

    /// Starts the host, makes it create everything that it creates once, and
    /// reads its counts at rest. Returns whether everything held.
    async fn begin(&mut self, server: &Server) -> bool {
        let (world, judge) = self.world(&empty(server));
        world.configure(&self.process);
        if let Err(error) = self.process.start().await {
            judge.borrow_mut().break_rule("process", error);
            return held(&judge);
        }
        let plan = warm_up(server);
        let (world, judge) = self.world(&plan);
        self.serve(&world, &plan).await;
        world.play(&mut self.process, &plan).await;
        self.remove_all(&world, &plan).await;
        let reading = Reading::steady(&mut self.process, SETTLES_WITHIN).await;
        let reading = reading.trimmed(&mut self.process).await;
        println!("the host at rest: {reading}");
        if let Some(unusual) = reading.unusual() {
            let text = format!("when all has gone, the host has {unusual}");
            judge.borrow_mut().break_rule("rest", text);
        }
        self.before = Some(reading);
        held(&judge)
    }

    /// Carries out a plan and removes all of it. Returns whether everything
    /// held.
    async fn round(&mut self, number: u64, plan: &Plan) -> bool {
        self.process.cut_log();
        let (world, judge) = self.world(plan);
        let begun = Instant::now();
        self.serve(&world, plan).await;
        let played = world.play(&mut self.process, plan);
        if timeout(PLAN_MAX, played).await.is_err() {
            let text = format!("the plan took longer than {PLAN_MAX:?}");
            judge.borrow_mut().break_rule("harness", text);
        }
        let played = begun.elapsed().as_secs_f32();
        let reading = self.clear(&world, plan).await;
        let log = fs::read(self.process.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let mut judge = judge.borrow_mut();
        judge.read_log(&log);
        let outcome = Outcome {
            violations: std::mem::take(&mut judge.violations),
            counts: std::mem::take(&mut judge.counts),
            log,
        };
        let held = outcome.violations.is_empty();
        let (seed, word) = (plan.seed, if held { "held" } else { "BROKEN" });
        let (operations, all) = (plan.operations(), begun.elapsed().as_secs_f32());
        println!(
            "seed {seed}: {word}, round {number}, {operations} operations in {played:.1} s, all in {all:.1} s; {reading}"
        );
        self.resident.extend(reading.resident_bytes());
        if !held {
            super::report(self.setup, plan, &outcome, "");
            println!("  `--soak --plan` with that file repeats this plan alone");
        }
        held
    }

    /// Puts the plan's functions into the configuration, and waits for them.
    async fn serve(&mut self, world: &World, plan: &Plan) {
        world.configure(&self.process);
        self.process.signal("HUP");
        let begun = Instant::now();
        for number in 0..plan.functions.len() {
            let path = format!("/v1/functions/{}", plan.function_name(number));
            loop {
                let admin = self.process.admin;
                let answer = host::ask(admin, "GET", &path, "text/plain", b"").await;
                if answer.status == 200 {
                    break;
                }
                if begun.elapsed() > SERVES_WITHIN {
                    let text = format!("a new function is not served within {SERVES_WITHIN:?}");
                    return world.judge.borrow_mut().break_rule("process", text);
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Takes the plan's functions out of the configuration, removes them, and
    /// checks what they have left.
    async fn clear(&mut self, world: &World, plan: &Plan) -> Reading {
        self.remove_all(world, plan).await;
        let begun = Instant::now();
        let before = self.before.as_ref().expect("`begin` has read it");
        loop {
            let reading = Reading::take(&mut self.process).await;
            let kept = leaks::kept(before.counts(), reading.counts());
            if kept.is_empty() {
                return reading.trimmed(&mut self.process).await;
            }
            if begun.elapsed() > SETTLES_WITHIN || self.process.exited().is_some() {
                let kept = kept.join(", ");
                let text = format!("{SETTLES_WITHIN:?} after the plan something is kept: {kept}");
                world.judge.borrow_mut().break_rule("rest", text);
                return reading;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn remove_all(&mut self, world: &World, plan: &Plan) {
        *world.plan.borrow_mut() = empty(&plan.server);
        world.configure(&self.process);
        self.process.signal("HUP");
        let mut names: Vec<_> = (0..plan.functions.len())
            .map(|number| plan.function_name(number))
            .collect();
        names.extend([REMOVABLE.to_owned(), "echo".to_owned()]);
        for name in names {
            self.remove(world, &name).await;
        }
    }

    /// Repeats until there is no such function, because the configuration may
    /// still have it.
    async fn remove(&self, world: &World, name: &str) {
        let begun = Instant::now();
        let path = format!("/v1/functions/{name}");
        loop {
            let admin = self.process.admin;
            let answer = host::ask(admin, "DELETE", &path, "text/plain", b"").await;
            if matches!(answer.status, 404) {
                return;
            }
            if begun.elapsed() > SERVES_WITHIN {
                let text = format!("`{name}` is not removed: {}", answer.status);
                return world.judge.borrow_mut().break_rule("process", text);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Checks for leaks that show only over many rounds, and ends the host.
    async fn end(mut self, server: &Server) -> bool {
        let (world, judge) = self.world(&empty(server));
        let threads = self.threads().await;
        if let Some((before, after)) = threads {
            let text = format!("{after} threads, and {before} before");
            println!("at the end: {text}");
            if after > before {
                judge.borrow_mut().break_rule("rest", text);
            }
        }
        match leaks::growth(&self.resident) {
            Some(growth) => {
                let text = format!(
                    "resident memory grows by {:.0} KiB a round; {} KiB are allowed",
                    growth / 1024.0,
                    leaks::GROWTH_BYTES_MAX / 1024.0
                );
                println!("at the end: {text}");
                if growth > leaks::GROWTH_BYTES_MAX {
                    judge.borrow_mut().break_rule("rest", text);
                }
            }
            None => println!("at the end: too few rounds to judge memory by"),
        }
        operator::end(&world, &mut self.process).await;
        held(&judge)
    }

    /// How many there were before, and how many there are when the idle ones
    /// have ended.
    async fn threads(&mut self) -> Option<(u64, u64)> {
        let before = self.before.as_ref()?.threads()?;
        let begun = Instant::now();
        loop {
            let now = Reading::take(&mut self.process).await.threads()?;
            if now <= before || begun.elapsed() > THREADS_WITHIN {
                return Some((before, now));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}
