//! Where the peer of a held answer is in its channels: the ids of its events, and
//! the `Last-Event-ID` with which it comes back.
//!
//! An answer with one channel has the positions of its publications as ids, as they
//! are: they are the same for all who get them. With several channels the id of each
//! publication is where the peer is in all of them, with commas between. A position
//! says by its epoch which channel it belongs to. Bounded by
//! [`HELD_POSITIONS_MAX`].

use openline_broker::position::Position;
use openline_core::limits::HELD_POSITIONS_MAX;

/// How the first line of a publication begins that has a position.
const ID: &str = "id: ";

/// The positions of a peer in its channels, if it has more than one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids(Vec<Position>);

impl Ids {
    /// Those of a peer that is about to get its first event. Of more than
    /// [`HELD_POSITIONS_MAX`] it cannot come back to the last ones.
    pub(super) fn new(mut positions: Vec<Position>) -> Self {
        positions.truncate(HELD_POSITIONS_MAX);
        Self(positions)
    }

    /// Those in a text of a peer; none if it is no id of the host.
    pub(super) fn read(text: &str) -> Vec<Position> {
        if text.is_empty() {
            return Vec::new();
        }
        let all = text.split(',').map(|each| each.trim().parse().ok());
        let all = all.take(HELD_POSITIONS_MAX + 1);
        let all: Option<Vec<_>> = all.collect();
        let all = all.filter(|all| all.len() <= HELD_POSITIONS_MAX);
        all.unwrap_or_default()
    }

    /// The id; `None` if there is nothing to come back to.
    pub(super) fn text(&self) -> Option<String> {
        let all: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| all.join(","))
    }

    /// Whether events need another id than their own.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Notes an event, and answers it with the id that it needs: a new first line,
    /// and the rest; `None` if it is as it must be.
    pub(super) fn note<'a>(&mut self, event: &'a str) -> Option<(String, &'a str)> {
        let (line, rest) = event.strip_prefix(ID)?.split_once('\n')?;
        let position: Position = line.parse().ok()?;
        let own = self.0.iter_mut().find(|it| it.epoch == position.epoch);
        if let Some(own) = own {
            *own = position;
        }
        Some((format!("{ID}{}\n", self.text()?), rest))
    }
}

#[cfg(test)]
mod tests {
    use openline_broker::position::Epoch;
    use proptest::prelude::*;

    use super::*;

    fn at(epoch: u64, offset: u64) -> Position {
        Position::new(Epoch::from_random(epoch), offset)
    }

    #[test]
    fn the_id_of_an_event_is_where_the_peer_is_in_all_channels() {
        let mut ids = Ids::new(vec![at(10, 1), at(11, 7)]);
        assert!(ids.are_several());
        assert_eq!(ids.text().unwrap(), "a-1,b-7");
        let noted = ids.note("id: b-8\nevent: e\ndata: x\n\n");
        assert_eq!(
            noted,
            Some(("id: a-1,b-8\n".into(), "event: e\ndata: x\n\n"))
        );
        // That of a channel which the peer cannot come back to moves nothing.
        let noted = ids.note("id: c-9\ndata: y\n\n");
        assert_eq!(noted, Some(("id: a-1,b-8\n".into(), "data: y\n\n")));
        for own in [
            "data: id: b-9\n\n",
            "event: e\ndata:\n\n",
            ":\n\n",
            "id: x\ndata: y\n\n",
        ] {
            assert_eq!(ids.note(own), None, "{own}");
        }
        assert_eq!(Ids::new(Vec::new()).text(), None);
        assert!(!Ids::new(vec![at(10, 1)]).are_several());
    }

    #[test]
    fn positions_at_their_number_and_past_it() {
        let all = |count: usize| (1..=count as u64).map(|it| at(it, it)).collect::<Vec<_>>();
        let most = HELD_POSITIONS_MAX;
        let text = Ids::new(all(most)).text().unwrap();
        assert_eq!(Ids::read(&text), all(most));
        assert_eq!(Ids::new(all(most + 1)).text().unwrap(), text);
        assert!(Ids::read(&format!("{text},1-1")).is_empty());
    }

    #[test]
    fn a_text_that_is_no_id_of_the_host_recovers_nothing() {
        for text in ["", "1", "a-1,", "a-1,x", "a-1;b-2", "A-1", "a-01", "-"] {
            assert!(Ids::read(text).is_empty(), "{text}");
        }
        assert_eq!(Ids::read("a-1, b-2"), [at(10, 1), at(11, 2)]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in proptest::collection::vec((1..u64::MAX, 0..1_u64 << 53), 1..16)) {
            let all: Vec<_> = parts.iter().map(|(epoch, offset)| at(*epoch, *offset)).collect();
            prop_assert_eq!(Ids::read(&Ids::new(all.clone()).text().unwrap()), all);
        }

        #[test]
        fn any_text_is_read(text in "[ -~]{0,80}") {
            prop_assert!(Ids::read(&text).len() <= HELD_POSITIONS_MAX);
        }
    }
}
