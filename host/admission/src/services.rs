//! The functions that a host serves, by their triggers, and what all their
//! connections share: bounds, counts, and whether the host is ending.
//!
//! Triggers, functions and most limits are one table that is replaced as a whole
//! when the configuration is read again: a request sees one table or the other,
//! and a connection keeps the function that accepted it. `control` replaces the
//! table and the gateway reads it; neither package knows the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use openline_channels::budget::{FunctionBudget, HostBudget};
use openline_core::config::ServerConfig;
use openline_core::name::FunctionName;
use openline_core::trigger::{OwnPage, Trigger, TriggerError, TriggerPlace, TriggerTable};
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use openline_firewall::rules::{FirewallId, Firewalls};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::authenticate::Authenticator;
use crate::firewall::InForce;
use crate::ledger::Ledger;
use crate::sessions::Sessions;

/// The functions of a host and their counts.
#[derive(Debug)]
pub struct Services {
    table: RwLock<Arc<Table>>,
    ledger: Arc<Ledger>,
    budget: Arc<HostBudget>,
    drain: watch::Sender<bool>,
    draining: AtomicBool,
    /// The port of the admin interface, whose page opens connections here.
    page: OnceLock<OwnPage>,
    /// Signs the cookies of affinity.
    signing_key: OnceLock<[u8; 32]>,
    /// Aliases that no trigger leads to any more, but that connections may still
    /// hold.
    retired: Mutex<Vec<Weak<Alias>>>,
    /// The accounts of each function, as long as a trigger or a connection holds
    /// them.
    accounts: Mutex<Accounts>,
    /// The sessions of each function that authenticates, for as long as the host
    /// runs: what is revoked stays so, and nonces that were used.
    sessions: Mutex<HashMap<FunctionName, Arc<Sessions>>>,
    /// Notified when the table was replaced.
    replaced: Arc<Notify>,
    /// The moment from which rates of firewalls count.
    began: Instant,
}

/// The counts of each function, by its name. They outlive a function that
/// leaves the configuration for a while, because its connections still count.
type Accounts = HashMap<FunctionName, (Weak<Ledger>, Weak<FunctionBudget>)>;

/// A trigger, the alias that it leads to, and what authenticates its requests.
#[derive(Clone, Debug)]
pub struct Led {
    /// The trigger.
    pub trigger: Trigger,
    /// The alias.
    pub alias: Arc<Alias>,
    /// Nothing, where the trigger says so.
    pub authenticator: Option<Arc<Authenticator>>,
}

/// A configuration, ready to be used.
#[derive(Debug)]
pub struct Table {
    /// The host's own part of it.
    pub config: ServerConfig,
    /// All triggers, in the order of the configuration.
    pub services: Vec<Arc<Service>>,
    /// The same services, found by host, path and method.
    pub triggers: TriggerTable<Arc<Service>>,
    /// The firewalls that their requests have to pass.
    pub firewalls: Arc<InForce>,
}

/// A trigger, and the alias of a function that it leads to.
#[derive(Debug)]
pub struct Service {
    /// The requests that it takes.
    pub trigger: Trigger,
    /// Its firewall, among those of the table.
    pub firewall: Option<FirewallId>,
    /// The alias that it leads to.
    pub alias: Arc<Alias>,
    /// Counts the connections of the function by all its triggers.
    pub ledger: Arc<Ledger>,
    /// The budget of what the function's connections keep with the host.
    pub budget: Arc<FunctionBudget>,
    /// Authenticates its requests, if the trigger says so.
    pub authenticator: Option<Arc<Authenticator>>,
}

