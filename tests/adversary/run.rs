//! Carries out a plan against the real binary and judges the results.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use openline_kit::exchange::Answer;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::carried::Carried;
use super::host::{self, Process};
use super::judge::{Judge, STUCK, Violation};
use super::line::Line;
use super::operator;
use super::peer::{self, Calm, Refused, Wire};
use super::plan::{Act, Component, Leave, Pair, Peer, Plan, Step};
use super::strangers;

/// A probe is answered within this, whatever functions do.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);
/// After its end, a plan's effects must end within this time.
const REST_WITHIN: Duration = Duration::from_secs(15);
/// The longest that a whole plan may take; past it, the harness itself has
/// failed.
pub const PLAN_MAX: Duration = Duration::from_secs(180);
/// How often a peer that is refused tries again.
const TRIES: u32 = 5;

/// The paths of a run.
pub struct Setup {
    pub binary: PathBuf,
    /// The folder below which each run has its own.
    pub folder: PathBuf,
    /// The components by kind and version.
    pub components: Vec<(Component, PathBuf)>,
    pub echo: PathBuf,
}

pub struct Outcome {
    pub violations: Vec<Violation>,
    pub counts: BTreeMap<String, u64>,
    pub log: String,
}

/// The data that all tasks of a run share.
pub struct World {
    pub judge: Rc<RefCell<Judge>>,
    /// The present configuration file.
    pub plan: RefCell<Plan>,
    pub components: Vec<(Component, PathBuf)>,
    echo: PathBuf,
    pub address: Cell<SocketAddr>,
    pub admin: Cell<SocketAddr>,
    over: Cell<bool>,
    /// Whether the host has stopped answering, so that nothing is left to see.
    doomed: Notify,
}

impl Setup {
    pub fn run(&self, plan: &Plan, name: &str) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = self.folder.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let judge = Rc::new(RefCell::new(Judge::new(Rc::new(plan.clone()))));
        let ran = LocalSet::new().block_on(&runtime, async {
            timeout(PLAN_MAX, self.carry_out(plan, &folder, &judge)).await
        });
        let mut judge = judge.borrow_mut();
        if ran.is_err() {
            judge.break_rule("harness", format!("the plan took longer than {PLAN_MAX:?}"));
        }
        let log = fs::read(folder.join("host.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        judge.read_log(&log);
        let _ = fs::remove_dir_all(&folder);
        Outcome {
            violations: std::mem::take(&mut judge.violations),
            counts: std::mem::take(&mut judge.counts),
            log,
        }
    }

    async fn carry_out(&self, plan: &Plan, folder: &Path, judge: &Rc<RefCell<Judge>>) {
        let mut process = Process::new(&self.binary, folder, plan.server.workers);
        let world = self.world(plan, &process, judge);
        world.configure(&process);
        if let Err(error) = process.start().await {
            return judge.borrow_mut().break_rule("process", error);
        }
        world.moved(&process);
        world.play(&mut process, plan).await;
        operator::end(&world, &mut process).await;
    }

    /// The surroundings of a plan, with a process that may already run.
    pub fn world(&self, plan: &Plan, process: &Process, judge: &Rc<RefCell<Judge>>) -> Rc<World> {
        Rc::new(World {
            judge: Rc::clone(judge),
            plan: RefCell::new(plan.clone()),
            components: self.components.clone(),
            echo: self.echo.clone(),
            address: Cell::new(process.address),
            admin: Cell::new(process.admin),
            over: Cell::new(false),
            doomed: Notify::new(),
        })
    }
}

impl World {
    /// Everything that happens in a plan while a host runs, until it is at rest
    /// or lost.
    pub async fn play(self: &Rc<Self>, process: &mut Process, plan: &Plan) {
        self.judge.borrow_mut().began = Instant::now();
        tokio::select! {
            () = Self::work(self, process, plan) => {}
            () = self.doomed.notified() => {}
        }
        self.over.set(true);
    }

