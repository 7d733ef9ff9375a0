//! From a configuration to functions: read, check, load every component. All
//! or nothing, so that a host which answers is complete.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openline_core::config::{Config, ConfigError, FunctionConfig};
use openline_core::route::Route;
use openline_engine::alias::{Alias, Split};
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_engine::{HandlerKind, LoadError};
use openline_store::Store;

use crate::component;
use crate::dev::source::DevelopmentSource;

/// A wrong configuration, as in BSD's sysexits.
const EXIT_CONFIG: u8 = 78;

/// The configuration is wrong: the text lists what and where.
#[derive(Debug)]
pub(crate) struct ConfigFault(String);

/// Reads and checks a configuration file. Paths in it are relative to its own
/// folder.
pub(crate) fn read_config(path: &Path) -> anyhow::Result<Config> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigFault(format!(
            "{shown}: {error}\n  hint: give the path of a configuration file, or use `openline run COMPONENT...` without one"
        ))
    })?;
    let mut config =
        Config::parse(&text).map_err(|errors| ConfigFault(config_errors(path, &errors)))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for function in &mut config.functions {
        function.component = function.component.take().map(|path| folder.join(path));
    }
    config.server.cache = config.server.cache.map(|cache| folder.join(cache));
    config.server.data = config.server.data.map(|data| folder.join(data));
    Ok(config)
}

fn config_errors(path: &Path, errors: &[ConfigError]) -> String {
    let mut text = format!("{} has {} error(s)", path.display(), errors.len());
    for error in errors {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{}, {error}", path.display());
    }
    text
}

/// The functions of a host on their routes.
pub(crate) type Functions = Vec<(Route, Arc<Alias>)>;

/// Where a host's configuration comes from, also when it is read again.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// The command line; only the components can change.
    Words(Box<Config>),
    /// Either, with what is being written.
    Development(Box<DevelopmentSource>),
}

impl Source {
    /// Reads and checks.
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        match self {
            Self::File(path) => read_config(path),
            Self::Words(config) => Ok((**config).clone()),
            Self::Development(source) => source.read(),
        }
    }

    /// The file to blame.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Words(_) => None,
            Self::Development(source) => source.base.file(),
        }
    }
}

/// Makes the runtime that a configuration asks for, for development or not.
pub(crate) fn runtime(config: &Config, source_lines: bool) -> anyhow::Result<Arc<Runtime>> {
    let cache = config.server.cache.clone().or_else(default_cache);
    let options = RuntimeOptions {
        source_lines,
        ..RuntimeOptions::new(&config.server, cache)
    };
    Ok(Arc::new(Runtime::new(options)?))
}

/// Loads every function, but those of `before` that have not changed. All or
/// none: the error names each component that cannot be a function.
pub(crate) async fn load(
    runtime: &Arc<Runtime>,
    config: &Config,
    source: &Source,
    before: &Functions,
) -> anyhow::Result<Functions> {
    let mut functions = Vec::new();
    let mut errors = Vec::new();
    for function in &config.functions {
        // It waits for a deploy.
        let Some(component) = &function.component else {
            continue;
        };
        let before = before
            .iter()
            .find(|(_, other)| *other.function() == function.name)
            .map(|(_, before)| before);
        let component_bytes = config.server.component_bytes;
        match load_one(runtime, function, component, component_bytes, before).await {
            Ok(loaded) => functions.push((function.route.clone(), loaded)),
            Err(error) => errors.push(blame(function, component, source.file(), &error)),
        }
    }
    if errors.is_empty() {
        Ok(functions)
    } else {
        Err(ConfigFault(errors.join("\n")).into())
    }
}

async fn load_one(
    runtime: &Arc<Runtime>,
    config: &FunctionConfig,
    component: &Path,
    component_bytes: usize,
    before: Option<&Arc<Alias>>,
) -> Result<Arc<Alias>, LoadError> {
    let bytes = component::read(component, component_bytes)?;
    let started = tokio::time::Instant::now();
    let (alias, handler) = match before {
        Some(alias) => {
            let before = Arc::clone(&alias.split().shares[0].0);
            let version = runtime.reload(config, bytes, &before).await?;
            let handler = version.handler();
            if !Arc::ptr_eq(&version, &before) {
                alias.replace(Split::to(version));
            }
            (Arc::clone(alias), handler)
        }
        None => {
            let commons = runtime.commons(&config.name, &Store::memory(0));
            let version = runtime.load(config, bytes, &commons).await?;
            let handler = version.handler();
            (Alias::to(version), handler)
        }
    };
    let handler = match handler {
        HandlerKind::Plain => "plain",
        HandlerKind::Async => "async",
    };
    let milliseconds = started.elapsed().as_millis();
    tracing::info!(function = %config.name, route = %config.route, handler, milliseconds, "loaded");
    Ok(alias)
}

fn blame(
    function: &FunctionConfig,
    component: &Path,
    file: Option<&Path>,
    error: &LoadError,
) -> String {
    let hint = match error {
        LoadError::Host(_) if !component.exists() => {
            "build it first: `openline build`, or `make guests` for the samples"
        }
        other => other.hint(),
    };
    let place = file.map_or_else(String::new, |file| {
        format!("{}, line {}: ", file.display(), function.component_line)
    });
    format!(
        "{place}function `{}`: {}: {error}\n  hint: {hint}",
        function.name,
        component.display()
    )
}

/// `$XDG_CACHE_HOME/openline`, or `~/.cache/openline`.
pub(crate) fn default_cache() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|folder| folder.join("openline"))
}

/// What the process ends with.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigFault>() {
        EXIT_CONFIG
    } else {
        1
    }
}

impl std::fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigFault {}
