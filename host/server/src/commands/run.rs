//! `openline run`: serves components without a configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use openline_core::authentication::SecretSource;
use openline_core::config::{Config, FunctionConfig, ServerConfig};
use openline_core::environment::{EnvironmentTable, NAME_BYTES_MAX};
use openline_core::escape::Escaped;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_core::trigger::{Methods, Trigger};
use openline_hint::Hinted;

use crate::assemble::Source;
use crate::certificates;
use crate::host;
use crate::signal::Signals;
use crate::telemetry::tell;
use crate::watchdog::Watchdog;

const EXAMPLES: &str = "\
Examples:
  openline run echo.wasm
  openline run echo.wasm chat.wasm --listen 127.0.0.1:9000
  openline run relay.wasm --env API_URL=https://api.example.org --env API_TOKEN
  openline run site.wasm --root
  openline run echo.wasm --tls";

/// The words after `openline run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArguments {
    /// Components; each is served at /NAME, the file's name without its
    /// extension.
    #[arg(required = true, value_name = "COMPONENT")]
    components: Vec<PathBuf>,
    /// Where to listen; port 0 takes a free port.
    #[arg(long, value_name = "ADDRESS", default_value_t = ServerConfig::default().listen)]
    listen: SocketAddr,
    /// Serve the only component at every path, not at /NAME: for those that choose
    /// by the path themselves, as components for wasi:http do.
    #[arg(long)]
    root: bool,
    /// Speak TLS, with a certificate that is made for trying it and kept in the
    /// user's data folder. No client trusts it by itself.
    #[arg(long)]
    tls: bool,
    /// What the components read as their environment; a NAME alone is a secret
    /// with the value that this command's own environment has.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
}

pub(crate) async fn run(
    arguments: &RunArguments,
    signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    let certificate = match arguments.tls {
        true => {
            let certificate = certificates::self_signed(arguments.listen)?;
            let shown = certificate.certificate.display();
            tell(&format!("certificate   {shown}"));
            vec![certificate]
        }
        false => Vec::new(),
    };
    let server = ServerConfig {
        listen: arguments.listen,
        certificate,
        ..ServerConfig::default()
    };
    let environment = environment(&arguments.env)?;
    if arguments.root && arguments.components.len() > 1 {
        let hint = "use a configuration with `openline serve`, where each has its routes or hosts";
        return Err(Hinted::new("`--root` takes one component", hint).into());
    }
    let mut functions: Vec<FunctionConfig> = Vec::new();
    for component in &arguments.components {
        let mut function = function(component, arguments.root)?;
        function.environment = environment.clone();
        if functions.iter().any(|other| other.name == function.name) {
            let what = format!("two components are named `{}`", function.name);
            let hint = "rename one of the files, or use a configuration with `openline serve`";
            return Err(Hinted::new(what, hint).into());
        }
        functions.push(function);
    }
    let config = Config {
        server,
        channels: Vec::new(),
        functions,
        keys: Vec::new(),
    };
    host::serve(Source::Words(Box::new(config)), signals, watchdog).await
}

/// A function at `/NAME`, or at every path that is not the host's own.
fn function(component: &Path, is_root: bool) -> anyhow::Result<FunctionConfig> {
    let stem = component
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let name = FunctionName::new(stem).map_err(|error| {
        let shown = component.display();
        let what = format!("{shown} has no name to serve it by: {error}");
        Hinted::new(what, "rename the file")
    })?;
    let named = format!("/{name}");
    let routes: &[&str] = if is_root {
        &["/", "/{*path}"]
    } else {
        &[&named]
    };
    let mut triggers = Vec::new();
    for route in routes {
        let mut trigger = Trigger::new(Route::new(route)?);
        trigger.methods = Methods::all();
        triggers.push(trigger);
    }
    let route = Route::new(&named)?;
    let mut function = FunctionConfig::new(name, Some(component.into()), route);
    function.triggers = triggers;
    Ok(function)
}

/// Reads what was given as `--env`. No error shows a value: a secret may be
/// written there.
fn environment(words: &[String]) -> anyhow::Result<EnvironmentTable> {
    let (mut values, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for word in words {
        let name = match word.split_once('=') {
            Some((name, value)) => {
                values.insert(name.to_owned(), value.to_owned());
                name
            }
            None => {
                let place = SecretSource::Environment(word.clone());
                secrets.insert(word.clone(), place);
                word
            }
        };
        let named = words.iter().map(|it| it.split('=').next());
        if named.filter(|it| *it == Some(name)).count() > 1 {
            let what = format!("`--env` has the name `{}` twice", shown(name));
            return Err(Hinted::new(what, "keep one of the two").into());
        }
    }
    let made = EnvironmentTable::new(values, secrets);
    Ok(made.map_err(|(name, error)| {
        let about = name.map_or_else(String::new, |name| format!(" `{}`", shown(&name)));
        Hinted::new(format!("`--env`{about}: {error}"), error.hint())
    })?)
}

/// A name that may be any text.
fn shown(name: &str) -> Escaped<'_> {
    Escaped::new(name, NAME_BYTES_MAX)
}
