//! The engines, and how a component becomes a version of a function.
//!
//! There are up to four engines, each made when the first component needs it:
//! with and without asynchronous functions, with and without fuel. They share
//! their settings and one thread that advances their epoch. Bounded by the
//! pooling allocator: a place for each instance that may be live.

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
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::alarms::AlarmClock;
use crate::cache::Cache;
use crate::capacity::Capacity;
use crate::commons::Commons;
use crate::component::{Contract, HandlerKind, LoadError, Loaded, inspect};
use crate::host;
use crate::log::LogRate;
use crate::store::{Shared, StoreData};
use crate::ticker::Ticker;
use crate::turns::LongRuns;
use crate::version::Version;

/// Guest stacks of this size overflow; wasmtime's default. Rust's own main
/// threads have more, but handlers are shallow.
const STACK_BYTES: usize = 512 * 1024;
/// What a fiber has for guest and host frames together.
const FIBER_BYTES: usize = 1024 * 1024;
/// What of a stack is cleared by hand when its instance goes, and stays
/// resident; the rest is given back to the system. Handlers touch less.
const STACK_KEPT_BYTES: usize = 16 * 1024;
/// Core instances and memories of one component: its module, the adapter, the
/// shims between them, and as many for languages that link several modules.
const MODULES_PER_COMPONENT_MAX: u32 = 16;

/// Elements of one table that the pools have room for: what `table_elements`
/// may be.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// What an operator decides about the engines.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Instances of all functions together.
    pub instances: u32,
    /// Places for instances beside those: each load makes one for a trial. A
    /// load that finds none fails.
    pub trials: u32,
    /// Alarms of all functions that belong to no connection.
    pub alarms: u32,
    /// Where compiled components are kept; none to compile at each start.
    pub cache: Option<PathBuf>,
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
    clock: Arc<AlarmClock>,
}

