//! The engines and their settings.
//!
//! There are up to four, each made when the first component needs it: with and
//! without asynchronous functions, with and without fuel. A compiler has an
//! engine with the same settings but without pools. The pooling allocator
//! bounds each engine, by what one place needs times the number of places.

use std::collections::HashMap;
use std::sync::Arc;

use openline_core::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use parking_lot::Mutex;
use rustix::io::Errno;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, PoolingAllocationConfig, WasmBacktraceDetails};

use super::error::LoadError;
use super::inspect::Contract;
use super::places::{MEMORIES_PER_PLACE, STACKS_PER_PLACE, TABLES_PER_PLACE};
use super::ticker::Ticker;
use super::words;
use crate::contract::handlers::CallStyle;

/// Guest stacks of this size overflow; wasmtime's default. Rust's own main
/// threads have more, but handlers are shallow.
const STACK_BYTES: usize = 512 * 1024;
/// The stack of a fiber, for guest and host frames together.
const FIBER_BYTES: usize = 1024 * 1024;
/// How much of a stack is cleared by hand at the end of its instance and stays
/// resident; the rest is returned to the system. Handlers touch less than this.
const STACK_KEPT_BYTES: usize = 16 * 1024;

/// The most elements of one table in the pools: the maximum of
/// `table_elements`.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Which of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EngineKind {
    /// How its instances make calls.
    pub(crate) style: CallStyle,
    pub(crate) metered: bool,
}

/// Makes what components may import available to those of a call style.
pub(crate) type Link<T> = fn(&mut Linker<T>, CallStyle) -> wasmtime::Result<()>;

/// Options that are the same for all engines of a host.
#[derive(Debug)]
pub(crate) struct EngineOptions {
    /// Places for instances and trials in each of them.
    pub(crate) places: u32,
    /// Whether traps name files and lines.
    pub(crate) source_lines: bool,
}

/// The engines of a host; `T` is what their stores hold.
pub(crate) struct Engines<T: 'static> {
    options: EngineOptions,
    link: Link<T>,
    ticker: Arc<Ticker>,
    prepared: Mutex<HashMap<EngineKind, Arc<Prepared<T>>>>,
}

/// An engine with the imports of its components.
pub(crate) struct Prepared<T: 'static> {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<T>,
}

impl EngineKind {
    /// The engine that a component runs in.
    pub(crate) fn of(contract: &Contract, metered: bool) -> Self {
        Self {
            style: contract.handlers.call_style(),
            metered,
        }
    }

    /// How many stacks this many places need. A plain handler makes one call
    /// after the other, on the same stack. Of asynchronous calls in flight, one
    /// may wait on a stack in each component instance, and the others wait
    /// without one. Each stack costs 2 µs when the engine is made, for its
    /// guard page.
    fn stacks(self, places: u32) -> u32 {
        match self.style {
            CallStyle::Plain => places,
            CallStyle::Async => places.saturating_mul(STACKS_PER_PLACE),
        }
    }
}

impl<T> Engines<T> {
    /// Makes no engine yet. Fails if the thread that advances the epoch does
    /// not start.
    pub(crate) fn new(options: EngineOptions, link: Link<T>) -> std::io::Result<Self> {
        Ok(Self {
            options,
            link,
            ticker: Arc::new(Ticker::start()?),
            prepared: Mutex::default(),
        })
    }

    /// The thread that advances their epoch.
    pub(crate) fn ticker(&self) -> &Arc<Ticker> {
        &self.ticker
    }

    /// The engine of a kind, which is made on first use.
    pub(crate) fn prepare(&self, kind: EngineKind) -> Result<Arc<Prepared<T>>, LoadError> {
        let mut prepared = self.prepared.lock();
        if let Some(found) = prepared.get(&kind) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(self.make(kind)?);
        self.ticker.add(made.engine.clone());
        prepared.insert(kind, Arc::clone(&made));
        Ok(made)
    }

