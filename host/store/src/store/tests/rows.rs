//! Rows of durable channels: order, failures, budgets, and the bounds of the
//! line.

use std::sync::mpsc::sync_channel;

use openline_core::name::ChannelName;

use super::*;
use crate::error::{GroupError, LineError};
use crate::line::{Attempt, LINE_BYTES_MAX, LINE_GROUPS_MAX};
use crate::rows::RowChange;

fn room() -> ChannelName {
    ChannelName::new("room").unwrap()
}

fn put(row: &str, count: usize) -> RowChange {
    RowChange::Put(row.as_bytes().into(), bytes(count))
}

async fn write(
    channels: &ChannelStore,
    attempt: &Attempt,
    group: Vec<RowChange>,
) -> Result<(), GroupError> {
    let (done, told) = oneshot::channel();
    let accepted = channels.write(&room(), attempt, group, |answer| done.send(answer).unwrap());
    accepted.unwrap();
    told.await.unwrap()
}

async fn names(channels: &ChannelStore) -> Vec<String> {
    let rows = channels.rows(&room()).await.unwrap();
    let name = |(name, _): (Box<[u8]>, _)| String::from_utf8(name.into()).unwrap();
    rows.into_iter().map(name).collect()
}

/// Keeps the writer busy until the sender is dropped.
async fn hold(store: &Store) -> SyncSender<()> {
    let (go_on, held) = sync_channel::<()>(0);
    let (begun, begins) = oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        let work = move |_: &mut Tables<'_>| {
            begun.send(()).unwrap();
            let _ = held.recv();
            Ok(())
        };
        store.write(work).await
    });
    begins.await.unwrap();
    go_on
}

#[tokio::test]
async fn rows_are_as_the_changes_of_a_group_say_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path(), ROOM).unwrap();
        let (own, shared) = (
            store.function(&name("chat")).channels(),
            store.shared_channels(),
        );
        let attempt = Attempt::new();
        let range = |from: &str, to: &str| {
            RowChange::DeleteRange(from.as_bytes().into(), to.as_bytes().into())
        };
        let group = vec![
            put("x", 9),
            RowChange::Clear,
            put("a", 1),
            put("a", 2),
            put("b", 1),
            put("c", 1),
        ];
        assert_eq!(write(&own, &attempt, group).await, Ok(()));
        assert_eq!(names(&own).await, ["a", "b", "c"]);
        let group = vec![
            put("d", 1),
            range("b", "d"),
            RowChange::Delete(b"none"[..].into()),
            range("z", "a"),
        ];
        assert_eq!(write(&own, &attempt, group).await, Ok(()));
        assert_eq!(names(&own).await, ["a", "d"]);
        assert_eq!(write(&shared, &attempt, vec![put("s", 1)]).await, Ok(()));
    }
    let store = Store::open(folder.path(), ROOM).unwrap();
    let (own, shared) = (
        store.function(&name("chat")).channels(),
        store.shared_channels(),
    );
    assert_eq!(
        (names(&own).await, names(&shared).await),
        (vec!["a".into(), "d".into()], vec!["s".into()])
    );
    let usage = store.usage().await.unwrap().bytes;
    assert_eq!(
        usage,
        3 * ENTRY_BYTES + (4 + 4 + 1 + 2) + (4 + 4 + 1 + 1) + (4 + 1 + 1)
    );
    own.remove(&room()).await.unwrap();
    assert_eq!(own.channels(None, 9).await, Ok(Vec::new()));
    store.remove_shared_channels().await.unwrap();
    assert_eq!(store.usage().await, Ok(Usage::default()));
}

#[tokio::test]
async fn a_read_sees_what_was_accepted_before_it() {
    let store = Store::memory(ROOM);
    let own = store.function(&name("chat")).channels();
    let attempt = Attempt::new();
    for number in 0..700 {
        let row = format!("{number:03}");
        own.write(&room(), &attempt, vec![put(&row, 1)], |_| {})
            .unwrap();
    }
    assert_eq!(names(&own).await.len(), 700);
}

#[tokio::test]
async fn nothing_behind_a_group_without_room_is_written() {
    let one = ENTRY_BYTES + 4 + 4 + 1;
    let store = Store::memory(2 * one);
    let own = store.function(&name("chat")).channels();
    let go_on = hold(&store).await;
    let (attempt, other) = (Attempt::new(), Attempt::new());
    let (done, answers) = sync_channel(4);
    let elsewhere = ChannelName::new("else").unwrap();
    let groups = [
        (room(), &attempt, vec![put("a", 0)]),
        (room(), &attempt, vec![put("b", 0), put("c", 0)]),
        (room(), &attempt, vec![put("d", 0)]),
        (elsewhere, &other, vec![put("e", 0)]),
    ];
    for (channel, attempt, group) in groups {
        let done = done.clone();
        own.write(&channel, attempt, group, move |answer| {
            done.send(answer).unwrap()
        })
        .unwrap();
    }
    drop(go_on);
    assert_eq!(names(&own).await, ["a"]);
    let answers: Vec<_> = answers.try_iter().collect();
    assert_eq!(
        answers,
        [
            Ok(()),
            Err(GroupError::Full),
            Err(GroupError::Behind),
            Ok(())
        ]
    );
    assert!(attempt.has_failed() && !other.has_failed());
    let late = own.write(&room(), &attempt, Vec::new(), |_| {});
    assert_eq!(late, Err(LineError::Failed));
    // At the budget, a group may exchange what it has; past it, it may not grow.
    let next = Attempt::new();
    assert_eq!(
        write(&own, &next, vec![RowChange::Clear, put("z", 0)]).await,
        Ok(())
    );
    assert_eq!(
        write(&own, &next, vec![put("z", 1)]).await,
        Err(GroupError::Full)
    );
    assert_eq!(store.usage().await.unwrap().bytes, 2 * one);
}

