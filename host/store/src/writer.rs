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
use crate::error::StoreError;
use crate::tables::Tables;

/// Operations that wait for the writer; past this number, callers wait.
pub(crate) const QUEUE_OPERATIONS_MAX: usize = 1024;
/// Total size of the states that wait for the writer, in KiB; past it, callers
/// wait. 64 of the largest fit, or thousands of small ones.
pub(crate) const QUEUE_KIBIBYTES_MAX: u32 = 64 * 1024;
/// Operations in one transaction: few enough that forcing them to the disk
/// takes milliseconds.
pub(crate) const BATCH_OPERATIONS_MAX: usize = 256;

/// A part of a transaction.
pub(crate) type Work = Box<dyn for<'t> FnOnce(&mut Tables<'t>) -> Result<(), redb::Error> + Send>;

/// An operation for the writer.
pub(crate) struct Operation {
    pub(crate) work: Work,
    /// Answered when the operation is on the disk, or when it has failed and
    /// the database has been opened again.
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
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
}

/// The step at which a write failed.
enum Failed {
    Now(StoreError),
    Before,
}

/// Writes until the queue is closed, then closes the database.
pub(crate) fn run(shared: &Arc<Shared>, mut queue: mpsc::Receiver<Operation>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH_OPERATIONS_MAX
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        shared.write(batch);
    }
    *shared.database.write() = Held::Closed;
}

// === impl Shared ===

impl Shared {
    fn write(&self, batch: Vec<Operation>) {
        let (work, done): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|operation| (operation.work, operation.done))
            .unzip();
        let mut answer = self.unless_lost();
        if answer.is_ok() {
            answer = self.try_write(work);
            // If the file is not in its place any more, it ends with the
            // process, and so does the data that was just written to it.
            answer = answer.and_then(|()| self.unless_lost());
        }
        for done in done {
            // The caller may have gone.
            let _ = done.send(answer.clone());
        }
    }

    fn try_write(&self, work: Vec<Work>) -> Result<(), StoreError> {
        let writable = matches!(*self.database.read(), Held::Writable(_));
        if self.failed.swap(false, Ordering::AcqRel) || !writable {
            self.open_again();
        }
        let written = match &*self.database.read() {
            Held::Writable(database) => {
                // redb may panic on a file that something else has changed.
                catch_unwind(AssertUnwindSafe(|| self.commit(database, work)))
                    .unwrap_or_else(|_| Err(redb::Error::Corrupted("a write has panicked".into())))
                    .map_err(StoreError::from)
                    .map_err(Failed::Now)
            }
            _ => Err(Failed::Before),
        };
        match written {
            Ok(()) => {
                if self.trouble.lock().take().is_some() {
                    tracing::info!("the data directory can be written to again");
                }
                Ok(())
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

    fn commit(&self, database: &Database, batch: Vec<Work>) -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        // With this, a database of any size opens in milliseconds after a
        // crash.
        transaction.set_quick_repair(true);
        let mut tables = Tables::open(&transaction, self.stored_bytes_max)?;
        for work in batch {
            work(&mut tables)?;
        }
        tables.finish()?;
        Ok(transaction.commit()?)
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
