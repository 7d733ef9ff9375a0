//! A host in this process, on a port of its own, for tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use openline_admin::Page;
use openline_api::Api;
use openline_control::{ConfiguredComponent, Deployer};
use openline_core::channel::ChannelTable;
use openline_core::component::Component;
use openline_core::config::{Config, FunctionConfig, Listener, PageAccess, ServerConfig};
use openline_core::key::KeyTable;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::alias::Alias;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_firewall::Others;
use openline_firewall::rules::{Firewalls, Rules};
use openline_gateway::gateway::Gateway;
use openline_gateway::listen::{self, Answering};
use openline_gateway::tls::files::Files;
use openline_store::Store;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::client::{Client, Refused};
use crate::deadlocks::watch_for_deadlocks;
use crate::programs::kept;
use crate::{ASK_AGAIN, PATIENCE, state, within};

/// A configuration that tables of channels follow.
const CHANNELS_HEAD: &str = "[[function]]\nname = \"f\"\nroute = \"/\"\n";

/// One for all tests: engines are made once, and components are compiled once.
static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| {
    // Tests have threads of their own: none waits for another one's turn.
    runtime(500, |options| options.long_runs = 500)
});

/// A runtime of a test's own, with other limits than the one that all tests
/// share. It does not compile again what other tests have compiled.
#[must_use]
pub fn runtime(instances: u32, change: impl FnOnce(&mut RuntimeOptions)) -> Arc<Runtime> {
    let cache = kept().join("compiled");
    let mut options = RuntimeOptions {
        instances,
        ..RuntimeOptions::new(&ServerConfig::default(), Some(cache))
    };
    change(&mut options);
    Arc::new(Runtime::new(options).unwrap())
}

/// A running host; it stops accepting when it is dropped.
#[derive(Debug)]
pub struct Host {
    /// Where it listens.
    pub address: SocketAddr,
    /// The deployer of its functions.
    pub deployer: Deployer,
    /// Its network side.
    pub gateway: Arc<Gateway>,
    /// The page, which the admin interface serves, too.
    pub page: Arc<Page>,
    server: ServerConfig,
    accepting: JoinHandle<()>,
}

/// A host that is being described.
#[derive(Debug)]
pub struct HostBuilder {
    server: ServerConfig,
    channels: Vec<ChannelTable>,
    functions: Vec<FunctionConfig>,
    keys: Vec<KeyTable>,
    store: Store,
    firewalls: Firewalls,
}

