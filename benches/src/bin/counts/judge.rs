//! Whether figures are still as good as the accepted ones, and a table that
//! says so.

use openline_kit::table::Table;

use crate::figures::{Counts, Figures};

/// How much worse a figure may become, and how much better before the accepted
/// one should follow. Counts repeat to 0.1 %, but the compiler inlines otherwise
/// after a change elsewhere; what is worth a thought is more than that.
const SHARE: f64 = 0.10;

/// Allocations that may come on top, per message: queues take theirs in blocks
/// of 32, so that a run may have one more. A whole one for each message is
/// past it, and so is one for every tenth.
const ALLOCATIONS: f64 = 0.05;

/// Bytes that may come on top, per message, of the same kind.
const BYTES: f64 = 16.0;

/// How a figure compares with the accepted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Better,
    Worse,
    /// Made otherwise, or one of both is missing.
    NotJudged,
    /// There is no accepted one: it has to be written.
    New,
}

/// One figure of one path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    path: String,
    figure: &'static str,
    accepted: Option<f64>,
    now: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// Judges all figures. Instructions of another compiler or processor are not.
pub(crate) fn judge(accepted: &Counts, now: &Counts) -> Vec<Line> {
    let comparable = accepted.made_with == now.made_with;
    let mut lines = Vec::new();
    for (path, figures) in &now.path {
        let before = accepted.path.get(path);
        let mut add = |figure, of: fn(&Figures) -> Option<f64>, slack, judged: bool| {
            let (old, new) = (before.and_then(of), of(figures));
            let verdict = match (old, new) {
                _ if before.is_none() => Verdict::New,
                (Some(old), Some(new)) if judged => verdict(old, new, slack),
                _ => Verdict::NotJudged,
            };
            lines.push(Line {
                path: path.clone(),
                figure,
                accepted: old,
                now: new,
                verdict,
            });
        };
        add("allocations", |it| Some(it.allocations), ALLOCATIONS, true);
        add("bytes", |it| Some(it.bytes), BYTES, true);
        add("instructions", |it| it.instructions, 0.0, comparable);
    }
    lines
}

fn verdict(old: f64, new: f64, slack: f64) -> Verdict {
    let allowed = (old * SHARE).max(slack);
    // A tenth has no exact binary form: at the limit is not past it.
    let rounding = old * 1e-9;
    if new - old > allowed + rounding {
        Verdict::Worse
    } else if old - new > allowed + rounding {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

/// The lines as a table.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut table = Table::new(["path", "figure", "accepted", "now", "change", ""]);
    for line in lines {
        let change = match (line.accepted, line.now) {
            (Some(old), Some(new)) if old > 0.0 => {
                format!("{:+.1} %", (new - old) / old * 100.0)
            }
            _ => String::new(),
        };
        let verdict = match line.verdict {
            Verdict::Same => "",
            Verdict::Better => "better",
            Verdict::Worse => "WORSE",
            Verdict::NotJudged => "not judged",
            Verdict::New => "NEW",
        };
        let (accepted, now) = (number(line.accepted), number(line.now));
        table.row([&line.path, line.figure, &accepted, &now, &change, verdict]);
    }
    table.text()
}

/// Small figures have fractions that matter.
fn number(figure: Option<f64>) -> String {
    match figure {
        None => "-".to_owned(),
        Some(figure) if figure < 100.0 => format!("{figure:.2}"),
        Some(figure) => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::figures::MadeWith;

    fn counts(rustc: &str, allocations: f64, bytes: f64, instructions: Option<f64>) -> Counts {
        let figures = Figures {
            allocations,
            bytes,
            instructions,
        };
        Counts {
            made_with: MadeWith {
                rustc: rustc.to_owned(),
                machine: "one".to_owned(),
            },
            path: BTreeMap::from([("a".to_owned(), figures)]),
        }
    }

    fn verdicts(accepted: &Counts, now: &Counts) -> Vec<Verdict> {
        let lines = judge(accepted, now);
        lines.iter().map(|line| line.verdict).collect()
    }

    #[test]
    fn each_figure_at_its_limit_and_past_it() {
        use Verdict::{Better, Same, Worse};
        let accepted = counts("1", 10.0, 1000.0, Some(20_000.0));
        for (allocations, bytes, instructions, expected) in [
            (10.0, 1000.0, 20_000.0, [Same, Same, Same]),
            (11.0, 1100.0, 22_000.0, [Same, Same, Same]),
            (11.01, 1100.0, 22_000.0, [Worse, Same, Same]),
            (11.0, 1101.0, 22_000.0, [Same, Worse, Same]),
            (11.0, 1100.0, 22_001.0, [Same, Same, Worse]),
            (9.0, 900.0, 18_000.0, [Same, Same, Same]),
            (8.99, 899.0, 17_999.0, [Better, Better, Better]),
        ] {
            let now = counts("1", allocations, bytes, Some(instructions));
            assert_eq!(verdicts(&accepted, &now), expected, "{now:?}");
        }
    }

    #[test]
    fn one_allocation_more_where_there_were_few() {
        for few in [0.0, 1.0, 4.0, 9.0] {
            let accepted = counts("1", few, 0.0, None);
            let block = counts("1", few + 1.0 / 32.0, 16.0, None);
            assert_eq!(verdicts(&accepted, &block)[..2], [Verdict::Same; 2]);
            let whole = counts("1", few + 1.0, 17.0, None);
            assert_eq!(verdicts(&accepted, &whole)[..2], [Verdict::Worse; 2]);
        }
    }

    #[test]
    fn instructions_of_another_compiler_or_of_none_are_not_judged() {
        let accepted = counts("1", 1.0, 1.0, Some(1.0));
        for now in [
            counts("2", 1.0, 1.0, Some(9.0)),
            counts("1", 1.0, 1.0, None),
        ] {
            let expected = [Verdict::Same, Verdict::Same, Verdict::NotJudged];
            assert_eq!(verdicts(&accepted, &now), expected);
        }
        let worse = counts("2", 2.0, 1.0, Some(1.0));
        assert_eq!(verdicts(&accepted, &worse)[0], Verdict::Worse);
    }

    #[test]
    fn a_path_that_nobody_has_accepted() {
        let accepted = Counts {
            path: BTreeMap::new(),
            ..counts("1", 1.0, 1.0, None)
        };
        let now = counts("1", 1.0, 1.0, Some(1.0));
        assert_eq!(verdicts(&accepted, &now), [Verdict::New; 3]);
    }

    #[test]
    fn the_table_names_what_is_worse() {
        let accepted = counts("1", 4.0, 245.0, Some(10_000.0));
        let now = counts("1", 5.0, 245.0, Some(8_000.0));
        let table = table(&judge(&accepted, &now));
        let lines: Vec<Vec<_>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[1],
            ["a", "allocations", "4.00", "5.00", "+25.0", "%", "WORSE"]
        );
        assert_eq!(lines[2], ["a", "bytes", "245", "245", "+0.0", "%"]);
        assert_eq!(
            lines[3],
            ["a", "instructions", "10000", "8000", "-20.0", "%", "better"]
        );
    }
}
