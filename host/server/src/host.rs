//! A running host: it listens, reloads its configuration on request, and drains
//! at the end.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use openline_acme::Acme;
use openline_acme::settings::Settings;
use openline_admin::development::Development;
use openline_admin::{Admin, Page};
use openline_api::Api;
use openline_control::{ConfiguredComponent, Deployer, Introduced, Reloaded, StartError};
use openline_core::config::{self, Config, Listener, PageAccess, PublicUrl, ServerConfig};
use openline_core::digest::Digest;
use openline_core::name::FunctionName;
use openline_engine::runtime::Runtime;
use openline_gateway::front::Front;
use openline_gateway::gateway::Gateway;
use openline_gateway::listen::{self, Answering};
use openline_gateway::outside::Outside;
use openline_gateway::tls::files::Files;
use openline_store::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::assemble::{self, Configured, Source};
use crate::listeners::{
    LISTEN, open_admin, open_challenges, open_probes, open_publishers, unheard,
};
use crate::lists::{Lists, Loaded};
use crate::signal::{Asked, Signals};
use crate::telemetry::{announce, complain, tell};
use crate::warnings::{Topic, Warnings};
use crate::watchdog::Watchdog;
use crate::{certificates, firewalls, key_sets, memory};

/// The parts that stay the same as long as the process lives.
struct Host {
    source: Source,
    deployer: Deployer,
    gateway: Arc<Gateway>,
    acme: Acme,
    /// The configuration with which the host started.
    started: ServerConfig,
    watchdog: Watchdog,
    warnings: Arc<Warnings>,
    lists: Arc<Lists>,
}

/// Requests for reloads in addition to signals; `openline dev` sends them and
/// gets the results.
#[derive(Debug)]
pub(crate) struct Reloads {
    pub(crate) requests: mpsc::Receiver<Reload>,
    /// The state of development, which the page shows.
    pub(crate) development: Arc<Development>,
}

/// A request for a reload. The answer lists the functions that serve
/// afterwards, or is the error after which nothing has changed.
pub(crate) type Reload = oneshot::Sender<anyhow::Result<Vec<Served>>>;

/// A function that serves.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) function: String,
    pub(crate) route: String,
    pub(crate) version: Digest,
    pub(crate) connections: usize,
}

/// Raises the limit of open files: each connection is one, and the soft limit is often
/// 1024.
fn raise_files(server: &ServerConfig) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => warn_of_files(files, server),
        Err(error) => tracing::warn!(%error, "could not raise the limit on open files"),
    }
}

/// Lets no function call the listeners by which the host is operated.
fn close_to_functions(
    deployer: &Deployer,
    listeners: [&Option<TcpListener>; 3],
    admin: Option<&(SocketAddr, Admin)>,
) {
    let bound = listeners.into_iter().flatten();
    let bound = bound.filter_map(|listener| listener.local_addr().ok());
    let admin = admin.map(|(address, _)| *address);
    deployer.outbound().set_own_listeners(bound.chain(admin));
}

/// Serves until a signal asks to stop, then drains.
pub(crate) async fn serve(
    source: Source,
    signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    serve_with(source, None, signals, watchdog).await
}

/// The same, with requests for reloads.
pub(crate) async fn serve_with(
    source: Source,
    reloads: Option<Reloads>,
    mut signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    // In a task of its own, so that signals are handled whatever it waits for.
    let mut starting = tokio::spawn(start(source.clone(), reloads.is_some()));
    let (deployer, config, loaded) = tokio::select! {
        started = &mut starting => started.context("the host came to no end of its start")??,
        () = signals.stop() => {
            starting.abort();
            tell("ended before it served");
            return Ok(());
        }
    };
    let configured = (config, Arc::new(Lists::new(loaded)));
    let serving = serve_started(source, &deployer, configured, reloads, signals, watchdog);
    let served = Box::pin(serving).await;
    // In every case, so that a disk that hangs does not delay the end of the
    // process.
    deployer.leave();
    served
}

/// Reads what TLS needs.
fn read_tls(config: &Config, source: &Source) -> anyhow::Result<(Option<Files>, Option<Settings>)> {
    let certificates = assemble::certificates(config, source, None)?;
    Ok((certificates, assemble::acme(config, source)?))
}

