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

use openline_broker::terms::TermsTable;
use openline_channels::budget::{FunctionBudget, HostBudget};
use openline_channels::durable::Settling;
use openline_channels::hub::Hub;
use openline_channels::space::Space;
use openline_channels::sweeps::Sweeps;
use openline_core::config::ServerConfig;
use openline_core::name::FunctionName;
use openline_core::trigger::{OwnPage, Trigger, TriggerError, TriggerPlace, TriggerTable};
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use openline_firewall::rules::{FirewallId, Firewalls};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::authenticate::{Authenticator, Post};
use crate::firewall::InForce;
use crate::inspectors::Inspectors;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::sessions::Sessions;

/// The functions of a host and their counts.
#[derive(Debug)]
pub struct Services {
    table: RwLock<Arc<Table>>,
    ledger: Arc<Ledger>,
    budget: Arc<HostBudget>,
    /// The channels that functions share.
    shared: Arc<Space>,
    sweeps: Arc<Sweeps>,
    settling: Arc<Settling>,
    drain: watch::Sender<bool>,
    draining: AtomicBool,
    awaiting_keys: AtomicBool,
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
    /// The API keys.
    keys: Arc<Keys>,
    /// The posts of triggers, each as long as the table or a connection has it.
    posts: Mutex<Posts>,
    /// Notified when the table was replaced.
    replaced: Arc<Notify>,
    /// The moment from which rates of firewalls count.
    began: Instant,
}

/// The counts of each function, by its name. They outlive a function that
/// leaves the configuration for a while, because its connections still count.
type Accounts = HashMap<FunctionName, (Weak<Ledger>, Weak<FunctionBudget>)>;

/// The posts of all triggers that have one.
type Posts = HashMap<TriggerPlace, Weak<Post>>;

