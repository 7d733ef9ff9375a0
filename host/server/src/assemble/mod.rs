//! Turns a configuration into functions: reads it, checks it, and loads every
//! component. If anything fails, nothing serves, so a host that answers is
//! complete.

pub(crate) mod development;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openline_acme::settings::Settings;
use openline_control::{ConfiguredComponent, StartError};
use openline_core::component::Component;
use openline_core::config::{self, Config, ConfigError, FunctionConfig};
use openline_core::escape::Escaped;
use openline_core::limits::FunctionLimits;
use openline_core::name::FunctionName;
use openline_core::units::ByteSize;
use openline_engine::LoadError;
use openline_engine::compiler::Compiler;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_firewall::Others;
use openline_firewall::function::FunctionRef;
use openline_firewall::rules::Rules;
use openline_gateway::tls::files::Files;
use openline_hint::{Hint, Hinted};
use openline_store::Store;

use self::development::DevelopmentSource;
use crate::lists::Loaded;
use crate::{causes, component};

/// The exit code for a wrong configuration, as in BSD's sysexits.
const EXIT_CONFIG: u8 = 78;

/// The longest configuration file, in bytes: thousands of functions.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// The configuration is wrong.
#[derive(Debug)]
pub(crate) struct ConfigFault {
    /// The line above the problems, where they have something in common.
    head: Option<String>,
    /// The problems and their places, at least one.
    problems: Vec<Hinted>,
}

/// A configuration that was read and checked, without what it names: components,
/// certificates and lists.
#[derive(Debug)]
pub(crate) struct Configured {
    pub(crate) config: Config,
    /// The rules of its firewalls.
    pub(crate) rules: Rules,
}

/// Reads and checks a configuration file. Paths in it are relative to its own
/// folder.
pub(crate) fn read_config(path: &Path) -> anyhow::Result<Configured> {
    let shown = path.display();
    let unread =
        |error: Hinted| ConfigFault::of(Hinted::about(format!("{shown}: {error}"), &error));
    let text = read_text(path).map_err(unread)?;
    let parsed = parse(&text).map_err(|errors| config_errors(path, &errors))?;
    let Configured { mut config, rules } = parsed;
    let folder = path.parent().unwrap_or(Path::new(""));
    for function in &mut config.functions {
        function.component = function.component.take().map(|path| folder.join(path));
        function.environment.be_relative_to(folder);
        function.outbound.be_relative_to(folder);
        for trigger in &mut function.triggers {
            if let Some(auth) = &mut trigger.auth {
                auth.be_relative_to(folder);
            }
        }
    }
    for key in &mut config.keys {
        key.be_relative_to(folder);
    }
    config.server.cache = config.server.cache.map(|cache| folder.join(cache));
    config.server.data = config.server.data.map(|data| folder.join(data));
    for certificate in &mut config.server.certificate {
        certificate.certificate = folder.join(&certificate.certificate);
        certificate.key = folder.join(&certificate.key);
    }
    let authorities = config.server.tls.client_authorities.take();
    config.server.tls.client_authorities = authorities.map(|path| folder.join(path));
    if let Some(acme) = &mut config.server.tls.acme {
        acme.ca_file = acme.ca_file.take().map(|path| folder.join(path));
        if let Some(account) = &mut acme.external_account {
            account.key_file = folder.join(&account.key_file);
        }
    }
    Ok(Configured { config, rules })
}

/// Reads both halves of a text, so that one run shows all errors.
fn parse(text: &str) -> Result<Configured, Vec<ConfigError>> {
    let config = Config::parse(text);
    let rules = Rules::parse(text, Others::Ignore);
    let (mut errors, others) = match (config, rules) {
        (Ok(config), Ok(rules)) => return Ok(Configured { config, rules }),
        (config, rules) => (
            config.err().unwrap_or_default(),
            rules.err().unwrap_or_default(),
        ),
    };
    for other in others {
        // Neither can read a text that is no TOML.
        let is_told = |it: &ConfigError| it.line == other.line && it.message == other.message;
        if !errors.iter().any(is_told) {
            errors.push(other);
        }
    }
    Err(errors)
}

/// The text of a configuration file.
fn read_text(path: &Path) -> Result<String, Hinted> {
    const MISSING: &str =
        "give the path of a configuration file, or use `openline run COMPONENT...` without one";
    let unread = |error: io::Error| {
        let hint = causes::of_reading(error.kind(), MISSING);
        Hinted::new(format!("it cannot be read: {error}"), hint)
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
        let hint = "this is hardly a configuration: name another file";
        return Err(Hinted::new(what, hint));
    }
    if bytes.starts_with(b"\0asm") {
        let hint = format!("serve it with `openline run {}`", path.display());
        let what = "this is a WebAssembly file, not a configuration";
        return Err(Hinted::new(what, hint));
    }
    decoded(bytes)
}

