//! Disks that are full, read-only or gone, and recover.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::sync::mpsc::sync_channel;

use redb::StorageBackend;

use super::*;

const WELL: u8 = 0;
/// Files cannot grow.
const FULL: u8 = 1;
/// Writes fail.
const READ_ONLY: u8 = 2;
/// Reads and writes fail.
const GONE: u8 = 3;

#[derive(Debug)]
struct Disk {
    memory: InMemoryBackend,
    state: AtomicU8,
}

impl Disk {
    fn check(&self, least: u8, kind: io::ErrorKind) -> io::Result<()> {
        if self.state.load(Ordering::Acquire) >= least {
            Err(kind.into())
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.check(GONE, io::ErrorKind::Other)?;
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.check(GONE, io::ErrorKind::Other)?;
        StorageBackend::read(&self.memory, offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        if len > self.memory.len()? {
            self.check(FULL, io::ErrorKind::StorageFull)?;
        }
        self.check(READ_ONLY, io::ErrorKind::ReadOnlyFilesystem)?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.check(READ_ONLY, io::ErrorKind::ReadOnlyFilesystem)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check(READ_ONLY, io::ErrorKind::ReadOnlyFilesystem)?;
        StorageBackend::write(&self.memory, offset, data)
    }
}

fn on_a_disk() -> (Arc<Disk>, Store) {
    let disk = Arc::new(Disk {
        memory: InMemoryBackend::new(),
        state: WELL.into(),
    });
    let store = Store::over(Medium::Shared(disk.clone()), 1 << 30);
    (disk, store)
}

async fn save(store: &Store, key: usize) -> Result<u64, SaveError> {
    let bytes = vec![u8::try_from(key % 256).unwrap(); 64 << 10];
    let chat = store.function(&name("chat"));
    chat.save_state(&key.to_string(), bytes.into(), None).await
}

async fn all_are_there(store: &Store, count: usize) {
    for key in 0..count {
        let chat = store.function(&name("chat"));
        let found = chat.state(&key.to_string()).await;
        let found = found.unwrap().unwrap();
        let letter = u8::try_from(key % 256).unwrap();
        assert!(found.bytes.iter().all(|byte| *byte == letter));
    }
    assert_eq!(store.usage().await.unwrap().states, count as u64);
}

#[tokio::test]
async fn a_full_disk_is_an_error_until_there_is_room() {
    let (disk, store) = on_a_disk();
    assert_eq!(save(&store, 0).await, Ok(1));
    disk.state.store(FULL, Ordering::Release);
    let mut count = 1;
    let error = loop {
        match save(&store, count).await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
        assert!(count < 10_000, "the disk never was full");
    };
    assert!(
        matches!(&error, SaveError::Unavailable(StoreError::Unavailable(_))),
        "{error}"
    );
    for _ in 0..3 {
        assert!(save(&store, count).await.is_err());
        all_are_there(&store, count).await;
    }
    disk.state.store(WELL, Ordering::Release);
    for _ in 0..20 {
        assert_eq!(save(&store, count).await, Ok(1));
        count += 1;
    }
    all_are_there(&store, count).await;
}

#[tokio::test]
async fn what_cannot_be_written_to_can_be_read() {
    let (disk, store) = on_a_disk();
    for round in 1..=3 {
        disk.state.store(WELL, Ordering::Release);
        assert_eq!(save(&store, 0).await, Ok(round));
        disk.state.store(READ_ONLY, Ordering::Release);
        for _ in 0..2 {
            let error = save(&store, 0).await.unwrap_err();
            assert!(matches!(error, SaveError::Unavailable(_)), "{error}");
            let clear = store.function(&name("chat")).clear_state("0").await;
            assert!(clear.is_err());
            all_are_there(&store, 1).await;
        }
    }
}

#[tokio::test]
async fn a_disk_that_is_gone_is_an_error_until_it_is_back() {
    let (disk, store) = on_a_disk();
    assert_eq!(save(&store, 0).await, Ok(1));
    for _ in 0..2 {
        disk.state.store(GONE, Ordering::Release);
        assert!(save(&store, 1).await.is_err());
        let error = store.usage().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
        disk.state.store(WELL, Ordering::Release);
        // It recovers by itself, without a write.
        all_are_there(&store, 1).await;
    }
    assert_eq!(save(&store, 0).await, Ok(2));
}

/// Groups of an attempt that failed are never written, however the disk recovers
/// and whenever they came.
#[tokio::test]
async fn rows_behind_a_failed_write_are_never_written() {
    use crate::line::Attempt;
    use crate::rows::RowChange;
    let (disk, store) = on_a_disk();
    let own = store.function(&name("chat")).channels();
    let room = openline_core::name::ChannelName::new("room").unwrap();
    let put = |number: u64| RowChange::Put(number.to_be_bytes().into(), bytes(64 << 10));
    let mut written = 0;
    for state in [READ_ONLY, GONE, READ_ONLY] {
        let attempt = Attempt::new();
        let (done, answers) = sync_channel(600);
        let mut sent = 0;
        // A new disk state takes hold somewhere in the line.
        for number in 0..600 {
            if number == 100 {
                disk.state.store(state, Ordering::Release);
            }
            let done = done.clone();
            let told = move |answer: Result<(), _>| done.send(answer.is_ok()).unwrap();
            let group = vec![put(written + number)];
            if own.write(&room, &attempt, group, told).is_err() {
                break;
            }
            sent += 1;
        }
        while !attempt.has_failed() {
            let _ = own.write(&room, &attempt, Vec::new(), |_| {});
            tokio::task::yield_now().await;
        }
        disk.state.store(WELL, Ordering::Release);
        let answers: Vec<bool> = answers.iter().take(sent).collect();
        let good = answers.iter().take_while(|it| **it).count();
        assert!(answers[good..].iter().all(|it| !it), "a gap");
        written += good as u64;
        let rows = own.rows(&room).await.unwrap();
        let expected: Vec<_> = (0..written).map(u64::to_be_bytes).collect();
        assert!(
            rows.iter()
                .map(|(name, _)| &**name)
                .eq(expected.iter().map(|it| &it[..]))
        );
    }
}

/// A disk that hangs takes only the threads for reads, whether their callers
/// still wait or not.
#[tokio::test]
async fn reads_that_hang_take_their_threads_and_no_more() {
    let store = Store::memory(1 << 20);
    let (go_on, hangs) = sync_channel::<()>(0);
    let hangs = Arc::new(Mutex::new(hangs));
    let reading = AtomicUsize::new(0);
    let reading = Arc::new(reading);
    let hang = || {
        let (hangs, reading) = (hangs.clone(), reading.clone());
        move |_: &ReadTransaction| {
            reading.fetch_add(1, Ordering::SeqCst);
            // Until the other end is dropped.
            let _ = hangs.lock().recv();
            Ok(())
        }
    };
    let mut cx = Context::from_waker(Waker::noop());
    // Their callers go away.
    for _ in 0..READS_MAX {
        let mut read = Box::pin(store.read(hang()));
        assert!(read.as_mut().poll(&mut cx).is_pending());
    }
    while reading.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut one_more = Box::pin(store.read(hang()));
    assert!(one_more.as_mut().poll(&mut cx).is_pending());
    assert_eq!(store.inner.reads.available_permits(), 0);
    // Files have threads of their own, and so does everything else.
    assert_eq!(store.components().await, Ok(Vec::new()));
    drop(go_on);
    one_more.await.unwrap();
    assert_eq!(reading.load(Ordering::SeqCst), READS_MAX + 1);
}

/// A crash leaves the file as it is while it is open.
#[tokio::test]
async fn a_file_that_was_not_closed_is_read_without_being_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), ROOM).unwrap();
    let chat = store.function(&name("chat"));
    let saved = chat.save_state("room", bytes(9), None).await;
    assert_eq!(saved, Ok(1));
    let copy = folder.path().join("copy.redb");
    fs::copy(folder.path().join("store.redb"), &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    let medium = Medium::File(Place::new(copy.clone()));
    let database = medium.readable().unwrap();
    let state = tables::state(&begin_read(&database).unwrap(), "chat", "room").unwrap();
    assert_eq!(state.map(|state| state.bytes), Some(bytes(9)));
    drop(database);
    assert_eq!(fs::read(&copy).unwrap(), before);
    // Opening it for writing repairs it.
    drop(medium.create().unwrap());
    assert_ne!(fs::read(&copy).unwrap(), before);
}

#[tokio::test]
async fn no_byte_that_is_changed_makes_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path(), ROOM).unwrap();
        for key in ["a", "b", "c"] {
            let chat = store.function(&name("chat"));
            let saved = chat.save_state(key, bytes(3_000), None).await;
            assert_eq!(saved, Ok(1));
        }
    }
    let file = folder.path().join("store.redb");
    let whole = fs::read(&file).unwrap();
    let step = whole.len() / 40;
    for at in (0..whole.len()).step_by(step).chain(0..40) {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        fs::write(&file, changed).unwrap();
        if let Ok(store) = Store::open(folder.path(), ROOM) {
            // Any answer will do; they must not hang.
            let _ = store.usage().await;
            let _ = store.function(&name("chat")).state("b").await;
            let _ = save(&store, 1).await;
        }
    }
}
