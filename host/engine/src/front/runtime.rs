//! Turns a component into a version of a function: loads it and tries it.
//!
//! Bounded by the limits of loading, and by places for trials.

use std::sync::Arc;

use bytes::Bytes;
use openline_channels::hub::Hub;
use openline_core::component::Component;
use openline_core::config::FunctionConfig;
use openline_core::digest::Digest;
use openline_core::limits::FunctionLimits;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_outbound::FunctionOutbound;
use openline_store::Store;
use tokio::sync::Semaphore;

use crate::alarms::clock::AlarmClock;
use crate::component::engines::Link;
use crate::component::error::LoadError;
use crate::component::inspect::Contract;
use crate::component::load::Loader;
use crate::component::loaded::Loaded;
use crate::instance::program::Program;
use crate::instance::store::StoreData;
use crate::instance::turns::LongRuns;
use crate::instance::{imports, trial};
use crate::pool::capacity::Capacity;
use crate::pool::commons::Commons;
use crate::pool::version::Version;

pub use super::options::RuntimeOptions;

/// Makes versions from components.
#[derive(Debug)]
pub struct Runtime {
    options: RuntimeOptions,
    loader: Arc<Loader<StoreData>>,
    capacity: Arc<Capacity>,
    long_runs: LongRuns,
    trials: Semaphore,
    clock: Arc<AlarmClock>,
}

/// How much is taken of each thing that the engine has a limited number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Functions that a route, a connection, an instance or an alarm holds.
    pub functions: usize,
    /// Places for instances; an instance with many memories or tables takes
    /// several.
    pub places: u32,
    /// Alarms that belong to no connection, waiting or being handled.
    pub alarms: usize,
    /// Components that are being compiled.
    pub compilations: usize,
    /// Places for trials.
    pub trials: usize,
    /// Long runs of guest code that have a thread.
    pub long_runs: usize,
}

