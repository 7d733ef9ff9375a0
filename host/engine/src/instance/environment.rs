//! The environment of a program as `wasi:config` reads it. `wasi:cli` has it from
//! each store, which has a copy.
//!
//! Bounded by the environment itself; see `openline_core::environment`.

use std::fmt;

use openline_core::environment::Environment;
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};

/// Names and values for `wasi:config`. `Debug` shows none of them.
pub(crate) struct GuestConfig(WasiConfigVariables);

impl GuestConfig {
    /// What guests may read.
    pub(crate) fn view(&self) -> WasiConfig<'_> {
        WasiConfig::new(&self.0)
    }
}

impl From<&Environment> for GuestConfig {
    fn from(environment: &Environment) -> Self {
        Self(environment.pairs().iter().cloned().collect())
    }
}

impl fmt::Debug for GuestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestConfig")
    }
}
