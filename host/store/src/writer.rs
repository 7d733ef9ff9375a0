//! The thread that writes. It puts the operations that wait, at most
//! [`BATCH_OPERATIONS_MAX`], into one transaction. The next ones gather while a
//! transaction is forced to the disk, so no operation waits just to form a
//! batch.
//!
//! After a failure redb answers nothing until it is opened again. The writer
//! does this at once, so that reads go on, and again before each batch until it
//! succeeds, so that writes go on as soon as they can.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use crate::database::{Held, Medium};
use crate::error::{GroupError, SaveError, StoreError};
use crate::line::{Group, Line};
use crate::rows;
use crate::tables::Tables;

/// Operations that wait for the writer; past this number, callers wait.
pub(crate) const QUEUE_OPERATIONS_MAX: usize = 1024;
/// Total size of the states that wait for the writer, in KiB; past it, callers
/// wait. 64 of the largest fit, or thousands of small ones.
pub(crate) const QUEUE_KIBIBYTES_MAX: u32 = 64 * 1024;
/// Operations in one transaction: few enough that forcing them to the disk
/// takes milliseconds.
pub(crate) const BATCH_OPERATIONS_MAX: usize = 256;

/// Rows of channels in one transaction, as the line counts them: past it, no
/// further group joins.
const BATCH_ROWS_BYTES_MAX: u64 = 8 << 20;
/// Groups that are taken before the operations that wait, and the number of
/// operations that have a place in each transaction however many groups wait.
const BATCH_GROUPS_FIRST: usize = BATCH_OPERATIONS_MAX / 2;

/// A part of a transaction.
pub(crate) type Work = Box<dyn for<'t> FnOnce(&mut Tables<'t>) -> Result<(), redb::Error> + Send>;

/// An operation for the writer.
pub(crate) struct Operation {
    pub(crate) work: Work,
    /// Answered when the operation is on the disk, or when it has failed and
    /// the database has been opened again.
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
}

/// What the writer is told.
pub(crate) enum Message {
    Operation(Operation),
    /// There are groups in the line.
    Rows,
}

/// The state that the writer shares with readers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) medium: Medium,
    /// Locked for reading during a transaction, and for writing while the
    /// database is opened again.
    pub(crate) database: RwLock<Held>,
    /// Whether a read has failed, so that the database must be opened again.
    pub(crate) failed: AtomicBool,
    /// Why the last write failed, if it did.
    pub(crate) trouble: Mutex<Option<String>>,
    pub(crate) stored_bytes_max: u64,
    pub(crate) line: Arc<Line>,
}

/// The step at which a write failed.
enum Failed {
    Now(StoreError),
    Before,
}

/// Writes until the queue is closed and the line is empty, then closes the
/// database.
pub(crate) fn run(shared: &Arc<Shared>, mut queue: mpsc::Receiver<Message>) {
    loop {
        let mut batch = Vec::new();
        if shared.line.is_empty() {
            match queue.blocking_recv() {
                Some(Message::Operation(operation)) => batch.push(operation),
                Some(Message::Rows) => {}
                None => break,
            }
        }
        let mut groups = shared.line.pop(BATCH_GROUPS_FIRST, BATCH_ROWS_BYTES_MAX);
        while batch.len() + groups.len() < BATCH_OPERATIONS_MAX
            && let Ok(next) = queue.try_recv()
        {
            if let Message::Operation(operation) = next {
                batch.push(operation);
            }
        }
        // The queue leaves places.
        let bytes = groups.iter().map(|group| group.place.bytes()).sum();
        let bytes = BATCH_ROWS_BYTES_MAX.saturating_sub(bytes);
        let left = BATCH_OPERATIONS_MAX - batch.len() - groups.len();
        groups.extend(shared.line.pop(left, bytes));
        if !(batch.is_empty() && groups.is_empty()) {
            shared.write(batch, groups);
        }
    }
    *shared.database.write() = Held::Closed;
}

/// What became of the groups in a transaction, if it is committed.
type Outcomes = Vec<Result<(), GroupError>>;

/// Writes a group unless one before it has failed.
fn write_group(
    tables: &mut Tables<'_>,
    group: &mut Group,
) -> Result<Result<(), GroupError>, redb::Error> {
    if group.attempt.has_failed() {
        return Ok(Err(GroupError::Behind));
    }
    let written = if group.forgotten.load(Ordering::Acquire) {
        Err(StoreError::Forgotten.into())
    } else {
        let changes = std::mem::take(&mut group.changes);
        let written = rows::write(tables, &group.owner, &group.channel, changes)?;
        written.map_err(|error| match error {
            SaveError::Share => GroupError::Share,
            SaveError::Unavailable(error) => error.into(),
            SaveError::Full | SaveError::Conflict(_) => GroupError::Full,
        })
    };
    if written.is_err() {
        // The next one may be in the same transaction.
        group.attempt.fail();
    }
    Ok(written)
}

