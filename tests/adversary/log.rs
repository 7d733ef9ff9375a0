//! Checks the host's log after a run.

use std::collections::HashMap;

use super::host::START;
use super::judge::Judge;
use super::plan::{Act, REMOVABLE};

/// Log lines while the disk is full.
const DISK: [&str; 5] = [
    "the data directory",
    "could not write",
    "could not save",
    "could not remove",
    "@not-hibernated",
];

/// The most other calls next to the one that fails, by the largest
/// `concurrency` of a plan.
const CALLS_BESIDE_MAX: usize = 2;

impl Judge {
    /// Checks the guests' output: each `open` has one `close`.
    pub fn read_log(&mut self, text: &str) {
        let runs = text.split(START).skip(1);
        // Each `close` gets its turn on a full host. Only one that ends makes no
        // more instances.
        let ends = self.plan.has(|act| matches!(act, Act::Terminate));
        let mut functions = self.plan.functions.iter();
        let shared = functions.any(|it| it.component.asynchronous || it.mixed);
        for (number, run) in (1..).zip(runs) {
            let mut opened: HashMap<&str, (u32, u32)> = HashMap::new();
            // With lines missing nothing can be counted.
            let whole = !run.contains("log lines were dropped") && !run.contains("more lines than");
            for line in run.lines() {
                if let Some(id) = word_after(line, "@open ") {
                    opened.entry(id).or_default().0 += 1;
                } else if let Some(id) = word_after(line, "@close ") {
                    opened.entry(id).or_default().1 += 1;
                }
                let disk = self.plan.fills_disk() && DISK.iter().any(|word| line.contains(word));
                if disk {
                    continue;
                }
                let alarming = line.contains("panicked at host/")
                    || line.contains("panic:")
                    || line.contains(" ERROR ") && !line.contains("given up")
                    // Saves of a removed function are refused.
                    || line.contains("after drain_timeout")
                    || line.contains("@alarm-after-clear")
                    || !ends && line.contains("was not told of")
                    || line.contains("@not-hibernated") && !line.contains(REMOVABLE);
                if alarming {
                    self.break_rule("log", line.chars().take(300).collect());
                }
            }
            // The log reports each `close` that finds no room.
            let mut excused = run.matches("was not told of").count();
            if shared {
                // A `close` that was in flight when another call failed may
                // have printed nothing.
                let failed = run.matches(" fault=").count();
                excused += failed * CALLS_BESIDE_MAX;
            }
            let excused = u32::try_from(excused).unwrap();
            let (mut missing, mut example) = (0, "");
            for (id, (opens, closes)) in &opened {
                if *opens > 1 || *closes > 1 {
                    let text = format!("{id}: `open` {opens} times, `close` {closes} times");
                    self.break_rule("close", text);
                }
                if closes < opens && whole {
                    (missing, example) = (missing + 1, id);
                }
            }
            let killed =
                self.ended.contains(&number) && self.plan.has(|act| matches!(act, Act::Kill));
            if missing > excused && !killed {
                let text = format!(
                    "{missing} connections were opened and never closed ({excused} said so), as {example}"
                );
                self.break_rule("close", text);
            }
        }
    }
}

fn word_after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.split_once(mark)?.1.split(' ').next()
}