    async fn work(world: &Rc<Self>, process: &mut Process, plan: &Plan) {
        let before = host::state(process.address).await;
        let watching = spawn_local(watch(Rc::clone(world)));
        let living = plan.peers.iter().cloned().map(|peer| {
            let world = Rc::clone(world);
            spawn_local(async move { world.live(peer).await })
        });
        let peers: Vec<_> = living.collect();
        let strangers = plan.strangers.iter().cloned().map(|stranger| {
            let world = Rc::clone(world);
            spawn_local(async move { strangers::run::live(&world, &stranger).await })
        });
        let strangers: Vec<_> = strangers.collect();
        operator::work(world, process, plan).await;
        let mut wires = Vec::new();
        for peer in peers {
            wires.extend(peer.await.unwrap());
        }
        for stranger in strangers {
            stranger.await.unwrap();
        }
        world.settle().await;
        world.recall().await;
        world.leave(wires).await;
        world.over.set(true);
        watching.await.unwrap();
        if process.exited().is_none() {
            world.rest(&before).await;
        }
    }

    pub fn component(&self, component: Component) -> &Path {
        let found = self
            .components
            .iter()
            .find(|(other, _)| *other == component);
        &found.unwrap().1
    }

    pub fn configure(&self, process: &Process) {
        let components = |component| self.component(component).display().to_string();
        let mut toml = self.plan.borrow().toml(components);
        toml += &format!(
            "\n[[function]]\nname = \"calm\"\ncomponent = \"{}\"\nroute = \"/calm\"\n[function.instance]\nidle_timeout = \"100 ms\"\n",
            self.echo.display()
        );
        toml += &strangers::toml(&self.plan.borrow(), &self.echo);
        process.configure(&toml);
    }

    pub fn moved(&self, process: &Process) {
        self.address.set(process.address);
        self.admin.set(process.admin);
    }

    pub async fn state(&self) -> Value {
        host::state(self.address.get()).await
    }

    fn is_down(&self) -> bool {
        self.judge.borrow().down
    }