// === impl Shared ===

impl Shared {
    fn write(&self, batch: Vec<Operation>, mut groups: Vec<Group>) {
        let (work, done): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|operation| (operation.work, operation.done))
            .unzip();
        let mut outcomes = Outcomes::new();
        let mut answer = self.unless_lost();
        if answer.is_ok() {
            answer = self.try_write(work, &mut groups).and_then(|written| {
                outcomes = written;
                // If the file is not in its place any more, it ends with the
                // process, and so does the data that was just written to it.
                self.unless_lost()
            });
        }
        for done in done {
            // The caller may have gone.
            let _ = done.send(answer.clone());
        }
        if answer.is_err() {
            // First all of them: what follows an answer may be a new attempt.
            groups.iter().for_each(|group| group.attempt.fail());
        }
        let mut outcomes = outcomes.into_iter();
        for group in groups {
            let outcome = outcomes.next();
            let failed = answer.clone().err().map(GroupError::from);
            // Each group of a transaction that is committed has an outcome.
            let written = failed.map_or_else(|| outcome.unwrap_or(Err(GroupError::Behind)), Err);
            group.answer(written);
        }
    }

    fn try_write(&self, work: Vec<Work>, groups: &mut [Group]) -> Result<Outcomes, StoreError> {
        let writable = matches!(*self.database.read(), Held::Writable(_));
        if self.failed.swap(false, Ordering::AcqRel) || !writable {
            self.open_again();
        }
        let written = match &*self.database.read() {
            Held::Writable(database) => {
                // redb may panic on a file that something else has changed.
                catch_unwind(AssertUnwindSafe(|| self.commit(database, work, groups)))
                    .unwrap_or_else(|_| Err(redb::Error::Corrupted("a write has panicked".into())))
                    .map_err(StoreError::from)
                    .map_err(Failed::Now)
            }
            _ => Err(Failed::Before),
        };
        match written {
            Ok(outcomes) => {
                if self.trouble.lock().take().is_some() {
                    tracing::info!("the data directory can be written to again");
                }
                Ok(outcomes)
            }
            Err(Failed::Now(error)) => {
                self.in_trouble(error.to_string());
                self.open_again();
                Err(error)
            }
            Err(Failed::Before) => Err(self.unavailable()),
        }
    }

    /// Checks that the database's file is still where it was opened.
    fn unless_lost(&self) -> Result<(), StoreError> {
        match self.medium.is_lost() {
            Some(reason) => {
                self.in_trouble(reason);
                Err(self.unavailable())
            }
            None => Ok(()),
        }
    }

    fn commit(
        &self,
        database: &Database,
        batch: Vec<Work>,
        groups: &mut [Group],
    ) -> Result<Outcomes, redb::Error> {
        let mut transaction = database.begin_write()?;
        // With this, a database of any size opens in milliseconds after a
        // crash.
        transaction.set_quick_repair(true);
        let mut tables = Tables::open(&transaction, self.stored_bytes_max)?;
        for work in batch {
            work(&mut tables)?;
        }
        let mut outcomes = Outcomes::with_capacity(groups.len());
        for group in groups {
            outcomes.push(write_group(&mut tables, group)?);
        }
        tables.finish()?;
        transaction.commit()?;
        Ok(outcomes)
    }

    /// The error that says why the database cannot be used.
    pub(crate) fn unavailable(&self) -> StoreError {
        let trouble = self.trouble.lock().clone();
        StoreError::Unavailable(trouble.unwrap_or_else(|| "it is closed".into()))
    }

    /// Opens the database for writing, or else for reading.
    fn open_again(&self) {
        let mut held = self.database.write();
        // It gives up its lock.
        *held = Held::Closed;
        let open = |open: &dyn Fn() -> Result<Database, redb::DatabaseError>| {
            catch_unwind(AssertUnwindSafe(open))
                .unwrap_or_else(|_| {
                    let reason = "its content makes no sense".into();
                    Err(redb::StorageError::Corrupted(reason).into())
                })
                .map_err(|error| error.to_string())
        };
        match open(&|| self.medium.writable()) {
            Ok(database) => *held = Held::Writable(database),
            Err(reason) => {
                self.in_trouble(reason);
                if let Ok(database) = open(&|| self.medium.readable()) {
                    *held = Held::ReadOnly(database);
                }
            }
        }
    }

    /// Remembers the reason, and logs it once.
    fn in_trouble(&self, reason: String) {
        let mut trouble = self.trouble.lock();
        if trouble.is_none() {
            tracing::error!(reason, "the data directory cannot be written to");
        }
        *trouble = Some(reason);
    }
}
