//! The front door of the package: asynchronous functions for the rest of the
//! host.
//!
//! A write goes to the writer's queue, and is on the disk when its future
//! returns; if the future is dropped before, the write may or may not happen. A
//! read sees all writes that were acknowledged before.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;

use openline_core::component::Component;
use openline_core::deployment::Deployment;
use openline_core::digest::Digest;
use openline_core::key::{KeyCredential, KeyRecord};
use openline_core::name::FunctionName;
use parking_lot::{Mutex, RwLock};
use redb::ReadTransaction;
use redb::backends::InMemoryBackend;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::components::{Components, make_folder, sync_folder};
use crate::database::{Held, Medium, begin_read};
use crate::error::{OpenError, StoreError};
use crate::file::Place;
use crate::keys;
use crate::line::Line;
use crate::revocations::{self, StoredRevocation, StoredRevocations};
use crate::rows::SHARED;
use crate::secret::{self, SECRET_BYTES};
use crate::tables::{self, StoredAlarm, Tables, Usage};
use crate::writer::{
    self, Message, Operation, QUEUE_KIBIBYTES_MAX, QUEUE_OPERATIONS_MAX, Shared, Work,
};

mod channels;
mod function;

pub use channels::ChannelStore;
pub use function::FunctionStore;

/// Reads of the database at once: more than a disk does at once. A read whose
/// caller has gone keeps its thread until the disk answers, and other reads
/// wait: a disk that hangs takes this many of the process's threads and no
/// more.
pub(crate) const READS_MAX: usize = 16;
/// Component files that are read, written or listed at once, bounded for the
/// same reason. Each is in memory as a whole.
pub(crate) const FILES_MAX: usize = 4;

/// The data that outlives connections, instances and the process. Cheap to
/// clone. Dropping the last clone writes everything that waits and releases the
/// folder.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    /// Taken when the store is dropped, which ends the writer.
    queue: Option<mpsc::Sender<Message>>,
    writer: Option<JoinHandle<()>>,
    /// Disconnected when the writer has ended.
    ended: Mutex<Receiver<()>>,
    /// Until when dropping the store waits for the writer; `None` waits
    /// forever.
    patience: Mutex<Option<Instant>>,
    /// Room for states that wait for the writer, in KiB.
    room: Semaphore,
    /// Threads for reads of the database.
    reads: Arc<Semaphore>,
    files: Arc<Semaphore>,
    shared: Arc<Shared>,
    components: Arc<Components>,
    secret: [u8; SECRET_BYTES],
}

impl Store {
    /// Opens the data directory, and makes it if it does not exist. States and
    /// alarms may take `stored_bytes_max` bytes together.
    ///
    /// Blocks for milliseconds, so it is called before the host serves.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A directory of a newer release is not changed.
    pub fn open(folder: &Path, stored_bytes_max: u64) -> Result<Self, OpenError> {
        let wrong = |error| OpenError::io(folder, error);
        make_folder(folder).map_err(wrong)?;
        let medium = Medium::File(Place::new(folder.join("store.redb")));
        // The database holds the lock from here on.
        let database = medium.create()?;
        let components = Components::open(folder.join("components")).map_err(wrong)?;
        sync_folder(folder).map_err(wrong)?;
        let secret = secret::kept(folder).map_err(wrong)?;
        let held = Held::Writable(database);
        let kept = (components, secret);
        let (store, started) = Self::start(medium, held, kept, stored_bytes_max);
        started.map_err(wrong)?;
        Ok(store)
    }

    /// A store in memory, which is lost when it is dropped. If memory or a
    /// thread cannot be had, it answers that it is closed.
    pub fn memory(stored_bytes_max: u64) -> Self {
        let medium = Medium::Shared(Arc::new(InMemoryBackend::new()));
        Self::over(medium, stored_bytes_max)
    }

    pub(crate) fn over(medium: Medium, stored_bytes_max: u64) -> Self {
        let held = medium.create().map_or(Held::Closed, Held::Writable);
        let kept = (Components::memory(), secret::random());
        Self::start(medium, held, kept, stored_bytes_max).0
    }

