//! Which publishes have been done, so that a repeated one is not done again.
//!
//! A publisher that gets no answer repeats its publish with the same key, and
//! gets the outcome of the first. A channel remembers a key for
//! [`IDEMPOTENCY_TIME`], and [`IDEMPOTENCY_KEYS_MAX`] of them; past that it
//! forgets the oldest earlier, so under a flood of keys the time is shorter. A
//! publish that was refused or suppressed leaves no key: repeated, it is judged
//! again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::moment::Moment;
use crate::outcome::{Outcome, Scope};
use crate::wire::{DecodeError, Reader, put_number};

/// How long a key is remembered: longer than any client repeats.
pub const IDEMPOTENCY_TIME: Duration = Duration::from_secs(5 * 60);
/// Keys that one channel remembers: 200 a second for five minutes.
pub const IDEMPOTENCY_KEYS_MAX: usize = 65_536;
/// The longest key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// What a receipt takes beside its key, about: its places in two maps.
const PLACES: usize = 176;

/// The outcomes of publishes with a key.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    receipts: HashMap<ByteString, Receipt>,
    /// The keys by the numbers of their receipts: the oldest first.
    order: BTreeMap<u64, ByteString>,
    next: u64,
    bytes: usize,
}

/// What is remembered of one publish.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    outcome: Outcome,
    time: Moment,
    number: u64,
}

impl Receipts {
    /// The outcome of the first publish with a key, if it is remembered.
    pub fn get(&self, key: &str, now: Moment) -> Option<&Outcome> {
        let receipt = self.receipts.get(key)?;
        let has_aged = receipt.time.has_aged(IDEMPOTENCY_TIME, now);
        (!has_aged).then_some(&receipt.outcome)
    }

    /// Remembers an outcome. Answers a key that was forgotten for it.
    pub fn insert(
        &mut self,
        key: ByteString,
        outcome: Outcome,
        time: Moment,
    ) -> Option<ByteString> {
        self.remove(&key);
        let is_full = self.receipts.len() >= IDEMPOTENCY_KEYS_MAX;
        let oldest = self.order.first_key_value().filter(|_| is_full);
        let forgotten = oldest.map(|(_, key)| key.clone());
        if let Some(key) = &forgotten {
            self.remove(key);
        }
        let number = self.next;
        self.next += 1;
        self.bytes += cost(&key);
        self.order.insert(number, key.clone());
        let receipt = Receipt {
            outcome,
            time,
            number,
        };
        self.receipts.insert(key, receipt);
        forgotten
    }

    /// Says how many subscribers took the publication of a key.
    pub fn delivered(&mut self, key: &str, local: u64) {
        if let Some(receipt) = self.receipts.get_mut(key) {
            receipt.outcome.local = local;
        }
    }

    /// Forgets a key, as if it had never been published.
    pub fn remove(&mut self, key: &str) {
        if let Some(receipt) = self.receipts.remove(key) {
            self.order.remove(&receipt.number);
            self.bytes -= cost(key);
        }
        if self.receipts.is_empty() {
            *self = Self::default();
        }
    }

    /// Forgets a key that has reached its time; `None` if there is none.
    pub fn forget(&mut self, now: Moment) -> Option<ByteString> {
        let ages_at = self.ages_at()?;
        let (_, key) = self.order.first_key_value().filter(|_| ages_at <= now)?;
        let key = key.clone();
        self.remove(&key);
        Some(key)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&ByteString, &Outcome, Moment)> {
        let all = self.receipts.iter();
        all.map(|(key, receipt)| (key, &receipt.outcome, receipt.time))
    }

    /// When the oldest key reaches its time.
    pub fn ages_at(&self) -> Option<Moment> {
        let (_, key) = self.order.first_key_value()?;
        let receipt = self.receipts.get(key)?;
        Some(receipt.time.plus(IDEMPOTENCY_TIME))
    }

    /// How many keys are remembered.
    pub fn count(&self) -> usize {
        self.receipts.len()
    }

    /// What they take.
    pub fn cost(&self) -> usize {
        self.bytes
    }
}

/// What a receipt takes.
pub(crate) fn cost(key: &str) -> usize {
    PLACES + 2 * key.len()
}

/// An outcome with its moment, for a store. Of a publish that was done.
pub(crate) fn encode(outcome: &Outcome, time: Moment) -> Bytes {
    let mut bytes = Vec::new();
    put_number(&mut bytes, time.0);
    put_number(&mut bytes, outcome.local);
    bytes.push(u8::from(outcome.scope == Scope::Local));
    if let Some(position) = outcome.position {
        bytes.extend_from_slice(&position.epoch.bits().to_be_bytes());
        put_number(&mut bytes, position.offset);
    }
    bytes.into()
}

