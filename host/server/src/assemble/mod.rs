//! Turns a configuration into functions: reads it, checks it, and loads every
//! component. If anything fails, nothing serves, so a host that answers is
//! complete.

pub(crate) mod development;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openline_control::{ConfiguredComponent, StartError};
use openline_core::component::Component;
use openline_core::config::{Config, ConfigError, FunctionConfig};
use openline_core::escape::Escaped;
use openline_core::limits::FunctionLimits;
use openline_core::units::ByteSize;
use openline_engine::LoadError;
use openline_engine::compiler::Compiler;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_store::Store;

use self::development::DevelopmentSource;
use crate::{causes, component};

/// The exit code for a wrong configuration, as in BSD's sysexits.
const EXIT_CONFIG: u8 = 78;

/// The longest configuration file, in bytes: thousands of functions.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// The configuration is wrong: the text lists the errors and their places.
#[derive(Debug)]
pub(crate) struct ConfigFault(String);

/// Reads and checks a configuration file. Paths in it are relative to its own
/// folder.
pub(crate) fn read_config(path: &Path) -> anyhow::Result<Config> {
    let shown = path.display();
    let text = read_text(path)
        .map_err(|(what, hint)| ConfigFault(format!("{shown}: {what}\n  hint: {hint}")))?;
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

/// The text of a configuration file, or an error and its hint.
fn read_text(path: &Path) -> Result<String, (String, String)> {
    const MISSING: &str =
        "give the path of a configuration file, or use `openline run COMPONENT...` without one";
    let unread = |error: io::Error| {
        let hint = causes::of_reading(error.kind(), MISSING);
        (format!("it cannot be read: {error}"), hint.to_owned())
    };
    // A shell's `<(...)` is a pipe. A host reads it on a thread that may wait.
    if let Some(cause) = causes::unreadable(path).filter(|_| !causes::is_pipe(path)) {
        return Err(unread(cause.into()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unread)?;
    file.take(CONFIG_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unread)?;
    if bytes.len() > CONFIG_BYTES_MAX {
        let what = format!("it has more than {}", ByteSize(CONFIG_BYTES_MAX as u64));
        return Err((
            what,
            "this is hardly a configuration: name another file".into(),
        ));
    }
    if bytes.starts_with(b"\0asm") {
        let hint = format!("serve it with `openline run {}`", path.display());
        return Err((
            "this is a WebAssembly file, not a configuration".into(),
            hint,
        ));
    }
    decoded(bytes)
}

/// TOML is UTF-8. Some editors write a byte order mark at the beginning, which
/// is not part of the text.
fn decoded(bytes: Vec<u8>) -> Result<String, (String, String)> {
    const SAVE: &str = "save it as UTF-8";
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((
            "this is UTF-16".into(),
            format!("{SAVE}, as TOML has to be"),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let what = format!("line {line} is not UTF-8");
        (
            what,
            format!("{SAVE}, or write what is not a letter of ASCII anew"),
        )
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn config_errors(path: &Path, errors: &[ConfigError]) -> String {
    let mut text = format!("{} has {} error(s)", path.display(), errors.len());
    for error in errors {
        // Writing to a string does not fail.
        let _ = write!(text, "\n{}, {error}", path.display());
    }
    text
}

/// Where a host's configuration comes from, at the start and at each reload.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// The command line; only the components can change.
    Words(Box<Config>),
    /// Either of these, changed for development.
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

    /// The file that errors name.
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
        compiler: compiler(),
        ..RuntimeOptions::new(&config.server, cache)
    };
    Ok(Arc::new(Runtime::new(options)?))
}

/// Fails on a machine on which no function could run.
pub(crate) fn prove(runtime: &Runtime) -> anyhow::Result<()> {
    let failed = |error: LoadError| ConfigFault(format!("{error}\n  hint: {}", error.hint()));
    Ok(runtime.prove().map_err(failed)?)
}

/// Compiles in a child process of this program, even components that the user
/// trusts.
pub(crate) fn compiler() -> Compiler {
    Compiler::this_program().unwrap_or_else(|error| {
        tracing::warn!(%error, "the host cannot find its own program, and compiles components in its own process");
        Compiler::InProcess
    })
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

/// Reads and hashes the components that a configuration names.
pub(crate) fn components(config: &Config) -> Vec<ConfiguredComponent> {
    let most = config.server.component_bytes;
    let functions = config.functions.iter();
    let read = functions.filter_map(|function| {
        let bytes = component::read(function.component.as_ref()?, most);
        Some(ConfiguredComponent {
            function: function.name.clone(),
            component: bytes.map(Component::from),
        })
    });
    read.collect()
}

/// The functions that will be loaded, with the facts that decide about their
/// engines.
pub(crate) fn expected(
    config: &Config,
    components: &[ConfiguredComponent],
) -> Vec<(Bytes, FunctionLimits)> {
    let expected = components.iter().filter_map(|component| {
        let named = |function: &&FunctionConfig| function.name == component.function;
        let function = config.functions.iter().find(named)?;
        let component = component.component.as_ref().ok()?;
        Some((component.bytes().clone(), function.limit.clone()))
    });
    expected.collect()
}

/// Loads every component of a configuration, only to check that it loads.
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
        let tried = async { runtime.load_alone(function, component.component?).await };
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

/// Adds the line of the configuration that caused an error.
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

/// The longest path on Linux, in bytes.
const PATH_BYTES_MAX: usize = 4096;

fn blame(
    function: &FunctionConfig,
    component: &Path,
    file: Option<&Path>,
    error: &LoadError,
) -> String {
    let hint = file_hint(component, error);
    let place = file.map_or_else(String::new, |file| {
        format!("{}, line {}: ", file.display(), function.component_line)
    });
    format!(
        "{place}function `{}`: {}: {error}\n  hint: {hint}",
        function.name,
        // The path as the configuration has it, which may contain line ends.
        Escaped::new(&component.display().to_string(), PATH_BYTES_MAX)
    )
}

/// The hint for a component's file, or for the component in it.
pub(crate) fn file_hint(file: &Path, error: &LoadError) -> &'static str {
    const MISSING: &str = "build it first: `openline build` says where it puts it; for the samples it is `make guests`";
    match causes::unreadable(file) {
        Some(cause) => causes::of_reading(cause, MISSING),
        None => error.hint(),
    }
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

/// The exit code of the process.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_most_bytes_and_one_of_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openline.toml");
        std::fs::write(&path, vec![b'#'; CONFIG_BYTES_MAX]).unwrap();
        assert_eq!(read_text(&path).unwrap().len(), CONFIG_BYTES_MAX);
        std::fs::write(&path, vec![b'#'; CONFIG_BYTES_MAX + 1]).unwrap();
        let (what, _) = read_text(&path).unwrap_err();
        assert_eq!(what, "it has more than 1 MiB");
    }

    #[test]
    fn text_is_told_from_what_is_none() {
        assert_eq!(decoded(b"\xef\xbb\xbf[server]".into()).unwrap(), "[server]");
        assert_eq!(decoded(b"a = 1".into()).unwrap(), "a = 1");
        let wrong = |bytes: &[u8]| decoded(bytes.into()).unwrap_err().0;
        assert_eq!(wrong(b"\xff\xfe[\0"), "this is UTF-16");
        assert_eq!(wrong(b"\xfe\xff\0["), "this is UTF-16");
        assert_eq!(wrong(b"a\nb\n\xe4"), "line 3 is not UTF-8");
    }
}