impl Services {
    /// Serves functions by their triggers, without a firewall.
    ///
    /// # Errors
    ///
    /// When two triggers match the same requests, and when one names a firewall.
    pub fn new(config: ServerConfig, functions: Vec<Led>) -> Result<Self, TriggerError> {
        let budget = HostBudget::new(config.outbox_bytes, config.attached_bytes);
        let budget = budget.with_compression(config.compression_bytes);
        let budget = Arc::new(budget.with_received(config.received_bytes));
        let (drain, _) = watch::channel(false);
        let mut accounts = Accounts::new();
        let none = Firewalls::default();
        let firewalls = InForce::of(&config, none);
        let table = Table::new(config, functions, firewalls, &budget, &mut accounts)?;
        Ok(Self {
            table: RwLock::new(Arc::new(table)),
            accounts: Mutex::new(accounts),
            ledger: Arc::default(),
            budget,
            drain,
            draining: AtomicBool::new(false),
            page: OnceLock::new(),
            signing_key: OnceLock::new(),
            retired: Mutex::default(),
            sessions: Mutex::default(),
            replaced: Arc::default(),
            began: Instant::now(),
        })
    }

    /// Replaces the configuration and the functions for new requests;
    /// connections keep the alias that took them. `outbox_bytes`,
    /// `received_bytes`, `attached_bytes` and `compression_bytes` of the host
    /// stay as they were when it started. `firewalls` are those of the
    /// configuration; without them, those in force stay.
    ///
    /// # Errors
    ///
    /// When two triggers match the same requests, and when one names a firewall
    /// that is not there; then nothing has changed.
    pub fn replace(
        &self,
        config: ServerConfig,
        functions: Vec<Led>,
        firewalls: Option<Firewalls>,
    ) -> Result<(), TriggerError> {
        let before = self.table();
        let firewalls = match firewalls {
            Some(firewalls) => InForce::of(&config, firewalls),
            None => Arc::clone(&before.firewalls),
        };
        let mut accounts = self.accounts.lock();
        let table = Table::new(config, functions, firewalls, &self.budget, &mut accounts);
        drop(accounts);
        let table = Arc::new(table?);
        let gone = before.services.iter().filter(|service| {
            let stays = |other: &Arc<Service>| Arc::ptr_eq(&other.alias, &service.alias);
            !table.services.iter().any(stays)
        });
        let mut retired = self.retired.lock();
        // An alias that routes lead to again is in the table.
        let serves = |alias: &Weak<Alias>| {
            let mut services = table.services.iter();
            services.any(|service| std::ptr::eq(Arc::as_ptr(&service.alias), alias.as_ptr()))
        };
        retired.retain(|alias| alias.strong_count() > 0 && !serves(alias));
        retired.extend(gone.map(|service| Arc::downgrade(&service.alias)));
        succeed(&before, &table);
        *self.table.write() = table;
        self.replaced.notify_one();
        Ok(())
    }

    /// The table in force.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read())
    }

    /// Is notified when the table was replaced; for one task.
    pub fn replaced(&self) -> &Arc<Notify> {
        &self.replaced
    }

    /// The sessions of a function that authenticates, which are made if there are
    /// none yet.
    pub fn sessions(&self, function: &FunctionName) -> Arc<Sessions> {
        let mut sessions = self.sessions.lock();
        Arc::clone(sessions.entry(function.clone()).or_default())
    }

    /// Takes lists of firewalls that were read again, unless the configuration
    /// was read again meanwhile. Returns whether they are in force.
    pub fn put_lists(&self, read: Firewalls) -> bool {
        self.table().firewalls.put(read)
    }

    /// The time since these services were made.
    pub(crate) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// Counts the connections of all functions.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The budget of what all connections keep with the host.
    pub fn budget(&self) -> &HostBudget {
        &self.budget
    }

    /// All aliases through which connections may have come.
    pub fn aliases(&self) -> Vec<Arc<Alias>> {
        let table = self.table();
        let serving = table.services.iter();
        let retired = self.retired.lock();
        let retired = retired.iter().filter_map(Weak::upgrade);
        serving
            .map(|service| Arc::clone(&service.alias))
            .chain(retired)
            .collect()
    }

    /// All functions that may have connections.
    pub fn functions(&self) -> Vec<Arc<Commons>> {
        let mut functions: Vec<Arc<Commons>> = Vec::new();
        for alias in self.aliases() {
            let commons = alias.commons();
            if !functions.iter().any(|other| Arc::ptr_eq(other, commons)) {
                functions.push(Arc::clone(commons));
            }
        }
        functions
    }

    /// Live instances of all functions.
    pub fn instances(&self) -> u32 {
        self.functions()
            .iter()
            .map(|commons| commons.instances())
            .sum()
    }

    /// Connections that have given up their buffers. Looks at each connection.
    pub fn asleep(&self) -> usize {
        let functions = self.functions();
        let asleep = functions.iter().map(|commons| commons.hub().asleep());
        asleep.sum()
    }

    /// The key that signs the cookies of affinity. None before
    /// [`sign_with`](Self::sign_with): then there are no such cookies.
    pub fn signing_key(&self) -> Option<&[u8; 32]> {
        self.signing_key.get()
    }

    /// Sets the key that signs cookies. Only the first call has an effect.
    pub fn sign_with(&self, key: [u8; 32]) {
        let _ = self.signing_key.set(key);
    }

    /// Where the page of the admin interface is, if there is one.
    pub fn page(&self) -> Option<OwnPage> {
        self.page.get().copied()
    }

    /// Lets the page there open connections. Only the first call has an effect.
    pub fn take_page(&self, page: OwnPage) {
        let _ = self.page.set(page);
    }

    /// Whether the host is ending. Takes no lock.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// A receiver that learns when the host begins to end.
    pub fn watch_drain(&self) -> watch::Receiver<bool> {
        self.drain.subscribe()
    }

    /// Marks the host as ending: it takes no new connections from now on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.send_replace(true);
    }
}

