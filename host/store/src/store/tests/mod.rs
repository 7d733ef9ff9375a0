//! The store's promises while the disk works; `failing` is about disks that do
//! not, and `model` compares the store with a simple one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::task::{Context, Waker};

use bytes::Bytes;
use openline_core::deployment::{CallStyle, VersionRecord};
use openline_core::name::{AlarmName, AliasName};
use openline_hint::Hint;

use super::*;
use crate::database::FORMAT;
use crate::error::SaveError;
use crate::tables::ENTRY_BYTES;

mod failing;
mod model;
mod place;
mod rows;

pub(super) const ROOM: u64 = 1 << 20;

pub(super) fn name(name: &str) -> FunctionName {
    FunctionName::new(name).unwrap()
}

pub(super) fn alarm(function: &str, key: &str, name: &str, due_at: u64) -> StoredAlarm {
    StoredAlarm {
        function: self::name(function),
        key: key.into(),
        name: AlarmName::new(name).unwrap(),
        due_at,
        attempt: 0,
    }
}

pub(super) fn deployment(function: &str, version: Digest) -> Deployment {
    let mut deployment = Deployment::new(name(function), None);
    let record = VersionRecord {
        digest: version,
        bytes: 1,
        call_style: CallStyle::Plain,
        deployed_at: 0,
        note: None,
    };
    deployment
        .deploy(record, &AliasName::live(), None, None)
        .unwrap();
    deployment
}

pub(super) fn tick() -> AlarmName {
    AlarmName::new("tick").unwrap()
}

fn bytes(count: usize) -> Bytes {
    vec![7; count].into()
}

#[tokio::test]
async fn everything_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/data");
    let component = Component::from(b"component".to_vec());
    let kept = deployment("chat", component.digest());
    {
        let store = Store::open(&path, ROOM).unwrap();
        assert_eq!(store.usage().await, Ok(Usage::default()));
        store.put_component(component.clone()).await.unwrap();
        assert_eq!(store.put_component(component.clone()).await, Ok(()));
        store.put_deployment(&kept).await.unwrap();
        let chat = store.function(&name("chat"));
        chat.save_state("room", bytes(10), None).await.unwrap();
        chat.keep_alarm("room", &tick(), 99, 0).await.unwrap();
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let left = path.join("components/abc.0.unfinished");
    fs::write(&left, b"half").unwrap();
    let store = Store::open(&path, ROOM).unwrap();
    assert!(!left.exists());
    let digest = component.digest();
    assert_eq!(store.component(&digest).await, Ok(Some(component)));
    assert_eq!(store.components().await, Ok(vec![digest]));
    assert_eq!(store.deployments().await, Ok(vec![kept]));
    let state = store
        .function(&name("chat"))
        .state("room")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((state.version, state.bytes), (1, bytes(10)));
    assert_eq!(
        store.alarms().await,
        Ok(vec![alarm("chat", "room", "tick", 99)])
    );
    let usage = store.usage().await.unwrap();
    assert_eq!((usage.states, usage.alarms), (1, 1));
    assert_eq!(usage.bytes, 2 * ENTRY_BYTES + 8 + 10 + 12);
    store.remove_component(&digest).await.unwrap();
    store.remove_component(&digest).await.unwrap();
    assert_eq!(store.component(&digest).await, Ok(None));
}

#[tokio::test]
async fn a_component_that_was_changed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), ROOM).unwrap();
    let component = Component::from(b"component".to_vec());
    let digest = component.digest();
    store.put_component(component.clone()).await.unwrap();
    let file = folder.path().join(format!("components/{digest}.wasm"));
    fs::write(&file, b"componenT").unwrap();
    let error = store.component(&digest).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
    // Storing it again repairs it.
    store.put_component(component.clone()).await.unwrap();
    assert_eq!(store.component(&digest).await, Ok(Some(component)));
}

