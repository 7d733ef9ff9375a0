//! How a component becomes a version of a function: inspected, compiled or
//! found compiled, linked and tried.
//!
//! Engines are made when the first component needs them and share one thread
//! that advances their epoch. Bounded by `compilations` at once, each within
//! `compile_timeout` and `compile_memory_bytes`, and by places for trials.

use std::collections::HashMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::digest::Digest;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use openline_store::Store;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;

use crate::alarms::AlarmClock;
use crate::cache::{Cache, CacheError};
use crate::capacity::Capacity;
use crate::commons::Commons;
use crate::compiler::{self, Compiler, Task};
use crate::component::{LoadError, Loaded};
use crate::engines::{self, EngineKind, Prepared};
use crate::inspect::{Contract, HandlerKind, inspect};
use crate::log::LogRate;
use crate::store::Shared;
use crate::ticker::Ticker;
use crate::turns::LongRuns;
use crate::version::Version;
use crate::words;

/// A component with a core module in it, which has one function that does
/// nothing.
const PROOF: &[u8] = b"\0asm\x0d\0\x01\0\x01\x18\
    \0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";

/// What an operator decides about the engines.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Instances of all functions together.
    pub instances: u32,
    /// Places for instances beside those: each load makes one for a trial. A
    /// load that finds none waits.
    pub trials: u32,
    /// Alarms of all functions that belong to no connection.
    pub alarms: u32,
    /// Where compiled components are kept; none to compile at each start.
    pub cache: Option<PathBuf>,
    /// What is kept there.
    pub cache_bytes: usize,
    /// Who compiles.
    pub compiler: Compiler,
    /// The address space of a compiler that is a process of its own.
    pub compile_memory_bytes: usize,
    /// The largest component, in bytes.
    pub component_bytes: usize,
    /// How long compiling one component may take.
    pub compile_timeout: Duration,
    /// Components that are compiled at once.
    pub compilations: u32,
    /// Runs of guest code that have computed for longer than a tick of the
    /// epoch and go on at once; the others wait for their turn. At least 1.
    pub long_runs: usize,
    /// Whether a trap says files and lines, where the component knows them.
    /// For development: whoever made a component that is deployed should not
    /// have the host read tables of his at each trap.
    pub source_lines: bool,
}

/// Compiles components and makes functions of them.
#[derive(Debug)]
pub struct Runtime {
    options: RuntimeOptions,
    cache: Option<Cache>,
    ticker: Arc<Ticker>,
    prepared: Mutex<HashMap<EngineKind, Arc<Prepared>>>,
    capacity: Arc<Capacity>,
    long_runs: LongRuns,
    compiling: Arc<Semaphore>,
    trials: Arc<Semaphore>,
    clock: Arc<AlarmClock>,
}

impl RuntimeOptions {
    /// As a host's configuration says, with a folder for compiled components.
    pub fn new(server: &ServerConfig, cache: Option<PathBuf>) -> Self {
        Self {
            instances: server.instances,
            // What the largest component takes. More loads are seldom between
            // compiling and their trial's end; those wait.
            trials: 8,
            alarms: server.alarms,
            cache,
            cache_bytes: server.cache_bytes,
            // A library does not know what this program does with a word.
            compiler: Compiler::InProcess,
            compile_memory_bytes: server.compile_memory_bytes,
            component_bytes: server.component_bytes,
            compile_timeout: server.compile_timeout,
            compilations: server.compilations,
            // All threads but one, which is always free for what is short.
            long_runs: threads().saturating_sub(1),
            source_lines: false,
        }
    }
}

/// The threads that serve connections.
fn threads() -> usize {
    match tokio::runtime::Handle::try_current() {
        Ok(handle) => handle.metrics().num_workers(),
        // What tokio's runtime takes by default.
        Err(_) => std::thread::available_parallelism().map_or(1, NonZero::get),
    }
}

/// What is taken of what the engine has a limited number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Functions that anything holds: a route, a connection, an instance, an
    /// alarm.
    pub functions: usize,
    /// Places for instances; one that has many memories or tables has several.
    pub places: u32,
    /// Alarms that belong to no connection: those that wait and those that are
    /// being handled.
    pub alarms: usize,
    /// Components that are being compiled.
    pub compilations: usize,
    /// Places for trials.
    pub trials: usize,
    /// Runs of guest code that have computed for long and have a thread.
    pub long_runs: usize,
}