impl RuntimeOptions {
    /// As a host's configuration says, with a folder for compiled components.
    pub fn new(server: &ServerConfig, cache: Option<PathBuf>) -> Self {
        Self {
            instances: server.instances,
            // More loads are seldom between compiling and their trial's end.
            trials: 8,
            alarms: server.alarms,
            cache,
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

/// The runtime cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the thread that advances the epoch does not start: {0}")]
pub struct RuntimeError(#[from] std::io::Error);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct EngineKind {
    handler: HandlerKind,
    metered: bool,
}

struct Prepared {
    engine: Engine,
    linker: Linker<StoreData>,
}

impl Runtime {
    /// Starts without an engine: the first component makes the one it needs.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let cache = options
            .cache
            .as_ref()
            .and_then(|folder| match Cache::open(folder) {
                Ok(cache) => Some(cache),
                Err(error) => {
                    let folder = folder.display();
                    tracing::warn!(%folder, %error, "no compile cache: each start compiles anew");
                    None
                }
            });
        let capacity = Arc::new(Capacity::new(options.instances));
        let compiling = Arc::new(Semaphore::new(options.compilations as usize));
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
        bytes: Vec<u8>,
        commons: &Arc<Commons>,
    ) -> Result<Arc<Version>, LoadError> {
        let shared = self.share(config, &bytes, commons);
        self.load_shared(shared, bytes).await
    }

    /// The only version of a function that keeps nothing: for tools and tests.
    pub async fn load_alone(
        self: &Arc<Self>,
        config: &FunctionConfig,
        bytes: Vec<u8>,
    ) -> Result<Arc<Version>, LoadError> {
        let commons = self.commons(&config.name, &Store::memory(0));
        self.load(config, bytes, &commons).await
    }

    /// The same without the trial: for tests of what fails only later.
    #[cfg(test)]
    pub(crate) async fn load_untried(
        self: &Arc<Self>,
        config: &FunctionConfig,
        bytes: Vec<u8>,
        commons: &Arc<Commons>,
    ) -> Result<Arc<Version>, LoadError> {
        let shared = self.share(config, &bytes, commons);
        let loaded = self.compile_in_time(&shared, bytes).await?;
        Ok(Version::new(loaded, shared))
    }

    fn share(&self, config: &FunctionConfig, bytes: &[u8], commons: &Arc<Commons>) -> Arc<Shared> {
        Arc::new(Shared {
            name: config.name.clone(),
            commons: Arc::clone(commons),
            policy: config.instance.clone(),
            limits: Arc::new(config.limit.clone()),
            digest: digest_of(bytes),
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
        bytes: Vec<u8>,
        before: &Arc<Version>,
    ) -> Result<Arc<Version>, LoadError> {
        let same = before.digest() == digest_of(&bytes)
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

    /// Whether a component could be a function, with the default limits.
    pub async fn check(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Contract, LoadError> {
        self.measure(&bytes)?;
        let contract = inspect(&bytes)?;
        let name =
            FunctionName::new("check").map_err(|error| LoadError::Host(error.to_string()))?;
        let limits = Arc::new(FunctionLimits::default());
        let commons = self.commons(&name, &Store::memory(0));
        let shared = Arc::new(Shared {
            name,
            commons,
            policy: InstancePolicy::default(),
            digest: digest_of(&bytes),
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
        bytes: Vec<u8>,
    ) -> Result<Arc<Version>, LoadError> {
        self.measure(&bytes)?;
        let loaded = self.compile_in_time(&shared, bytes).await?;
        loaded.try_out(&shared).await?;
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
    /// connections, and not many at once. The compiler cannot be stopped: one
    /// that takes too long is waited for no more, but keeps its permit until it
    /// ends, so that there are never more of them than there may be.
    async fn compile_in_time(
        self: &Arc<Self>,
        shared: &Shared,
        bytes: Vec<u8>,
    ) -> Result<Loaded, LoadError> {
        let limits = Arc::clone(&shared.limits);
        let permit = Arc::clone(&self.compiling).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let runtime = Arc::clone(self);
        let compiling = tokio::task::spawn_blocking(move || {
            let compiled = runtime.compile(&bytes, &limits);
            drop(permit);
            compiled
        });
        let time = self.options.compile_timeout;
        match tokio::time::timeout(time, compiling).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(panic)) => Err(LoadError::Host(panic.to_string())),
            Err(_) => Err(LoadError::CompileTimeout(time)),
        }
    }

    fn compile(&self, bytes: &[u8], limits: &FunctionLimits) -> Result<Loaded, LoadError> {
        let contract = inspect(bytes)?;
        let kind = EngineKind::of(&contract, limits);
        let prepared = self.prepare(kind)?;
        let engine = &prepared.engine;
        let digest = Sha256::digest(bytes);
        let cached = self
            .cache
            .as_ref()
            .and_then(|cache| cache.load(engine, &digest));
        let component = match cached {
            Some(component) => component,
            None => {
                let component = Component::from_binary(engine, bytes)
                    .map_err(|error| LoadError::Compile(format!("{error:#}")))?;
                if let Some(cache) = &self.cache
                    && let Err(error) = cache.store(engine, &digest, &component)
                {
                    tracing::warn!(%error, "a compiled component is not cached");
                }
                component
            }
        };
        let pre = prepared
            .linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::UnknownImport(format!("{error:#}")))?;
        let ticker = Arc::clone(&self.ticker);
        Loaded::new(&component, pre, kind.handler, kind.metered, ticker)
    }

    fn prepare(&self, kind: EngineKind) -> Result<Arc<Prepared>, LoadError> {
        let mut prepared = self.prepared.lock();
        if let Some(found) = prepared.get(&kind) {
            return Ok(Arc::clone(found));
        }
        let host = |error: wasmtime::Error| LoadError::Host(format!("{error:#}"));
        let engine = Engine::new(&settings(kind, &self.options)).map_err(host)?;
        let linker = link(&engine, kind).map_err(host)?;
        self.ticker.add(engine.clone());
        let made = Arc::new(Prepared { engine, linker });
        prepared.insert(kind, Arc::clone(&made));
        Ok(made)
    }
}

impl EngineKind {
    /// The engine that a component runs in.
    fn of(contract: &Contract, limits: &FunctionLimits) -> Self {
        Self {
            handler: contract.handler,
            metered: limits.fuel_per_event > 0,
        }
    }

    /// Stacks for so many instances. One with a plain handler makes one call
    /// after the other, and the next call takes the stack of the last; calls in
    /// flight that wait have one each, and few wait at a time. Each costs 2 µs
    /// when the engine is made, for its guard page.
    fn stacks(self, instances: u32) -> u32 {
        match self.handler {
            HandlerKind::Plain => instances,
            HandlerKind::Async => instances.saturating_mul(2),
        }
    }
}

/// What names the version that a component is.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

fn settings(kind: EngineKind, options: &RuntimeOptions) -> Config {
    let instances = options.instances.saturating_add(options.trials);
    let modules = instances.saturating_mul(4);
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(instances)
        .total_core_instances(modules)
        .total_memories(instances.saturating_mul(2))
        .total_tables(modules)
        .total_stacks(kind.stacks(instances))
        .max_core_instances_per_component(MODULES_PER_COMPONENT_MAX)
        .max_memories_per_component(MODULES_PER_COMPONENT_MAX)
        .max_tables_per_component(MODULES_PER_COMPONENT_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .async_stack_keep_resident(STACK_KEPT_BYTES);
    let asynchronous = kind.handler == HandlerKind::Async;
    let mut config = Config::new();
    config
        .allocation_strategy(pooling)
        .epoch_interruption(true)
        .consume_fuel(kind.metered)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_BYTES)
        .wasm_component_model(true)
        // Not as an environment variable says.
        .wasm_backtrace_details(if options.source_lines {
            WasmBacktraceDetails::Enable
        } else {
            WasmBacktraceDetails::Disable
        });
    if asynchronous {
        config.wasm_component_model_async(true);
    } else {
        // Without the bookkeeping for concurrent calls a call costs a third.
        config.concurrency_support(false);
        // What one guest left on a stack is neither the next one's to read nor
        // ours to keep: half a MiB for each place whose guest has recursed. An
        // asynchronous call has a stack of its own, and clearing it after each
        // costs half as much as the call: measured, and left out.
        config.async_stack_zeroing(true);
    }
    config
}

fn link(engine: &Engine, kind: EngineKind) -> wasmtime::Result<Linker<StoreData>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    if kind.handler == HandlerKind::Async {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    }
    host::add_to_linker(&mut linker, kind.handler)?;
    Ok(linker)
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}