impl Service {
    /// The names of its function and its trigger.
    pub fn place(&self) -> TriggerPlace {
        TriggerPlace {
            function: self.alias.function().clone(),
            trigger: self.trigger.name.clone(),
        }
    }
}

impl Table {
    fn new(
        config: ServerConfig,
        functions: Vec<Led>,
        firewalls: Arc<InForce>,
        budget: &HostBudget,
        accounts: &mut Accounts,
    ) -> Result<Self, TriggerError> {
        let mut triggers = TriggerTable::default();
        let mut services = Vec::new();
        let known = firewalls.current();
        accounts.retain(|_, (ledger, budget)| ledger.strong_count() + budget.strong_count() > 0);
        for led in functions {
            let Led {
                trigger,
                alias,
                authenticator,
            } = led;
            // One account for each function, however many triggers it has.
            let account = accounts.entry(alias.function().clone()).or_default();
            let firewall = find(&known, &trigger, alias.function())?;
            let service = Arc::new(Service {
                trigger,
                firewall,
                ledger: account.0.upgrade().unwrap_or_default(),
                budget: account.1.upgrade().unwrap_or_else(|| budget.function()),
                alias,
                authenticator,
            });
            *account = (
                Arc::downgrade(&service.ledger),
                Arc::downgrade(&service.budget),
            );
            triggers.insert(&service.trigger, &service.place(), &service)?;
            services.push(service);
        }
        Ok(Self {
            config,
            services,
            triggers,
            firewalls,
        })
    }
}

/// Finds the firewall of a trigger of a function.
///
/// # Errors
///
/// When the trigger names one that is not there.
pub fn find(
    firewalls: &Firewalls,
    trigger: &Trigger,
    function: &FunctionName,
) -> Result<Option<FirewallId>, TriggerError> {
    let Some(name) = &trigger.firewall else {
        return Ok(None);
    };
    let found = firewalls.find(name);
    found.map(Some).ok_or_else(|| TriggerError::Firewall {
        place: Box::new(TriggerPlace {
            function: function.clone(),
            trigger: trigger.name.clone(),
        }),
        firewall: name.clone(),
    })
}
/// Tells authenticators that they are not in force any more, and which others take
/// their place, for the connections that they have let in.
fn succeed(before: &Table, after: &Table) {
    let places = after.services.iter();
    let places = places.filter_map(|it| Some((it.place(), it.authenticator.as_ref()?)));
    let places: HashMap<_, _> = places.collect();
    for service in &before.services {
        let Some(own) = &service.authenticator else {
            continue;
        };
        match places.get(&service.place()) {
            Some(next) if Arc::ptr_eq(own, next) => {}
            Some(next) => {
                own.replace_by(next);
                own.retire();
            }
            None => own.retire(),
        }
    }
}
