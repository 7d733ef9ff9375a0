//! The end of a soak as a person reads it, on stdout.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use openline_kit::table::Table;

use crate::check::Check;
use crate::settle::Reading;
use crate::tally::Tally;

/// All there is to say.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) seed: u64,
    pub(crate) baseline: &'a Reading,
    /// After the second round.
    pub(crate) last: &'a Reading,
    pub(crate) resident_bytes_peak: u64,
    pub(crate) tally: &'a Tally,
    /// Each with the part of the soak it belongs to.
    pub(crate) checks: &'a [(String, Vec<Check>)],
}

impl Report<'_> {
    pub(crate) fn is_ok(&self) -> bool {
        self.all().all(|check| check.is_ok)
    }

    fn all(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().flat_map(|(_, checks)| checks)
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let state = &self.last.state;
        let tally = self.tally;
        kinds(&mut text, "peers, by what they did", &tally.behaved.all());
        kinds(
            &mut text,
            "connections, by the reason they ended for",
            &state.connections.ended,
        );
        kinds(
            &mut text,
            "handshakes refused, by reason",
            &state.handshakes.refused,
        );
        kinds(
            &mut text,
            "close codes that peers saw",
            &tally.endings.all(),
        );
        let wrongs = tally.wrongs.all();
        if !wrongs.is_empty() {
            kinds(&mut text, "what was wrong", &wrongs);
        }
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} messages answered rightly, the slowest after {:?}",
            tally.answered.load(std::sync::atomic::Ordering::Relaxed),
            tally.slowest()
        );
        let _ = writeln!(
            text,
            "host resident: {} MiB before, {} MiB at most, {} MiB at the end\n",
            mebibytes(self.baseline.process.resident_bytes),
            mebibytes(self.resident_bytes_peak),
            mebibytes(self.last.process.resident_bytes),
        );
        let mut table = Table::new(["", "", "wanted", "found"]);
        for (part, checks) in self.checks {
            table.title(part);
            checks.iter().for_each(|check| table.row(check.cells()));
        }
        text.push_str(&table.text());
        let failed = self.all().filter(|check| !check.is_ok).count();
        let _ = match failed {
            0 => writeln!(text, "\nall checks passed, seed {}", self.seed),
            _ => writeln!(
                text,
                "\n{failed} checks FAILED; `--seed {}` repeats the choices of this run",
                self.seed
            ),
        };
        text
    }
}

fn kinds(text: &mut String, title: &str, kinds: &BTreeMap<String, u64>) {
    let _ = writeln!(text, "{title}");
    for (kind, count) in kinds {
        let _ = writeln!(text, "  {count:>9}  {kind}");
    }
    text.push('\n');
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}
