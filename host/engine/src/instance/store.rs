//! What belongs to one instance on the host's side: the connections it can
//! name, its limits, its view of WASI.

use std::sync::Arc;
use std::time::Duration;

use openline_channels::connection::Connection;
use openline_channels::hub::Hub;
use openline_channels::wakeups::Wakeups;
use openline_core::digest::Digest;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use parking_lot::Mutex;
use wasmtime::Store;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::component::loaded::Loaded;
use crate::instance::budget::{MemoryLimiter, RunClock};
use crate::instance::log::{Log, LogRate};
use crate::instance::turns::LongRuns;
use crate::pool::capacity::Capacity;
use crate::pool::commons::Commons;

/// What every instance of a function shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: FunctionName,
    pub(crate) commons: Arc<Commons>,
    pub(crate) policy: InstancePolicy,
    pub(crate) limits: Arc<FunctionLimits>,
    pub(crate) digest: Digest,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) long_runs: LongRuns,
    pub(crate) log_rate: LogRate,
}

/// The state of a run that the driver needs while wasmtime borrows the store.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) clock: RunClock,
    /// Told when the run pauses: one wake for each connection, not one for
    /// each message.
    pub(crate) wakeups: Mutex<Wakeups>,
}

/// The type behind the contract's `connection` resource.
#[expect(
    unreachable_pub,
    reason = "generated code re-exports it within a private module"
)]
#[derive(Debug)]
pub enum Handle {}

/// The store's data.
pub(crate) struct StoreData {
    pub(crate) shared: Arc<Shared>,
    pub(crate) run: Arc<Run>,
    pub(crate) handles: Handles,
    /// Whose states and alarms it may touch: its affinity value, empty for a
    /// function without affinity; none for a trial.
    pub(crate) scope: Option<String>,
    /// The component has a handler for alarms.
    pub(crate) takes_alarms: bool,
    limiter: MemoryLimiter,
    table: ResourceTable,
    wasi: WasiCtx,
}

/// Connections that the guest can name. An index is used again once its handle
/// is dropped. Bounded: one for each call in flight, and `handles` that the
/// guest keeps.
#[derive(Debug)]
pub(crate) struct Handles {
    entries: Vec<Option<Arc<Connection>>>,
    free: Vec<u32>,
    kept: usize,
    kept_max: usize,
}

/// A guest used a handle that is not there, or took too many.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum HandleError {
    #[error("no such connection handle")]
    Unknown,
    #[error("more than {0} connection handles are held (handles)")]
    TooMany(usize),
}

pub(crate) fn new(
    loaded: &Loaded,
    shared: &Arc<Shared>,
    scope: Option<String>,
) -> wasmtime::Result<(Store<StoreData>, Arc<Run>)> {
    let run = Arc::new(Run::new(shared.limits.cpu_timeout));
    let mut table = ResourceTable::new();
    let handles = shared.policy.handles as usize;
    table.set_max_capacity(handles);
    let wasi = WasiCtxBuilder::new()
        .stdout(Log::new(Arc::clone(shared), "stdout"))
        .stderr(Log::new(Arc::clone(shared), "stderr"))
        .build();
    let data = StoreData {
        shared: Arc::clone(shared),
        run: Arc::clone(&run),
        handles: Handles::new(handles),
        scope,
        takes_alarms: loaded.takes_alarms(),
        limiter: MemoryLimiter::new(&shared.policy),
        table,
        wasi,
    };
    let mut store = Store::new(&loaded.engine, data);
    store.limiter(|data| &mut data.limiter);
    // What a guest passes in one call is counted before it is copied. Twice a
    // message: one that is a little too large is dropped, not a trap.
    store.set_hostcall_fuel(match shared.limits.hostcall_bytes {
        0 => shared
            .limits
            .message_bytes
            .saturating_mul(2)
            .saturating_add(64 * 1024),
        bytes => bytes,
    });
    // Ours, WASI's, and as many borrowed ones.
    store.set_max_component_handles(3 * handles);
    store.epoch_deadline_callback(|store| store.data().run.clock.tick());
    store.set_epoch_deadline(1);
    if loaded.metered {
        // Making an instance runs guest code too; it gets what one call gets.
        store.set_fuel(shared.limits.fuel_per_event)?;
    }
    Ok((store, run))
}

impl std::fmt::Debug for StoreData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreData")
            .field("function", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl WasiView for StoreData {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

// === impl Run ===

impl Run {
    pub(crate) fn new(cpu_timeout: Duration) -> Self {
        Self {
            clock: RunClock::new(cpu_timeout),
            wakeups: Mutex::default(),
        }
    }
}

// === impl Shared ===

impl Shared {
    /// The function's connections.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        self.commons.hub()
    }
}

#[cfg(test)]
impl Shared {
    /// A function for tests that is not anywhere.
    pub(crate) fn unnamed() -> Self {
        let name = FunctionName::new("unnamed").unwrap();
        let store = openline_store::Store::memory(0);
        Self {
            commons: Arc::new(Commons::new(
                store.function(&name),
                name.clone(),
                Arc::default(),
            )),
            name,
            policy: InstancePolicy::default(),
            limits: Arc::default(),
            digest: Digest::default(),
            capacity: Arc::new(Capacity::new(1)),
            long_runs: LongRuns::new(1),
            log_rate: LogRate::new(1000),
        }
    }
}

// === impl Handles ===

impl Handles {
    fn new(kept_max: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            kept: 0,
            kept_max,
        }
    }

    /// Makes a handle that lives as long as a call.
    pub(crate) fn lend(&mut self, connection: Arc<Connection>) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = Some(connection);
                index
            }
            None => {
                self.entries.push(Some(connection));
                // Far below the range: the calls in flight and what is kept
                // are both bounded.
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    /// Makes a handle that the guest keeps until it drops it.
    pub(crate) fn keep(
        &mut self,
        connection: Arc<Connection>,
    ) -> Result<Resource<Handle>, HandleError> {
        if self.kept == self.kept_max {
            return Err(HandleError::TooMany(self.kept_max));
        }
        self.kept += 1;
        Ok(Resource::new_own(self.lend(connection)))
    }

    pub(crate) fn get(&self, handle: &Resource<Handle>) -> Result<&Arc<Connection>, HandleError> {
        let entry = self.entries.get(handle.rep() as usize);
        entry.and_then(Option::as_ref).ok_or(HandleError::Unknown)
    }

    /// The guest dropped a handle that it kept.
    pub(crate) fn drop_kept(&mut self, handle: &Resource<Handle>) -> Result<(), HandleError> {
        self.get(handle)?;
        self.kept -= 1;
        self.take_back(handle.rep());
        Ok(())
    }

    /// The call is over.
    pub(crate) fn take_back(&mut self, index: u32) {
        if let Some(entry) = self.entries.get_mut(index as usize)
            && entry.take().is_some()
        {
            self.free.push(index);
        }
    }
}