    /// Starts the writer; without one nothing is written.
    fn start(
        medium: Medium,
        held: Held,
        (components, secret): (Components, [u8; SECRET_BYTES]),
        stored_bytes_max: u64,
    ) -> (Self, std::io::Result<()>) {
        let shared = Arc::new(Shared {
            medium,
            database: RwLock::new(held),
            failed: false.into(),
            trouble: Mutex::new(None),
            stored_bytes_max,
            line: Arc::default(),
        });
        let (queue, operations) = mpsc::channel(QUEUE_OPERATIONS_MAX);
        let (alive, ended) = std::sync::mpsc::sync_channel(1);
        let writer = std::thread::Builder::new().name("store".into()).spawn({
            let shared = shared.clone();
            move || {
                let _alive: SyncSender<()> = alive;
                writer::run(&shared, operations);
            }
        });
        let (writer, started) = match writer {
            Ok(writer) => (Some(writer), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let inner = Inner {
            queue: Some(queue),
            writer,
            ended: Mutex::new(ended),
            patience: Mutex::new(None),
            room: Semaphore::new(QUEUE_KIBIBYTES_MAX as usize),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            files: Arc::new(Semaphore::new(FILES_MAX)),
            shared,
            components: Arc::new(components),
            secret,
        };
        let inner = Arc::new(inner);
        (Self { inner }, started)
    }

    /// The key with which the host signs what it gives to peers. It is the same
    /// after a restart if the store is a data directory.
    pub fn secret(&self) -> &[u8; SECRET_BYTES] {
        &self.inner.secret
    }

    // === components ===

    /// Stores a component; a second time does nothing.
    ///
    /// # Errors
    ///
    /// When the disk fails or is full.
    pub async fn put_component(&self, component: Component) -> Result<(), StoreError> {
        self.files(move |files| files.put(component)).await
    }

    /// A component, if it is stored.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or its content is not what was stored.
    pub async fn component(&self, digest: &Digest) -> Result<Option<Component>, StoreError> {
        let digest = *digest;
        self.files(move |files| files.get(&digest)).await
    }

    /// Removes a component, if it is there.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn remove_component(&self, digest: &Digest) -> Result<(), StoreError> {
        let digest = *digest;
        self.files(move |files| files.remove(&digest)).await
    }

    /// All components, in the order of their digests.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub async fn components(&self) -> Result<Vec<Digest>, StoreError> {
        self.files(Components::list).await
    }

    // === deployments ===

