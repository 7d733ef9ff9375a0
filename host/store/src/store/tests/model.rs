//! Random operations, compared with maps: on a disk, where the store is opened
//! again between them, and in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tables::Snapshot;

const FUNCTIONS: [&str; 3] = ["a", "a-b", "b"];
const KEYS: [&str; 3] = ["", "k", "kk"];
/// So little that operations reach the bound.
const LITTLE: u64 = 500;

#[derive(Clone, Debug)]
enum Operation {
    Deploy(usize, u8),
    Remove(usize),
    Save(usize, usize, usize, Option<u64>),
    Clear(usize, usize),
    Keep(usize, usize, u64),
    ForgetAlarm(usize, usize),
    Forget(usize),
    OpenAgain,
}

#[derive(Clone, Debug, Default)]
struct Model {
    deployments: BTreeMap<usize, u8>,
    states: BTreeMap<(usize, usize), (u64, usize)>,
    alarms: BTreeMap<(usize, usize), u64>,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (function, key) = (0..FUNCTIONS.len(), 0..KEYS.len());
    let both = (function.clone(), key);
    prop_oneof![
        2 => (function.clone(), any::<u8>()).prop_map(|(it, version)| Operation::Deploy(it, version)),
        1 => function.clone().prop_map(Operation::Remove),
        8 => (both.clone(), 0..200_usize, prop::option::of(0..3_u64))
            .prop_map(|((it, key), bytes, expected)| Operation::Save(it, key, bytes, expected)),
        2 => both.clone().prop_map(|(it, key)| Operation::Clear(it, key)),
        3 => (both.clone(), any::<u64>()).prop_map(|((it, key), due)| Operation::Keep(it, key, due)),
        2 => both.prop_map(|(it, key)| Operation::ForgetAlarm(it, key)),
        1 => function.prop_map(Operation::Forget),
        1 => Just(Operation::OpenAgain),
    ]
}

impl Model {
    fn usage(&self) -> Usage {
        let names = |(it, key): &(usize, usize)| (FUNCTIONS[*it].len() + KEYS[*key].len()) as u64;
        let states: u64 = self
            .states
            .iter()
            .map(|(at, (_, bytes))| ENTRY_BYTES + names(at) + *bytes as u64)
            .sum();
        let alarms: u64 = self
            .alarms
            .keys()
            .map(|at| ENTRY_BYTES + names(at) + 4)
            .sum();
        Usage {
            bytes: states + alarms,
            states: self.states.len() as u64,
            alarms: self.alarms.len() as u64,
        }
    }

    /// The bytes of one function's states and alarms.
    fn share(&self, it: usize) -> u64 {
        let mut own = self.clone();
        own.states.retain(|(other, _), _| *other == it);
        own.alarms.retain(|(other, _), _| *other == it);
        own.usage().bytes
    }