    fn make(&self, kind: EngineKind) -> Result<Prepared<T>, LoadError> {
        let failed = |error: wasmtime::Error| {
            let text = words::cause(&error);
            if lacks_memory(&error) {
                // Logged as well, because the caller may not look for the cause
                // here.
                tracing::error!(error = text, "the host gets no address space for instances");
                LoadError::AddressSpace(text)
            } else {
                LoadError::Host(text)
            }
        };
        let mut config = settings(kind, self.options.source_lines);
        config.allocation_strategy(pools(kind, self.options.places));
        let engine = Engine::new(&config).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        (self.link)(&mut linker, kind.style).map_err(failed)?;
        Ok(Prepared { engine, linker })
    }
}

/// An engine that only compiles; the code runs in the engine of the same kind.
pub(crate) fn for_compiling(kind: EngineKind, source_lines: bool) -> wasmtime::Result<Engine> {
    Engine::new(&settings(kind, source_lines))
}

/// Why compiled code does not load: because of the component, or of the host's
/// environment.
pub(crate) fn unloaded(error: &wasmtime::Error) -> LoadError {
    let text = words::cause(error);
    // Loading opens no file, so the only thing that the system can forbid is
    // execution.
    if is_of(error, &[Errno::ACCESS, Errno::PERM]) {
        // Logged as well, because the caller may not look for the cause here.
        tracing::error!(error = text, "the host may not make memory executable");
        LoadError::NotExecutable(text)
    } else {
        LoadError::Compile(text)
    }
}

/// Whether memory or address space was lacking.
pub(crate) fn lacks_memory(error: &wasmtime::Error) -> bool {
    let lacks = |cause: &(dyn std::error::Error + 'static)| cause.is::<wasmtime::OutOfMemory>();
    error.chain().any(lacks) || is_of(error, &[Errno::NOMEM])
}

/// Whether the system has reported one of these errors.
fn is_of(error: &wasmtime::Error, numbers: &[Errno]) -> bool {
    error.chain().any(|cause| {
        let system = cause.downcast_ref::<std::io::Error>();
        let system = system.and_then(Errno::from_io_error);
        let number = cause.downcast_ref::<Errno>().copied().or(system);
        number.is_some_and(|number| numbers.contains(&number))
    })
}

/// The settings of the pools. `capacity` assigns places so that instances never
/// exhaust the pools. Core instances take no room in them and are only counted.
fn pools(kind: EngineKind, places: u32) -> PoolingAllocationConfig {
    let per_component = |most: u64| u32::try_from(most).unwrap_or(u32::MAX);
    let mut pooling = PoolingAllocationConfig::default();
    pooling
        .total_component_instances(places)
        .total_core_instances(places.saturating_mul(per_component(CORE_INSTANCES_MAX)))
        .total_memories(places.saturating_mul(MEMORIES_PER_PLACE))
        .total_tables(places.saturating_mul(TABLES_PER_PLACE))
        .total_stacks(kind.stacks(places))
        .max_core_instances_per_component(per_component(CORE_INSTANCES_MAX))
        .max_memories_per_component(per_component(MEMORIES_MAX))
        .max_tables_per_component(per_component(TABLES_MAX))
        .table_elements(TABLE_ELEMENTS_MAX)
        .async_stack_keep_resident(STACK_KEPT_BYTES);
    pooling
}

/// The settings that compiled code depends on, and others that all engines
/// share.
fn settings(kind: EngineKind, source_lines: bool) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(kind.metered)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_BYTES)
        .wasm_component_model(true)
        // Do not let an environment variable decide.
        .wasm_backtrace_details(if source_lines {
            WasmBacktraceDetails::Enable
        } else {
            WasmBacktraceDetails::Disable
        });
    if kind.style == CallStyle::Async {
        config.wasm_component_model_async(true);
    } else {
        // Without the bookkeeping for concurrent calls, a call costs only a
        // third.
        config.concurrency_support(false);
        // Clear what one guest has left on a stack, so that the next one cannot
        // read it, and so that the host does not keep half a MiB for each guest
        // that has recursed. An asynchronous call has a stack of its own;
        // clearing it after each call would cost half as much as the call
        // (measured), so it is not done.
        config.async_stack_zeroing(true);
    }
    config
}

impl<T> std::fmt::Debug for Engines<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines").finish_non_exhaustive()
    }
}