/// Listens and serves until a signal asks to stop, then drains.
async fn serve_started(
    source: Source,
    deployer: &Deployer,
    (config, lists): (Config, Arc<Lists>),
    mut reloads: Option<Reloads>,
    mut signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    let (source_read, config_read) = (source.clone(), config.clone());
    let reading = move || read_tls(&config_read, &source_read);
    let (certificates, settings) = spawn_blocking(reading).await??;
    let warnings = Arc::<Warnings>::default();
    certificates::warn(certificates.as_ref(), &warnings);
    raise_files(&config.server);
    let listener = listen::bind(config.server.listen)
        .map_err(|error| unheard("cannot listen on", config.server.listen, &error, LISTEN))?;
    let address = listener.local_addr()?;
    let gateway = Arc::new(Gateway::new(Arc::clone(deployer.services())));
    gateway.tls().put(gateway.tls().prepare(certificates)?);
    let development = reloads
        .as_ref()
        .map(|reloads| Arc::clone(&reloads.development));
    let page = Page::new(deployer.clone(), Arc::clone(&gateway), development);
    let page = Arc::new(page);
    let admin = open_admin(&page, &config.server, address)?;
    let probes = open_probes(&config.server)?;
    let publishers = open_publishers(&config.server)?;
    let challenges = open_challenges(&config.server)?;
    close_to_functions(
        deployer,
        [&probes, &publishers, &challenges],
        admin.as_ref(),
    );
    let acme = Acme::new(&gateway, challenges);
    watchdog.configure(&config.server);
    gateway.watch(watchdog.liveness());
    let mut host = Host {
        source,
        deployer: deployer.clone(),
        gateway: Arc::clone(&gateway),
        acme,
        started: config.server,
        watchdog,
        warnings,
        lists,
    };
    // It begins before a probe can be answered.
    let fetching = key_sets::fetch(host.deployer.services());
    let accepting = host.accept(listener, page, publishers)?;
    let tidying = tokio::spawn(memory::give_back(Arc::clone(deployer.services())));
    let watching = host.watch_files();
    let fetching = tokio::spawn(fetching);
    let tls = host.letter(Listener::Listen);
    announce(&format!("listening on http{tls}://{address}"));
    host.introduce(address, tls);
    host.warn();
    let front = host.front(admin, probes)?;
    host.acme.want(settings)?;

    loop {
        let request = tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => None,
            },
            request = requested(reloads.as_mut()) => Some(request),
        };
        tokio::select! {
            () = host.reload(request) => {}
            () = signals.stop() => break,
        }
    }
    host.drain(&mut signals).await;
    let tasks = [tidying, fetching].into_iter().chain(watching);
    let tasks = tasks.chain(accepting);
    tasks.for_each(|task| task.abort());
    drop(front);
    Ok(())
}

/// Reads the configuration, compiles, and makes everything that serves. In
/// development it leaves out functions whose components do not load: the first
/// reload reports why, and a later one takes them once they load.
async fn start(source: Source, in_development: bool) -> anyhow::Result<(Deployer, Config, Loaded)> {
    let mut left_out = BTreeSet::new();
    loop {
        let read = spawn_blocking({
            let (source, left_out) = (source.clone(), left_out.clone());
            move || read(&source, in_development, &left_out)
        });
        let Read {
            config,
            firewalls,
            components,
            runtime,
            store,
        } = read.await??;
        runtime.expect(assemble::expected(&config, &components));
        let in_memory = config.server.data.is_none();
        let configured = (config.clone(), firewalls.firewalls.clone());
        match Deployer::start(runtime, store, in_memory, configured, components).await {
            Ok(deployer) => return Ok((deployer, config, firewalls)),
            Err(StartError::Load(errors))
                if in_development && errors.iter().any(|(name, _)| !left_out.contains(name)) =>
            {
                left_out.extend(errors.into_iter().map(|(name, _)| name));
            }
            Err(error) => return Err(assemble::explain(error, &config, &source)),
        }
    }
}

/// All that a host starts with.
struct Read {
    config: Config,
    firewalls: Loaded,
    components: Vec<ConfiguredComponent>,
    runtime: Arc<Runtime>,
    store: Store,
}

/// Runs on a thread that serves no connection, because files may be pipes or on
/// a network.
fn read(
    source: &Source,
    in_development: bool,
    left_out: &BTreeSet<FunctionName>,
) -> anyhow::Result<Read> {
    let Configured { mut config, rules } = source.read()?;
    let firewalls = assemble::firewalls(&config, rules, source)?;
    for function in &mut config.functions {
        if left_out.contains(&function.name) {
            function.component = None;
        }
    }
    let runtime = assemble::runtime(&config, in_development)?;
    let components = assemble::components(&config);
    if components.is_empty() {
        assemble::prove(&runtime)?;
    }
    let store = assemble::store(&config)?;
    Ok(Read {
        config,
        firewalls,
        components,
        runtime,
        store,
    })
}