/// The runtime cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the thread that advances the epoch does not start: {0}")]
pub struct RuntimeError(#[from] std::io::Error);

impl Runtime {
    /// Makes no engine: the first component makes the one that it needs.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        Self::linking(options, imports::add_to_linker)
    }

    /// The same, with other imports.
    pub(super) fn linking(
        options: RuntimeOptions,
        link: Link<StoreData>,
    ) -> Result<Self, RuntimeError> {
        Ok(Self {
            loader: Arc::new(Loader::new(options.loader(), link)?),
            capacity: Arc::new(Capacity::new(options.instances)),
            long_runs: LongRuns::new(options.long_runs),
            trials: Semaphore::new(options.trials as usize),
            clock: Arc::new(AlarmClock::new(options.alarms)),
            options,
        })
    }

    /// Makes the engines that these components will need, on a thread of its
    /// own, while a starting host waits for its disk. Errors are left to the
    /// later load.
    pub fn expect(self: &Arc<Self>, components: Vec<(Bytes, FunctionLimits)>) {
        let loader = Arc::clone(&self.loader);
        tokio::task::spawn_blocking(move || {
            for (bytes, limits) in components {
                loader.prepare(&bytes, limits.fuel_per_event > 0);
            }
        });
    }

    /// Checks that compiled code may run here at all, for a host that has
    /// nothing to load yet.
    ///
    /// # Errors
    ///
    /// When the system forbids it.
    pub fn prove(&self) -> Result<(), LoadError> {
        self.loader.prove()
    }

    /// Makes the state that all versions of a function will share. Each call
    /// makes another one, so the caller must see that a function has only one.
    pub fn commons(&self, name: &FunctionName, store: &Store, hub: Arc<Hub>) -> Arc<Commons> {
        let clock = Arc::clone(&self.clock);
        let store = store.function(name);
        Arc::new(Commons::new(store, name.clone(), clock, hub))
    }

    /// Makes a version from a component: compiles it, or finds its compiled
    /// form, checks the contract, and makes one instance to see that it starts. Its
    /// instances may make these `calls`; none means that they call nobody.
    ///
    /// If bytes are given instead of a [`Component`], they are hashed here.
    pub async fn load(
        &self,
        config: &FunctionConfig,
        component: impl Into<Component>,
        commons: &Arc<Commons>,
        calls: Option<Arc<FunctionOutbound>>,
    ) -> Result<Arc<Version>, LoadError> {
        let component = component.into();
        let loaded = self.compile(config, &component).await?;
        let most = self.options.instances.min(self.options.trials);
        if loaded.places > most {
            let needed = loaded.places;
            return Err(LoadError::TooManyPlaces { needed, most });
        }
        let places = self.trials.acquire_many(loaded.places).await;
        let places = places.expect("the semaphore is never closed");
        let program = self.program(config, component.digest(), loaded, (commons, calls));
        trial::run(&program).await?;
        drop(places);
        Ok(self.version(program, commons))
    }

    /// Makes the only version of a function without a store, for tools and
    /// tests.
    pub async fn load_alone(
        &self,
        config: &FunctionConfig,
        component: impl Into<Component>,
    ) -> Result<Arc<Version>, LoadError> {
        let commons = self.commons_alone(&config.name);
        self.load(config, component, &commons, None).await
    }

    /// Makes a version that calls nobody, or returns `before` if neither the component
    /// nor its configuration has changed.
    pub async fn reload(
        &self,
        config: &FunctionConfig,
        component: impl Into<Component>,
        before: &Arc<Version>,
    ) -> Result<Arc<Version>, LoadError> {
        let component = component.into();
        let same = before.digest() == component.digest()
            && *before.policy() == config.instance
            && **before.limits() == config.limit
            && before.environment() == config.environment.in_force();
        if same && *before.name() == config.name {
            return Ok(Arc::clone(before));
        }
        self.load(config, component, before.commons(), None).await
    }

    /// The `Commons` of a function without a store. It has a clock of its own,
    /// because it does not share the host's alarms.
    fn commons_alone(&self, name: &FunctionName) -> Arc<Commons> {
        let clock = Arc::new(AlarmClock::new(self.options.alarms));
        let store = Store::memory(0).function(name);
        let hub = Arc::new(Hub::alone());
        Arc::new(Commons::new(store, name.clone(), clock, hub))
    }

    /// The same without the trial, and with a wrong number of places for an
    /// instance, to test later failures.
    #[cfg(test)]
    pub(super) async fn load_untried(
        &self,
        config: &FunctionConfig,
        component: impl Into<Component>,
        commons: &Arc<Commons>,
        places: Option<u32>,
    ) -> Result<Arc<Version>, LoadError> {
        let component = component.into();
        let mut loaded = self.compile(config, &component).await?;
        loaded.places = places.unwrap_or(loaded.places);
        let program = self.program(config, component.digest(), loaded, (commons, None));
        Ok(self.version(program, commons))
    }

    async fn compile(
        &self,
        config: &FunctionConfig,
        component: &Component,
    ) -> Result<Loaded<StoreData>, LoadError> {
        let metered = config.limit.fuel_per_event > 0;
        self.loader.load(component, metered).await
    }

    fn program(
        &self,
        config: &FunctionConfig,
        digest: Digest,
        loaded: Loaded<StoreData>,
        (commons, calls): (&Arc<Commons>, Option<Arc<FunctionOutbound>>),
    ) -> Arc<Program> {
        let long_runs = self.long_runs.clone();
        let reach = commons.reach();
        let outside = (reach, calls);
        Arc::new(Program::new(config, digest, loaded, outside, long_runs))
    }

    fn version(&self, program: Arc<Program>, commons: &Arc<Commons>) -> Arc<Version> {
        Version::new(program, Arc::clone(commons), &self.capacity)
    }

    /// How many instances of all functions are live.
    pub fn instances(&self) -> u32 {
        self.capacity.live()
    }

    /// How much is taken at this moment.
    pub fn taken(&self) -> Taken {
        let trials = self.options.trials as usize;
        Taken {
            functions: self.clock.functions(),
            places: self.capacity.taken(),
            alarms: self.clock.alarms(),
            compilations: self.loader.compilations(),
            trials: trials.saturating_sub(self.trials.available_permits()),
            long_runs: self.long_runs.taken(),
        }
    }

    /// Checks that a component could be a function, with the default limits.
    pub async fn check(&self, component: impl Into<Component>) -> Result<Contract, LoadError> {
        let host = |error: &dyn std::fmt::Display| LoadError::Host(error.to_string());
        let component = component.into();
        let contract = self.loader.inspect(&component)?;
        let name = FunctionName::new("check").map_err(|error| host(&error))?;
        let route = Route::new("/").map_err(|error| host(&error))?;
        let config = FunctionConfig::new(name, None, route);
        self.load_alone(&config, component).await?;
        Ok(contract)
    }
}

/// Makes a component from bytes. They are hashed on a thread that serves no
/// connection: the largest component takes a second on a CPU without
/// instructions for it.
///
/// # Errors
///
/// When the process is about to end.
pub async fn component(bytes: Bytes) -> Result<Component, LoadError> {
    let hashing = tokio::task::spawn_blocking(move || Component::new(bytes));
    let component = hashing.await;
    component.map_err(|error| LoadError::Host(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_component_is_hashed_on_a_thread_that_serves_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            // Keep the only blocking thread busy.
            let (done, doing) = sync_channel::<()>(0);
            tokio::task::spawn_blocking(move || doing.recv());
            let mut hashing = Box::pin(component(Bytes::from_static(b"abc")));
            assert!(hashing.as_mut().now_or_never().is_none());
            drop(done);
            let digest = hashing.await.unwrap().digest().to_string();
            assert!(digest.starts_with("ba7816bf8f01cfea"), "{digest}");
        });
    }
}
