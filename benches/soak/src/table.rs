//! The soak's one table: the behaviours of peers, how often and for how long.

use std::time::Duration;

use fastrand::Rng;

use Behaviour::{
    Abort, AwaitForever, Big, Brief, Burst, Chat, CloseAndGo, Closed, Compute, Counter, Echo,
    FaultAsync, Flood, Fragments, HalfClose, HalfFrame, HalfRequest, Hub, Idle, Memory, Metered,
    NeverRead, Page, Paused, PingFlood, Quiet, Rated, Recurse, Refused, Reject, Reset, Sleep, Trap,
    Vanish, Violation,
};

/// The things that a peer can do with its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Idle,
    Echo,
    Burst,
    Big,
    Fragments,
    Metered,
    Chat,
    Counter,
    Sleep,
    Paused,
    Closed,
    Brief,
    Abort,
    Quiet,
    Rated,
    Vanish,
    Reset,
    HalfClose,
    CloseAndGo,
    NeverRead,
    PingFlood,
    Violation,
    HalfFrame,
    HalfRequest,
    Refused,
    Page,
    Trap,
    Compute,
    Flood,
    Memory,
    Recurse,
    AwaitForever,
    FaultAsync,
    Hub,
    Reject,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// How often, in proportion to the other rows.
    pub(crate) weight: u32,
    /// How long a peer behaves so, in seconds: at least, at most. Those that
    /// are to be ended by the host are through when they are.
    pub(crate) seconds: (u32, u32),
    pub(crate) behaviour: Behaviour,
    /// For the report.
    pub(crate) name: &'static str,
}

const fn row(weight: u32, seconds: (u32, u32), behaviour: Behaviour, name: &'static str) -> Row {
    Row {
        weight,
        seconds,
        behaviour,
        name,
    }
}

/// How often peers do what, and for how long. Most connections are idle or slow at any moment, so that
/// two cores carry ten thousand of them and the peers as well; what costs much
/// is rare.
#[rustfmt::skip]
pub(crate) const TABLE: [Row; 35] = [
    // Peers that keep to the protocol. Each answer is checked, and how the
    // connection ends.
    row(180, (30, 120), Idle,         "idle: one message at the end"),
    row(170, (20, 100), Echo,         "a message every few seconds, text or binary"),
    row( 40, (10,  40), Burst,        "many messages at once"),
    row( 15, ( 5,  20), Big,          "messages of up to 1 MiB"),
    row( 25, (10,  40), Fragments,    "messages in fragments, with pings between them"),
    row( 15, (10,  40), Metered,      "messages to a function with fuel"),
    row( 50, (20,  80), Chat,         "lines in a room that others read"),
    row( 35, (20,  80), Counter,      "counting together in a room"),
    row( 30, (10,  40), Sleep,        "messages that the function waits over"),
    row( 15, ( 5,  15), Paused,       "faster than allowed: reading pauses"),
    row( 20, ( 2,  10), Closed,       "closed by the function, with allowed codes and others"),
    row( 10, (20,  20), Brief,        "until connection_time is up, with a warning"),
    row( 10, (20,  20), Abort,        "until connection_time is up, without a close frame"),
    row( 10, (15,  15), Quiet,        "sends nothing until idle_timeout"),
    // Peers that do not. They are owed an end, and it is checked: that they are
    // ended, and how.
    row( 10, (10,  10), Rated,        "faster than allowed: closed"),
    row( 60, ( 5,  60), Vanish,       "vanishes without a close frame"),
    row( 40, ( 5,  60), Reset,        "resets the connection"),
    row( 25, ( 5,  40), HalfClose,    "half-closes the stream"),
    row( 30, ( 1,  20), CloseAndGo,   "a close frame and no wait for the answer, data after it"),
    row( 15, (10,  30), NeverRead,    "sends and never reads"),
    row( 15, ( 3,  10), PingFlood,    "floods with pings, reading the pongs or not"),
    row( 60, ( 0,  10), Violation,    "breaks the protocol"),
    row( 30, ( 5,  40), HalfFrame,    "stops in the middle of a frame"),
    row( 30, ( 1,  10), HalfRequest,  "half a request head, or one that trickles"),
    row( 40, ( 0,   1), Refused,      "a request that is refused"),
    row( 10, ( 0,   1), Page,         "requests of the page"),
    // Functions that misbehave because they are asked to.
    row( 30, ( 0,  10), Trap,         "the function traps, in any of its events"),
    row( 12, ( 0,  10), Compute,      "the function computes without end"),
    row( 15, ( 5,  15), Flood,        "the function floods the outbox, read or not"),
    row( 10, ( 0,  10), Memory,       "the function exhausts its memory"),
    row( 10, ( 0,  10), Recurse,      "the function exhausts its stack"),
    row( 10, ( 0,  10), AwaitForever, "the function awaits what never comes"),
    row( 15, ( 5,  20), FaultAsync,   "asynchronous calls in flight while another fails"),
    row( 20, (10,  40), Hub,          "channels, handles, attachments, at random"),
    row( 20, ( 0,   2), Reject,       "the function refuses, well or badly"),
];

