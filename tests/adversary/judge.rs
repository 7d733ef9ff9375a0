//! The invariants: models of what a host owes its peers, fed with everything
//! that peers receive. The list is that of ARCHITECTURE.md, *Invariants*; each
//! violation begins with the word of a check in `checks.rs`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::checks::CHECKS;
use super::deployed::Deployed;
use super::line::{Line, Pending};
use super::plan::{Plan, Settings};

/// The longest that an answer may take, whatever else happens: far longer than
/// every time in the configuration, to allow for a busy machine.
pub const STUCK: Duration = Duration::from_secs(20);
/// How long a message may still arrive after its cause was undone.
const UNDER_WAY: Duration = Duration::from_millis(1500);
/// The most violations that are kept.
const VIOLATIONS_MAX: usize = 100;

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The word of the invariant.
    pub invariant: &'static str,
    pub text: String,
    pub trail: Vec<String>,
}

/// An alarm of an affinity value.
struct KeyAlarm {
    set: Instant,
    after: Duration,
    /// Whether it outlives the host's process.
    durable: bool,
    calls: u32,
    cleared: Option<Instant>,
    /// Whether the process ended while it was set.
    void: bool,
}

/// A publication: its channel, its time, and the start of the host that it
/// belongs to.
struct Published {
    function: usize,
    /// `None` for a broadcast.
    channel: Option<String>,
    message: String,
    sent: Instant,
    start: u32,
}

pub struct Judge {
    pub plan: Rc<Plan>,
    pub began: Instant,
    pub lines: Vec<Rc<RefCell<Line>>>,
    pub violations: Vec<Violation>,
    pub counts: BTreeMap<String, u64>,
    /// Counts the host's starts.
    pub start: u32,
    /// The starts that the plan has ended.
    pub(super) ended: HashSet<u32>,
    /// The host is about to end, or to start.
    pub down: bool,
    /// Remembered numbers, by function and room.
    remembered: HashMap<(usize, String), HashSet<i64>>,
    saved: HashMap<(usize, String), HashSet<i64>>,
    /// Whether data that was only in memory has been lost.
    pub(super) forgot: bool,
    key_alarms: HashMap<(usize, String), KeyAlarm>,
    /// Calls of alarms that came before the answer of the step that set them.
    early: HashMap<(usize, String), u32>,
    published: Vec<Published>,
    pub(super) deployed: Deployed,
    /// The present settings of each function in the configuration.
    pub configured: Vec<Settings>,
}

impl Published {
    /// Whether a connection was open, or subscribed, before it was sent.
    fn is_meant_for(&self, line: &Line) -> bool {
        let since = match &self.channel {
            None => line.born.as_ref(),
            Some(channel) => line.subscribed.get(channel),
        };
        self.function == line.function
            && self.start == line.start
            && since.is_some_and(|since| *since < self.sent)
    }
}

impl Judge {
    pub fn new(plan: Rc<Plan>) -> Self {
        let functions = plan.functions.iter();
        Self {
            configured: functions.map(|it| it.settings.clone()).collect(),
            plan,
            began: Instant::now(),
            lines: Vec::new(),
            violations: Vec::new(),
            counts: BTreeMap::new(),
            start: 1,
            ended: HashSet::new(),
            down: false,
            remembered: HashMap::new(),
            saved: HashMap::new(),
            forgot: false,
            key_alarms: HashMap::new(),
            early: HashMap::new(),
            published: Vec::new(),
            deployed: Deployed::default(),
        }
    }

    pub fn break_rule(&mut self, invariant: &'static str, text: String) {
        self.break_by(invariant, text, Vec::new());
    }

    fn break_by(&mut self, invariant: &'static str, text: String, trail: Vec<String>) {
        let known = CHECKS.iter().any(|(check, _)| *check == invariant);
        assert!(known || invariant == "harness", "no check is `{invariant}`");
        if self.violations.len() < VIOLATIONS_MAX {
            let at = self.began.elapsed().as_millis();
            let text = format!("at {at} ms: {text}");
            self.violations.push(Violation {
                invariant,
                text,
                trail,
            });
        }
    }

