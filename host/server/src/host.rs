//! A running host: it listens, reads its configuration again when it is asked
//! to, and drains when it is to end.

use std::sync::Arc;

use anyhow::Context;
use openline_core::config::{Config, ServerConfig};
use openline_engine::runtime::Runtime;
use openline_gateway::gateway::Gateway;
use openline_gateway::listen;

use crate::assemble::{self, Functions, Source};
use crate::signal::{Asked, Signals};
use crate::telemetry::{complain, print, tell};

/// What stays the same as long as the process lives.
struct Host {
    source: Source,
    runtime: Arc<Runtime>,
    gateway: Arc<Gateway>,
    /// As it was when the host started.
    started: ServerConfig,
    functions: Functions,
}

/// Serves until a signal asks to stop, then drains.
pub(crate) async fn serve(source: Source) -> anyhow::Result<()> {
    let config = source.read()?;
    let runtime = assemble::runtime(&config)?;
    let functions = assemble::load(&runtime, &config, &source, &Vec::new()).await?;
    let mut signals = Signals::listen()?;
    // Each connection is a file; the soft limit is often 1024.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => warn_of_files(files, &config.server),
        Err(error) => tracing::warn!(%error, "the limit on open files is not raised"),
    }
    let listener = listen::bind(config.server.listen).with_context(|| {
        format!(
            "cannot listen on {}\n  hint: is another host running there? choose another address with `--listen` or `listen`",
            config.server.listen
        )
    })?;
    let address = listener.local_addr()?;
    let gateway = Arc::new(Gateway::new(config.server.clone(), functions.clone())?);
    let mut host = Host {
        source,
        runtime,
        gateway: Arc::clone(&gateway),
        started: config.server,
        functions,
    };
    let accepting = tokio::spawn(listen::accept(listener, Arc::clone(&gateway)));
    print(&format!("listening on http://{address}"))?;
    host.introduce(&address.to_string());

    loop {
        let asked = signals.next().await;
        if asked == Asked::Stop {
            break;
        }
        tokio::select! {
            () = host.reload() => {}
            () = signals.stop() => break,
        }
    }
    tell("draining: connections are closed with 1001; stop again to end at once");
    tokio::select! {
        left = gateway.drain() => {
            if left > 0 {
                tracing::warn!(left, "connections were still there after drain_timeout");
            }
        }
        () = signals.stop() => tell("ended without draining"),
    }
    accepting.abort();
    Ok(())
}

/// Connections that the system will not allow are better said now than met.
fn warn_of_files(files: u64, config: &ServerConfig) {
    let needed = u64::from(config.connections) + u64::from(config.requests);
    if files < needed {
        tracing::info!(
            files,
            needed,
            "fewer files may be open than `connections` and `requests` need; accepting waits past them"
        );
    }
}

impl Host {
    fn introduce(&self, address: &str) {
        tell(&format!("page          http://{address}/.openline/"));
        let routes = self.functions.iter().map(|(route, _)| route.to_string());
        let routes: Vec<_> = routes.collect();
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
    }

    /// Reads the configuration and the components again. What is wrong with
    /// them is said, and all stays as it was.
    async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(changed) => tell(&format!("reloaded: {changed}")),
            Err(error) => {
                complain(&error);
                tell("not reloaded: the host goes on as before");
            }
        }
    }

    async fn try_reload(&mut self) -> anyhow::Result<String> {
        let config = self.source.read()?;
        let functions =
            assemble::load(&self.runtime, &config, &self.source, &self.functions).await?;
        self.gateway
            .replace(config.server.clone(), functions.clone())?;
        let changed = changes(&self.functions, &functions);
        self.functions = functions;
        self.tell_what_waits(&config);
        Ok(changed)
    }

    /// Keys that are only looked at when the host starts.
    fn tell_what_waits(&self, config: &Config) {
        let (old, new) = (&self.started, &config.server);
        let fixed = [
            ("listen", old.listen != new.listen),
            ("requests", old.requests != new.requests),
            ("outbox_bytes", old.outbox_bytes != new.outbox_bytes),
            ("instances", old.instances != new.instances),
            ("cache", old.cache != new.cache),
            (
                "component_bytes",
                old.component_bytes != new.component_bytes,
            ),
            (
                "compile_timeout",
                old.compile_timeout != new.compile_timeout,
            ),
            ("compilations", old.compilations != new.compilations),
        ];
        for (key, _) in fixed.into_iter().filter(|(_, changed)| *changed) {
            tell(&format!(
                "`{key}` in [server] has changed; it is in force when the host starts again"
            ));
        }
    }
}

/// What a reload has done, in words.
fn changes(before: &Functions, after: &Functions) -> String {
    let names = |functions: Vec<&str>| match functions.len() {
        0 => "none".to_owned(),
        _ => functions.join(", "),
    };
    let old = |name: &str| {
        before
            .iter()
            .find(|(_, other)| other.function().as_str() == name)
    };
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for (route, function) in after {
        let name = function.function().as_str();
        match old(name) {
            None => added.push(name),
            Some((old_route, other)) if old_route != route || !Arc::ptr_eq(other, function) => {
                changed.push(name);
            }
            Some(_) => {}
        }
    }
    let gone = before
        .iter()
        .map(|(_, function)| function.function().as_str());
    let gone = gone.filter(|name| {
        !after
            .iter()
            .any(|(_, other)| other.function().as_str() == *name)
    });
    format!(
        "functions changed: {}; added: {}; removed: {}; connections go on with what they have",
        names(changed),
        names(added),
        names(gone.collect())
    )
}
