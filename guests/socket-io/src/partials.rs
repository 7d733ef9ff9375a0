//! The binary packets of an instance's connections whose attachments have not
//! all arrived: at most [`PARTIALS_BYTES_MAX`]. For more, the oldest are given
//! up: a healthy peer sends the messages of a packet one right after the other,
//! so the oldest belong to peers that have stopped in the midst of one.

use std::collections::HashMap;

use crate::packet::{PACKET_BYTES_MAX, Partial};

/// How many bytes of incomplete packets an instance holds.
pub(crate) const PARTIALS_BYTES_MAX: usize = 4 * PACKET_BYTES_MAX;

/// Incomplete packets by the ids of their connections.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    held: HashMap<String, Held>,
    /// How many have been inserted, which is the age of the next one.
    inserted: u64,
}

#[derive(Debug)]
struct Held {
    /// The packet's number in its session.
    number: u64,
    age: u64,
    partial: Partial,
}

impl Partials {
    /// Keeps a packet in place of an older one of the same connection.
    pub(crate) fn insert(&mut self, connection: String, number: u64, partial: Partial) {
        let held = Held {
            number,
            age: self.inserted,
            partial,
        };
        self.inserted += 1;
        self.held.insert(connection, held);
        while self.bytes() > PARTIALS_BYTES_MAX {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.age);
            let Some(oldest) = oldest.map(|(connection, _)| connection.clone()) else {
                break;
            };
            self.held.remove(&oldest);
        }
    }

    /// Takes the packet of a connection, if it is the one with this number: an
    /// instance may still have one from before another instance served the
    /// connection.
    pub(crate) fn take(&mut self, connection: &str, number: u64) -> Option<Partial> {
        let held = self.held.remove(connection)?;
        (held.number == number).then_some(held.partial)
    }

    /// Forgets a connection.
    pub(crate) fn remove(&mut self, connection: &str) {
        self.held.remove(connection);
    }

    fn bytes(&self) -> usize {
        self.held.values().map(|held| held.partial.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Decoded, decode};

    /// A packet of this many bytes.
    fn partial(bytes: usize) -> Partial {
        let text = "52-[\"a\"]";
        let Ok(Decoded::Part(partial)) = decode(text) else {
            panic!("it has two attachments");
        };
        match partial.attach(vec![0; bytes - text.len()]) {
            Ok(Decoded::Part(partial)) => partial,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_packet_is_taken_once_and_by_its_number() {
        let mut partials = Partials::default();
        partials.insert("a".into(), 1, partial(100));
        assert_eq!(partials.take("b", 1), None);
        assert_eq!(partials.take("a", 1), Some(partial(100)));
        assert_eq!(partials.take("a", 1), None);
        partials.insert("a".into(), 1, partial(100));
        assert_eq!(partials.take("a", 2), None, "another instance went on");
        partials.insert("a".into(), 3, partial(100));
        partials.remove("a");
        assert_eq!(partials.take("a", 3), None);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut partials = Partials::default();
        for name in ["a", "b", "c", "d"] {
            partials.insert(name.into(), 1, partial(PACKET_BYTES_MAX));
        }
        assert_eq!(partials.bytes(), PARTIALS_BYTES_MAX);
        partials.insert("e".into(), 1, partial(100));
        assert_eq!(partials.take("a", 1), None);
        for name in ["b", "c", "d", "e"] {
            assert!(partials.take(name, 1).is_some(), "{name}");
        }
    }
}