    pub(super) fn blame(&mut self, invariant: &'static str, text: &str, line: &Line) {
        let (peer, room) = (line.peer, &line.room);
        let name = self.plan.function_name(line.function);
        let text = format!("{text} (peer {peer} at /{name}/{room})");
        self.break_by(invariant, text, line.trail.iter().cloned().collect());
    }

    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// A peer sends a script; returns its number.
    pub fn say(&mut self, line: &Rc<RefCell<Line>>, script: &str) -> (u64, String) {
        let mut line = line.borrow_mut();
        line.sequence += 1;
        let sequence = line.sequence;
        let text = format!("{sequence} {script}");
        line.note(self.began, &format!("> {text}"));
        line.pending.push_back(Pending {
            sequence,
            script: script.into(),
            sent: Instant::now(),
        });
        line.saves += script.matches("save").count() as u64;
        line.lossy |= script.starts_with("flood") || self.may_lose(&line, script);
        line.closes_itself |= script.starts_with("close") || script.starts_with("terminate");
        line.carried.say(script);
        (sequence, text)
    }

    pub fn heard(&mut self, line: &Rc<RefCell<Line>>, text: &str) {
        let mut line = line.borrow_mut();
        line.note(self.began, &format!("< {text}"));
        let words: Vec<&str> = text.splitn(6, ' ').collect();
        match words.as_slice() {
            ["O", id, _] => {
                if line.id.is_some() {
                    self.blame("once", "`open` was called twice", &line);
                }
                line.id = Some((*id).into());
                line.born = Some(Instant::now());
            }
            ["R", sequence, handled, version, _, results] => {
                let numbers = (sequence.parse().unwrap(), handled.parse().unwrap());
                self.answer(&mut line, numbers, version, results);
            }
            ["A", name, _] => {
                if name.starts_with("resume") {
                    self.resumed(&mut line);
                }
                if line.cleared.contains(*name) {
                    let text = format!("alarm {name} after its clear was answered");
                    self.blame("alarms", &text, &line);
                }
                line.alarms.remove(*name);
            }
            ["K", name, attempt] => self.key_alarm(&line, name, attempt),
            ["B" | "P", ..] => {
                let count = line.heard.entry(text.into()).or_default();
                *count += 1;
                if *count > 1 {
                    self.blame("once", &format!("`{text}` came twice"), &line);
                }
            }
            _ => _ = self.hear_carried(&mut line, text),
        }
        line.changed.notify_one();
    }

    /// Answers come in order, and each message counts once.
    fn answer(
        &mut self,
        line: &mut Line,
        (sequence, handled): (u64, u64),
        version: &str,
        results: &str,
    ) {
        if line.lossy {
            while line
                .pending
                .front()
                .is_some_and(|next| next.sequence < sequence)
            {
                line.pending.pop_front();
            }
        }
        let Some(pending) = line
            .pending
            .pop_front()
            .filter(|next| next.sequence == sequence)
        else {
            let text = format!("answer {sequence} is not the next");
            return self.blame("order", &text, line);
        };
        line.answered = sequence;
        line.last_result = Some(results.into());
        if !line.lossy {
            line.handled += 1;
            if handled != line.handled {
                let text = format!(
                    "answer {sequence} says that {handled} messages were handled; {} were answered",
                    line.handled
                );
                self.blame("once", &text, line);
                line.handled = handled;
            }
        }
        self.check_answer(line, version, &pending.script, pending.sent);
        let steps = pending.script.split(';');
        for (step, result) in steps.zip(results.split('|')) {
            self.count(step.split(' ').next().unwrap_or_default());
            self.step(line, step, result, pending.sent);
        }
    }

