//! `openline dev`: builds, serves and watches a crate while it is written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use openline_admin::development::Development;

use crate::dev;
use crate::dev::project::Project;
use crate::signal::Signals;
use crate::telemetry;
use crate::telemetry::Lines;
use crate::watchdog::Watchdog;

const EXAMPLES: &str = "\
Examples:
  openline dev
  openline dev functions/chat --listen 127.0.0.1:9000
  openline dev --config openline.toml

With a configuration, given or found as openline.toml in DIR, its functions are
served; the one whose component is what `openline build` makes of the crate in
DIR is built here, the others are loaded again when their files change.

Errors of the compiler and what functions print are on the page, too:
/.openline/ at the address that is printed. Ctrl-C closes the connections and
ends; a second one ends at once.";

/// The words after `openline dev`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevArguments {
    /// The folder of the crate, of a configuration, or of both.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The configuration file [default: openline.toml in DIR, if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, instead of the configuration's address; port 0 takes a
    /// free port [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Starts the log itself, because lines that functions print also go to the
/// page.
pub(crate) async fn run(
    arguments: DevArguments,
    log: Option<&str>,
    mut signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    let development = Arc::new(Development::default());
    let lines = Lines::new(Arc::clone(&development), &arguments.directory);
    telemetry::start(log, Some(lines));
    // This runs compilers and cargo, which takes a moment.
    let project = tokio::task::spawn_blocking(move || {
        let config = arguments.config.as_deref();
        Project::find(&arguments.directory, config, arguments.listen)
    });
    let project = tokio::select! {
        project = project => project??,
        () = signals.stop() => return Ok(()),
    };
    dev::run(project, development, signals, watchdog).await
}