    /// Waits until a host runs.
    async fn up(&self) {
        while self.is_down() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn open(&self, peer: &Peer) -> Option<(Rc<RefCell<Line>>, Wire)> {
        let name = self.judge.borrow().name(peer.function);
        let path = format!("/{name}/{}{}", peer.room, peer.query);
        for _ in 0..TRIES {
            self.up().await;
            let (start, removable) = {
                let judge = self.judge.borrow();
                (judge.start, judge.removable_now())
            };
            let mut line = Line::new(peer.number, peer.function, &peer.room, start);
            line.carried = Carried::new(&self.configured(peer.function), &peer.query);
            let line = Rc::new(RefCell::new(line));
            let kind = (path.as_str(), peer.narrow);
            let opened = peer::connect(self.address.get(), kind, &self.judge, &line).await;
            let status = match opened {
                Ok(wire) => {
                    let mut judge = self.judge.borrow_mut();
                    // Prevents a removal or a deploy meanwhile.
                    let now = judge.removable_now();
                    line.borrow_mut().incarnation = removable.filter(|it| now == Some(*it));
                    line.borrow_mut().opened = Instant::now();
                    judge.accepted(&line.borrow(), &peer.query);
                    judge.lines.push(Rc::clone(&line));
                    return Some((line, wire));
                }
                Err(Refused::Status(status)) => status,
                Err(Refused::Lost) => 0,
                Err(Refused::TimedOut) => {
                    let text = format!("a handshake at {path} is not answered");
                    self.judge.borrow_mut().break_rule("answers", text);
                    return None;
                }
            };
            self.judge
                .borrow_mut()
                .refused(&line.borrow(), &peer.query, status);
            if matches!(status, 403 | 404) || peer.query.contains("answer") {
                return None;
            }
            sleep(Duration::from_millis(150)).await;
        }
        None
    }

    /// The life of a peer. Returns the connection of one that stays.
    async fn live(&self, peer: Peer) -> Option<(Rc<RefCell<Line>>, Wire)> {
        let at = self.judge.borrow().began + Duration::from_millis(peer.at_ms);
        sleep_until(at).await;
        let (line, wire) = self.open(&peer).await?;
        self.until(&line, |line| line.id.is_some() || line.ended.is_some())
            .await;
        for step in &peer.steps {
            if line.borrow().ended.is_some() {
                break;
            }
            self.step(&line, &wire, step).await;
        }
        if peer.leave == Leave::Stay {
            return Some((line, wire));
        }
        self.depart(&line, &wire, peer.leave).await;
        None
    }

    async fn depart(&self, line: &Rc<RefCell<Line>>, wire: &Wire, how: Leave) {
        if how == Leave::CloseBusy {
            self.say(line, wire, "echo y").await;
            self.say(line, wire, "save").await;
        }
        line.borrow_mut().leaving = true;
        wire.hear(true);
        match how {
            Leave::Reset => wire.reset().await,
            Leave::Half => wire.half().await,
            Leave::Close | Leave::CloseBusy | Leave::Stay => wire.close().await,
        }
        if how == Leave::Reset {
            // The host that should have ended it has gone.
            line.borrow_mut().ended.get_or_insert((1006, String::new()));
            return;
        }
        if !self.until(line, |line| line.ended.is_some()).await {
            let text = format!(
                "the connection of peer {} does not end ({how:?})",
                line.borrow().peer
            );
            self.judge.borrow_mut().break_rule("answers", text);
        }
    }

    /// Waits until the condition holds; `false` after [`STUCK`].
    async fn until(&self, line: &Rc<RefCell<Line>>, so: impl Fn(&Line) -> bool) -> bool {
        let changed = Rc::clone(&line.borrow().changed);
        let waiting = async {
            while !so(&line.borrow()) {
                changed.notified().await;
            }
        };
        timeout(STUCK + Duration::from_secs(5), waiting)
            .await
            .is_ok()
    }

    async fn say(&self, line: &Rc<RefCell<Line>>, wire: &Wire, script: &str) -> u64 {
        let (sequence, text) = self.judge.borrow_mut().say(line, script);
        wire.text(&text).await;
        sequence
    }

    async fn step(&self, line: &Rc<RefCell<Line>>, wire: &Wire, step: &Step) {
        match step {
            Step::Ask(script) => {
                let Some(script) = self.addressed(line, script) else {
                    return;
                };
                let sequence = self.say(line, wire, &script).await;
                self.until(line, |line| line.is_answered(sequence)).await;
            }
            Step::Say(script, times) => {
                for _ in 0..*times {
                    self.say(line, wire, script).await;
                }
            }
            Step::Fragments(bytes, cuts) => {
                let script = format!("echo {}", "L".repeat(*bytes));
                let (sequence, text) = self.judge.borrow_mut().say(line, &script);
                wire.fragments(&text, cuts).await;
                self.until(line, |line| line.is_answered(sequence)).await;
            }
            Step::Auto(text, times) => {
                for _ in 0..*times {
                    self.judge.borrow_mut().say_auto(line, text);
                    wire.text(text).await;
                }
                let heard = |line: &Line| line.carried.unanswered().is_none() || line.lossy;
                self.until(line, |line| heard(line) || line.ended.is_some())
                    .await;
            }
            Step::Ping => wire.ping().await,
            Step::Wait(time) => sleep(Duration::from_millis(*time)).await,
            Step::Deaf(time) => {
                let until = Instant::now() + Duration::from_millis(*time);
                line.borrow_mut().deaf_until = Some(until);
                wire.hear(false);
                sleep_until(until).await;
                wire.hear(true);
            }
            Step::AdminSend(other) => {
                self.administer(*other, "messages", "text/plain", b"T x")
                    .await
            }
            Step::AdminClose(other) => {
                self.administer(*other, "close", "application/json", b"{}")
                    .await;
            }
        }
    }

    /// The script with the id of the connection that it is about; `None` if
    /// there is none.
    fn addressed(&self, line: &Rc<RefCell<Line>>, script: &str) -> Option<String> {
        let Some((_, rest)) = script.split_once('{') else {
            return Some(script.into());
        };
        let (number, _) = rest.split_once('}')?;
        let judge = self.judge.borrow();
        let wanted: usize = number.parse().ok()?;
        let mut lines = judge.lines.iter().filter(|other| !Rc::ptr_eq(other, line));
        let other = lines.find(|other| other.borrow().peer == wanted)?;
        let function = line.borrow().function;
        let mut other = other.borrow_mut();
        if other.function != function || other.ended.is_some() {
            return None;
        }
        if script.starts_with("close") || script.starts_with("terminate") {
            other.closed_by_others = true;
        }
        Some(script.replace(&format!("{{{number}}}"), other.id.as_ref()?))
    }

    async fn administer(&self, peer: usize, what: &str, kind: &str, body: &[u8]) {
        let path = {
            let judge = self.judge.borrow();
            let mut lines = judge.lines.iter();
            let Some(line) = lines.find(|line| line.borrow().peer == peer) else {
                return;
            };
            let mut line = line.borrow_mut();
            line.closed_by_others |= what == "close";
            let Some(id) = &line.id else { return };
            format!("/v1/connections/{id}/{what}")
        };
        let answer = host::ask(self.admin.get(), "POST", &path, kind, body).await;
        let status = answer.status;
        self.judge
            .borrow_mut()
            .count(&format!("admin {what} {status}"));
    }

    /// Waits until peers have received everything that they are owed.
    async fn settle(&self) {
        let begun = Instant::now();
        loop {
            let quiet = {
                let judge = self.judge.borrow();
                judge.lines.iter().all(|line| line.borrow().is_quiet())
                    && judge.missing().is_none()
                    && judge.unheard_alarms().is_empty()
            };
            if quiet {
                return;
            }
            if begun.elapsed() > STUCK {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let mut judge = self.judge.borrow_mut();
        judge.find_stuck();
        judge.blame_missing();
        for alarm in judge.unheard_alarms() {
            judge.break_rule("alarms", format!("alarm {alarm} never came"));
        }
    }

    /// Checks that no remembered number is lost.
    async fn recall(&self) {
        let rooms = self.judge.borrow().largest_remembered();
        for (function, room, largest) in rooms {
            let peer = Peer {
                number: usize::MAX,
                function,
                room: room.clone(),
                query: String::new(),
                at_ms: 0,
                steps: Vec::new(),
                narrow: false,
                leave: Leave::Stay,
            };
            let Some((line, wire)) = self.open(&peer).await else {
                // Peers that stay take all seats.
                continue;
            };
            let sequence = self.say(&line, &wire, "remember 0").await;
            self.until(&line, |line| line.is_answered(sequence)).await;
            let recalled = line.borrow().last_result().and_then(|sum| sum.parse().ok());
            if recalled.is_some_and(|sum: i64| sum < largest) {
                let name = self.judge.borrow().name(function);
                let text =
                    format!("/{name}/{room} was told {largest}, and now there is {recalled:?}");
                self.judge.borrow_mut().break_rule("state", text);
            }
            self.keeps(&line, &wire).await;
            self.depart(&line, &wire, Leave::Close).await;
        }
    }

    /// Checks that a state is saved when the disk has room, whatever was
    /// before.
    async fn keeps(&self, line: &Rc<RefCell<Line>>, wire: &Wire) {
        let sequence = self.say(line, wire, "save").await;
        self.until(line, |line| line.is_answered(sequence)).await;
        let saved = line.borrow().last_result().map(str::to_owned);
        let failed =
            saved.filter(|saved| line.borrow().ended.is_none() && saved.starts_with("error"));
        if let Some(error) = failed {
            let text = format!("at the end a state cannot be saved: {error}");
            self.judge.borrow_mut().break_rule("state", text);
        }
    }

    /// The possible automatic responses of a function: those in the file now,
    /// and earlier or later ones during the handshake.
    fn configured(&self, function: usize) -> Vec<Vec<Pair>> {
        let judge = self.judge.borrow();
        let Some(first) = judge.plan.functions.get(function) else {
            return vec![Vec::new()];
        };
        let mut configured = vec![first.settings.responses.clone()];
        for timed in &judge.plan.operator {
            if let Act::Reload {
                function: of,
                settings,
                ..
            } = &timed.what
                && *of == function
            {
                configured.push(settings.responses.clone());
            }
        }
        configured
    }

    async fn leave(&self, wires: Vec<(Rc<RefCell<Line>>, Wire)>) {
        let leaving = wires
            .iter()
            .map(|(line, wire)| self.depart(line, wire, Leave::Close));
        futures_util::future::join_all(leaving).await;
    }

    /// Checks that everything that was taken is given back.
    async fn rest(&self, before: &Value) {
        let begun = Instant::now();
        let count = |state: &Value, key: &str| state[key].as_u64().unwrap_or(u64::MAX);
        loop {
            let state = self.state().await;
            let connections = &state["connections"];
            let ended = connections["ended"].as_object();
            let ended: u64 = ended.map_or(0, |all| all.values().filter_map(Value::as_u64).sum());
            let taken = ["places", "trials", "compilations", "long_runs"];
            let rested = connections["open"] == 0
                && taken.iter().all(|what| state["taken"][what] == 0)
                && state["outbox_bytes"] == 0
                && connections["opened"].as_u64() == Some(ended)
                && count(&state, "instances") == 0
                && count(&state, "sockets") <= count(before, "sockets")
                && count(&state, "tasks") <= count(before, "tasks") + 4;
            if rested {
                return;
            }
            if begun.elapsed() > REST_WITHIN {
                let text = format!("not all came back: {state}; before: {before}");
                return self.judge.borrow_mut().break_rule("rest", text);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Checks that a probe, and a function outside the plan, always answer.
async fn watch(world: Rc<World>) {
    // The connection, with the start of the host to which it belongs.
    let mut calm: Option<(Calm, u32)> = None;
    while !world.over.get() {
        sleep(Duration::from_millis(100)).await;
        world.judge.borrow_mut().find_stuck();
        if world.is_down() {
            calm = None;
            continue;
        }
        let (address, start) = (world.address.get(), world.judge.borrow().start);
        calm = calm.filter(|(_, of)| *of == start);
        let same = || !world.is_down() && world.judge.borrow().start == start;
        let probing = host::ask(address, "GET", "/.openline/live", "text/plain", b"");
        let probed = timeout(ALIVE_WITHIN, probing).await;
        if probed.is_none_or_bad() && same() {
            let text = format!("/.openline/live is not answered within {ALIVE_WITHIN:?}");
            world.judge.borrow_mut().break_rule("alive", text);
            world.doomed.notify_one();
            return;
        }
        let echoing = async {
            if calm.is_none() {
                calm = Calm::open(address).await.map(|calm| (calm, start));
            }
            calm.as_mut()?.0.echo().await
        };
        let echoed = timeout(ALIVE_WITHIN, echoing).await.ok().flatten();
        if echoed.is_none() {
            calm = None;
            // With few places for instances there may be none for it.
            if same() && world.plan.borrow().server.instances.is_none() {
                let text = format!("an echo of another function takes over {ALIVE_WITHIN:?}");
                world.judge.borrow_mut().break_rule("alive", text);
            }
        }
    }
    if let Some((calm, _)) = calm {
        calm.close().await;
    }
}

trait Probed {
    fn is_none_or_bad(&self) -> bool;
}

impl Probed for Result<Answer, tokio::time::error::Elapsed> {
    fn is_none_or_bad(&self) -> bool {
        self.as_ref().map_or(true, |answer| answer.status != 200)
    }
}
