//! From a configuration to a running host: where all packages meet.
//!
//! The order is: read, check, load every function, and only then listen, so
//! that a host which answers is complete.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use openline_core::config::{Config, ConfigError, FunctionConfig, ServerConfig};
use openline_core::route::Route;
use openline_engine::function::Function;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_engine::{HandlerKind, LoadError};
use openline_gateway::gateway::Gateway;
use openline_gateway::listen;

use crate::component;
use crate::signal::Stop;
use crate::telemetry::{print, tell};

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
        function.component = folder.join(&function.component);
    }
    config.server.cache = config.server.cache.map(|cache| folder.join(cache));
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

/// Loads every function. `config` names the file to blame for a component that
/// cannot be one.
pub(crate) async fn load(
    config: &Config,
    file: Option<&Path>,
) -> anyhow::Result<Vec<(Route, Arc<Function>)>> {
    let cache = config.server.cache.clone().or_else(default_cache);
    let options = RuntimeOptions::new(&config.server, cache);
    let runtime = Arc::new(Runtime::new(options)?);
    let mut functions = Vec::new();
    let mut errors = Vec::new();
    for function in &config.functions {
        match load_one(&runtime, function, config.server.component_bytes).await {
            Ok(loaded) => functions.push((function.route.clone(), Arc::new(loaded))),
            Err(error) => errors.push(blame(function, file, &error)),
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
    component_bytes: usize,
) -> Result<Function, LoadError> {
    let bytes = component::read(&config.component, component_bytes)?;
    let started = tokio::time::Instant::now();
    let function = runtime.load(config, bytes).await?;
    let handler = match function.handler() {
        HandlerKind::Plain => "plain",
        HandlerKind::Async => "async",
    };
    let milliseconds = started.elapsed().as_millis();
    tracing::info!(function = %config.name, route = %config.route, handler, milliseconds, "loaded");
    Ok(function)
}

fn blame(function: &FunctionConfig, file: Option<&Path>, error: &LoadError) -> String {
    let component = function.component.display();
    let hint = match error {
        LoadError::Host(_) if !function.component.exists() => {
            "build it first: `openline build`, or `make guests` for the samples"
        }
        other => other.hint(),
    };
    let place = file.map_or_else(String::new, |file| {
        format!("{}, line {}: ", file.display(), function.component_line)
    });
    format!(
        "{place}function `{}`: {component}: {error}\n  hint: {hint}",
        function.name
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

/// Serves until a signal asks to stop, then drains.
pub(crate) async fn serve(
    config: ServerConfig,
    functions: Vec<(Route, Arc<Function>)>,
) -> anyhow::Result<()> {
    let mut stop = Stop::listen()?;
    // Each connection is a file; the soft limit is often 1024.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "open files"),
        Err(error) => tracing::warn!(%error, "the limit on open files is not raised"),
    }
    let listener = listen::bind(config.listen).with_context(|| {
        format!(
            "cannot listen on {}\n  hint: is another host running there? choose another address with `--listen` or `listen`",
            config.listen
        )
    })?;
    let address = listener.local_addr()?;
    let routes: Vec<_> = functions
        .iter()
        .map(|(route, _)| route.to_string())
        .collect();
    let gateway = Arc::new(Gateway::new(config, functions)?);
    let accepting = tokio::spawn(listen::accept(listener, Arc::clone(&gateway)));
    print(&format!("listening on http://{address}"))?;
    tell(&format!("page          http://{address}/.openline/"));
    for route in &routes {
        tell(&format!("function at   ws://{address}{route}"));
    }
    let example = routes
        .iter()
        .find(|route| !route.contains('{'))
        .map_or("/", String::as_str);
    tell(&format!(
        "try           npx wscat -c ws://{address}{example}   or   openline bench ws://{address}{example} --duration 2s"
    ));

    stop.wait().await;
    accepting.abort();
    tell("draining: connections are closed with 1001; stop again to end at once");
    tokio::select! {
        left = gateway.drain() => {
            if left > 0 {
                tracing::warn!(left, "connections were still there after drain_timeout");
            }
        }
        () = stop.wait() => tell("ended without draining"),
    }
    Ok(())
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