/// A trigger, the alias that it leads to, and its authenticator.
#[derive(Clone, Debug)]
pub struct Led {
    /// The trigger.
    pub trigger: Trigger,
    /// The alias.
    pub alias: Arc<Alias>,
    /// `None` if the trigger does not authenticate.
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
    /// The functions that rules of these firewalls ask.
    pub inspectors: Inspectors,
    /// The aliases of functions that channels wake.
    woken: Vec<Arc<Alias>>,
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
    /// Holds the one that is in force, for connections that outlive this table.
    pub post: Arc<Post>,
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
        let budget = budget.with_received(config.received_bytes);
        let budget = Arc::new(budget.with_channels(config.channel_bytes));
        let sweeps = Arc::default();
        let shared = Space::new(TermsTable::default(), budget.channels(), &sweeps);
        let (drain, _) = watch::channel(false);
        let mut accounts = Accounts::new();
        let none = Firewalls::default();
        let others = (
            InForce::of(&config, none),
            Inspectors::default(),
            Vec::new(),
        );
        let mut posts = Posts::new();
        let kept = (&mut accounts, &mut posts);
        let table = Table::new(config, functions, others, &budget, kept)?;
        take_posts(&table, &posts);
        Ok(Self {
            table: RwLock::new(Arc::new(table)),
            accounts: Mutex::new(accounts),
            ledger: Arc::default(),
            budget,
            shared,
            sweeps,
            settling: Arc::default(),
            drain,
            draining: AtomicBool::new(false),
            awaiting_keys: AtomicBool::new(false),
            page: OnceLock::new(),
            signing_key: OnceLock::new(),
            retired: Mutex::default(),
            sessions: Mutex::default(),
            keys: Arc::default(),
            posts: Mutex::new(posts),
            replaced: Arc::default(),
            began: Instant::now(),
        })
    }

    /// Replaces the configuration and the functions for new requests;
    /// connections keep the alias that took them. `outbox_bytes`,
    /// `received_bytes`, `attached_bytes` and `compression_bytes` of the host
    /// stay as they were when it started. `firewalls` are those of the
    /// configuration; without them, those in force stay. `inspectors` are the
    /// functions that their rules ask, `woken` the aliases of those that channels
    /// wake.
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
        (inspectors, woken): (Inspectors, Vec<Arc<Alias>>),
    ) -> Result<(), TriggerError> {
        let before = self.table();
        let firewalls = match firewalls {
            Some(firewalls) => InForce::of(&config, firewalls),
            None => Arc::clone(&before.firewalls),
        };
        let others = (firewalls, inspectors, woken);
        let (mut accounts, mut posts) = (self.accounts.lock(), self.posts.lock());
        let kept = (&mut *accounts, &mut *posts);
        let table = Table::new(config, functions, others, &self.budget, kept);
        drop(accounts);
        let table = Arc::new(table?);
        let gone = before
            .aliases()
            .filter(|alias| !table.aliases().any(|it| Arc::ptr_eq(it, alias)));
        let mut retired = self.retired.lock();
        // An alias that routes lead to again is in the table.
        let serves = |alias: &Weak<Alias>| {
            let mut serving = table.aliases();
            serving.any(|it| std::ptr::eq(Arc::as_ptr(it), alias.as_ptr()))
        };
        retired.retain(|alias| alias.strong_count() > 0 && !serves(alias));
        retired.extend(gone.map(Arc::downgrade));
        take_posts(&table, &posts);
        drop(posts);
        retire(&before, &table);
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

    /// The API keys of callers from outside.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
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

    /// The channels that functions share.
    pub fn shared(&self) -> &Arc<Space> {
        &self.shared
    }

    /// Forgets what channels no longer keep: a task of the host runs it.
    pub fn sweeps(&self) -> &Arc<Sweeps> {
        &self.sweeps
    }

    /// Takes what durable channels have written into them: a task of the host runs
    /// it.
    pub fn settling(&self) -> &Arc<Settling> {
        &self.settling
    }

    /// The hub of one more function.
    pub fn hub(&self) -> Arc<Hub> {
        let budget = self.budget.channels();
        let own = Space::new(TermsTable::default(), budget, &self.sweeps);
        Arc::new(Hub::new(own, Arc::clone(&self.shared)))
    }

    /// All aliases through which connections may have come, and those of functions
    /// that firewalls ask or channels wake.
    pub fn aliases(&self) -> Vec<Arc<Alias>> {
        let table = self.table();
        let retired = self.retired.lock();
        let retired = retired.iter().filter_map(Weak::upgrade);
        table.aliases().cloned().chain(retired).collect()
    }

    /// All functions that may have connections or instances.
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

    /// Sets the key that signs cookies, and of which secrets of API keys are
    /// derived. Only the first call has an effect.
    pub fn sign_with(&self, key: [u8; 32]) {
        let _ = self.signing_key.set(key);
        self.keys.derive_from(key);
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

    /// Whether the host has started and does not have the keys of its issuers yet,
    /// so it should get no connections. Takes no lock.
    pub fn is_awaiting_keys(&self) -> bool {
        self.awaiting_keys.load(Ordering::Acquire)
    }

    /// Says whether the host waits for the keys of its issuers.
    pub fn set_awaiting_keys(&self, is_awaiting: bool) {
        self.awaiting_keys.store(is_awaiting, Ordering::Release);
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
        (firewalls, inspectors, woken): (Arc<InForce>, Inspectors, Vec<Arc<Alias>>),
        budget: &HostBudget,
        (accounts, posts): (&mut Accounts, &mut Posts),
    ) -> Result<Self, TriggerError> {
        let mut triggers = TriggerTable::default();
        let mut services = Vec::new();
        let known = firewalls.current();
        accounts.retain(|_, (ledger, budget)| ledger.strong_count() + budget.strong_count() > 0);
        posts.retain(|_, post| post.strong_count() > 0);
        for led in functions {
            let Led {
                trigger,
                alias,
                authenticator,
            } = led;
            // One account for each function, however many triggers it has.
            let account = accounts.entry(alias.function().clone()).or_default();
            let firewall = find(&known, &trigger, alias.function())?;
            let place = TriggerPlace {
                function: alias.function().clone(),
                trigger: trigger.name.clone(),
            };
            let kept = posts.entry(place).or_default();
            let post = kept.upgrade().unwrap_or_default();
            *kept = Arc::downgrade(&post);
            let service = Arc::new(Service {
                trigger,
                firewall,
                ledger: account.0.upgrade().unwrap_or_default(),
                budget: account.1.upgrade().unwrap_or_else(|| budget.function()),
                alias,
                authenticator,
                post,
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
            inspectors,
            woken,
        })
    }

    /// The function that all its triggers lead to; none if they lead to several.
    /// Without triggers it is the only one that channels wake.
    pub fn only_function(&self) -> Option<FunctionName> {
        let of_triggers = self.services.iter().map(|service| &service.alias);
        let woken = self.woken.iter().filter(|_| self.services.is_empty());
        let mut names = of_triggers.chain(woken).map(|alias| alias.function());
        let first = names.next()?;
        names.all(|name| name == first).then(|| first.clone())
    }

    /// Whether anything leads to a function.
    pub fn has(&self, function: &Arc<Commons>) -> bool {
        let mut aliases = self.aliases();
        aliases.any(|alias| Arc::ptr_eq(alias.commons(), function))
    }

    /// The aliases that its triggers, its rules and channels lead to, with
    /// repetitions.
    fn aliases(&self) -> impl Iterator<Item = &Arc<Alias>> {
        let services = self.services.iter();
        let services = services.map(|service| &service.alias);
        let others = self.inspectors.aliases().chain(&self.woken);
        services.chain(others)
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

/// Lets the authenticators of a table take their posts. A trigger that is not in
/// the table has nothing there until it returns.
fn take_posts(table: &Table, posts: &Posts) {
    let places = table.services.iter();
    let places: HashMap<_, _> = places.map(|it| (it.place(), &it.authenticator)).collect();
    for (place, post) in posts {
        if let Some(post) = post.upgrade() {
            post.take(places.get(place).copied().cloned().flatten());
        }
    }
}

/// Tells the authenticators that a table has no more.
fn retire(before: &Table, after: &Table) {
    for own in before
        .services
        .iter()
        .filter_map(|it| it.authenticator.as_ref())
    {
        let mut stay = after
            .services
            .iter()
            .filter_map(|it| it.authenticator.as_ref());
        if !stay.any(|it| Arc::ptr_eq(it, own)) {
            own.retire();
        }
    }
}
