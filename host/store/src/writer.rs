//! The thread that writes. It takes the operations that wait, at most
//! [`BATCH_OPERATIONS_MAX`], into one transaction: while one is forced to the
//! disk the next ones gather, so that nobody waits for company.
//!
//! After a failure redb answers nothing more until it is opened again. That is
//! done here, at once, so that reads go on; and before each batch for as long
//! as it takes, so that writes go on when they can.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use crate::database::{Held, Medium};
use crate::error::StoreError;
use crate::tables::Tables;

/// Operations that wait for the writer; past it their callers wait.
pub(crate) const QUEUE_OPERATIONS_MAX: usize = 1024;
/// States that wait for the writer, in KiB together; past it their callers
/// wait. The largest 64 fit, and thousands of small ones.
pub(crate) const QUEUE_KIBIBYTES_MAX: u32 = 64 * 1024;
/// Operations in one transaction: what is forced to the disk at once stays a
/// matter of milliseconds.
pub(crate) const BATCH_OPERATIONS_MAX: usize = 256;

/// A part of a transaction.
pub(crate) type Work = Box<dyn for<'t> FnOnce(&mut Tables<'t>) -> Result<(), redb::Error> + Send>;

/// What is asked of the writer.
pub(crate) struct Operation {
    pub(crate) work: Work,
    /// Told when it is on the disk, or when it is not and the database has been
    /// opened again.
    pub(crate) done: oneshot::Sender<Result<(), StoreError>>,
}

/// What the writer shares with those who read.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) medium: Medium,
    /// Locked to be read while a transaction is, and to be written while the
    /// database is opened again.
    pub(crate) database: RwLock<Held>,
    /// A read has failed: the database must be opened again.
    pub(crate) failed: AtomicBool,
    /// Why the last write failed, if it did.
    pub(crate) trouble: Mutex<Option<String>>,
    pub(crate) stored_bytes_max: u64,
}

/// When a write failed.
enum Failed {
    Now(StoreError),
    Before,
}

/// Writes until nobody can ask for it any more, then closes the database.
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
            // A file that is not in its place any more goes with the process,
            // and so does what was just written into it.
            answer = answer.and_then(|()| self.unless_lost());
        }
        for done in done {
            // The asker may have gone.
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
                // redb may panic over what was changed by somebody else.
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

    /// That the database's file is where it was opened.
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
        // After a crash it is open again in milliseconds, however large it is.
        transaction.set_quick_repair(true);
        let mut tables = Tables::open(&transaction, self.stored_bytes_max)?;
        for work in batch {
            work(&mut tables)?;
        }
        tables.finish()?;
        Ok(transaction.commit()?)
    }

    /// That it cannot be used, and why.
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

    /// Remembers why, and says it once.
    fn in_trouble(&self, reason: String) {
        let mut trouble = self.trouble.lock();
        if trouble.is_none() {
            tracing::error!(reason, "the data directory cannot be written to");
        }
        *trouble = Some(reason);
    }
}
