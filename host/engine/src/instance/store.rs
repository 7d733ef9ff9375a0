//! The host's data of one instance: the connections that it can name, its
//! limits, its view of WASI.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::budget::MemoryLimiter;
use super::live::{CHANNELS_KEY, Instance};
use super::log::Log;
use super::outbound::Calls;
use super::program::Program;
use super::run::Run;
use crate::contract::handles::Handles;

/// How many times the bytes of an answer's headers a guest may have in one `fields`:
/// the host's own bytes for each header count there, too.
const FIELDS_FACTOR: usize = 16;
/// The least, for functions whose limits leave no room for the headers of a call.
const FIELDS_BYTES_MIN: usize = 8 * 1024;

/// The store's data.
pub(crate) struct StoreData {
    pub(crate) program: Arc<Program>,
    pub(crate) run: Arc<Run>,
    pub(crate) handles: Handles,
    /// Its affinity value, whose states and alarms it may use; empty for a
    /// function without affinity, `None` for a trial.
    pub(crate) scope: Option<String>,
    /// Whether it is the instance of the function's channel handler, which serves no
    /// connections; with affinity, also the alarms that the handler has set.
    pub(crate) listens: bool,
    /// Whether the component has a handler for alarms.
    pub(crate) takes_alarms: bool,
    limiter: MemoryLimiter,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(crate) calls: Calls,
}

/// Makes the store of an instance. The instance of the channel handler has the
/// states and alarms of a function without affinity, unless the function has it.
pub(crate) fn of(
    program: &Arc<Program>,
    instance: &Instance,
) -> wasmtime::Result<(Store<StoreData>, Arc<Run>)> {
    let key = instance.key.as_deref();
    let listens = key == Some(CHANNELS_KEY);
    let is_scope = !listens || program.policy.affinity.is_some();
    let scope = key.filter(|_| is_scope).unwrap_or_default();
    let (mut store, run) = new(program, Some(scope.to_owned()))?;
    store.data_mut().listens = listens;
    Ok((store, run))
}

/// Makes a store for an instance of a program.
pub(crate) fn new(
    program: &Arc<Program>,
    scope: Option<String>,
) -> wasmtime::Result<(Store<StoreData>, Arc<Run>)> {
    let ticker = Arc::clone(&program.loaded.ticker);
    let run = Arc::new(Run::new(
        program.limits.cpu_timeout,
        &program.long_runs,
        ticker,
    ));
    let mut table = ResourceTable::new();
    let handles = program.policy.handles as usize;
    table.set_max_capacity(handles);
    let wasi = WasiCtxBuilder::new()
        .envs(program.environment.pairs())
        .stdout(Log::new(Arc::clone(&program.log_rate), "stdout"))
        .stderr(Log::new(Arc::clone(&program.log_rate), "stderr"))
        .build();
    let data = StoreData {
        program: Arc::clone(program),
        run: Arc::clone(&run),
        handles: Handles::new(handles),
        scope,
        listens: false,
        takes_alarms: program.loaded.takes_alarms(),
        limiter: MemoryLimiter::new(&program.policy),
        table,
        wasi,
        http: http(program),
        calls: Calls::new(program.calls.clone()),
    };
    let mut store = Store::new(&program.loaded.engine, data);
    store.limiter(|data| &mut data.limiter);
    // wasmtime counts what a guest passes in one call before it copies it. The
    // limit is twice a message, so that a message that is a little too large is
    // dropped and does not trap.
    store.set_hostcall_fuel(match program.limits.hostcall_bytes {
        0 => program
            .limits
            .message_bytes
            .saturating_mul(2)
            .saturating_add(64 * 1024),
        bytes => bytes,
    });
    // The contract's handles, WASI's, and as many borrowed ones.
    store.set_max_component_handles(3 * handles);
    store.epoch_deadline_callback(|store| store.data().run.tick());
    store.set_epoch_deadline(1);
    if program.loaded.metered {
        // Making an instance runs guest code, too, with the fuel of one call.
        store.set_fuel(program.limits.fuel_per_event)?;
    }
    Ok((store, run))
}

impl std::fmt::Debug for StoreData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreData")
            .field("function", &self.program.name)
            .finish_non_exhaustive()
    }
}

/// Bounds the headers that a guest has in the host. What the host keeps for each
/// comes on top; those of an answer are counted again when it is checked.
fn http(program: &Program) -> WasiHttpCtx {
    let limits = &program.limits;
    let largest = limits
        .response_header_bytes
        .max(limits.request_header_bytes);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(FIELDS_FACTOR * largest.max(FIELDS_BYTES_MIN));
    http
}

impl WasiHttpView for StoreData {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.calls,
            table: &mut self.table,
            ctx: &mut self.http,
        }
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
