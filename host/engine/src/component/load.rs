//! Turns a component's bytes into code for instances: inspects it, finds its
//! compiled form or compiles it, and links it.
//!
//! Bounded by `compilations`, each within `compile_timeout` and
//! `compile_memory_bytes`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openline_core::component::Component;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component as Compiled;

use super::cache::{Cache, CacheError};
use super::compiler::{self, Compiler, Task};
use super::engines::{self, EngineKind, EngineOptions, Engines, Link, Prepared};
use super::error::LoadError;
use super::inspect::{Contract, inspect};
use super::loaded::Loaded;
use super::words;
use crate::contract::handlers::CallStyle;

/// A component with a core module in it, which has one function that does
/// nothing.
const PROOF: &[u8] = b"\0asm\x0d\0\x01\0\x01\x18\
    \0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";

/// The operator's settings for loading.
#[derive(Debug)]
pub(crate) struct LoaderOptions {
    /// Where compiled components are kept; `None` to compile at each start.
    pub(crate) cache: Option<PathBuf>,
    /// The most bytes kept there.
    pub(crate) cache_bytes: usize,
    pub(crate) compiler: Compiler,
    /// The address space of a compiler's child process.
    pub(crate) compile_memory_bytes: usize,
    /// The largest component, in bytes.
    pub(crate) component_bytes: usize,
    /// How long compiling one component may take.
    pub(crate) compile_timeout: Duration,
    /// Components that are compiled at once.
    pub(crate) compilations: u32,
    /// Whether a trap says files and lines.
    pub(crate) source_lines: bool,
    /// Places for instances and trials in each engine.
    pub(crate) places: u32,
}

/// Makes components ready to be instantiated. `T` is the data of their stores.
#[derive(Debug)]
pub(crate) struct Loader<T: 'static> {
    options: LoaderOptions,
    cache: Option<Cache>,
    engines: Engines<T>,
    compiling: Arc<Semaphore>,
}

/// The facts about a component before it is compiled.
struct Found<T: 'static> {
    contract: Contract,
    kind: EngineKind,
    prepared: Arc<Prepared<T>>,
    /// Its compiled form from the cache.
    cached: Option<Compiled>,
}

