//! From what was taken in all rounds to medians, spreads and ratios.

use openline_kit::table::Spread;
use serde::Serialize;

use super::measurement::Measurement;
use super::peer::{BASE, Peer};
use super::take::Taken;

/// Everything measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) sections: Vec<Section>,
}

/// One measurement on all servers.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) measurement: Measurement,
    pub(crate) columns: Vec<Column>,
}

/// One measurement on one server.
#[derive(Debug, Serialize)]
pub(crate) struct Column {
    pub(crate) peer: Peer,
    /// In the order of the rounds; `None` where it failed.
    pub(crate) rounds: Vec<Option<Taken>>,
    /// How it failed, with the round's number.
    pub(crate) failures: Vec<String>,
}

impl Column {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            rounds: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// A figure of one round.
    pub(crate) fn of_round(&self, round: usize, figure: &str) -> Option<f64> {
        let taken = self.rounds.get(round)?.as_ref()?;
        taken.figures.get(figure).copied()
    }

    pub(crate) fn value(&self, figure: &str) -> Option<Spread> {
        let rounds = 0..self.rounds.len();
        let values = rounds.filter_map(|round| self.of_round(round, figure));
        Spread::of(values)
    }

    /// Figures of this and another server brought together within each round,
    /// then over the rounds.
    pub(crate) fn beside(
        &self,
        other: &Self,
        figure: &str,
        together: fn(f64, f64) -> f64,
    ) -> Option<Spread> {
        let rounds = 0..self.rounds.len();
        let values = rounds.filter_map(|round| {
            let mine = self.of_round(round, figure)?;
            let theirs = other.of_round(round, figure)?;
            let value = together(mine, theirs);
            // Nothing divided by nothing.
            value.is_finite().then_some(value)
        });
        Spread::of(values)
    }
}

impl Section {
    pub(crate) fn new(measurement: Measurement, peers: &[Peer]) -> Self {
        let peers = peers.iter().copied();
        let peers = peers.filter(|peer| measurement.applies_to(*peer));
        Self {
            name: measurement.name(),
            measurement,
            columns: peers.map(Column::new).collect(),
        }
    }

    pub(crate) fn column(&self, peer: Peer) -> Option<&Column> {
        self.columns.iter().find(|column| column.peer == peer)
    }

    /// A figure's ratio to the native echo's.
    pub(crate) fn ratio(&self, peer: Peer, figure: &str) -> Option<Spread> {
        let (column, base) = (self.column(peer)?, self.column(BASE)?);
        column.beside(base, figure, |mine, theirs| mine / theirs)
    }

    /// Reasons to trust figures less, each once for a server.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for column in &self.columns {
            let peer = column.peer.name();
            notes.extend(
                column
                    .failures
                    .iter()
                    .map(|failure| format!("{peer}, {failure}")),
            );
            let taken = column.rounds.iter().flatten();
            let mut said: Vec<&String> = taken.flat_map(|taken| &taken.notes).collect();
            said.sort_unstable();
            for group in said.chunk_by(|one, other| one == other) {
                let (of, note) = (column.rounds.len(), group[0]);
                notes.push(format!("{peer}, {} of {of} rounds: {note}", group.len()));
            }
        }
        notes
    }
}

impl Results {
    pub(crate) fn section(&self, measurement: Measurement) -> Option<&Section> {
        let mut sections = self.sections.iter();
        sections.find(|section| section.measurement == measurement)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Column, Results, Section};
    use crate::peers::client::Figures;
    use crate::peers::measurement::{CPU_PER_MESSAGE, USUAL};
    use crate::peers::peer::Peer;

    /// The usual measurement, with the CPU time of each round; 0 is a failure.
    pub(in crate::peers) fn results(measured: &[(Peer, &[f64])]) -> Results {
        let peers: Vec<_> = measured.iter().map(|(peer, _)| *peer).collect();
        let mut section = Section::new(USUAL, &peers);
        for (column, (_, rounds)) in section.columns.iter_mut().zip(measured) {
            for value in *rounds {
                let figures = Figures::from([(CPU_PER_MESSAGE.to_owned(), *value)]);
                let is_there = *value != 0.0;
                column.rounds.push(is_there.then(|| figures.into()));
            }
        }
        Results {
            sections: vec![section],
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let results = results(&[
            (Peer::Native, &[10.0, 20.0, 0.0]),
            (Peer::Openline, &[12.0, 30.0, 99.0]),
        ]);
        let section = results.section(USUAL).unwrap();
        let ratio = section.ratio(Peer::Openline, CPU_PER_MESSAGE).unwrap();
        assert!((ratio.median - 1.35).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.least - 1.2).abs() < 1e-9 && (ratio.most - 1.5).abs() < 1e-9);
        let value = section.column(Peer::Openline).unwrap();
        assert!(value.value(CPU_PER_MESSAGE).unwrap().most > 98.0);
        assert!(section.ratio(Peer::Bun, CPU_PER_MESSAGE).is_none());
        assert!(value.value("another").is_none());
    }

    #[test]
    fn equal_notes_are_said_once() {
        let mut results = results(&[(Peer::Bun, &[1.0, 1.0])]);
        let column: &mut Column = &mut results.sections[0].columns[0];
        for taken in column.rounds.iter_mut().flatten() {
            taken.notes.push("it was late".to_owned());
        }
        column.failures.push("round 3: it fell".to_owned());
        let notes = results.sections[0].notes();
        assert_eq!(
            notes,
            ["Bun, round 3: it fell", "Bun, 2 of 2 rounds: it was late"]
        );
    }
}