/// TOML is UTF-8. A mark of that at the beginning, as some editors write it, is
/// no part of the text.
fn decoded(bytes: Vec<u8>) -> Result<String, Hinted> {
    const SAVE: &str = "save it as UTF-8";
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let hint = format!("{SAVE}, as TOML has to be");
        return Err(Hinted::new("this is UTF-16", hint));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let what = format!("line {line} is not UTF-8");
        let hint = format!("{SAVE}, or write what is not a letter of ASCII anew");
        Hinted::new(what, hint)
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn config_errors(path: &Path, errors: &[ConfigError]) -> ConfigFault {
    let shown = path.display();
    let problem = |error: &ConfigError| Hinted::about(format!("{shown}, {error}"), error);
    ConfigFault {
        head: Some(format!("{shown} has {} error(s)", errors.len())),
        problems: errors.iter().map(problem).collect(),
    }
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
    pub(crate) fn read(&self) -> anyhow::Result<Configured> {
        match self {
            Self::File(path) => read_config(path),
            Self::Words(config) => Ok(Configured {
                config: (**config).clone(),
                rules: Rules::default(),
            }),
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

    /// Whether a component is built here, of a crate.
    fn builds(&self, component: &Path) -> bool {
        match self {
            Self::File(_) | Self::Words(_) => false,
            Self::Development(source) => {
                let built = source.built.as_ref();
                built.is_some_and(|built| built.development == component)
            }
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
    Ok(runtime.prove().map_err(|error| ConfigFault::said(&error))?)
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
    Ok(Store::open(folder, most).map_err(|error| ConfigFault::said(&error))?)
}

/// Reads the certificates that a configuration names; `before` are those in
/// force.
pub(crate) fn certificates(
    config: &Config,
    source: &Source,
    before: Option<&Files>,
) -> anyhow::Result<Option<Files>> {
    let files = Files::read(&config.server, before);
    Ok(files.map_err(|error| {
        let place = source.file().map_or_else(String::new, |file| {
            let line = error
                .line()
                .map_or_else(String::new, |line| format!(", line {line}"));
            format!("{}{line}: ", file.display())
        });
        ConfigFault::of(Hinted::about(format!("{place}{error}"), &error))
    })?)
}

/// Reads the lists of firewalls that a configuration names, and checks that the
/// functions that rules name are in the same configuration.
pub(crate) fn firewalls(config: &Config, rules: Rules, source: &Source) -> anyhow::Result<Loaded> {
    let functions = || config.functions.iter().map(|it| &it.name);
    let is_unknown = |named: &FunctionRef| !functions().any(|it| *it == named.function);
    if let Some((rule, named)) = rules.functions().find(|(_, named)| is_unknown(named)) {
        let name = &named.function;
        let what = format!("{rule} names the function `{name}`, which is not there");
        let hint = match config::nearest_word(name.as_str(), functions().map(FunctionName::as_str))
        {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a [[function]] with `name = \"{name}\"`; it needs no route"),
        };
        return Err(ConfigFault::of(Hinted::new(what, hint)).into());
    }
    let folder = source.file().and_then(Path::parent);
    let loaded = Loaded::load(rules, folder.unwrap_or(Path::new("")));
    Ok(loaded.map_err(|error| ConfigFault::said(&error))?)
}

/// Reads which certificates the host requests itself.
pub(crate) fn acme(config: &Config, source: &Source) -> anyhow::Result<Option<Settings>> {
    let settings = Settings::read(&config.server);
    Ok(settings.map_err(|error| {
        let place = source.file().map(|file| format!("{}: ", file.display()));
        let place = place.unwrap_or_default();
        ConfigFault::of(Hinted::about(format!("{place}{error}"), &error))
    })?)
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
    rules: &Rules,
    source: &Source,
) -> anyhow::Result<()> {
    let (mut errors, mut lacking) = (Vec::new(), Vec::new());
    for component in components(config) {
        let named = |function: &&FunctionConfig| function.name == component.function;
        let Some(function) = config.functions.iter().find(named) else {
            continue;
        };
        let tried = async { runtime.load_alone(function, component.component?).await };
        match tried.await {
            Ok(version) => {
                let handler = version.call_style();
                tracing::info!(function = %function.name, ?handler, "loaded");
                if let Err(error) = openline_control::check_version(function, &version, rules) {
                    let place = place(function, source);
                    lacking.push(Hinted::about(format!("{place}{error}"), &error));
                }
            }
            Err(error) => errors.push((component.function, error)),
        }
    }
    if !errors.is_empty() {
        return Err(explain(StartError::Load(errors), config, source));
    }
    if !lacking.is_empty() {
        let fault = ConfigFault {
            head: None,
            problems: lacking,
        };
        return Err(fault.into());
    }
    Ok(())
}

/// The place of a function's component in the configuration, for the beginning of
/// an error.
fn place(function: &FunctionConfig, source: &Source) -> String {
    source.file().map_or_else(String::new, |file| {
        format!("{}, line {}: ", file.display(), function.component_line)
    })
}

/// Adds the line of the configuration that caused an error.
pub(crate) fn explain(error: StartError, config: &Config, source: &Source) -> anyhow::Error {
    let StartError::Load(errors) = error else {
        return error.into();
    };
    let errors = errors.iter().map(|(name, error)| {
        let function = config.functions.iter().find(|it| it.name == *name);
        match function.and_then(|it| it.component.as_deref().map(|file| (it, file))) {
            Some((function, file)) => blame(function, file, source, error),
            None => Hinted::about(format!("function `{name}`: {error}"), error),
        }
    });
    let fault = ConfigFault {
        head: None,
        problems: errors.collect(),
    };
    fault.into()
}

/// The longest path on Linux, in bytes.
const PATH_BYTES_MAX: usize = 4096;

fn blame(
    function: &FunctionConfig,
    component: &Path,
    source: &Source,
    error: &LoadError,
) -> Hinted {
    let place = place(function, source);
    let what = format!(
        "{place}function `{}`: {}: {error}",
        function.name,
        // The path as the configuration has it, which may contain line ends.
        Escaped::new(&component.display().to_string(), PATH_BYTES_MAX)
    );
    if source.builds(component) {
        built(what, error)
    } else {
        of_file(what, component, error)
    }
}

/// Says what to do about a component that was built from a crate just now.
pub(crate) fn built(what: String, error: &LoadError) -> Hinted {
    const OTHER_SDK: &str = "the SDK in the crate is that of another release: `openline update-sdk` in the crate's folder replaces the copy that `openline new` has written into `vendor/`; then build it again";
    if error.is_of_another_contract() {
        return Hinted::new(what, OTHER_SDK);
    }
    Hinted::about(what, error)
}

/// Says what to do about a component's file, or about the component in it.
pub(crate) fn of_file(what: String, file: &Path, error: &LoadError) -> Hinted {
    const MISSING: &str = "build it first: `openline build` says where it puts it; for the samples it is `make guests`";
    match causes::unreadable(file) {
        Some(cause) => Hinted::new(what, causes::of_reading(cause, MISSING)),
        None => Hinted::about(what, error),
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

// === impl ConfigFault ===

impl ConfigFault {
    fn of(problem: Hinted) -> Self {
        Self {
            head: None,
            problems: vec![problem],
        }
    }

    /// One problem, in an error's own words.
    fn said(error: &impl Hint) -> Self {
        Self::of(Hinted::about(error.to_string(), error))
    }

    /// The lines of the head and of each problem.
    fn lines(&self, problem: impl Fn(&Hinted) -> String) -> String {
        let problems = self.problems.iter().map(problem);
        let lines: Vec<_> = self.head.iter().cloned().chain(problems).collect();
        lines.join("\n")
    }
}

impl std::fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.lines(Hinted::to_string))
    }
}

impl Hint for ConfigFault {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self.problems.as_slice() {
            [only] => only.hint(),
            _ => None,
        }
    }

    /// Each problem with its own hint.
    fn explained(&self) -> String {
        self.lines(Hinted::explained)
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
        let error = read_text(&path).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1 MiB");
    }

    #[test]
    fn text_is_told_from_what_is_none() {
        assert_eq!(decoded(b"\xef\xbb\xbf[server]".into()).unwrap(), "[server]");
        assert_eq!(decoded(b"a = 1".into()).unwrap(), "a = 1");
        let wrong = |bytes: &[u8]| decoded(bytes.into()).unwrap_err().to_string();
        assert_eq!(wrong(b"\xff\xfe[\0"), "this is UTF-16");
        assert_eq!(wrong(b"\xfe\xff\0["), "this is UTF-16");
        assert_eq!(wrong(b"a\nb\n\xe4"), "line 3 is not UTF-8");
    }
}