pub(crate) fn decode(bytes: Bytes) -> Result<(Outcome, Moment), DecodeError> {
    let is_positioned = |reader: &Reader| reader.end().is_err();
    let mut reader = Reader::new(bytes, "receipt");
    let (time, local) = (Moment(reader.number()?), reader.number()?);
    let scope = match reader.byte()? {
        0 => Scope::Everywhere,
        1 => Scope::Local,
        _ => return Err(reader.error()),
    };
    let position = is_positioned(&reader)
        .then(|| crate::publication::read_position(&mut reader))
        .transpose()?;
    reader.end()?;
    let outcome = Outcome {
        scope,
        ..Outcome::published(position, local)
    };
    Ok((outcome, time))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::position::{Epoch, Position};

    const TIME: u64 = 300_000;

    fn outcome(local: u64) -> Outcome {
        let position = Position::new(Epoch::from_random(1), local);
        Outcome::published(Some(position), local)
    }

    #[test]
    fn a_key_is_remembered_up_to_its_time() {
        let mut receipts = Receipts::default();
        receipts.insert("a".into(), outcome(1), Moment(5));
        assert_eq!(receipts.get("a", Moment(TIME + 4)), Some(&outcome(1)));
        assert_eq!(receipts.get("a", Moment(TIME + 5)), None);
        assert_eq!(receipts.forget(Moment(TIME + 4)), None);
        assert_eq!(receipts.ages_at(), Some(Moment(TIME + 5)));
        assert_eq!(receipts.forget(Moment(TIME + 5)).as_deref(), Some("a"));
        assert_eq!(receipts.forget(Moment(TIME + 5)), None);
        assert_eq!((receipts.count(), receipts.cost()), (0, 0));
        assert_eq!(receipts.ages_at(), None);
    }

    #[test]
    fn keys_at_their_number_and_past_it() {
        let mut receipts = Receipts::default();
        for number in 0..IDEMPOTENCY_KEYS_MAX {
            let key = number.to_string().into();
            assert_eq!(receipts.insert(key, outcome(1), Moment(0)), None);
        }
        let forgotten = receipts.insert("more".into(), outcome(1), Moment(0));
        assert_eq!(forgotten.as_deref(), Some("0"));
        assert_eq!(receipts.count(), IDEMPOTENCY_KEYS_MAX);
        assert_eq!(receipts.get("0", Moment(0)), None);
        assert!(receipts.get("1", Moment(0)).is_some());
    }

    #[test]
    fn an_outcome_is_stored_as_it_is() {
        let local = Outcome {
            scope: Scope::Local,
            ..Outcome::published(None, u64::MAX)
        };
        for outcome in [outcome(7), local, Outcome::published(None, 0)] {
            assert_eq!(
                decode(encode(&outcome, Moment(9))),
                Ok((outcome, Moment(9)))
            );
        }
        assert!(decode(Bytes::from_static(&[0, 0, 2])).is_err());
        assert!(decode(Bytes::from_static(&[0, 0, 0, 1])).is_err());
    }

    proptest! {
        /// Like a map in which entries end by themselves.
        #[test]
        fn it_answers_as_a_map_does(steps in vec((0..4u8, 0..6u8, 0..120_000u64), 0..60)) {
            let mut receipts = Receipts::default();
            let mut model: HashMap<String, (Outcome, u64)> = HashMap::new();
            let mut now = 0;
            for (step, key, wait) in steps {
                now += wait;
                let key = key.to_string();
                match step {
                    0 => {
                        receipts.remove(&key);
                        model.remove(&key);
                    }
                    1 => while let Some(key) = receipts.forget(Moment(now)) {
                        prop_assert!(model.remove(&*key).is_some_and(|(_, time)| now >= time + TIME));
                    },
                    _ => {
                        receipts.insert(key.clone().into(), outcome(now), Moment(now));
                        model.insert(key, (outcome(now), now));
                    }
                }
                prop_assert_eq!(receipts.count(), model.len());
                prop_assert_eq!(receipts.order.len(), model.len());
                for (key, (outcome, time)) in &model {
                    let expected = (now < time + TIME).then_some(outcome);
                    prop_assert_eq!(receipts.get(key, Moment(now)), expected);
                }
                let cost: usize = model.keys().map(|it| PLACES + 2 * it.len()).sum();
                prop_assert_eq!(receipts.cost(), cost);
            }
        }
    }
}