    fn step(&mut self, line: &mut Line, step: &str, result: &str, sent: Instant) {
        let words: Vec<&str> = step.split(' ').collect();
        let time = |word: &str| Duration::from_millis(word.parse().unwrap_or_default());
        let done = !result.starts_with("error");
        if result == "error unavailable" && !self.plan.fills_disk() && !self.is_removable(line) {
            self.blame("state", &format!("`{step}`: the host cannot write"), line);
        }
        match words.as_slice() {
            ["echo", text] if *text != result => {
                self.blame("order", &format!("echo of `{text}` is `{result}`"), line);
            }
            ["remember", more] if done => self.remember(line, more, result),
            ["save"] if done => self.save(line, result),
            ["evade", _] => self.check_evasion(line, result),
            ["pause", ms, _] if done => self.paused(line, ms),
            ["alarm", name, after] if done => {
                line.alarms
                    .insert((*name).into(), Instant::now() + time(after));
            }
            ["clear", name] => {
                line.alarms.remove(*name);
                line.cleared.insert((*name).into());
            }
            [kind @ ("key-alarm" | "key-durable"), name, after] if done => {
                let key = (line.function, (*name).to_owned());
                let alarm = KeyAlarm {
                    set: Instant::now(),
                    after: time(after),
                    durable: *kind == "key-durable" && self.plan.server.data,
                    calls: self.early.get(&key).copied().unwrap_or_default(),
                    cleared: None,
                    void: line.start != self.start,
                };
                self.key_alarms.insert(key, alarm);
            }
            ["key-clear", name] => {
                let key = (line.function, (*name).to_owned());
                if let Some(alarm) = self.key_alarms.get_mut(&key) {
                    alarm.cleared = Some(Instant::now());
                }
            }
            ["subscribe", channel] if done => {
                line.subscribed.insert((*channel).into(), Instant::now());
            }
            ["publish", channel, id] if done => {
                let message = format!("P {channel} {id}");
                self.publish(line, Some((*channel).into()), message, sent);
            }
            ["broadcast", id] if done => self.publish(line, None, format!("B {id}"), sent),
            words => self.step_carried(line, words, result, sent),
        }
    }

    fn publish(&mut self, line: &Line, channel: Option<String>, message: String, sent: Instant) {
        self.published.push(Published {
            function: line.function,
            channel,
            message,
            sent,
            start: line.start,
        });
    }

    pub fn is_removable(&self, line: &Line) -> bool {
        line.function >= self.plan.functions.len()
    }

    pub fn has_affinity(&self, line: &Line) -> bool {
        let function = self.plan.functions.get(line.function);
        function.is_some_and(|function| function.affinity)
    }

    /// A value has one writer, so no sum is given twice.
    fn remember(&mut self, line: &Line, more: &str, result: &str) {
        if more == "0" || self.forgot || !self.has_affinity(line) || self.may_fail(line) {
            return;
        }
        let sum = result.parse().unwrap_or(-1);
        let sums = self.remembered.entry((line.function, line.room.clone()));
        if !sums.or_default().insert(sum) {
            let text = format!("`remember` has answered {sum} twice");
            self.blame("one writer", &text, line);
        }
    }

    fn save(&mut self, line: &Line, result: &str) {
        if self.is_removable(line) {
            return self.check_inheritance(line, result);
        }
        let affinity = self.has_affinity(line);
        let room = if affinity {
            line.room.clone()
        } else {
            String::new()
        };
        let (sum, conflicts) = result.split_once(' ').unwrap_or((result, "0"));
        let sum = sum.parse().unwrap_or(-1);
        if !self
            .saved
            .entry((line.function, room))
            .or_default()
            .insert(sum)
        {
            let text = format!("`save` has answered {sum} twice");
            self.blame("one writer", &text, line);
        }
        if affinity && conflicts != "0" {
            let text = format!("{conflicts} conflicts of `save_if` with affinity");
            self.blame("one writer", &text, line);
        }
    }

    fn key_alarm(&mut self, line: &Line, name: &str, attempt: &str) {
        let key = (line.function, name.to_owned());
        *self.early.entry(key.clone()).or_default() += 1;
        let Some(alarm) = self.key_alarms.get_mut(&key) else {
            return;
        };
        alarm.calls += 1;
        // An alarm whose removal a full disk refused may come back with the
        // next process.
        let excused = alarm.durable && self.plan.fills_disk();
        let late = alarm
            .cleared
            .filter(|cleared| cleared.elapsed() > UNDER_WAY && !excused);
        if let Some(cleared) = late {
            let after = cleared.elapsed().as_millis();
            let text =
                format!("alarm {name}, attempt {attempt}, {after} ms after its clear was answered");
            self.blame("alarms", &text, line);
        }
    }

