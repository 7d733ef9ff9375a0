//! The thread that requests certificates: when one is due, one after the other.
//!
//! It ends with the host, at once: an order that is under way is dropped, and its
//! authority forgets it. Bounded: [`CHALLENGE_CONNECTIONS_MAX`] TCP connections
//! to the listener for challenges.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use instant_acme::Account;
use openline_core::config::AcmeChallenge;
use openline_gateway::front::ReservedListener;
use openline_gateway::gateway::Gateway;
use openline_gateway::tls::issued::Issued;
use openline_hint::Hint;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::account::{self, is_unknown};
use crate::client::Client;
use crate::folder::{Folder, LastAttempt};
use crate::order::{self, OrderError};
use crate::schedule::{Attempts, backoff, renewal, rest};
use crate::settings::Settings;

/// TCP connections to the listener for challenges: authorities ask from a few
/// places, each once. Past them, the one that has waited longest for a request
/// is closed.
pub const CHALLENGE_CONNECTIONS_MAX: usize = 64;

/// How often the thread looks at the clock at least: it may be set, and a
/// machine may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// The requests for certificates of a host. Dropping it ends them.
#[derive(Debug)]
pub struct Acme {
    gateway: Arc<Gateway>,
    listener: Option<TcpListener>,
    /// Whether there is or was one.
    has_listener: bool,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    wanted: watch::Sender<Wanted>,
    _stop: oneshot::Sender<()>,
}

/// What is to be requested.
#[derive(Clone, Debug, Default)]
struct Wanted {
    settings: Option<Arc<Settings>>,
    /// How often the configuration was read: each time, names that wait after a
    /// failure are tried again.
    reads: u64,
}

impl Acme {
    /// Requests nothing yet. `listener` is for challenges.
    pub fn new(gateway: &Arc<Gateway>, listener: Option<TcpListener>) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            has_listener: listener.is_some(),
            listener,
            running: None,
        }
    }

    /// Requests what a configuration that was read asks for, from now on.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn want(&mut self, settings: Option<Settings>) -> io::Result<()> {
        let by_http = |it: &Settings| it.config.challenge == AcmeChallenge::Http01;
        let unheard = settings.as_ref().is_some_and(by_http) && !self.has_listener;
        if unheard {
            tracing::warn!(
                "no certificate is requested before the host starts again: `acme_listen` takes effect then"
            );
        }
        let settings = settings.filter(|_| !unheard);
        if self.running.is_none() {
            if settings.is_none() && self.listener.is_none() {
                return Ok(());
            }
            self.running = Some(start(&self.gateway, self.listener.take())?);
        }
        if let Some(running) = &self.running {
            running.wanted.send_modify(|wanted| {
                wanted.settings = settings.map(Arc::new);
                wanted.reads += 1;
            });
        }
        Ok(())
    }
}

fn start(gateway: &Arc<Gateway>, listener: Option<TcpListener>) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // It was opened within another runtime.
    let listener = listener.map(TcpListener::into_std).transpose()?;
    let (wanted, reading) = watch::channel(Wanted::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = Arc::clone(gateway);
    let attached = {
        let _within = runtime.enter();
        listener.map(TcpListener::from_std).transpose()?
    };
    thread::Builder::new().name("acme".into()).spawn(move || {
        runtime.block_on(async {
            if let Some(listener) = attached {
                let listener = ReservedListener {
                    name: "the address of challenges",
                    listener,
                    // Authorities ask at port 80.
                    tls: None,
                    connections_max: CHALLENGE_CONNECTIONS_MAX,
                    reserved: Arc::clone(gateway.tls().challenges()) as _,
                };
                tokio::spawn(listener.serve(Arc::clone(&gateway)));
            }
            tokio::select! {
                () = request(&gateway, reading) => {}
                // Dropping the other end stops the thread.
                _ = stopped => {}
            }
        });
        // A look-up of a name that hangs does not keep the process.
        runtime.shutdown_background();
    })?;
    Ok(Running {
        wanted,
        _stop: stop,
    })
}

