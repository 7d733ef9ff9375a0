//! From the reports of all rounds to medians, spreads and ratios.

use openline_load::Report;
use serde::Serialize;

use crate::server::Server;
use crate::setting::{Figure, Setting};

/// The part of its cores from which the load generator is at its limit, and
/// below which the server is not: then the throughput says nothing about it.
const GENERATOR_BUSY: f64 = 0.95;
const SERVER_BUSY: f64 = 0.9;

/// The reports of one setting on one server, a report a round.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) server: Server,
    pub(crate) reports: Vec<Report>,
}

/// Everything measured with one setting.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) setting: Setting,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
    pub(crate) measured: Vec<Measured>,
}

/// One figure on all servers.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) figure: &'static str,
    #[serde(skip)]
    pub(crate) decimals: usize,
    pub(crate) cells: Vec<Cell>,
}

/// One figure on one server.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) server: Server,
    pub(crate) value: Option<Spread>,
    /// To native, where both were measured.
    pub(crate) ratio: Option<Spread>,
}

/// A median with its extremes over the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` where there is nothing to sum up.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self {
            median,
            least,
            most,
        })
    }
}

impl Section {
    pub(crate) fn new(setting: Setting, measured: Vec<Measured>, server_cores: usize) -> Self {
        let figures = setting.figures();
        Self {
            name: setting.name(),
            rows: figures
                .iter()
                .map(|figure| row(figure, &measured))
                .collect(),
            notes: measured
                .iter()
                .flat_map(|one| notes(one, server_cores))
                .collect(),
            setting,
            measured,
        }
    }
}

fn row(figure: &Figure, measured: &[Measured]) -> Row {
    let native = measured.iter().find(|one| one.server == Server::Native);
    let cells = measured.iter().map(|one| {
        let native = native.filter(|_| one.server != Server::Native);
        Cell {
            server: one.server,
            value: Spread::of(one.reports.iter().filter_map(figure.of).collect()),
            ratio: native.and_then(|native| ratio(figure, one, native)),
        }
    });
    Row {
        figure: figure.name,
        decimals: figure.decimals,
        cells: cells.collect(),
    }
}

/// The ratio within each round, then its spread over the rounds.
fn ratio(figure: &Figure, one: &Measured, native: &Measured) -> Option<Spread> {
    let rounds = one.reports.iter().zip(&native.reports);
    let ratios = rounds.filter_map(|(one, native)| {
        let (one, native) = ((figure.of)(one)?, (figure.of)(native)?);
        (native > 0.0).then(|| one / native)
    });
    Spread::of(ratios.collect())
}

/// What makes figures less than they seem.
fn notes(measured: &Measured, server_cores: usize) -> Vec<String> {
    let name = measured.server.name();
    let mut notes = Vec::new();
    for (round, report) in (1..).zip(&measured.reports) {
        for (kind, count) in &report.errors {
            notes.push(format!("{name}, round {round}: {kind} ({count} ×)"));
        }
        let Some(messages) = report.messages else {
            continue;
        };
        if messages.unanswered + messages.unsent > 0 {
            notes.push(format!(
                "{name}, round {round}: {} messages never answered, {} never sent",
                messages.unanswered, messages.unsent
            ));
        }
    }
    let limits = |report: &&Report| generator_limits(report, server_cores);
    let limited = measured.reports.iter().filter(limits).count();
    if limited > 0 {
        notes.push(format!(
            "{name}: the load generator was at its limit in {limited} of {} rounds, and \
             the server was not",
            measured.reports.len()
        ));
    }
    notes
}

/// Whether the load generator was at its limit and the server was not.
pub(crate) fn generator_limits(report: &Report, server_cores: usize) -> bool {
    let server = report.server.and_then(|server| server.cpu_seconds);
    let (Some(generator), Some(server)) = (report.generator_busy, server) else {
        return false;
    };
    let available = report.elapsed_seconds * server_cores as f64;
    generator > GENERATOR_BUSY && server < SERVER_BUSY * available
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn a_spread_is_the_median_and_the_extremes() {
        let spread = |values: &[f64]| {
            Spread::of(values.to_vec()).map(|spread| (spread.median, spread.least, spread.most))
        };
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0]), Some((3.0, 3.0, 3.0)));
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0]), Some((2.5, 1.0, 4.0)));
    }
}
