//! What all connections of a host share: routes, functions, bounds, and
//! whether the host is ending.
//!
//! Routes, functions and most limits are one table that is replaced as a whole
//! when the configuration is read again: a request sees one table or the other,
//! and a connection keeps the function that took it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use openline_channels::budget::{FunctionBudget, HostBudget};
use openline_channels::connection::Connection;
use openline_core::config::ServerConfig;
use openline_core::name::FunctionName;
use openline_core::route::{Route, RouteError, RouteTable};
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use openline_engine::runtime::{Runtime, Taken};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::development::Development;
use crate::ledger::Ledger;
use crate::liveness::Liveness;
use crate::requests::{Requests, Slot};
use crate::tally::Tally;

/// How often some connections are closed during a drain, at most: often enough
/// to be even, seldom enough to cost nothing.
const PACE: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub struct Gateway {
    table: RwLock<Arc<Table>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) tally: Tally,
    pub(crate) drain: watch::Sender<bool>,
    pub(crate) budget: Arc<HostBudget>,
    requests: Arc<Requests>,
    /// What `peer_requests` may be at most: half of `requests`.
    peer_requests_max: u32,
    sockets: AtomicUsize,
    draining: AtomicBool,
    /// Aliases that no route leads to any more, but connections may have.
    retired: Mutex<Vec<Weak<Alias>>>,
    /// By function, as long as a route or a connection has them.
    accounts: Mutex<Accounts>,
    development: OnceLock<Arc<Development>>,
    liveness: OnceLock<Arc<Liveness>>,
    runtime: OnceLock<Arc<Runtime>>,
}

/// What is counted for each function, by its name: also of one that was left
/// out of the configuration for a while, whose connections still count.
type Accounts = HashMap<FunctionName, (Weak<Ledger>, Weak<FunctionBudget>)>;

/// What a configuration says, ready to be used.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) config: ServerConfig,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) routes: RouteTable<Arc<Service>>,
}

/// A route, and the alias of a function that it leads to.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) route: Route,
    pub(crate) alias: Arc<Alias>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) budget: Arc<FunctionBudget>,
}

/// A TCP connection: one of `requests` until it is upgraded, and counted as
/// long as it lives.
#[derive(Debug)]
pub(crate) struct Permit {
    gateway: Arc<Gateway>,
    slot: Slot,
}

impl Gateway {
    /// Puts functions onto their routes. Fails when two routes match the same
    /// paths.
    pub fn new(
        config: ServerConfig,
        functions: Vec<(Route, Arc<Alias>)>,
    ) -> Result<Self, RouteError> {
        let requests = Requests::new(config.requests as usize);
        let peer_requests_max = config.requests.div_ceil(2);
        let budget = Arc::new(HostBudget::new(config.outbox_bytes, config.attached_bytes));
        let (drain, _) = watch::channel(false);
        let mut accounts = Accounts::new();
        let table = Table::new(config, functions, &budget, &mut accounts)?;
        Ok(Self {
            table: RwLock::new(Arc::new(table)),
            accounts: Mutex::new(accounts),
            ledger: Arc::default(),
            tally: Tally::default(),
            drain,
            budget,
            requests,
            peer_requests_max,
            sockets: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            retired: Mutex::default(),
            development: OnceLock::new(),
            liveness: OnceLock::new(),
            runtime: OnceLock::new(),
        })
    }

    /// Takes another configuration and other functions for what comes from now
    /// on; connections keep the alias that took them. `requests`,
    /// `outbox_bytes` and `attached_bytes` of the host stay as they were when
    /// it started.
    pub fn replace(
        &self,
        config: ServerConfig,
        functions: Vec<(Route, Arc<Alias>)>,
    ) -> Result<(), RouteError> {
        let before = self.table();
        let mut accounts = self.accounts.lock();
        let table = Table::new(config, functions, &self.budget, &mut accounts);
        drop(accounts);
        let table = Arc::new(table?);
        let gone = before.services.iter().filter(|service| {
            let stays = |other: &Arc<Service>| Arc::ptr_eq(&other.alias, &service.alias);
            !table.services.iter().any(stays)
        });
        let mut retired = self.retired.lock();
        // One that routes lead to again is in the table.
        let serves = |alias: &Weak<Alias>| {
            let mut services = table.services.iter();
            services.any(|service| std::ptr::eq(Arc::as_ptr(&service.alias), alias.as_ptr()))
        };
        retired.retain(|alias| alias.strong_count() > 0 && !serves(alias));
        retired.extend(gone.map(|service| Arc::downgrade(&service.alias)));
        *self.table.write() = table;
        Ok(())
    }

    /// From now on the page shows what is known of functions that are being
    /// written. Once only: what comes later is not taken.
    pub fn develop(&self, development: Arc<Development>) {
        let _ = self.development.set(development);
    }

    /// There in a host that runs in development.
    pub(crate) fn development(&self) -> Option<&Development> {
        self.development.get().map(|development| &**development)
    }

    /// From now on probes are answered by what a watchdog sees. Once only: what
    /// comes later is not taken.
    pub fn watch(&self, liveness: Arc<Liveness>) {
        let _ = self.liveness.set(liveness);
    }

    /// From now on the state shows what is taken of this runtime. Once only:
    /// what comes later is not taken.
    pub(crate) fn show(&self, runtime: Arc<Runtime>) {
        let _ = self.runtime.set(runtime);
    }