/// Requests what is wanted until nothing can be wanted any more.
async fn request(gateway: &Gateway, mut reading: watch::Receiver<Wanted>) {
    let mut before: Option<Worker> = None;
    loop {
        let wanted = reading.borrow_and_update().clone();
        let Some(settings) = wanted.settings else {
            if reading.changed().await.is_err() {
                return;
            }
            continue;
        };
        let mut other = reading.clone();
        let worker = Worker::new(Arc::clone(&settings), wanted.reads, before.take());
        let worker = before.insert(worker);
        tokio::select! {
            () = worker.run(gateway, &mut reading) => {}
            changed = other.wait_for(|wanted| wanted.settings.as_ref() != Some(&settings)) => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Requests the certificates of one configuration.
#[derive(Debug)]
struct Worker {
    settings: Arc<Settings>,
    reads: u64,
    hosts: BTreeMap<String, Host>,
    /// Of the authority as a whole: its directory and the account.
    authority: Host,
    last: BTreeMap<String, LastAttempt>,
    /// Whether it is the first of the process, which takes up the waits of the
    /// process before. Others are there because the configuration has changed:
    /// they try at once what has failed.
    is_first: bool,
}

/// What is known of one host name.
#[derive(Debug, Default)]
struct Host {
    failures: u32,
    /// Nothing is requested before.
    waits: Option<Instant>,
    attempts: Attempts,
}

/// The name under which attempts to reach the authority are kept; no host has
/// it.
const AUTHORITY: &str = "";

impl Worker {
    /// `before` is the one of the configuration before: the same authority gets
    /// no more requests because the configuration has changed.
    fn new(settings: Arc<Settings>, reads: u64, before: Option<Self>) -> Self {
        let is_first = before.is_none();
        let same = before.filter(|before| before.settings.folder == settings.folder);
        let mut known = same.map(|before| before.hosts).unwrap_or_default();
        let hosts = settings.config.hosts.iter().map(|host| {
            let attempts = known.remove(host).map(|host| host.attempts);
            let attempts = attempts.unwrap_or_default();
            let fresh = Host {
                attempts,
                ..Host::default()
            };
            (host.clone(), fresh)
        });
        Self {
            hosts: hosts.collect(),
            settings,
            reads,
            authority: Host::default(),
            last: BTreeMap::new(),
            is_first,
        }
    }

    /// Requests for ever.
    async fn run(&mut self, gateway: &Gateway, reading: &mut watch::Receiver<Wanted>) {
        let folder = loop {
            match Folder::open(&self.settings.folder) {
                Ok(folder) => break folder,
                Err(error) => self.complain("the authority", &error.into(), BACK_OFF_FOLDER),
            }
            self.wait(BACK_OFF_FOLDER, reading).await;
        };
        self.remember(&folder);
        loop {
            let due = self.due(&folder);
            if !due.is_empty() {
                self.round(gateway, &folder, due).await;
            }
            let pause = self.pause(&folder);
            self.wait(pause, reading).await;
        }
    }

    /// Takes up the waits of the process before.
    fn remember(&mut self, folder: &Folder) {
        self.last = folder.attempts();
        let known = |name: &String| name == AUTHORITY || self.hosts.contains_key(name);
        self.last.retain(|name, _| known(name));
        let now = since_1970();
        for (name, last) in self.last.clone() {
            let issued = folder.certificate(&name);
            let wait = match (last.failures, issued) {
                (0, Some(issued)) => rest(&issued, Duration::from_secs(last.at)),
                (0, None) => Duration::ZERO,
                (failures, _) if self.is_first => backoff(failures, 0, None),
                _ => Duration::ZERO,
            };
            let host = self.host(&name);
            host.failures = last.failures;
            host.waits = Some(Instant::now() + last.left_of(wait, now));
        }
    }

    fn host(&mut self, name: &str) -> &mut Host {
        match self.hosts.get_mut(name) {
            Some(host) => host,
            None => &mut self.authority,
        }
    }

    /// The names for which a certificate is to be requested now.
    fn due(&mut self, folder: &Folder) -> Vec<String> {
        let now = Instant::now();
        if self.authority.until(now, true).is_some() {
            return Vec::new();
        }
        let (wall, hosts) = (since_1970(), self.hosts.iter_mut());
        let due = hosts.filter_map(|(name, host)| {
            let issued = folder.certificate(name);
            let waits = host.until(now, issued.is_some()).is_some();
            let valid = issued.is_some_and(|it| renewal(&it) > wall);
            (!waits && !valid).then(|| name.clone())
        });
        due.collect()
    }

    /// How long nothing is to be done.
    fn pause(&mut self, folder: &Folder) -> Duration {
        let (now, wall) = (Instant::now(), since_1970());
        let authority = self.authority.until(now, true).unwrap_or(now) - now;
        let hosts = self.hosts.iter_mut().map(|(name, host)| {
            let issued = folder.certificate(name);
            let until = host.until(now, issued.is_some());
            let due = issued.map_or(Duration::ZERO, |it| renewal(&it).saturating_sub(wall));
            due.max(until.unwrap_or(now) - now)
        });
        let soonest = hosts.min().unwrap_or(LOOK_AGAIN);
        soonest.max(authority).min(LOOK_AGAIN)
    }

    /// Waits, until the configuration is read again: then names that wait after
    /// a failure are tried at once.
    async fn wait(&mut self, pause: Duration, reading: &mut watch::Receiver<Wanted>) {
        let reads = self.reads;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            read = reading.wait_for(|wanted| wanted.reads != reads) => {
                if let Ok(wanted) = read {
                    self.reads = wanted.reads;
                }
                for host in self.hosts.values_mut().chain([&mut self.authority]) {
                    if host.failures > 0 {
                        host.waits = None;
                    }
                }
            }
        }
    }

    /// Requests what is due.
    async fn round(&mut self, gateway: &Gateway, folder: &Folder, due: Vec<String>) {
        let settings = Arc::clone(&self.settings);
        let client = match Client::new(settings.roots()) {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(%error, "no certificate can be requested");
                self.authority.waits = Some(Instant::now() + LOOK_AGAIN);
                return;
            }
        };
        let account = account::account(&client, folder, &settings).await;
        let account = match account.map_err(OrderError::from) {
            Ok(account) => account,
            Err(error) => {
                self.failed(folder, AUTHORITY, &error, &client);
                return;
            }
        };
        for host in due {
            self.host(&host).attempts.note(Instant::now());
            match certificate(&account, &host, gateway, folder, &settings).await {
                Ok(issued) => {
                    tracing::info!(%host, "the authority has issued a certificate");
                    self.done(folder, &host, Some(issued));
                }
                Err(OrderError::Acme(error)) if is_unknown(&error) => {
                    // The next round makes another account.
                    self.failed(folder, AUTHORITY, &error.into(), &client);
                    if let Err(error) = folder.forget_account() {
                        tracing::warn!(%error, "the account cannot be forgotten");
                    }
                    return;
                }
                Err(error) => self.failed(folder, &host, &error, &client),
            }
        }
        if self.authority.failures > 0 {
            self.done(folder, AUTHORITY, None);
        }
    }

    fn done(&mut self, folder: &Folder, name: &str, issued: Option<Issued>) {
        let now = since_1970();
        let host = self.host(name);
        host.failures = 0;
        host.waits = issued.map(|issued| Instant::now() + rest(&issued, now));
        self.keep(folder, name, now);
    }

    fn failed(&mut self, folder: &Folder, name: &str, error: &OrderError, client: &Client) {
        let host = self.host(name);
        host.failures = host.failures.saturating_add(1);
        let wait = backoff(host.failures, fastrand::u8(..), client.retry_after());
        host.waits = Some(Instant::now() + wait);
        let shown = if name == AUTHORITY {
            "the authority"
        } else {
            name
        };
        self.complain(shown, error, wait);
        self.keep(folder, name, since_1970());
    }

    fn complain(&self, host: &str, error: &OrderError, wait: Duration) {
        let (directory, seconds) = (&self.settings.config.directory, wait.as_secs());
        let hint = error.hint();
        let hint = hint.as_deref();
        tracing::warn!(%host, %error, hint, %directory, "no certificate; trying again in {seconds} s");
    }

    fn keep(&mut self, folder: &Folder, name: &str, now: Duration) {
        let failures = self.host(name).failures;
        let at = now.as_secs();
        self.last
            .insert(name.to_owned(), LastAttempt { failures, at });
        if let Err(error) = folder.keep_attempts(&self.last) {
            tracing::warn!(%error, "when certificates were requested is not kept");
        }
    }
}

/// How long to wait for a folder that cannot be made.
const BACK_OFF_FOLDER: Duration = Duration::from_secs(60);

/// Orders a certificate, and keeps it.
async fn certificate(
    account: &Account,
    host: &str,
    gateway: &Gateway,
    folder: &Folder,
    settings: &Settings,
) -> Result<Issued, OrderError> {
    let challenges = gateway.tls().challenges();
    let challenge = settings.config.challenge;
    let (pem, issued) = order::order(account, host, challenge, challenges).await?;
    if issued.ends <= since_1970() {
        return Err(OrderError::Expired);
    }
    folder.keep_certificate(host, &pem)?;
    Ok(issued)
}

// === impl Host ===

impl Host {
    /// Until when nothing is requested; none if something may be now. A
    /// certificate that has been lost (not `is_there`) is not waited for until
    /// it would have been renewed.
    fn until(&mut self, now: Instant, is_there: bool) -> Option<Instant> {
        let waits = self.waits.filter(|_| is_there || self.failures > 0);
        let waits = waits.filter(|until| *until > now);
        waits.max(self.attempts.allowed(now))
    }
}

/// The time since 1970, as the wall clock shows it.
#[expect(
    clippy::disallowed_methods,
    reason = "certificates end by the clock on the wall"
)]
fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}