/// The next request for a reload; waits forever if none can come.
async fn requested(reloads: Option<&mut Reloads>) -> Reload {
    match reloads {
        Some(reloads) => match reloads.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Warns at the start about connections that the system will not allow.
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
    /// Drains, unless a signal asks to end at once.
    async fn drain(&self, signals: &mut Signals) {
        tell("draining: connections are closed with 1001; stop again to end at once");
        tokio::select! {
            left = self.deployer.drain() => {
                if left > 0 {
                    tracing::warn!(left, "connections were still there after drain_timeout");
                }
            }
            () = signals.stop() => tell("ended without draining"),
        }
    }

    /// Reads files again when they change: those of certificates, and those of
    /// the lists of firewalls.
    fn watch_files(&self) -> [JoinHandle<()>; 2] {
        let (gateway, warnings) = (Arc::clone(&self.gateway), Arc::clone(&self.warnings));
        let (services, lists) = (self.deployer.services(), Arc::clone(&self.lists));
        [
            tokio::spawn(certificates::watch(gateway, warnings)),
            tokio::spawn(firewalls::watch(Arc::clone(services), lists)),
        ]
    }

    /// Begins to accept connections, and publishers on their own listener if there
    /// is one.
    fn accept(
        &self,
        listener: TcpListener,
        page: Arc<Page>,
        publishers: Option<TcpListener>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let outside: Arc<dyn Outside> = Arc::new(Api::new(self.deployer.services()));
        let begin = |place, listener, reserved| {
            let answering = Answering {
                reserved,
                outside: Some(Arc::clone(&outside)),
            };
            let gateway = Arc::clone(&self.gateway);
            tokio::spawn(listen::accept_at(place, listener, gateway, answering))
        };
        let mut accepting = vec![begin(Listener::Listen, listener, Some(page as _))];
        if let Some(publishers) = publishers {
            let (address, tls) = (publishers.local_addr()?, self.letter(Listener::Api));
            tell(&format!("publishers at http{tls}://{address}/"));
            accepting.push(begin(Listener::Api, publishers, None));
        }
        Ok(accepting)
    }

    /// The letter of the schemes of a listener that speaks TLS.
    fn letter(&self, listener: Listener) -> &'static str {
        match self.started.has_tls(listener) {
            true => "s",
            false => "",
        }
    }

    /// Shows the page and the functions: at the address to give away, if the
    /// host knows one, and else at the one where it listens. `tls` is the
    /// letter of the addresses' schemes, where the host speaks it.
    fn introduce(&self, address: SocketAddr, tls: &str) {
        let own = PublicUrl::of_listener(address, !tls.is_empty());
        let public = self.deployer.public_url();
        let page = public
            .as_ref()
            .filter(|_| self.started.page == PageAccess::Everyone);
        let page = page.unwrap_or(&own);
        tell(&format!("page          {page}/.openline/"));
        let triggers = self.deployer.introduction();
        for Introduced {
            trigger,
            connects,
            answers,
            unserved,
        } in &triggers
        {
            // The methods, because a trigger that names none takes only GET.
            let answers = match answers {
                true => format!(", answers {}", trigger.methods),
                false => String::new(),
            };
            let unserved = unserved.as_ref();
            let unserved = unserved.map(|why| format!(", which is not served: {why}"));
            let unserved = unserved.unwrap_or_default();
            let spoken = trigger
                .dialect
                .map(|dialect| format!(", for clients of {dialect}"));
            let spoken = spoken.unwrap_or_default();
            for url in public
                .as_ref()
                .unwrap_or(&own)
                .of_trigger(trigger, *connects)
            {
                tell(&format!("function at   {url}{answers}{spoken}{unserved}"));
            }
        }
        // Those that the example's address reaches, and that take any message: a
        // dialect needs a client that speaks it.
        let served = triggers.iter().filter(|it| {
            it.unserved.is_none()
                && it.trigger.dialect.is_none()
                && it.trigger.hosts.is_empty()
                && it.trigger.methods.contains("GET")
        });
        let example = |connects: bool| {
            let served = served.clone().filter(|it| it.connects == connects);
            let mut routes = served.map(|it| &it.trigger.route);
            let first = routes.clone().next()?;
            let plain = routes.find(|route| route.parameters().is_empty());
            Some(plain.unwrap_or(first).example())
        };
        if let Some(example) = example(false) {
            let untrusted = if tls.is_empty() { "" } else { "--insecure " };
            tell(&format!(
                "try           curl {untrusted}-i http{tls}://{address}{example}"
            ));
        }
        let Some(example) = example(true) else {
            return;
        };
        // The certificate may be for other names than the address.
        let (untrusted, insecure) = match tls {
            "" => ("", ""),
            _ => (" --no-check", " --insecure"),
        };
        let url = format!("ws{tls}://{address}{example}");
        tell(&format!(
            "try           npx wscat -c {url}{untrusted}   or   openline bench {url} --duration 2s{insecure}"
        ));
    }

    /// Warns about the configuration in force, and about all triggers, those of
    /// the running host as well.
    fn warn(&self) {
        let triggers = self.deployer.triggers();
        let triggers = triggers
            .iter()
            .map(|(trigger, alias)| (alias.function(), trigger, alias.takes_requests()));
        let table = self.deployer.services().table();
        let mut found = config::warnings(&table.config, triggers);
        found.extend(self.deployer.key_warnings());
        self.warnings.tell(Topic::Configuration, found);
    }

    /// Starts the thread that answers even while those that serve hang.
    fn front(
        &self,
        admin: Option<(SocketAddr, Admin)>,
        probes: Option<TcpListener>,
    ) -> anyhow::Result<Front> {
        if let Some((address, _)) = &admin {
            let tls = self.letter(Listener::Admin);
            tell(&format!("admin         http{tls}://{address}/"));
        }
        if let Some(listener) = &probes {
            let address = listener.local_addr()?;
            let tls = self.letter(Listener::Probes);
            tell(&format!(
                "probes at     http{tls}://{address}/.openline/live"
            ));
        }
        let admin = admin.map(|(_, admin)| admin.into_listener());
        Ok(Front::start(&self.gateway, admin, probes)?)
    }

    /// Reads the configuration and the components again. Errors go to the
    /// requester, or else to standard error, and change nothing.
    async fn reload(&mut self, request: Option<Reload>) {
        let reloaded = self.try_reload().await;
        if let Some(request) = request {
            // A requester that has stopped waiting is ending.
            let _ = request.send(reloaded.map(|_| self.served()));
            return;
        }
        match reloaded {
            Ok(changed) => tell(&format!("reloaded: {changed}")),
            Err(error) => {
                complain(&error);
                tell("not reloaded: the host goes on as before");
            }
        }
    }

    /// The functions that have a version, each with its first route.
    fn served(&self) -> Vec<Served> {
        let mut served: Vec<Served> = Vec::new();
        for (trigger, alias) in self.deployer.triggers() {
            let function = alias.function().to_string();
            let known = served.iter().any(|other| other.function == function);
            let Some((version, _)) = alias.split().shares.first().cloned() else {
                continue;
            };
            if !known {
                served.push(Served {
                    function,
                    route: trigger.route.to_string(),
                    version: version.digest(),
                    connections: alias.hub().connections(),
                });
            }
        }
        served
    }

    async fn try_reload(&mut self) -> anyhow::Result<String> {
        let (source, started) = (self.source.clone(), self.started.clone());
        let before = self.gateway.tls().files();
        let lists = self.lists.current();
        let read = spawn_blocking(move || {
            let Configured {
                mut config,
                mut rules,
            } = source.read()?;
            let (in_force, waiting) = config.server.in_force(&started);
            config.server = in_force;
            rules.adopt_buckets(lists.firewalls.rules());
            let loaded = assemble::firewalls(&config, rules, &source)?;
            let certificates = assemble::certificates(&config, &source, before.as_ref())?;
            let requested = assemble::acme(&config, &source)?;
            let components = assemble::components(&config);
            anyhow::Ok((
                (config, loaded),
                components,
                (certificates, requested),
                waiting,
            ))
        });
        let ((config, loaded), components, (certificates, requested), waiting) = read.await??;
        certificates::warn(certificates.as_ref(), &self.warnings);
        let prepared = self.gateway.tls().prepare(certificates)?;
        let configured = (config.clone(), loaded.firewalls.clone());
        let reloaded = self.deployer.reload(configured, components).await;
        let reloaded = reloaded.map_err(|error| assemble::explain(error, &config, &self.source))?;
        self.gateway.tls().put(prepared);
        self.lists.put(loaded);
        self.acme.want(requested)?;
        self.watchdog.configure(&config.server);
        self.warn();
        tell_what_waits(&waiting);
        Ok(changes(&reloaded))
    }
}

/// Reports keys of `[server]` that have changed but take effect only at the next
/// start.
fn tell_what_waits(keys: &[&str]) {
    for key in keys {
        tell(&format!(
            "`{key}` in [server] has changed and takes effect when the host starts again"
        ));
    }
}

/// Describes what a reload has changed.
fn changes(reloaded: &Reloaded) -> String {
    let names = |functions: &[FunctionName]| match functions {
        [] => "none".to_owned(),
        _ => functions
            .iter()
            .map(FunctionName::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    };
    format!(
        "functions changed: {}; added: {}; removed: {}; connections stay open",
        names(&reloaded.changed),
        names(&reloaded.added),
        names(&reloaded.removed)
    )
}