#[tokio::test]
async fn a_state_is_saved_when_it_is_as_expected() {
    let store = Store::memory(ROOM);
    let chat = store.function(&name("chat"));
    let save = |expected| chat.save_state("room", bytes(1), expected);
    assert_eq!(save(Some(1)).await, Err(SaveError::Conflict(0)));
    assert_eq!(save(Some(0)).await, Ok(1));
    assert_eq!(save(Some(0)).await, Err(SaveError::Conflict(1)));
    assert_eq!(save(Some(1)).await, Ok(2));
    assert_eq!(save(None).await, Ok(3));
    chat.clear_state("room").await.unwrap();
    chat.clear_state("room").await.unwrap();
    assert_eq!(chat.state("room").await, Ok(None));
    assert_eq!(save(Some(0)).await, Ok(1));
}

#[tokio::test]
async fn of_many_who_expect_the_same_one_saves() {
    let store = Store::memory(ROOM);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 * QUEUE_OPERATIONS_MAX {
        let store = store.clone();
        tasks.spawn(async move {
            let chat = store.function(&name("chat"));
            let saved = chat.save_state("room", bytes(1), Some(0)).await;
            saved.is_ok()
        });
    }
    let saved = tasks.join_all().await;
    assert_eq!(saved.into_iter().filter(|saved| *saved).count(), 1);
}

#[tokio::test]
async fn states_that_are_too_large_to_wait_together_wait_for_each_other() {
    let store = Store::memory(1 << 30);
    let large = bytes(QUEUE_KIBIBYTES_MAX as usize * 1024 / 2 + 1);
    let mut tasks = tokio::task::JoinSet::new();
    for key in ["a", "b", "c"] {
        let large = large.clone();
        let chat = store.function(&name("chat"));
        tasks.spawn(async move { chat.save_state(key, large, None).await });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    assert_eq!(store.usage().await.unwrap().states, 3);
}

#[tokio::test]
async fn what_is_stored_at_its_limit_and_past_it() {
    let folder = tempfile::tempdir().unwrap();
    let one = ENTRY_BYTES + 5 + 10;
    {
        let store = Store::open(folder.path(), 2 * one).unwrap();
        let chat = store.function(&name("chat"));
        let save = |key: &'static str, count| chat.save_state(key, bytes(count), None);
        assert_eq!(save("a", 10).await, Ok(1));
        assert_eq!(save("b", 11).await, Err(SaveError::Full));
        assert_eq!(save("b", 10).await, Ok(1));
        assert_eq!(save("c", 0).await, Err(SaveError::Full));
        let full = chat.keep_alarm("a", &tick(), 1, 0).await;
        assert_eq!(full, Err(SaveError::Full));
        assert_eq!(save("a", 11).await, Err(SaveError::Full));
        assert_eq!(save("a", 10).await, Ok(2));
    }
    // The bytes are counted again, and a write that needs less is always
    // accepted.
    let store = Store::open(folder.path(), one).unwrap();
    let usage = store.usage().await.unwrap();
    assert_eq!((usage.bytes, usage.states), (2 * one, 2));
    let chat = store.function(&name("chat"));
    let save = |key: &'static str, count| chat.save_state(key, bytes(count), None);
    assert_eq!(save("a", 11).await, Err(SaveError::Full));
    assert_eq!(save("a", 9).await, Ok(3));
    chat.clear_state("b").await.unwrap();
    assert_eq!(save("a", 10).await, Ok(4));
    chat.forget().await.unwrap();
    assert_eq!(store.usage().await, Ok(Usage::default()));
}

#[tokio::test]
async fn beside_others_a_function_keeps_what_it_leaves_and_none_past_it() {
    let folder = tempfile::tempdir().unwrap();
    let one = ENTRY_BYTES + 5 + 10;
    let [chat, game] = ["chat", "game"].map(name);
    {
        let store = Store::open(folder.path(), 10 * one).unwrap();
        let digest = Digest::of(b"");
        for function in ["chat", "game"] {
            let deployed = store.put_deployment(&deployment(function, digest)).await;
            deployed.unwrap();
        }
        let chat = store.function(&chat);
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(chat.save_state(key, bytes(10), None).await, Ok(1));
        }
        let past = chat.save_state("f", bytes(0), None).await;
        assert_eq!(past, Err(SaveError::Share));
        let past = chat.keep_alarm("a", &tick(), 1, 0).await;
        assert_eq!(past, Err(SaveError::Share));
        assert_eq!(chat.save_state("a", bytes(10), None).await, Ok(2));
    }
    // With the counts of this release, and without any.
    for uncounted in [false, true] {
        if uncounted {
            let database = redb::Database::open(folder.path().join("store.redb")).unwrap();
            let transaction = database.begin_write().unwrap();
            let shares = redb::TableDefinition::<&str, u64>::new("shares");
            transaction.delete_table(shares).unwrap();
            transaction.commit().unwrap();
        }
        let store = Store::open(folder.path(), 10 * one).unwrap();
        let past = store.function(&chat).save_state("f", bytes(0), None).await;
        assert_eq!(past, Err(SaveError::Share));
        let game = store.function(&game);
        for key in ["a", "b"] {
            game.save_state(key, bytes(10), None).await.unwrap();
        }
        let past = game.save_state("c", bytes(10), None).await;
        assert_eq!(past, Err(SaveError::Share));
    }
    // A function that is alone may use all of it.
    let store = Store::open(folder.path(), 10 * one).unwrap();
    store.function(&game).forget().await.unwrap();
    let chat = store.function(&chat);
    for key in ["f", "g", "h", "i", "j"] {
        assert_eq!(chat.save_state(key, bytes(10), None).await, Ok(1));
    }
    let past = chat.save_state("k", bytes(0), None).await;
    assert_eq!(past, Err(SaveError::Full));
}

