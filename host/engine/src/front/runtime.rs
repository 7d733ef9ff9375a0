//! How a component becomes a version of a function: loaded, and tried.
//!
//! Bounded by what loading is bounded by, and by places for trials.

use std::sync::Arc;

use bytes::Bytes;
use openline_core::component::Component;
use openline_core::config::FunctionConfig;
use openline_core::digest::Digest;
use openline_core::limits::FunctionLimits;
use openline_core::name::FunctionName;
use openline_core::route::Route;
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

/// Makes versions of components.
#[derive(Debug)]
pub struct Runtime {
    options: RuntimeOptions,
    loader: Arc<Loader<StoreData>>,
    capacity: Arc<Capacity>,
    long_runs: LongRuns,
    trials: Semaphore,
    clock: Arc<AlarmClock>,
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

impl Runtime {
    /// Starts without an engine: the first component makes the one it needs.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        Self::linking(options, imports::add_to_linker)
    }

    /// The same with imports of another making.
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
    /// own: a host that starts waits for its disk meanwhile. What is wrong with
    /// a component, or an engine, is told to whoever loads it.
    pub fn expect(self: &Arc<Self>, components: Vec<(Bytes, FunctionLimits)>) {
        let loader = Arc::clone(&self.loader);
        tokio::task::spawn_blocking(move || {
            for (bytes, limits) in components {
                loader.prepare(&bytes, limits.fuel_per_event > 0);
            }
        });
    }

    /// Whether compiled code may run here at all: for a host that has nothing to
    /// load yet.
    ///
    /// # Errors
    ///
    /// The system forbids it.
    pub fn prove(&self) -> Result<(), LoadError> {
        self.loader.prove()
    }

    /// What all versions of a function will have in common. Another one each
    /// time: who asks sees to it that a function has one.
    pub fn commons(&self, name: &FunctionName, store: &Store) -> Arc<Commons> {
        let clock = Arc::clone(&self.clock);
        Arc::new(Commons::new(store.function(name), name.clone(), clock))
    }

    /// Makes a version of a component: compiles it, or finds it compiled,
    /// checks the contract, and makes one instance to see that it starts.
    ///
    /// Bytes that are given instead of a [`Component`] are hashed here.
    pub async fn load(
        &self,
        config: &FunctionConfig,
        component: impl Into<Component>,
        commons: &Arc<Commons>,
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
        let program = self.program(config, component.digest(), loaded, commons);
        trial::run(&program).await?;
        drop(places);
        Ok(self.version(program, commons))
    }

    /// The only version of a function that keeps nothing: for tools and tests.
    pub async fn load_alone(
        &self,
        config: &FunctionConfig,
        component: impl Into<Component>,
    ) -> Result<Arc<Version>, LoadError> {
        let commons = self.commons_alone(&config.name);
        self.load(config, component, &commons).await
    }

    /// Makes a version, or answers `before` when neither the component nor its
    /// configuration has changed.
    pub async fn reload(
        &self,
        config: &FunctionConfig,
        component: impl Into<Component>,
        before: &Arc<Version>,
    ) -> Result<Arc<Version>, LoadError> {
        let component = component.into();
        let same = before.digest() == component.digest()
            && *before.policy() == config.instance
            && **before.limits() == config.limit;
        if same && *before.name() == config.name {
            return Ok(Arc::clone(before));
        }
        self.load(config, component, before.commons()).await
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
        let program = self.program(config, component.digest(), loaded, commons);
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
        commons: &Arc<Commons>,
    ) -> Arc<Program> {
        let long_runs = self.long_runs.clone();
        let reach = commons.reach();
        Arc::new(Program::new(config, digest, loaded, reach, long_runs))
    }

    fn version(&self, program: Arc<Program>, commons: &Arc<Commons>) -> Arc<Version> {
        Version::new(program, Arc::clone(commons), Arc::clone(&self.capacity))
    }

    /// Instances of all functions that are live now.
    pub fn instances(&self) -> u32 {
        self.capacity.live()
    }

    /// What is taken at this moment.
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

    /// Whether a component could be a function, with the default limits.
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

/// A component of these bytes. They are hashed on a thread that serves nobody:
/// the largest takes a second where the CPU has no instructions for it.
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
            // The only such thread has something else to do.
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
