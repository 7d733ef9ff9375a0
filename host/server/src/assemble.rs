//! From a configuration to functions: read, check, load every component. All
//! or nothing, so that a host which answers is complete.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openline_core::config::{Config, ConfigError, FunctionConfig};
use openline_core::limits::FunctionLimits;
use openline_engine::LoadError;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_gateway::deployer::{Component, StartError};
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

/// Opens the data directory, or does without one.
pub(crate) fn store(config: &Config) -> anyhow::Result<Store> {
    let most = config.server.stored_bytes as u64;
    let Some(folder) = &config.server.data else {
        return Ok(Store::memory(most));
    };
    Store::open(folder, most).map_err(|error| {
        let hint = error.hint();
        ConfigFault(format!("{error}\n  hint: {hint}")).into()
    })
}

/// Reads the components that a configuration names.
pub(crate) fn components(config: &Config) -> Vec<Component> {
    let most = config.server.component_bytes;
    let functions = config.functions.iter();
    let read = functions.filter_map(|function| {
        let bytes = component::read(function.component.as_ref()?, most);
        Some(Component {
            function: function.name.clone(),
            bytes: bytes.map(Into::into),
        })
    });
    read.collect()
}

/// What is going to be loaded, with what decides about its engine.
pub(crate) fn expected(config: &Config, components: &[Component]) -> Vec<(Bytes, FunctionLimits)> {
    let expected = components.iter().filter_map(|component| {
        let named = |function: &&FunctionConfig| function.name == component.function;
        let function = config.functions.iter().find(named)?;
        let bytes = component.bytes.as_ref().ok()?;
        Some((bytes.clone(), function.limit.clone()))
    });
    expected.collect()
}

/// Loads every component of a configuration, only to see that it does.
pub(crate) async fn try_out(
    runtime: &Arc<Runtime>,
    config: &Config,
    source: &Source,
) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    for component in components(config) {
        let named = |function: &&FunctionConfig| function.name == component.function;
        let Some(function) = config.functions.iter().find(named) else {
            continue;
        };
        let tried = async {
            runtime
                .load_alone(function, component.bytes?.to_vec())
                .await
        };
        match tried.await {
            Ok(version) => {
                let handler = version.handler();
                tracing::info!(function = %function.name, ?handler, "loaded");
            }
            Err(error) => errors.push((component.function, error)),
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(explain(StartError::Load(errors), config, source))
    }
}

/// Says which line of the configuration is to blame.
pub(crate) fn explain(error: StartError, config: &Config, source: &Source) -> anyhow::Error {
    let StartError::Load(errors) = error else {
        return error.into();
    };
    let errors = errors.iter().map(|(name, error)| {
        let function = config.functions.iter().find(|it| it.name == *name);
        match function.and_then(|it| it.component.as_deref().map(|file| (it, file))) {
            Some((function, file)) => blame(function, file, source.file(), error),
            None => format!("function `{name}`: {error}\n  hint: {}", error.hint()),
        }
    });
    ConfigFault(errors.collect::<Vec<_>>().join("\n")).into()
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