#[tokio::test]
async fn a_function_is_forgotten_and_no_other() {
    let store = Store::memory(ROOM);
    let digest = Digest::of(b"");
    for function in ["chat", "chat-2", "chas"] {
        store
            .put_deployment(&deployment(function, digest))
            .await
            .unwrap();
        for key in ["", "room", "\u{10ffff}"] {
            let function = store.function(&name(function));
            assert_eq!(function.save_state(key, bytes(1), None).await, Ok(1));
            assert_eq!(function.keep_alarm(key, &tick(), 1, 0).await, Ok(()));
        }
    }
    let chat = store.function(&name("chat"));
    let alarms = chat.alarms().await.unwrap();
    assert_eq!(alarms.len(), 3);
    assert!(alarms.iter().all(|alarm| alarm.function == name("chat")));
    chat.forget().await.unwrap();
    let left = [deployment("chas", digest), deployment("chat-2", digest)];
    assert_eq!(store.deployments().await.unwrap(), left);
    let usage = store.usage().await.unwrap();
    assert_eq!((usage.states, usage.alarms), (6, 6));
    assert_eq!(store.function(&name("chat")).state("room").await, Ok(None));
    let alarms = store.alarms().await.unwrap();
    assert!(alarms.iter().all(|alarm| alarm.function != name("chat")));
    store.remove_deployment(&name("chas")).await.unwrap();
    assert_eq!(store.deployments().await.unwrap().len(), 1);
    assert_eq!(store.usage().await, Ok(usage));
}

#[tokio::test]
async fn what_is_written_after_it_was_forgotten_is_refused() {
    let store = Store::memory(ROOM);
    let chat = store.function(&name("chat"));
    // Some of these come before it in the writer's queue, and some after it.
    let mut late = tokio::task::JoinSet::new();
    for number in 0..600 {
        let chat = chat.clone();
        late.spawn(async move {
            if number == 300 {
                chat.forget().await.unwrap();
            }
            let _ = chat.save_state("room", bytes(1), None).await;
            let _ = chat.keep_alarm("room", &tick(), 1, 0).await;
        });
    }
    late.join_all().await;
    assert_eq!(store.usage().await, Ok(Usage::default()));
    let refused = Err(SaveError::Unavailable(StoreError::Forgotten));
    assert_eq!(chat.save_state("room", bytes(1), None).await, refused);
    assert_eq!(chat.clear_state("room").await, Err(StoreError::Forgotten));
    // The next function of its name can store states, and the removed one sees
    // none of them.
    let next = store.function(&name("chat"));
    assert_eq!(next.save_state("room", bytes(1), Some(0)).await, Ok(1));
    assert_eq!(next.keep_alarm("room", &tick(), 1, 0).await, Ok(()));
    assert_eq!(chat.state("room").await, Ok(None));
    assert_eq!(chat.alarms().await, Ok(Vec::new()));
    let forgotten = chat.forget_alarm("room", &tick()).await;
    assert_eq!(forgotten, Err(StoreError::Forgotten));
    assert_eq!(next.alarms().await.unwrap().len(), 1);
}