/// The runtime cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the thread that advances the epoch does not start: {0}")]
pub struct RuntimeError(#[from] std::io::Error);

/// What is known of a component before it is compiled.
struct Found {
    contract: Contract,
    kind: EngineKind,
    prepared: Arc<Prepared>,
    /// Compiled before.
    cached: Option<Component>,
}

impl Runtime {
    /// Starts without an engine: the first component makes the one it needs.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let cache = options.cache.as_ref().and_then(|folder| {
            match Cache::open(folder, options.cache_bytes) {
                Ok(cache) => Some(cache),
                Err(error) => {
                    let folder = folder.display();
                    tracing::warn!(%folder, %error, "no compile cache: each start compiles anew");
                    None
                }
            }
        });
        let capacity = Arc::new(Capacity::new(options.instances));
        let compiling = Arc::new(Semaphore::new(options.compilations as usize));
        let trials = Arc::new(Semaphore::new(options.trials as usize));
        let long_runs = LongRuns::new(options.long_runs);
        let clock = Arc::new(AlarmClock::new(options.alarms));
        Ok(Self {
            clock,
            options,
            cache,
            ticker: Arc::new(Ticker::start()?),
            prepared: Mutex::default(),
            capacity,
            long_runs,
            compiling,
            trials,
        })
    }

    /// Makes the engines that these components will need, on a thread of its
    /// own: a host that starts waits for its disk meanwhile. What is wrong with
    /// a component, or an engine, is told to whoever loads it.
    pub fn expect(self: &Arc<Self>, components: Vec<(Bytes, FunctionLimits)>) {
        let runtime = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            for (bytes, limits) in components {
                if let Ok(contract) = inspect(&bytes) {
                    let _ = runtime.prepare(EngineKind::of(&contract, &limits));
                }
            }
        });
    }

    /// Whether compiled code may run here at all, for a host that has nothing to
    /// load yet: otherwise the first deploy would meet it. Compiles a few
    /// instructions, which takes milliseconds.
    pub fn prove(&self) -> Result<(), LoadError> {
        let kind = EngineKind {
            handler: HandlerKind::Plain,
            metered: false,
        };
        let engine = engines::for_compiling(kind, self.options.source_lines);
        let proven = engine.and_then(|engine| Component::from_binary(&engine, PROOF));
        proven.map(drop).map_err(|error| engines::unloaded(&error))
    }

    /// What all versions of a function will have in common. Another one each
    /// time: who asks sees to it that a function has one.
    pub fn commons(&self, name: &FunctionName, store: &Store) -> Arc<Commons> {
        let clock = Arc::clone(&self.clock);
        Arc::new(Commons::new(store.function(name), name.clone(), clock))
    }

    /// Makes a version of a component: compiles it, or finds it compiled,
    /// checks the contract, and makes one instance to see that it starts.
    pub async fn load(
        self: &Arc<Self>,
        config: &FunctionConfig,
        bytes: impl Into<Bytes>,
        commons: &Arc<Commons>,
    ) -> Result<Arc<Version>, LoadError> {
        let bytes = bytes.into();
        let digest = digest_of(&bytes).await?;
        let shared = self.share(config, digest, commons);
        self.load_shared(shared, bytes).await
    }

    /// The only version of a function that keeps nothing: for tools and tests.
    pub async fn load_alone(
        self: &Arc<Self>,
        config: &FunctionConfig,
        bytes: impl Into<Bytes>,
    ) -> Result<Arc<Version>, LoadError> {
        let commons = self.commons_alone(&config.name);
        self.load(config, bytes, &commons).await
    }

    /// Of a function that keeps nothing. It has a clock of its own: it is none
    /// of those that share the host's alarms.
    fn commons_alone(&self, name: &FunctionName) -> Arc<Commons> {
        let clock = Arc::new(AlarmClock::new(self.options.alarms));
        let store = Store::memory(0).function(name);
        Arc::new(Commons::new(store, name.clone(), clock))
    }

    /// The same without the trial, and with other places for an instance than
    /// it needs: for tests of what fails only later.
    #[cfg(test)]
    pub(crate) async fn load_untried(
        self: &Arc<Self>,
        config: &FunctionConfig,
        bytes: Vec<u8>,
        commons: &Arc<Commons>,
        places: Option<u32>,
    ) -> Result<Arc<Version>, LoadError> {
        let bytes = bytes.into();
        let shared = self.share(config, digest_of(&bytes).await?, commons);
        let mut loaded = self.compile_in_time(&shared, bytes).await?;
        loaded.places = places.unwrap_or(loaded.places);
        Ok(Version::new(loaded, shared))
    }

    fn share(
        &self,
        config: &FunctionConfig,
        digest: Digest,
        commons: &Arc<Commons>,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            name: config.name.clone(),
            commons: Arc::clone(commons),
            policy: config.instance.clone(),
            limits: Arc::new(config.limit.clone()),
            digest,
            capacity: Arc::clone(&self.capacity),
            long_runs: self.long_runs.clone(),
            log_rate: LogRate::new(config.limit.log_lines_per_second),
        })
    }

    /// Makes a version, or answers `before` when neither the component nor its
    /// configuration has changed.
    pub async fn reload(
        self: &Arc<Self>,
        config: &FunctionConfig,
        bytes: impl Into<Bytes>,
        before: &Arc<Version>,
    ) -> Result<Arc<Version>, LoadError> {
        let bytes = bytes.into();
        let same = before.digest() == digest_of(&bytes).await?
            && *before.policy() == config.instance
            && **before.limits() == config.limit;
        if same && *before.name() == config.name {
            return Ok(Arc::clone(before));
        }
        self.load(config, bytes, before.commons()).await
    }

    /// Instances of all functions that are live now.
    pub fn instances(&self) -> u32 {
        self.capacity.live()
    }

    /// What is taken at this moment.
    pub fn taken(&self) -> Taken {
        let of = |permits: &Semaphore, all: u32| {
            (all as usize).saturating_sub(permits.available_permits())
        };
        Taken {
            functions: self.clock.functions(),
            places: self.capacity.taken(),
            alarms: self.clock.alarms(),
            compilations: of(&self.compiling, self.options.compilations),
            trials: of(&self.trials, self.options.trials),
            long_runs: self.long_runs.taken(),
        }
    }

    /// Whether a component could be a function, with the default limits.
    pub async fn check(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Contract, LoadError> {
        self.measure(&bytes)?;
        let bytes = Bytes::from(bytes);
        let contract = inspect(&bytes)?;
        let name =
            FunctionName::new("check").map_err(|error| LoadError::Host(error.to_string()))?;
        let limits = Arc::new(FunctionLimits::default());
        let commons = self.commons_alone(&name);
        let shared = Arc::new(Shared {
            name,
            commons,
            policy: InstancePolicy::default(),
            digest: digest_of(&bytes).await?,
            capacity: Arc::clone(&self.capacity),
            long_runs: self.long_runs.clone(),
            log_rate: LogRate::new(limits.log_lines_per_second),
            limits,
        });
        self.load_shared(shared, bytes).await?;
        Ok(contract)
    }

    async fn load_shared(
        self: &Arc<Self>,
        shared: Arc<Shared>,
        bytes: Bytes,
    ) -> Result<Arc<Version>, LoadError> {
        self.measure(&bytes)?;
        let loaded = self.compile_in_time(&shared, bytes).await?;
        let most = self.options.instances.min(self.options.trials);
        if loaded.places > most {
            let needed = loaded.places;
            return Err(LoadError::TooManyPlaces { needed, most });
        }
        let places = self.trials.acquire_many(loaded.places).await;
        let places = places.expect("the semaphore is never closed");
        loaded.try_out(&shared).await?;
        drop(places);
        Ok(Version::new(loaded, shared))
    }

    fn measure(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let most = self.options.component_bytes;
        if bytes.len() > most {
            let bytes = bytes.len();
            return Err(LoadError::TooBig { bytes, most });
        }
        Ok(())
    }

    /// Compiling takes a core for up to seconds: not on a thread that serves
    /// connections, and not many at once. A compiler that is a process of its
    /// own is killed when it takes too long, or when nobody waits for it any
    /// more, and its permit is free at once. One in this process cannot be
    /// stopped: it is waited for no more, but keeps its permit until it ends, so
    /// that there are never more of them than there may be.
    async fn compile_in_time(
        self: &Arc<Self>,
        shared: &Shared,
        bytes: Bytes,
    ) -> Result<Loaded, LoadError> {
        let permit = Arc::clone(&self.compiling).acquire_owned().await;
        let permit = Arc::new(permit.expect("the semaphore is never closed"));
        let time = self.options.compile_timeout;
        let compiling = self.compile(shared, bytes, permit);
        match tokio::time::timeout(time, compiling).await {
            Ok(loaded) => loaded,
            Err(_) => Err(LoadError::CompileTimeout(time)),
        }
    }

    async fn compile(
        self: &Arc<Self>,
        shared: &Shared,
        bytes: Bytes,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> Result<Loaded, LoadError> {
        let (digest, limits) = (shared.digest, Arc::clone(&shared.limits));
        let component = bytes.clone();
        let finding = self.beside(&permit, move |runtime| {
            runtime.find(&component, &digest, &limits)
        });
        let found = finding.await?;
        if let Some(component) = found.cached {
            let linking = self.beside(&permit, move |runtime| {
                runtime.link(&found.contract, found.kind, &found.prepared, &component)
            });
            return linking.await;
        }
        let artifact = match &self.options.compiler {
            Compiler::InProcess => None,
            Compiler::Child(program) => {
                let task = Task {
                    kind: found.kind,
                    source_lines: self.options.source_lines,
                    memory_bytes: self.options.compile_memory_bytes,
                    timeout: self.options.compile_timeout,
                };
                Some(compiler::compile(program, &task, bytes.clone()).await?)
            }
        };
        let finishing = self.beside(&permit, move |runtime| {
            let engine = &found.prepared.engine;
            let component = match &artifact {
                Some(artifact) => compiler::load(engine, artifact),
                None => Component::from_binary(engine, &bytes),
            };
            let component = component.map_err(|error| engines::unloaded(&error))?;
            runtime.keep(&found.prepared, &digest, &component, artifact);
            runtime.link(&found.contract, found.kind, &found.prepared, &component)
        });
        finishing.await
    }

    /// Does something on a thread that serves nobody. It goes on when nobody
    /// waits for it any more, and keeps the permit until its end.
    async fn beside<T: Send + 'static>(
        self: &Arc<Self>,
        permit: &Arc<OwnedSemaphorePermit>,
        work: impl FnOnce(&Self) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let (runtime, permit) = (Arc::clone(self), Arc::clone(permit));
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&runtime);
            drop(permit);
            done
        });
        let done = working.await;
        done.unwrap_or_else(|panic| Err(LoadError::Host(panic.to_string())))
    }

    fn find(
        &self,
        bytes: &[u8],
        digest: &Digest,
        limits: &FunctionLimits,
    ) -> Result<Found, LoadError> {
        let contract = inspect(bytes)?;
        let kind = EngineKind::of(&contract, limits);
        let prepared = self.prepare(kind)?;
        let cached = self
            .cache
            .as_ref()
            .and_then(|cache| cache.load(&prepared.engine, digest.as_bytes()));
        Ok(Found {
            contract,
            kind,
            prepared,
            cached,
        })
    }

    /// Keeps what was compiled for the next time, if it can.
    fn keep(
        &self,
        prepared: &Prepared,
        digest: &Digest,
        component: &Component,
        artifact: Option<Vec<u8>>,
    ) {
        let Some(cache) = &self.cache else {
            return;
        };
        let artifact = match artifact {
            Some(artifact) => Ok(artifact),
            None => component.serialize().map_err(std::io::Error::other),
        }
        .map_err(CacheError::from);
        let store = |artifact: Vec<u8>| cache.store(&prepared.engine, digest.as_bytes(), &artifact);
        if let Err(error) = artifact.and_then(store) {
            tracing::warn!(%error, "a compiled component is not cached");
        }
    }

    fn link(
        &self,
        contract: &Contract,
        kind: EngineKind,
        prepared: &Prepared,
        component: &Component,
    ) -> Result<Loaded, LoadError> {
        let pre = prepared
            .linker
            .instantiate_pre(component)
            .map_err(|error| LoadError::UnknownImport(words::cause(&error)))?;
        let ticker = Arc::clone(&self.ticker);
        Loaded::new(component, pre, contract, kind.metered, ticker)
    }

    fn prepare(&self, kind: EngineKind) -> Result<Arc<Prepared>, LoadError> {
        let mut prepared = self.prepared.lock();
        if let Some(found) = prepared.get(&kind) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(engines::prepare(kind, &self.options)?);
        self.ticker.add(made.engine.clone());
        prepared.insert(kind, Arc::clone(&made));
        Ok(made)
    }
}

/// What names the version that a component is. Computed on a thread that serves
/// nobody: the largest component takes a second where the CPU has no
/// instructions for it.
///
/// # Errors
///
/// When the process is about to end.
pub async fn digest_of(bytes: &Bytes) -> Result<Digest, LoadError> {
    let bytes = bytes.clone();
    let hashing = tokio::task::spawn_blocking(move || Sha256::digest(&bytes));
    let hash = hashing.await;
    let hash = hash.map_err(|error| LoadError::Host(error.to_string()))?;
    Ok(Digest::new(hash.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_digest_is_computed_on_a_thread_that_serves_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            // The only such thread has something else to do.
            let (done, doing) = sync_channel::<()>(0);
            tokio::task::spawn_blocking(move || doing.recv());
            let bytes = Bytes::from_static(b"abc");
            let mut hashing = Box::pin(digest_of(&bytes));
            assert!(hashing.as_mut().now_or_never().is_none());
            drop(done);
            let digest = hashing.await.unwrap().to_string();
            assert!(digest.starts_with("ba7816bf8f01cfea"), "{digest}");
        });
    }
}
