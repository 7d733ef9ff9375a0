//! The results as Markdown: ratios to the native echo, the figures themselves,
//! the goals, and what to know about them.

use std::fmt::Write as _;

use openline_kit::table::{Table, grouped};

use super::goals::{Judged, judge};
use super::peer::{BASE, Peer};
use super::results::{Results, Section};
use super::{Measured, Server};
use crate::criterion::InProcess;

/// Stands in the place of a figure that was not measured.
const NOTHING: &str = "–";

/// Everything, for a person or for a page.
pub(crate) fn render(measured: &Measured) -> String {
    let mut text = head(measured);
    let results = &measured.results;
    let peers: Vec<Peer> = measured.servers.iter().map(|server| server.peer).collect();
    if peers.contains(&BASE) && peers.len() > 1 {
        let others: Vec<_> = peers.iter().copied().filter(|peer| *peer != BASE).collect();
        text.push_str("\nAs a multiple of native, median (least–most over the rounds):\n\n");
        text.push_str(&rows(results, &others, |section, peer, figure, _| {
            section.ratio(peer, figure).map(|ratio| ratio.shown(2))
        }));
    }
    text.push_str("\nThe figures, median (least–most over the rounds):\n\n");
    text.push_str(&rows(results, &peers, |section, peer, figure, decimals| {
        let value = section.column(peer)?.value(figure)?;
        Some(value.shown(decimals))
    }));
    if !measured.in_process.is_empty() {
        text.push_str("\nIn one process, without sockets, medians of criterion:\n\n");
        text.push_str(&in_process(&measured.in_process));
    }
    let judged = judge(results);
    if !judged.is_empty() {
        text.push_str("\nGoals, judged by the median:\n\n");
        text.push_str(&goals(&judged));
    }
    let notes: Vec<String> = results.sections.iter().flat_map(notes).collect();
    if !notes.is_empty() {
        text.push_str("\nNotes:\n\n");
        text.push_str(&notes.concat());
    }
    text
}

fn head(measured: &Measured) -> String {
    let Measured {
        machine, pinning, ..
    } = measured;
    let side = |cpus: &Option<String>| match cpus {
        Some(cpus) => format!("on CPU {cpus}"),
        None => "not pinned".to_owned(),
    };
    let mut text = format!(
        "{}, {} × {}, {}, Linux {}. {} rounds, {} s each after {} s of warm-up; server {}, \
         load generator {}.\n\n",
        machine.date,
        machine.cores,
        machine.processor,
        machine.system,
        machine.kernel,
        measured.rounds,
        measured.seconds,
        measured.warm_up_seconds,
        side(&pinning.server),
        side(&pinning.load),
    );
    for Server { peer, version } in &measured.servers {
        // Writing to a string does not fail.
        let _ = writeln!(text, "- {}: {version}", peer.name());
    }
    for skipped in &measured.skipped {
        let _ = writeln!(text, "- skipped: {skipped}");
    }
    text
}

/// A row for each figure that at least one server has, under the measurement's
/// name.
fn rows(
    results: &Results,
    peers: &[Peer],
    cell: impl Fn(&Section, Peer, &str, usize) -> Option<String>,
) -> String {
    let names = peers.iter().map(|peer| peer.name().to_owned());
    let mut table = Table::new([String::new()].into_iter().chain(names));
    for section in &results.sections {
        let mut below = Vec::new();
        for figure in section.measurement.figures() {
            let cells: Vec<_> = peers
                .iter()
                .map(|peer| cell(section, *peer, figure.key, figure.decimals))
                .collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter();
                let cells = cells.map(|cell| cell.unwrap_or_else(|| NOTHING.to_owned()));
                below.push([figure.name.to_owned()].into_iter().chain(cells));
            }
        }
        if !below.is_empty() {
            table.title(&section.name);
            below.into_iter().for_each(|cells| table.row(cells));
        }
    }
    table.markdown()
}

fn in_process(figures: &[InProcess]) -> String {
    let mut table = Table::new(["", "echo", "echo-async"]);
    let shown = |figure: Option<f64>| figure.map_or_else(String::new, |value| grouped(value, 2));
    for each in figures {
        let name = each.figure.to_owned();
        table.row([name, shown(each.echo), shown(each.echo_async)]);
    }
    table.markdown()
}

fn goals(judged: &[Judged]) -> String {
    let mut table = Table::new(["goal", "measured", ""]);
    for Judged {
        goal,
        measured,
        unit,
        decimals,
        is_reached,
    } in judged
    {
        let judgement = if *is_reached { "reached" } else { "missed" };
        let measured = format!("{}{unit}", measured.shown(*decimals));
        table.row([*goal, &measured, judgement]);
    }
    table.markdown()
}

fn notes(section: &Section) -> Vec<String> {
    let notes = section.notes().into_iter();
    notes
        .map(|note| format!("- {}: {note}\n", section.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::rows;
    use crate::peers::peer::Peer;
    use crate::peers::results::tests::results;

    #[test]
    fn what_was_not_measured_is_a_dash_and_what_nobody_has_is_left_out() {
        let results = results(&[(Peer::Native, &[2.0, 4.0]), (Peer::Bun, &[0.0, 0.0])]);
        let peers = [Peer::Native, Peer::Bun];
        let text = rows(&results, &peers, |section, peer, figure, decimals| {
            let value = section.column(peer)?.value(figure)?;
            Some(value.shown(decimals))
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[2].contains("**50 connections × 1 in flight × 125 bytes**"));
        assert!(lines[3].contains("| 3.00 (2.00–4.00) | –"), "{text}");
    }
}