impl Host {
    /// A host with one function: `component` is a path, as of
    /// `openline_guests::ECHO`.
    pub fn with(component: &str, route: &str) -> HostBuilder {
        let server = ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            page: PageAccess::Loopback,
            ..ServerConfig::default()
        };
        HostBuilder {
            server,
            channels: Vec::new(),
            functions: Vec::new(),
            keys: Vec::new(),
            store: Store::memory(1 << 30),
            firewalls: Firewalls::default(),
        }
        .and(component, route)
    }

    /// Opens a connection, which must be accepted.
    pub async fn connect(&self, path: &str) -> Client {
        match Client::open(self.address, path, &[]).await {
            Ok(client) => client,
            Err(refused) => panic!("{path} was refused: {refused:?}"),
        }
    }

    /// Opens a connection as soon as there is room for it.
    pub async fn connect_eventually(&self, path: &str) -> Client {
        let trying = async {
            loop {
                match Client::open(self.address, path, &[]).await {
                    Ok(client) => return client,
                    Err(refused) => assert_eq!(refused.status, 503, "{refused:?}"),
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        within("room for a connection", trying).await
    }

    /// Asks for a connection, which must be refused.
    pub async fn refused(&self, path: &str) -> Refused {
        match Client::open(self.address, path, &[]).await {
            Ok(_) => panic!("{path} was accepted"),
            Err(refused) => refused,
        }
    }

    /// Its state, read on a TCP connection of its own.
    pub async fn state(&self) -> Value {
        within("the state", state::state(self.address))
            .await
            .unwrap()
    }

    /// Asks for the state until it is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                let state = self.state().await;
                if so(&state) {
                    return state;
                }
                last = state;
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(state) => state,
            Err(_) => panic!("waited in vain for {what}: {last:#}"),
        }
    }

    /// Waits until nothing is held for any peer: no connection, no socket but
    /// the one that asks, no byte that waits. Peers must have gone.
    pub async fn nothing_is_left(&self) {
        self.until("everything to be let go", |state| {
            let functions = state["functions"].as_array().unwrap();
            state["connections"]["open"] == 0
                && state["sockets"] == 1
                && state["outbox_bytes"] == 0
                && functions.iter().all(|each| each["connections"] == 0)
        })
        .await;
    }

    /// Ends as the server does on SIGTERM. Returns how many connections were
    /// left.
    pub async fn drain(&self) -> usize {
        within("the drain", self.deployer.drain()).await
    }

    /// The host's own configuration.
    pub fn server(&self) -> ServerConfig {
        self.server.clone()
    }

    /// Where the function of a name is served: the component's file stem.
    pub fn function(&self, name: &str) -> Arc<Alias> {
        let found = self
            .deployer
            .triggers()
            .into_iter()
            .find(|(_, alias)| alias.function().as_str() == name);
        found.unwrap_or_else(|| panic!("no function `{name}`")).1
    }

    /// The function on a route, where several functions have one component.
    pub fn function_on(&self, route: &str) -> Arc<Alias> {
        let found = self
            .deployer
            .triggers()
            .into_iter()
            .find(|(each, _)| each.route.as_str() == route);
        found.unwrap_or_else(|| panic!("no route `{route}`")).1
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl HostBuilder {
    /// Takes the component of the last function away: it is deployed later, or has
    /// the host's own.
    #[must_use]
    pub fn without_component(self) -> Self {
        self.function(|function| function.component = None)
    }

    /// One more function.
    #[must_use]
    pub fn and(mut self, component: &str, route: &str) -> Self {
        let component = PathBuf::from(component);
        let name = component.file_stem().unwrap().to_str().unwrap();
        // One component may be several functions.
        let same = |other: &&FunctionConfig| other.component.as_ref() == Some(&component);
        let name = match self.functions.iter().filter(same).count() {
            0 => name.to_owned(),
            others => format!("{name}-{}", others + 1),
        };
        let name = FunctionName::new(&name).unwrap();
        let route = Route::new(route).unwrap();
        let mut function = FunctionConfig::new(name, Some(component), route);
        // Tests have functions fail on purpose.
        function.instance.faults_in_a_row = 0;
        self.functions.push(function);
        self
    }

    /// Changes the last function's instances.
    #[must_use]
    pub fn instance(mut self, change: impl FnOnce(&mut InstancePolicy)) -> Self {
        change(&mut self.functions.last_mut().unwrap().instance);
        self
    }

    /// Changes the last function's limits.
    #[must_use]
    pub fn limit(mut self, change: impl FnOnce(&mut FunctionLimits)) -> Self {
        change(&mut self.functions.last_mut().unwrap().limit);
        self
    }

    /// Changes the last function's configuration.
    #[must_use]
    pub fn function(mut self, change: impl FnOnce(&mut FunctionConfig)) -> Self {
        change(self.functions.last_mut().unwrap());
        self
    }

    /// Keeps what is deployed in another store.
    #[must_use]
    pub fn store(mut self, store: &Store) -> Self {
        self.store = store.clone();
        self
    }

    /// Gives it firewalls: the tables `[[firewall]]` and `[[list]]` of a
    /// configuration, without files.
    #[must_use]
    pub fn firewalls(mut self, text: &str) -> Self {
        let rules = Rules::parse(text, Others::Refuse).unwrap();
        let none = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        self.firewalls = Firewalls::load(Arc::new(rules), none).unwrap();
        self
    }

    /// Changes the host itself.
    #[must_use]
    pub fn server(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.server);
        self
    }

    /// Ends connections that do not answer soon, so that tests are quick.
    #[must_use]
    pub fn hasty(self) -> Self {
        self.server(|server| server.close_timeout = Duration::from_millis(200))
    }

    /// Takes channels that functions share, as a configuration has them.
    #[must_use]
    pub fn shared_channels(mut self, tables: &str) -> Self {
        self.channels = Config::parse(&format!("{CHANNELS_HEAD}{tables}"))
            .unwrap()
            .channels;
        self
    }

    /// Takes channels of the first function's own, as a configuration has them.
    #[must_use]
    pub fn channels(mut self, tables: &str) -> Self {
        let config = Config::parse(&format!("{CHANNELS_HEAD}{tables}")).unwrap();
        self.functions[0].channels = config.functions[0].channels.clone();
        self
    }

    /// Takes API keys, each with a name, its scopes, its patterns and its text, which
    /// it reads from a file while it starts.
    #[must_use]
    pub fn keys(mut self, keys: &[(&str, &str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tables = keys.iter().map(|(name, scopes, channels, text)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            format!(
                "[[key]]\nname = {name:?}\nscopes = [{scopes:?}]\nchannels = [{channels:?}]\n\
                 secret = \"file:{}\"\n",
                path.display()
            )
        });
        let tables: String = tables.collect();
        let config = Config::parse(&format!("{CHANNELS_HEAD}{tables}")).unwrap();
        self.keys = config.keys;
        // They are read once, when the host starts.
        let _ = folder.keep();
        self
    }

    /// Starts it on the runtime that all tests share.
    pub async fn start(self) -> Host {
        self.start_on(&RUNTIME).await
    }

    /// Starts on a runtime of its own, whose limits are not those of all tests.
    pub async fn start_on(self, runtime: &Arc<Runtime>) -> Host {
        watch_for_deadlocks();
        let Self {
            server,
            channels,
            functions,
            keys,
            store,
            firewalls,
        } = self;
        let components = functions.iter().filter_map(|config| {
            let bytes = std::fs::read(config.component.as_ref()?).unwrap();
            Some(ConfiguredComponent {
                function: config.name.clone(),
                component: Ok(Component::from(bytes)),
            })
        });
        let components = components.collect();
        let listener = listen::bind(server.listen).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = Arc::clone(runtime);
        let config = Config {
            server: server.clone(),
            channels,
            functions,
            keys,
        };
        let configured = (config, firewalls);
        let starting = Deployer::start(runtime, store, true, configured, components);
        // Its future is too large for those of tests, one in the other.
        let deployer = Box::pin(starting).await.unwrap();
        let gateway = Arc::new(Gateway::new(Arc::clone(deployer.services())));
        let certificates = Files::read(&server, None).unwrap();
        let certificates = gateway.tls().prepare(certificates).unwrap();
        gateway.tls().put(certificates);
        let page = Page::new(deployer.clone(), Arc::clone(&gateway), None);
        let page = Arc::new(page);
        let reserved = Arc::clone(&page);
        let answering = Answering {
            reserved: Some(reserved),
            outside: Some(Arc::new(Api::new(deployer.services()))),
        };
        let gateway_of = Arc::clone(&gateway);
        let accepting = listen::accept_at(Listener::Listen, listener, gateway_of, answering);
        let accepting = tokio::spawn(accepting);
        Host {
            address,
            gateway,
            deployer,
            page,
            server,
            accepting,
        }
    }
}