    /// The plan ends the host's process.
    pub fn ends(&mut self, graceful: bool) {
        self.down = true;
        self.ended.insert(self.start);
        let kept = self.plan.server.data;
        // A graceful end lets every instance hibernate.
        if !(graceful && kept) {
            self.forgot = true;
        }
        if !kept {
            self.saved.clear();
        }
        for alarm in self.key_alarms.values_mut() {
            alarm.void |= !alarm.durable;
        }
    }

    /// A clear without an answer when its connection ended may have been done.
    pub fn forget_unanswered_clears(&mut self, line: &Line) {
        let steps = line.pending.iter().flat_map(|it| it.script.split(';'));
        for name in steps.filter_map(|step| step.strip_prefix("key-clear ")) {
            let key = (line.function, name.to_owned());
            if let Some(alarm) = self.key_alarms.get_mut(&key) {
                alarm.void = true;
            }
        }
    }

    /// No message waits for its answer for longer than [`STUCK`].
    pub fn find_stuck(&mut self) {
        for line in self.lines.clone() {
            let mut line = line.borrow_mut();
            if line.ended.is_some() || line.leaving || line.told_stuck {
                continue;
            }
            let Some(first) = line.pending.front() else {
                continue;
            };
            let Some(owed) = self.is_owed_since(&line) else {
                continue;
            };
            let since = owed.max(first.sent);
            let since = line.deaf_until.map_or(since, |until| until.max(since));
            if Instant::now().saturating_duration_since(since) > STUCK {
                let text = format!("`{}` is not answered for {STUCK:?}", first.script);
                line.told_stuck = true;
                self.blame("answers", &text, &line);
            }
        }
    }

    /// Called when all peers have finished: checks for messages that must have
    /// come, and have not.
    pub fn missing(&self) -> Option<(Rc<RefCell<Line>>, String)> {
        let now = Instant::now();
        self.lines.iter().find_map(|each| {
            let line = each.borrow();
            if line.ended.is_some() || line.may_miss() || line.start != self.start {
                return None;
            }
            let overdue = line.alarms.iter().find(|(name, due)| {
                !name.starts_with("always") && now > **due + Duration::from_secs(2)
            });
            if let Some((name, _)) = overdue {
                return Some((Rc::clone(each), format!("alarm {name} never came")));
            }
            let mut published = self.published.iter();
            let missing = published
                .find(|it| it.is_meant_for(&line) && !line.heard.contains_key(&it.message))?;
            let text = format!("`{}` never came", missing.message);
            Some((Rc::clone(each), text))
        })
    }

    pub fn blame_missing(&mut self) {
        if let Some((line, text)) = self.missing() {
            let invariant = if text.starts_with("alarm") {
                "alarms"
            } else {
                "once"
            };
            self.blame(invariant, &text, &line.borrow());
        }
    }

    /// Alarms of affinity values that no peer has received, although one could
    /// have.
    pub fn unheard_alarms(&self) -> Vec<String> {
        let heard_by = |function: usize, set: Instant| {
            self.lines.iter().any(|line| {
                let line = line.borrow();
                line.function == function
                    && line.ended.is_none()
                    && !line.may_miss()
                    && line.born.is_some_and(|born| born < set)
            })
        };
        let alarms = self.key_alarms.iter().filter(|((function, name), alarm)| {
            alarm.cleared.is_none()
                && alarm.calls == 0
                && !alarm.void
                && !name.starts_with("always")
                && *function < self.plan.functions.len()
                && alarm.set.elapsed() > alarm.after + Duration::from_secs(2)
                && heard_by(*function, alarm.set)
        });
        alarms
            .map(|((function, name), _)| {
                format!("{name} of {}", self.plan.function_name(*function))
            })
            .collect()
    }

    /// The largest answered number of each room.
    pub fn largest_remembered(&self) -> Vec<(usize, String, i64)> {
        if self.forgot {
            return Vec::new();
        }
        let rooms = self.remembered.iter();
        rooms
            .filter_map(|((function, room), sums)| {
                Some((*function, room.clone(), *sums.iter().max()?))
            })
            .collect()
    }
}