/// The rows that are drawn from.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    rows: Vec<&'static Row>,
    weights: u32,
}

impl Choice {
    /// A choice of all rows, or of those that have a word in their name.
    pub(crate) fn new(only: Option<&str>) -> Self {
        let chosen = |row: &&Row| only.is_none_or(|word| row.name.contains(word));
        let rows: Vec<_> = TABLE.iter().filter(chosen).collect();
        let weights = rows.iter().map(|row| row.weight).sum();
        Self { rows, weights }
    }

    pub(crate) fn rows(&self) -> &[&'static Row] {
        &self.rows
    }

    /// Draws the row of the next peer. `None` only where there are no rows.
    pub(crate) fn draw(&self, random: &mut Rng) -> Option<&'static Row> {
        let mut left = random.u32(..self.weights.max(1));
        for row in &self.rows {
            match left.checked_sub(row.weight) {
                Some(rest) => left = rest,
                None => return Some(row),
            }
        }
        None
    }
}

impl Row {
    /// How long this peer behaves so.
    pub(crate) fn lifetime(&self, random: &mut Rng) -> Duration {
        let (least, most) = self.seconds;
        Duration::from_millis(random.u64(u64::from(least) * 1000..=u64::from(most) * 1000))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;

    use super::{Choice, TABLE};

    #[test]
    fn rows_are_drawn_as_often_as_their_weights_say() {
        let mut random = Rng::with_seed(1);
        let mut drawn: BTreeMap<&str, u32> = BTreeMap::new();
        let all = Choice::new(None);
        for _ in 0..all.weights * 100 {
            let row = all.draw(&mut random).unwrap();
            *drawn.entry(row.name).or_default() += 1;
        }
        for row in &TABLE {
            let count = drawn[row.name];
            let expected = row.weight * 100;
            // Six standard deviations of the rarest, and of all others.
            assert!(
                count.abs_diff(expected) < 25 * row.weight.max(8),
                "{}: {count}",
                row.name
            );
        }
    }

    #[test]
    fn every_behaviour_has_one_row() {
        for (place, row) in TABLE.iter().enumerate() {
            assert!(row.weight > 0 && row.seconds.0 <= row.seconds.1);
            let others = &TABLE[place + 1..];
            assert!(others.iter().all(|other| other.behaviour != row.behaviour));
            assert!(others.iter().all(|other| other.name != row.name));
        }
    }

    #[test]
    fn the_defaults_hold_ten_thousand_connections() {
        let seconds: u32 = TABLE
            .iter()
            .map(|row| row.weight * (row.seconds.0 + row.seconds.1) / 2)
            .sum();
        let mean = f64::from(seconds) / f64::from(Choice::new(None).weights);
        // 400 begin in a second at most.
        assert!(mean * 400.0 > 10_000.0 * 1.2, "{mean} s");
    }

    #[test]
    fn a_seed_repeats_what_was_drawn() {
        let names = |seed| -> Vec<_> {
            let mut random = Rng::with_seed(seed);
            let all = Choice::new(None);
            (0..50)
                .map(|_| all.draw(&mut random).unwrap().name)
                .collect()
        };
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
    }

    #[test]
    fn some_rows_can_be_chosen_by_a_word() {
        let floods = Choice::new(Some("flood"));
        assert_eq!(floods.rows().len(), 2);
        let mut random = Rng::with_seed(1);
        for _ in 0..20 {
            assert!(floods.draw(&mut random).unwrap().name.contains("flood"));
        }
        assert!(
            Choice::new(Some("no such word"))
                .draw(&mut random)
                .is_none()
        );
    }
}