#[test]
fn a_folder_that_another_one_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), ROOM).unwrap();
    let error = Store::open(folder.path(), ROOM).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
    drop(store);
    // The folder is free as soon as the last store is dropped.
    assert!(Store::open(folder.path(), ROOM).is_ok());
}

#[test]
fn what_a_newer_release_has_written_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path(), ROOM).unwrap());
    let file = folder.path().join("store.redb");
    {
        let database = redb::Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta = redb::TableDefinition::<&str, u64>::new("meta");
        let mut meta = transaction.open_table(meta).unwrap();
        meta.insert("format", FORMAT + 1).unwrap();
        drop(meta);
        transaction.commit().unwrap();
    }
    let before = fs::read(&file).unwrap();
    let error = Store::open(folder.path(), ROOM).unwrap_err();
    match &error {
        OpenError::Newer { format, known, .. } => {
            assert_eq!((*format, *known), (FORMAT + 1, FORMAT))
        }
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn what_is_no_folder_or_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(&file, ROOM).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    let error = Store::open(&file.join("below"), ROOM).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    for content in [vec![b'x'; 10], vec![b'x'; 100_000]] {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("store.redb"), &content).unwrap();
        let error = Store::open(data.path(), ROOM).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
        assert_eq!(fs::read(data.path().join("store.redb")).unwrap(), content);
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
    // A user with all rights is not kept out.
    if fs::write(data.join("probe"), b"").is_ok() {
        return;
    }
    let error = Store::open(&data, ROOM).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
}

#[test]
fn what_the_system_says_has_its_name() {
    use std::io::{Error, ErrorKind};
    let named = |kind: ErrorKind| OpenError::io(Path::new("data"), Error::from(kind));
    assert!(matches!(
        named(ErrorKind::ReadOnlyFilesystem),
        OpenError::NotWritable { .. }
    ));
    assert!(matches!(
        named(ErrorKind::StorageFull),
        OpenError::Full { .. }
    ));
    assert!(matches!(
        named(ErrorKind::InvalidData),
        OpenError::Damaged { .. }
    ));
}

/// A write that hangs, like one to a disk that is gone.
#[tokio::test]
async fn a_store_that_is_to_end_by_then_does_not_wait_for_a_disk_that_hangs() {
    let store = Store::memory(ROOM);
    let (go_on, hangs) = std::sync::mpsc::sync_channel::<()>(1);
    let mut writing = Box::pin(store.write(move |_| {
        // Until the test ends.
        let _ = hangs.recv();
        Ok(())
    }));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(writing.as_mut().poll(&mut cx).is_pending());
    drop(writing);
    store.close_by(Instant::now());
    let (gone, told) = oneshot::channel();
    std::thread::spawn(move || {
        drop(store);
        gone.send(()).unwrap();
    });
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), told).await;
    assert_eq!(told, Ok(Ok(())));
    drop(go_on);
}

#[tokio::test]
async fn what_was_asked_for_before_is_written_whether_its_asker_waits_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), ROOM).unwrap();
    let kept = store.function(&name("kept"));
    for number in 0..20 {
        let key = number.to_string();
        let mut saving = Box::pin(kept.save_state(&key, bytes(1), None));
        // The caller starts the write but does not wait for it.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(saving.as_mut().poll(&mut cx).is_pending());
    }
    store.written().await.unwrap();
    for number in 0..20 {
        assert!(kept.state(&number.to_string()).await.unwrap().is_some());
    }
}
