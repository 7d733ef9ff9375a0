//! The operator's settings of the engines, and their defaults.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use openline_core::config::ServerConfig;

use crate::component::compiler::Compiler;
use crate::component::load::LoaderOptions;

/// The operator's settings of the engines.
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
    /// The most bytes that are kept there.
    pub cache_bytes: usize,
    /// Where components are compiled.
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
    /// For development: the author of a deployed component should not have the
    /// host read its tables at each trap.
    pub source_lines: bool,
}

impl RuntimeOptions {
    /// As a host's configuration says, with a folder for compiled components.
    pub fn new(server: &ServerConfig, cache: Option<PathBuf>) -> Self {
        Self {
            instances: server.instances,
            // The needs of the largest component. More loads are seldom between
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
            // All threads but one, which is always free for short runs.
            long_runs: threads().saturating_sub(1),
            source_lines: false,
        }
    }

    pub(super) fn loader(&self) -> LoaderOptions {
        LoaderOptions {
            cache: self.cache.clone(),
            cache_bytes: self.cache_bytes,
            compiler: self.compiler.clone(),
            compile_memory_bytes: self.compile_memory_bytes,
            component_bytes: self.component_bytes,
            compile_timeout: self.compile_timeout,
            compilations: self.compilations,
            source_lines: self.source_lines,
            places: self.instances.saturating_add(self.trials),
        }
    }
}

/// The threads that serve connections.
fn threads() -> usize {
    match tokio::runtime::Handle::try_current() {
        Ok(handle) => handle.metrics().num_workers(),
        // The default of tokio's runtime.
        Err(_) => std::thread::available_parallelism().map_or(1, NonZero::get),
    }
}
