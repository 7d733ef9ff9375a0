//! Why a connection may have ended and a handshake may have been refused, by
//! the rules of the host and the operations of the plan.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::time::Instant;

use super::judge::Judge;
use super::line::Line;
use super::plan::{Act, OVERLONG_MS, Plan};

/// Steps that wait for the disk.
const WRITES: [&str; 4] = ["save", "remember", "key-durable", "key-clear"];

impl Judge {
    /// Faults that may end calls of this connection, by the steps that cause
    /// them: its own, and those of others that may share its instance.
    fn faults(&self, line: &Line, words: &[&str]) -> bool {
        let plan = &self.plan;
        let own = plan.functions.get(line.function);
        let shared = own.is_none_or(|function| function.component.asynchronous || function.mixed);
        let affinity = own.is_some_and(|function| function.affinity);
        plan.peers.iter().any(|peer| {
            let near = peer.function == line.function && (!affinity || peer.room == line.room);
            let counts = peer.number == line.peer || shared && near;
            // An alarm of an affinity value is a call of its own.
            counts && (Plan::says(peer, words) || words.contains(&"trap") && peer.may_trap())
        })
    }

    pub fn may_fail(&self, line: &Line) -> bool {
        let words = [
            "trap",
            "always",
            "forever",
            "evade",
            OVERLONG_MS,
            "recurse",
            "allocate",
            "doom",
            "deep",
        ];
        let room = self.plan.peers.iter();
        room.filter(|peer| peer.function == line.function)
            .filter(|peer| peer.room == line.room || !self.has_affinity(line))
            .any(|peer| Plan::says(peer, &words) || peer.may_trap())
    }

    /// Every ending has a reason that this plan can cause.
    pub fn closed(&mut self, line: &Rc<RefCell<Line>>, code: u16, reason: &str) {
        let mut line = line.borrow_mut();
        line.note(self.began, &format!("closed {code} {reason}"));
        line.ended = Some((code, reason.into()));
        line.carried.ended = (code != 1006).then(Instant::now);
        line.changed.notify_waiters();
        line.changed.notify_one();
        let stem = reason.split(" after ").next().unwrap_or_default();
        self.count(&format!("closed {code} {stem}"));
        if code == 1012 {
            self.check_drained(&line);
        }
        self.forget_unanswered_clears(&line);
        if !line.leaving && !self.may_close(&line, code, reason) {
            let text = format!("closed with {code} `{reason}`");
            self.blame("reasons", &text, &line);
        }
    }

    fn may_close(&self, line: &Line, code: u16, reason: &str) -> bool {
        let plan = &self.plan;
        let function = plan.functions.get(line.function);
        let fault = reason.strip_prefix("function fault: ");
        match (code, fault) {
            (1006, _) => {
                self.down
                    || self.ended.contains(&line.start)
                    || line.closed_by_others
                    || Self::says_itself(plan, line, "terminate")
                    || line.lossy
            }
            // The guest's stack in linear memory overflows into a trap.
            (1011, Some("trap")) => self.faults(line, &["trap", "always", "recurse", "doom"]),
            (1011, Some("cpu_timeout")) => self.faults(line, &["forever", "evade"]),
            (1011, Some("handler_timeout")) => {
                // A stream waits for its peer. While the process is stopped,
                // time passes all the same. On a busy machine a call may wait
                // longer for a thread than it computes.
                self.faults(line, &[OVERLONG_MS, "evade", "forever", "stream", "burst"])
                    || plan.has(|act| matches!(act, Act::Freeze(_)))
                    || self.waits_for_disk(line)
            }
            (1011, Some("stack overflow")) => self.faults(line, &["recurse", "deep"]),
            (1011, Some("memory_bytes")) => self.faults(line, &["allocate"]),
            (1013, _) if reason.contains("keeps failing") => plan
                .peers
                .iter()
                .any(|peer| peer.function == line.function && peer.room.starts_with('d')),
            (1013, _) if reason.contains("outbox") => line.lossy,
            // An open connection waits for its turn, however full the host is.
            // Only one that ends makes no more instances.
            (1013, _) if reason.contains("no instance") => {
                plan.has(|act| matches!(act, Act::Terminate))
            }
            (1012, _) => plan.drains() || self.is_removable(line),
            (1001, _) if reason.starts_with("connection_time is up") => {
                function.is_some_and(|function| function.connection_time)
            }
            (1001, _) => plan.has(|act| matches!(act, Act::Terminate)),
            (1000, _) => line.closed_by_others || Self::says_itself(plan, line, "close"),
            _ => false,
        }
    }

    /// A call in flight, of the connection or of others on its instance, may
    /// wait for the disk, which others may keep busy for seconds.
    fn waits_for_disk(&self, line: &Line) -> bool {
        let waits = |line: &Line| {
            let pending = line.pending.front();
            pending.is_some_and(|it| WRITES.iter().any(|word| it.script.contains(word)))
        };
        // The connection that is being checked is borrowed.
        let mut others = self
            .lines
            .iter()
            .filter_map(|other| other.try_borrow().ok());
        self.plan.server.data
            && (waits(line) || others.any(|other| other.function == line.function && waits(&other)))
    }

    fn says_itself(plan: &Plan, line: &Line, word: &str) -> bool {
        let own = plan.peers.iter().find(|peer| peer.number == line.peer);
        own.is_some_and(|peer| Plan::says(peer, &[word]))
    }

    /// A handshake was refused.
    pub fn refused(&mut self, line: &Line, query: &str, status: u16) {
        self.count(&format!("refused {status}"));
        let plan = &self.plan;
        let fine = match status {
            503 => true,
            403 => query.contains("reject"),
            404 => self.is_removable(line) || plan.leaves(line.function),
            0 => self.down || plan.has(|act| matches!(act, Act::Terminate | Act::Kill)),
            502 if query.contains("answer") => !query.contains("most"),
            502 | 504 => self.may_fail(line),
            _ => false,
        };
        if !fine {
            self.blame("reasons", &format!("refused with {status}"), line);
        }
    }
}