#[tokio::test]
async fn the_line_is_full_at_its_bounds_and_states_do_not_wait_for_it() {
    let store = Store::memory(1 << 30);
    let own = store.function(&name("chat")).channels();
    let go_on = hold(&store).await;
    let attempt = Attempt::new();
    for _ in 0..LINE_GROUPS_MAX / 2 {
        own.write(&room(), &attempt, vec![put("a", 1)], |_| {})
            .unwrap();
    }
    assert_eq!(own.reserve(1).unwrap_err(), LineError::Full);
    assert!(!attempt.has_failed());
    // Deleting has more room, and other owners have theirs.
    own.write(&room(), &attempt, vec![RowChange::Clear], |_| {})
        .unwrap();
    let shared = store.shared_channels();
    assert!(shared.reserve(LINE_BYTES_MAX / 4).is_ok());
    let past = own.write(&room(), &attempt, vec![put("a", 1)], |_| {});
    assert_eq!((past, attempt.has_failed()), (Err(LineError::Full), true));
    let mut save = Box::pin(async {
        let chat = store.function(&name("game"));
        chat.save_state("room", bytes(1), None).await
    });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(save.as_mut().poll(&mut cx).is_pending());
    drop(go_on);
    assert_eq!(save.await, Ok(1));
    assert!(names(&own).await.len() <= 1);
    // Bytes: two halves of half, and not one byte more.
    let first = own.reserve(LINE_BYTES_MAX / 2 - 1).unwrap();
    let last = own.reserve(1).unwrap();
    assert_eq!(own.reserve(1).unwrap_err(), LineError::Full);
    drop((first, last));
    assert!(own.reserve(u64::MAX).is_ok(), "one always fits");
}

#[tokio::test]
async fn a_forgotten_function_has_no_rows_and_writes_none() {
    let store = Store::memory(ROOM);
    let chat = store.function(&name("chat"));
    let own = chat.channels();
    let attempt = Attempt::new();
    assert_eq!(write(&own, &attempt, vec![put("a", 1)]).await, Ok(()));
    chat.forget().await.unwrap();
    let late = write(&own, &attempt, vec![put("a", 1)]).await;
    assert_eq!(late, Err(StoreError::Forgotten.into()));
    assert_eq!(store.usage().await, Ok(Usage::default()));
    assert!(
        names(&store.function(&name("chat")).channels())
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn channels_are_listed_in_pages() {
    let store = Store::memory(ROOM);
    let own = store.function(&name("chat")).channels();
    let named = |name: &str| ChannelName::new(name).unwrap();
    let all: Vec<_> = ["a", "a b", "ab", "b"].map(named).into();
    for channel in &all {
        let group = vec![put("1", 1), put("2", 1)];
        own.write(channel, &Attempt::new(), group, |_| {}).unwrap();
    }
    names(&own).await;
    assert_eq!(own.channels(None, 3).await.unwrap(), all[..3]);
    assert_eq!(
        own.channels(Some(all[0].clone()), 9).await.unwrap(),
        all[1..]
    );
    assert!(own.channels(Some(named("b")), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_follows_a_group_may_panic_or_drop_the_store() {
    let store = Store::memory(ROOM);
    let own = store.function(&name("chat")).channels();
    let attempt = Attempt::new();
    own.write(&room(), &attempt, vec![put("a", 1)], |_| {
        panic!("on purpose")
    })
    .unwrap();
    assert_eq!(names(&own).await, ["a"]);
    let go_on = hold(&store).await;
    let (done, told) = oneshot::channel();
    let last = own.clone();
    let group = vec![put("b", 1)];
    own.write(&room(), &attempt, group, move |answer| {
        drop(last);
        done.send(answer).unwrap();
    })
    .unwrap();
    drop((own, store));
    drop(go_on);
    assert_eq!(told.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn the_format_is_raised_with_the_first_row() {
    let folder = tempfile::tempdir().unwrap();
    for (is_used, expected) in [(false, 1), (true, FORMAT), (false, FORMAT)] {
        let store = Store::open(folder.path(), ROOM).unwrap();
        let own = store.function(&name("chat")).channels();
        if is_used {
            assert_eq!(
                write(&own, &Attempt::new(), vec![put("a", 1)]).await,
                Ok(())
            );
        }
        own.remove(&room()).await.unwrap();
        let format = store.read(|it| {
            Ok(it
                .open_table(redb::TableDefinition::<&str, u64>::new("meta"))?
                .get("format")?
                .map(|it| it.value()))
        });
        assert_eq!(format.await, Ok(Some(expected)));
    }
}

/// Prints how many groups of 256 bytes are written in a second; run it with
/// `--ignored --nocapture`.
#[tokio::test]
#[ignore = "it measures"]
async fn groups_in_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1 << 30).unwrap();
    let own = store.function(&name("chat")).channels();
    for (in_flight, groups) in [(1, 300), (256, 20_000)] {
        let places = Arc::new(Semaphore::new(in_flight));
        let attempt = Attempt::new();
        let begun = Instant::now();
        for number in 0..groups {
            let place = places.clone().acquire_owned().await.unwrap();
            let group = vec![put("h", 24), put(&format!("p{number:08}"), 256)];
            own.write(&room(), &attempt, group, |answer| {
                drop((answer.unwrap(), place))
            })
            .unwrap();
        }
        let _all = places
            .acquire_many(u32::try_from(in_flight).unwrap())
            .await
            .unwrap();
        let rate = f64::from(groups) / begun.elapsed().as_secs_f64();
        println!("{in_flight} in flight: {rate:.0} groups/s");
    }
}
