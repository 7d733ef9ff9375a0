//! A host in this process, on a port of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use openline_core::auto_response::AutoResponse;
use openline_core::config::{FunctionConfig, PageAccess, ServerConfig};
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::alias::{Alias, Split};
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_gateway::gateway::Gateway;
use openline_gateway::listen;
use openline_store::Store;
use tokio::task::JoinHandle;

use super::client::{Client, Refused};
use super::within;

/// One for all tests: engines are made once, and components are compiled once.
static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let options = RuntimeOptions {
        instances: 500,
        // Tests have threads of their own: none waits for another one's turn.
        long_runs: 500,
        ..RuntimeOptions::new(&ServerConfig::default(), Some(cache))
    };
    Arc::new(Runtime::new(options).unwrap())
});

/// A running host; it stops accepting when it is dropped.
pub struct Host {
    pub address: SocketAddr,
    pub gateway: Arc<Gateway>,
    functions: Vec<(Route, Arc<Alias>)>,
    accepting: JoinHandle<()>,
}

/// A host that is being described.
pub struct HostBuilder {
    server: ServerConfig,
    functions: Vec<FunctionConfig>,
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
            functions: Vec::new(),
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
                tokio::time::sleep(Duration::from_millis(2)).await;
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

    /// Ends as the server does upon SIGTERM. Says how many connections were
    /// left.
    pub async fn drain(&self) -> usize {
        within("the drain", self.gateway.drain()).await
    }

    /// The function of a name: the component's file stem.
    pub fn function(&self, name: &str) -> &Arc<Alias> {
        let found = self
            .functions
            .iter()
            .find(|(_, function)| function.function().as_str() == name);
        &found.unwrap_or_else(|| panic!("no function `{name}`")).1
    }

    /// The function of a route, where several have one component.
    pub fn function_on(&self, route: &str) -> &Arc<Alias> {
        let found = self
            .functions
            .iter()
            .find(|(each, _)| each.to_string() == route);
        &found.unwrap_or_else(|| panic!("no route `{route}`")).1
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl HostBuilder {
    /// One more function.
    pub fn and(mut self, component: &str, route: &str) -> Self {
        let component = PathBuf::from(component);
        let name = component.file_stem().unwrap().to_str().unwrap();
        let name = FunctionName::new(name).unwrap();
        let route = Route::new(route).unwrap();
        let mut function = FunctionConfig::new(name, Some(component), route);
        // Tests have functions fail on purpose.
        function.instance.faults_in_a_row = 0;
        self.functions.push(function);
        self
    }

    /// Changes the last function's instances.
    pub fn instance(mut self, change: impl FnOnce(&mut InstancePolicy)) -> Self {
        change(&mut self.functions.last_mut().unwrap().instance);
        self
    }

    /// Changes the last function's limits.
    pub fn limit(mut self, change: impl FnOnce(&mut FunctionLimits)) -> Self {
        change(&mut self.functions.last_mut().unwrap().limit);
        self
    }

    /// What the host answers by itself for the last function.
    pub fn answers(mut self, pairs: Vec<AutoResponse>) -> Self {
        self.functions.last_mut().unwrap().auto_responses = pairs;
        self
    }

    /// Changes the host itself.
    pub fn server(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.server);
        self
    }

    /// Ends connections that do not answer soon, so that tests are quick.
    pub fn hasty(self) -> Self {
        self.server(|server| server.close_timeout = Duration::from_millis(200))
    }

    pub async fn start(self) -> Host {
        self.start_on(&RUNTIME).await
    }

    /// Starts on a runtime of its own, whose limits are not those of all tests.
    pub async fn start_on(self, runtime: &Arc<Runtime>) -> Host {
        let mut functions = Vec::new();
        for config in &self.functions {
            let bytes = std::fs::read(config.component.as_ref().unwrap()).unwrap();
            let commons = runtime.commons(&config.name, &Store::memory(1 << 30));
            let version = runtime.load(config, bytes, &commons).await.unwrap();
            let alias = Alias::to(Arc::clone(&version));
            alias.replace(Split {
                auto_responses: config.auto_responses.clone().into(),
                ..Split::to(version)
            });
            functions.push((config.route.clone(), alias));
        }
        let listener = listen::bind(self.server.listen).unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Arc::new(Gateway::new(self.server, functions.clone()).unwrap());
        let accepting = tokio::spawn(listen::accept(listener, Arc::clone(&gateway)));
        Host {
            address,
            gateway,
            functions,
            accepting,
        }
    }
}