    /// All deployments, by name.
    ///
    /// # Errors
    ///
    /// When the store does not answer, and when one of them is not a valid
    /// deployment.
    pub async fn deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        self.read(tables::deployments).await
    }

    /// Stores a deployment, and replaces the one that its function had.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn put_deployment(&self, deployment: &Deployment) -> Result<(), StoreError> {
        let name = deployment.name().clone();
        let json = serde_json::to_vec(deployment)?;
        self.write(move |tables| tables.put_deployment(name.as_str(), &json))
            .await
    }

    /// Keeps deployments in the place of those that these functions had, and
    /// removes those of which there is none: all or nothing.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn set_deployments(
        &self,
        deployments: Vec<(FunctionName, Option<&Deployment>)>,
    ) -> Result<(), StoreError> {
        let deployments = deployments.into_iter().map(|(name, deployment)| {
            let json = deployment.map(serde_json::to_vec).transpose()?;
            Ok((name, json))
        });
        let deployments = deployments.collect::<Result<Vec<_>, StoreError>>()?;
        self.write(move |tables| {
            for (name, json) in &deployments {
                match json {
                    Some(json) => tables.put_deployment(name.as_str(), json)?,
                    None => tables.remove_deployment(name.as_str())?,
                }
            }
            Ok(())
        })
        .await
    }

    /// Removes a function's deployment, if it has one.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn remove_deployment(&self, function: &FunctionName) -> Result<(), StoreError> {
        let function = function.clone();
        self.write(move |tables| tables.remove_deployment(function.as_str()))
            .await
    }

    /// Waits until all earlier writes are on the disk, even those whose callers
    /// have gone.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn written(&self) -> Result<(), StoreError> {
        self.write(|_| Ok(())).await
    }

    /// Limits how long dropping the store waits for the writer, because a disk
    /// that hangs must not delay a process that is told to end. Data that was
    /// [written](Self::written) is on the disk in any case; but only if the
    /// writer ends in time, the next process need not repair the database.
    pub fn close_by(&self, deadline: Instant) {
        *self.inner.patience.lock() = Some(deadline);
    }

    // === what functions keep ===

    /// The states and alarms of a function, from now until it is [forgotten].
    ///
    /// [forgotten]: FunctionStore::forget
    pub fn function(&self, function: &FunctionName) -> FunctionStore {
        FunctionStore::new(self.clone(), function.clone())
    }

    /// The rows of the durable channels that functions share.
    pub fn shared_channels(&self) -> ChannelStore {
        ChannelStore::new(self.clone(), SHARED, Arc::default())
    }

    /// Deletes the rows of all channels that functions share.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn remove_shared_channels(&self) -> Result<(), StoreError> {
        self.write(|tables| tables.forget_rows(SHARED)).await
    }

    /// All alarms of all functions.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn alarms(&self) -> Result<Vec<StoredAlarm>, StoreError> {
        self.read(tables::alarms).await
    }

    /// How much functions have stored.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn usage(&self) -> Result<Usage, StoreError> {
        self.read(tables::usage).await
    }

    // === revocations ===

    /// Keeps a revocation of a function; see [`StoredRevocation`]. Of two with
    /// the same kind and mark, the later times count.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn keep_revocation(
        &self,
        function: &FunctionName,
        revocation: StoredRevocation,
        now: u64,
    ) -> Result<(), StoreError> {
        let function = function.clone();
        self.write(move |tables| tables.keep_revocation(function.as_str(), revocation, now))
            .await
    }

    /// All revocations that have not ended, by function.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn revocations(&self, now: u64) -> Result<StoredRevocations, StoreError> {
        self.read(move |transaction| revocations::all(transaction, now))
            .await
    }

    // === keys ===

    /// Keeps an API key.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn put_key(&self, key: &KeyRecord) -> Result<(), StoreError> {
        let credential = key.credential.to_string();
        let json = serde_json::to_vec(key)?;
        self.write(move |tables| tables.keep_key(&credential, &json))
            .await
    }

    /// Removes an API key, if it is there.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn remove_key(&self, credential: &KeyCredential) -> Result<(), StoreError> {
        let credential = credential.clone();
        self.write(move |tables| tables.remove_key(&credential))
            .await
    }

    /// All API keys that were made.
    ///
    /// # Errors
    ///
    /// When the store does not answer, and when one of them is not a valid key.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(keys::all).await
    }

    // === how ===

    async fn files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Components) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let components = self.inner.components.clone();
        blocking(&self.inner.files, move || work(&components)).await?
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl for<'t> FnOnce(&mut Tables<'t>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, told) = oneshot::channel();
        let answer = Arc::new(Mutex::new(None));
        let place = answer.clone();
        let work: Work = Box::new(move |tables| {
            *place.lock() = Some(work(tables)?);
            Ok(())
        });
        if let Some(queue) = &self.inner.queue {
            // If the writer has ended, `told` reports it.
            let _ = queue
                .send(Message::Operation(Operation { work, done }))
                .await;
        }
        let shared = &self.inner.shared;
        told.await.map_err(|_| shared.unavailable())??;
        answer.lock().take().ok_or_else(|| shared.unavailable())
    }

    /// Reads. If that fails, the database is opened again and read once more.
    async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<T, redb::Error> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let work = Arc::new(work);
        match self.read_once(work.clone()).await {
            Err(StoreError::Unavailable(_)) => {
                self.inner.shared.failed.store(true, Ordering::Release);
                // This opens the database again. Whether it can be written does
                // not matter here.
                let _ = self.write(|_| Ok(())).await;
                self.read_once(work).await
            }
            answer => answer,
        }
    }

    async fn read_once<T: Send + 'static>(
        &self,
        work: Arc<impl Fn(&ReadTransaction) -> Result<T, redb::Error> + Send + Sync + 'static>,
    ) -> Result<T, StoreError> {
        let shared = self.inner.shared.clone();
        let read = move || {
            let held = shared.database.read();
            let database = held.readable().ok_or_else(|| shared.unavailable())?;
            Ok(work(&begin_read(database)?)?)
        };
        blocking(&self.inner.reads, read).await?
    }
}

/// Runs `work` on a thread that may wait for the disk, once one of `places` is
/// free. It keeps the place until it is done, even if its caller has gone.
async fn blocking<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let unavailable = |error: &dyn fmt::Display| StoreError::Unavailable(error.to_string());
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(|error| unavailable(&error))?;
    let working = spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    working.await.map_err(|error| unavailable(&error))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("medium", &self.inner.shared.medium)
            .finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    fn line(&self) -> &Arc<Line> {
        &self.shared.line
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        let Some(writer) = self.writer.take() else {
            return;
        };
        if writer.thread().id() == std::thread::current().id() {
            // What followed a group had the last clone. The writer cannot wait
            // for itself; it ends by itself.
            return;
        }
        if let Some(deadline) = *self.patience.get_mut() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Nothing is ever sent: the receive fails when the writer's end is
            // dropped.
            if self.ended.get_mut().recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
        // The writer catches its panics.
        let _ = writer.join();
    }
}

#[cfg(test)]
mod tests;