    /// Makes the change if there is room for the function, or if it needs less.
    fn if_room<T>(
        &mut self,
        it: usize,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, SaveError> {
        let before = self.clone();
        let changed = change(self);
        let after = self.usage().bytes;
        let error = if after > LITTLE {
            SaveError::Full
        } else if self.deployments.len() > 1 && self.share(it) > LITTLE - after {
            SaveError::Share
        } else {
            return Ok(changed);
        };
        if after <= before.usage().bytes {
            return Ok(changed);
        }
        *self = before;
        Err(error)
    }

    fn save(
        &mut self,
        at: (usize, usize),
        bytes: usize,
        expected: Option<u64>,
    ) -> Result<u64, SaveError> {
        let version = self.states.get(&at).map_or(0, |(version, _)| *version);
        if expected.is_some_and(|expected| expected != version) {
            return Err(SaveError::Conflict(version));
        }
        self.if_room(at.0, |model| {
            model.states.insert(at, (version + 1, bytes));
            version + 1
        })
    }

    async fn compare(&self, store: &Store) {
        assert_eq!(store.usage().await, Ok(self.usage()));
        for (it, function) in FUNCTIONS.iter().enumerate() {
            for (key, text) in KEYS.iter().enumerate() {
                let expected = self
                    .states
                    .get(&(it, key))
                    .map(|(version, count)| Snapshot {
                        version: *version,
                        bytes: bytes(*count),
                    });
                let found = store.function(&name(function)).state(text).await;
                assert_eq!(found, Ok(expected));
            }
        }
        let alarms: Vec<StoredAlarm> = self
            .alarms
            .iter()
            .map(|((it, key), due)| alarm(FUNCTIONS[*it], KEYS[*key], "tick", *due))
            .collect();
        assert_eq!(store.alarms().await, Ok(alarms));
        let deployments: Vec<Deployment> = self
            .deployments
            .iter()
            .map(|(it, version)| deployment(FUNCTIONS[*it], Digest::new([*version; 32])))
            .collect();
        assert_eq!(store.deployments().await, Ok(deployments));
    }

    async fn apply(&mut self, store: &Store, operation: &Operation) {
        match *operation {
            Operation::Deploy(it, version) => {
                self.deployments.insert(it, version);
                let deployment = deployment(FUNCTIONS[it], Digest::new([version; 32]));
                assert_eq!(store.put_deployment(&deployment).await, Ok(()));
            }
            Operation::Remove(it) => {
                self.deployments.remove(&it);
                assert_eq!(store.remove_deployment(&name(FUNCTIONS[it])).await, Ok(()));
            }
            Operation::Save(it, key, count, expected) => {
                let function = store.function(&name(FUNCTIONS[it]));
                let saved = function.save_state(KEYS[key], bytes(count), expected).await;
                assert_eq!(saved, self.save((it, key), count, expected));
            }
            Operation::Clear(it, key) => {
                self.states.remove(&(it, key));
                let function = store.function(&name(FUNCTIONS[it]));
                let cleared = function.clear_state(KEYS[key]).await;
                assert_eq!(cleared, Ok(()));
            }
            Operation::Keep(it, key, due) => {
                let function = store.function(&name(FUNCTIONS[it]));
                let kept = function.keep_alarm(KEYS[key], &tick(), due, 0).await;
                let expected = self.if_room(it, |model| {
                    model.alarms.insert((it, key), due);
                });
                assert_eq!(kept, expected);
            }
            Operation::ForgetAlarm(it, key) => {
                self.alarms.remove(&(it, key));
                let function = store.function(&name(FUNCTIONS[it]));
                let forgotten = function.forget_alarm(KEYS[key], &tick()).await;
                assert_eq!(forgotten, Ok(()));
            }
            Operation::Forget(it) => {
                self.deployments.remove(&it);
                self.states.retain(|(other, _), _| *other != it);
                self.alarms.retain(|(other, _), _| *other != it);
                let function = store.function(&name(FUNCTIONS[it]));
                assert_eq!(function.forget().await, Ok(()));
            }
            Operation::OpenAgain => {}
        }
    }
}

fn run(operations: &[Operation], folder: Option<&Path>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let open = || match folder {
        Some(folder) => Store::open(folder, LITTLE).unwrap(),
        None => Store::memory(LITTLE),
    };
    let mut store = open();
    let mut model = Model::default();
    for operation in operations {
        if folder.is_some() && matches!(operation, Operation::OpenAgain) {
            drop(store);
            store = open();
        }
        runtime.block_on(model.apply(&store, operation));
    }
    runtime.block_on(model.compare(&store));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn in_memory_it_does_as_maps_do(
        operations in prop::collection::vec(operation(), 1..60)
    ) {
        run(&operations, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn on_a_disk_it_does_as_maps_do_and_keeps_it(
        operations in prop::collection::vec(operation(), 1..50)
    ) {
        let folder = tempfile::tempdir().unwrap();
        run(&operations, Some(folder.path()));
    }
}