impl<T: Send + 'static> Loader<T> {
    /// Makes no engine: the first component makes the one that it needs. Fails
    /// if the thread that advances the epoch does not start.
    pub(crate) fn new(options: LoaderOptions, link: Link<T>) -> std::io::Result<Self> {
        let cache = options.cache.as_ref().and_then(|folder| {
            match Cache::open(folder, options.cache_bytes) {
                Ok(cache) => Some(cache),
                Err(error) => {
                    let folder = folder.display();
                    tracing::warn!(%folder, %error, "no compile cache: each start compiles again");
                    None
                }
            }
        });
        let engines = EngineOptions {
            places: options.places,
            source_lines: options.source_lines,
        };
        Ok(Self {
            cache,
            engines: Engines::new(engines, link)?,
            compiling: Arc::new(Semaphore::new(options.compilations as usize)),
            options,
        })
    }

    /// Makes the engine that a component will need, if it does not exist yet.
    /// Errors are left to the later load.
    pub(crate) fn prepare(&self, bytes: &[u8], metered: bool) {
        if let Ok(contract) = inspect(bytes) {
            let _ = self.engines.prepare(EngineKind::of(&contract, metered));
        }
    }

    /// How many components are being compiled.
    pub(crate) fn compilations(&self) -> usize {
        let free = self.compiling.available_permits();
        (self.options.compilations as usize).saturating_sub(free)
    }

    /// Inspects a component, if it is not too large.
    pub(crate) fn inspect(&self, component: &Component) -> Result<Contract, LoadError> {
        self.measure(component)?;
        inspect(component.bytes())
    }

    /// Compiles a component, or finds its compiled form, and links it.
    /// `metered` says whether fuel is counted.
    ///
    /// Compiling takes a core for up to seconds, so it never runs on a thread
    /// that serves connections, and few compilations run at once. A child
    /// process is killed when it takes too long, or when the caller drops the
    /// future, and its permit is free at once. A compilation in this process
    /// cannot be stopped: the caller stops waiting, but the compilation keeps
    /// its permit until it ends, so that there are never too many.
    pub(crate) async fn load(
        self: &Arc<Self>,
        component: &Component,
        metered: bool,
    ) -> Result<Loaded<T>, LoadError> {
        self.measure(component)?;
        let permit = Arc::clone(&self.compiling).acquire_owned().await;
        let permit = Arc::new(permit.expect("the semaphore is never closed"));
        let time = self.options.compile_timeout;
        let compiling = self.compile(component, metered, permit);
        match tokio::time::timeout(time, compiling).await {
            Ok(loaded) => loaded,
            Err(_) => Err(LoadError::CompileTimeout(time)),
        }
    }

    /// Checks that compiled code may run here at all, for a host that has
    /// nothing to load yet: otherwise the first deploy would fail. Compiles a
    /// few instructions, which takes milliseconds.
    pub(crate) fn prove(&self) -> Result<(), LoadError> {
        let kind = EngineKind {
            style: CallStyle::Plain,
            metered: false,
        };
        let engine = engines::for_compiling(kind, self.options.source_lines);
        let proven = engine.and_then(|engine| Compiled::from_binary(&engine, PROOF));
        proven.map(drop).map_err(|error| engines::unloaded(&error))
    }

    fn measure(&self, component: &Component) -> Result<(), LoadError> {
        let (bytes, most) = (component.bytes().len(), self.options.component_bytes);
        if bytes > most {
            return Err(LoadError::TooBig { bytes, most });
        }
        Ok(())
    }

    async fn compile(
        self: &Arc<Self>,
        component: &Component,
        metered: bool,
        permit: Arc<OwnedSemaphorePermit>,
    ) -> Result<Loaded<T>, LoadError> {
        let sought = component.clone();
        let finding = self.beside(&permit, move |loader| loader.find(&sought, metered));
        let Found {
            contract,
            kind,
            prepared,
            cached,
        } = finding.await?;
        if let Some(compiled) = cached {
            let linking = self.beside(&permit, move |loader| {
                loader.link(&contract, kind, &prepared, &compiled)
            });
            return linking.await;
        }
        let artifact = match &self.options.compiler {
            Compiler::InProcess => None,
            Compiler::Child(program) => {
                let task = Task {
                    kind,
                    source_lines: self.options.source_lines,
                    memory_bytes: self.options.compile_memory_bytes,
                    timeout: self.options.compile_timeout,
                };
                let bytes = component.bytes().clone();
                Some(compiler::compile(program, &task, bytes).await?)
            }
        };
        let component = component.clone();
        let finishing = self.beside(&permit, move |loader| {
            let engine = &prepared.engine;
            let compiled = match &artifact {
                Some(artifact) => compiler::load(engine, artifact),
                None => Compiled::from_binary(engine, component.bytes()),
            };
            let compiled = compiled.map_err(|error| engines::unloaded(&error))?;
            loader.keep(&prepared, &component, &compiled, artifact);
            loader.link(&contract, kind, &prepared, &compiled)
        });
        finishing.await
    }

    /// Runs something on a thread that serves no connection. It goes on when
    /// the caller has gone, and keeps the permit until its end.
    async fn beside<R: Send + 'static>(
        self: &Arc<Self>,
        permit: &Arc<OwnedSemaphorePermit>,
        work: impl FnOnce(&Self) -> Result<R, LoadError> + Send + 'static,
    ) -> Result<R, LoadError> {
        let (loader, permit) = (Arc::clone(self), Arc::clone(permit));
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&loader);
            drop(permit);
            done
        });
        let done = working.await;
        done.unwrap_or_else(|panic| Err(LoadError::Host(panic.to_string())))
    }

    fn find(&self, component: &Component, metered: bool) -> Result<Found<T>, LoadError> {
        let contract = inspect(component.bytes())?;
        let kind = EngineKind::of(&contract, metered);
        let prepared = self.engines.prepare(kind)?;
        let cached = self
            .cache
            .as_ref()
            .and_then(|cache| cache.load(&prepared.engine, component.digest().as_bytes()));
        Ok(Found {
            contract,
            kind,
            prepared,
            cached,
        })
    }

    /// Stores compiled code in the cache, if possible.
    fn keep(
        &self,
        prepared: &Prepared<T>,
        component: &Component,
        compiled: &Compiled,
        artifact: Option<Vec<u8>>,
    ) {
        let Some(cache) = &self.cache else {
            return;
        };
        let artifact = match artifact {
            Some(artifact) => Ok(artifact),
            None => compiled.serialize().map_err(std::io::Error::other),
        }
        .map_err(CacheError::from);
        let digest = component.digest();
        let store = |artifact: Vec<u8>| cache.store(&prepared.engine, digest.as_bytes(), &artifact);
        if let Err(error) = artifact.and_then(store) {
            tracing::warn!(%error, "could not cache a compiled component");
        }
    }

    fn link(
        &self,
        contract: &Contract,
        kind: EngineKind,
        prepared: &Prepared<T>,
        compiled: &Compiled,
    ) -> Result<Loaded<T>, LoadError> {
        let pre = prepared
            .linker
            .instantiate_pre(compiled)
            .map_err(|error| LoadError::UnknownImport(words::cause(&error)))?;
        let ticker = Arc::clone(self.engines.ticker());
        Loaded::new(compiled, pre, contract, kind.metered, ticker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loader for components that import nothing.
    fn loader(component_bytes: usize) -> Arc<Loader<()>> {
        let options = LoaderOptions {
            cache: None,
            cache_bytes: 0,
            compiler: Compiler::InProcess,
            compile_memory_bytes: 0,
            component_bytes,
            compile_timeout: Duration::from_secs(60),
            compilations: 1,
            source_lines: false,
            places: 1,
        };
        Arc::new(Loader::new(options, |_, _| Ok(())).unwrap())
    }

    #[tokio::test]
    async fn a_component_of_as_many_bytes_as_it_may_have_and_of_one_more() {
        let bytes = std::fs::read(openline_guests::ECHO).unwrap();
        let most = bytes.len();
        let component = Component::new(bytes);
        let loaded = loader(most).load(&component, false).await;
        // It compiles, but imports something that does not exist here.
        assert!(matches!(loaded, Err(LoadError::UnknownImport(_))));
        let small = loader(most - 1);
        let refused = small.load(&component, false).await;
        let expected = |error: &LoadError| matches!(error, LoadError::TooBig { bytes, most: at } if *bytes == most && *at == most - 1);
        assert!(refused.is_err_and(|error| expected(&error)));
        assert!(
            small
                .inspect(&component)
                .is_err_and(|error| expected(&error))
        );
        assert_eq!(small.compilations(), 0);
    }

    #[tokio::test]
    async fn a_permit_to_compile_comes_back_whatever_becomes_of_the_component() {
        let loader = loader(usize::MAX);
        for bytes in [&b"text"[..], b"\0asm\x0d\0\x01\0"] {
            let component = Component::new(bytes);
            assert!(loader.load(&component, true).await.is_err());
            assert_eq!(loader.compilations(), 0);
        }
    }
}