    /// What is taken of the engine, if it is known.
    pub(crate) fn taken(&self) -> Option<Taken> {
        Some(self.runtime.get()?.taken())
    }

    /// For how long the host has hung, if it does.
    pub(crate) fn hung(&self) -> Option<Duration> {
        self.liveness.get()?.hung()
    }

    /// What is in force now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// Takes a place for a TCP connection, and waits for one. None if its peer
    /// has all that it may have.
    pub(crate) async fn permit(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let most = self.table().config.peer_requests;
        let most = most.min(self.peer_requests_max);
        let slot = self.requests.enter(peer, most).await?;
        Some(Permit::new(self, slot))
    }

    /// Has one TCP connection end that waits for a request and has been silent.
    pub(crate) fn close_silent(&self) {
        self.requests.close_silent();
    }

    /// TCP connections that are not upgraded.
    pub(crate) fn requests(&self) -> usize {
        self.requests.taken()
    }

    /// TCP connections.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// All aliases that connections may have come by.
    pub(crate) fn aliases(&self) -> Vec<Arc<Alias>> {
        let table = self.table();
        let serving = table.services.iter();
        let retired = self.retired.lock();
        let retired = retired.iter().filter_map(Weak::upgrade);
        serving
            .map(|service| Arc::clone(&service.alias))
            .chain(retired)
            .collect()
    }

    /// Live instances of all functions.
    pub(crate) fn instances(&self) -> u32 {
        self.functions()
            .iter()
            .map(|commons| commons.instances())
            .sum()
    }

    /// Connections that have given their buffers away. Looks at each.
    pub fn asleep(&self) -> usize {
        let functions = self.functions();
        let asleep = functions.iter().map(|commons| commons.hub().asleep());
        asleep.sum()
    }

    /// All functions that connections may be of.
    pub(crate) fn functions(&self) -> Vec<Arc<Commons>> {
        let mut functions: Vec<Arc<Commons>> = Vec::new();
        for alias in self.aliases() {
            let commons = alias.commons();
            if !functions.iter().any(|other| Arc::ptr_eq(other, commons)) {
                functions.push(Arc::clone(commons));
            }
        }
        functions
    }

    /// Whether the host is ending.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Ends the host's connections with 1001, each once what it has sent is
    /// answered, at a bounded pace, and waits until all have ended, at most so
    /// long. Answers how many were still there. Requests go on to be answered,
    /// with 503 when they ask for a connection: a load balancer learns from
    /// `/.openline/ready` that it should look elsewhere.
    pub(crate) async fn drain(&self, timeout: Duration) -> usize {
        // Before the connections are listed: who joins a hub later looks at
        // this and ends by itself.
        self.draining.store(true, Ordering::Release);
        self.drain.send_replace(true);
        // What waits for the end of a back-off has no later to wait for.
        for function in self.functions() {
            function.lift_backoffs();
        }
        let ended = async {
            self.end_all(timeout).await;
            self.ledger.emptied().await;
        };
        let _ = tokio::time::timeout(timeout, ended).await;
        self.ledger.connections() as usize
    }

    async fn end_all(&self, timeout: Duration) {
        let connections = self.snapshot();
        let config = self.table().config.clone();
        // The last one needs time to end, too: half of the time is for that.
        let half = (timeout / 2).max(PACE).as_millis();
        let needed = (connections.len() as u128 * 1000).div_ceil(half);
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let per_second = needed.max(config.drain_connections_per_second);
        let each = (per_second / 100).max(1);
        let mut pace = tokio::time::interval(Duration::from_secs(1) * each / per_second);
        let each = each as usize;
        for some in connections.chunks(each) {
            pace.tick().await;
            for connection in some {
                connection.drain();
                connection.wake();
            }
        }
    }

    /// All connections.
    fn snapshot(&self) -> Vec<Arc<Connection>> {
        let functions = self.functions();
        let connections = functions.iter().map(|commons| commons.hub().snapshot());
        connections.flatten().collect()
    }
}

impl Table {
    fn new(
        config: ServerConfig,
        functions: Vec<(Route, Arc<Alias>)>,
        budget: &HostBudget,
        accounts: &mut Accounts,
    ) -> Result<Self, RouteError> {
        let mut routes = RouteTable::default();
        let mut services = Vec::new();
        accounts.retain(|_, (ledger, budget)| ledger.strong_count() + budget.strong_count() > 0);
        for (route, alias) in functions {
            // One for each function, whatever the number of its routes.
            let account = accounts.entry(alias.function().clone()).or_default();
            let service = Arc::new(Service {
                route,
                ledger: account.0.upgrade().unwrap_or_default(),
                budget: account.1.upgrade().unwrap_or_else(|| budget.function()),
                alias,
            });
            *account = (
                Arc::downgrade(&service.ledger),
                Arc::downgrade(&service.budget),
            );
            routes.insert(&service.route, Arc::clone(&service))?;
            services.push(service);
        }
        Ok(Self {
            config,
            services,
            routes,
        })
    }
}

impl Permit {
    fn new(gateway: &Arc<Gateway>, slot: Slot) -> Self {
        gateway.sockets.fetch_add(1, Ordering::Relaxed);
        Self {
            gateway: Arc::clone(gateway),
            slot,
        }
    }

    /// It is a connection now, and counted as such: another request may come.
    pub(crate) fn upgraded(&self) {
        self.slot.leave();
    }

    /// Its place among those that are not upgraded.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gateway.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}
