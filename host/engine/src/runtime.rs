//! The engines, and how a component becomes a function.
//!
//! There are up to four engines, each made when the first component needs it:
//! with and without asynchronous functions, with and without fuel. They share
//! their settings and one thread that advances their epoch. Bounded by the
//! pooling allocator: a place for each instance that may be live.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use openline_core::config::FunctionConfig;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, PoolingAllocationConfig};

use crate::budget::TABLE_ELEMENTS_MAX;
use crate::cache::Cache;
use crate::component::{Contract, HandlerKind, LoadError, Loaded, inspect};
use crate::function::Function;
use crate::host;
use crate::store::{Shared, StoreData};
use crate::ticker::Ticker;

/// Guest stacks of this size overflow; wasmtime's default. Rust's own main
/// threads have more, but handlers are shallow.
const STACK_BYTES: usize = 512 * 1024;
/// What a fiber has for guest and host frames together.
const FIBER_BYTES: usize = 1024 * 1024;
/// Core instances and memories of one component: its module, the adapter, the
/// shims between them, and as many for languages that link several modules.
const MODULES_PER_COMPONENT_MAX: u32 = 16;

/// What an operator decides about the engines.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Instances of all functions together.
    pub instances: u32,
    /// Where compiled components are kept; none to compile at each start.
    pub cache: Option<PathBuf>,
}

/// Compiles components and makes functions of them.
#[derive(Debug)]
pub struct Runtime {
    options: RuntimeOptions,
    cache: Option<Cache>,
    ticker: Ticker,
    prepared: Mutex<HashMap<EngineKind, Arc<Prepared>>>,
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
        Ok(Self {
            options,
            cache,
            ticker: Ticker::start()?,
            prepared: Mutex::default(),
        })
    }

    /// Makes a function of a component: compiles it, or finds it compiled,
    /// checks the contract, and makes one instance to see that it starts.
    pub async fn load(
        self: &Arc<Self>,
        config: &FunctionConfig,
        bytes: Vec<u8>,
    ) -> Result<Function, LoadError> {
        let shared = Arc::new(Shared {
            name: config.name.clone(),
            hub: Arc::default(),
            policy: config.instance.clone(),
            limits: config.limit.clone(),
        });
        self.load_shared(shared, bytes).await
    }

    /// Whether a component could be a function, with the default limits.
    pub async fn check(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Contract, LoadError> {
        let contract = inspect(&bytes)?;
        let name =
            FunctionName::new("check").map_err(|error| LoadError::Host(error.to_string()))?;
        let shared = Arc::new(Shared {
            name,
            hub: Arc::default(),
            policy: InstancePolicy::default(),
            limits: FunctionLimits::default(),
        });
        self.load_shared(shared, bytes).await?;
        Ok(contract)
    }

    async fn load_shared(
        self: &Arc<Self>,
        shared: Arc<Shared>,
        bytes: Vec<u8>,
    ) -> Result<Function, LoadError> {
        let metered = shared.limits.fuel_per_event.is_some();
        let runtime = Arc::clone(self);
        // Compiling takes a core for up to seconds: not on a thread that
        // serves connections.
        let compiled = tokio::task::spawn_blocking(move || runtime.compile(&bytes, metered)).await;
        let loaded = match compiled {
            Ok(loaded) => loaded?,
            Err(panic) => return Err(LoadError::Host(panic.to_string())),
        };
        loaded.try_out(&shared).await?;
        Ok(Function::new(loaded, shared))
    }

    fn compile(&self, bytes: &[u8], metered: bool) -> Result<Loaded, LoadError> {
        let contract = inspect(bytes)?;
        let kind = EngineKind {
            handler: contract.handler,
            metered,
        };
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
        Loaded::new(&component, pre, contract.handler, metered)
    }

    fn prepare(&self, kind: EngineKind) -> Result<Arc<Prepared>, LoadError> {
        let mut prepared = self.prepared.lock();
        if let Some(found) = prepared.get(&kind) {
            return Ok(Arc::clone(found));
        }
        let host = |error: wasmtime::Error| LoadError::Host(format!("{error:#}"));
        let engine = Engine::new(&settings(kind, self.options.instances)).map_err(host)?;
        let linker = link(&engine, kind).map_err(host)?;
        self.ticker.add(engine.clone());
        let made = Arc::new(Prepared { engine, linker });
        prepared.insert(kind, Arc::clone(&made));
        Ok(made)
    }
}

fn settings(kind: EngineKind, instances: u32) -> Config {
    // One more of each than may be live: the trial instance of a load.
    let instances = instances.saturating_add(8);
    let modules = instances.saturating_mul(4);
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(instances)
        .total_core_instances(modules)
        .total_memories(instances.saturating_mul(2))
        .total_tables(modules)
        .total_stacks(instances.saturating_mul(2))
        .max_core_instances_per_component(MODULES_PER_COMPONENT_MAX)
        .max_memories_per_component(MODULES_PER_COMPONENT_MAX)
        .max_tables_per_component(MODULES_PER_COMPONENT_MAX)
        .table_elements(TABLE_ELEMENTS_MAX);
    let asynchronous = kind.handler == HandlerKind::Async;
    let mut config = Config::new();
    config
        .allocation_strategy(pooling)
        .epoch_interruption(true)
        .consume_fuel(kind.metered)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_BYTES)
        .wasm_component_model(true);
    if asynchronous {
        config.wasm_component_model_async(true);
    } else {
        // Without the bookkeeping for concurrent calls a call costs a third.
        config.concurrency_support(false);
    }
    config
}

fn link(engine: &Engine, kind: EngineKind) -> wasmtime::Result<Linker<StoreData>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    if kind.handler == HandlerKind::Async {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    }
    host::add_to_linker(&mut linker)?;
    Ok(linker)
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}
