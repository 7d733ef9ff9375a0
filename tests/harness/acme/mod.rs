//! A small ACME authority for tests: HTTPS, nonces, signatures, and validations
//! that really connect to the host. It misbehaves as a test asks.
//!
//! `serve` is its HTTP, `protocol` what it answers, `validate` how it looks at
//! the host.

mod protocol;
mod serve;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::tls::Authority;

/// How it misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// The directory is a page of HTML.
    Garbage,
    /// The directory has no end.
    Huge,
    /// The directory is elsewhere.
    Redirect,
    /// The connection is closed instead of an answer.
    Close,
    /// A failure without a word.
    Broken,
    /// An order is refused because there were too many.
    RateLimited,
    /// An order has the authorization of another name.
    OtherName,
    /// An order has two authorizations.
    TwoNames,
    /// The certificate is for other names.
    OtherCertificate,
    /// The certificate has another key.
    OtherKey,
    /// The certificate has ended.
    Ended,
    /// The certificate is none.
    NoCertificate,
}

/// An authority that runs; dropping it ends it.
pub struct AcmeServer {
    shared: Arc<Shared>,
    socket: Mutex<Option<TcpSocket>>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// Of its own certificate, and of those that it issues.
    authority: Authority,
    url: String,
    /// Where all names lead to; none until the host listens.
    names: watch::Sender<Option<Names>>,
    state: Mutex<State>,
}

/// Where an authority looks for a host.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    Tls(SocketAddr),
    Http(SocketAddr),
}

#[derive(Default)]
struct State {
    fault: Fault,
    /// The key of external accounts, if it asks for them.
    external: Option<Vec<u8>>,
    /// How long certificates have been valid for, and still are.
    validity: Option<(Duration, Duration)>,
    nonces: BTreeSet<String>,
    made: usize,
    accounts: BTreeMap<usize, Account>,
    orders: BTreeMap<usize, Order>,
}

struct Account {
    /// The point of the curve.
    key: Vec<u8>,
    thumbprint: String,
    contact: Vec<String>,
}

#[derive(Clone)]
struct Order {
    name: String,
    account: usize,
    token: String,
    /// None while it is not validated.
    validated: Option<Result<(), String>>,
    certificate: Option<String>,
}

impl AcmeServer {
    /// One that is away: nothing listens at its address.
    pub fn away() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let authority = Authority::new();
        authority.write("acme", &["localhost", "127.0.0.1"]);
        let shared = Arc::new(Shared {
            authority,
            url: format!("https://{address}"),
            names: watch::channel(None).0,
            state: Mutex::default(),
        });
        Self {
            shared,
            socket: Mutex::new(Some(socket)),
            serving: Mutex::new(None),
        }
    }

    pub fn start() -> Self {
        let server = Self::away();
        server.come();
        server
    }

    /// It is there from now on.
    pub fn come(&self) {
        let listener = self.socket.lock().take().unwrap().listen(64).unwrap();
        let serving = tokio::spawn(serve::accept(listener, Arc::clone(&self.shared)));
        *self.serving.lock() = Some(serving);
    }

    pub fn directory(&self) -> String {
        format!("{}/directory", self.shared.url)
    }

    /// The authority of its own certificate and of those that it issues.
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// The file of that authority.
    pub fn ca_file(&self) -> PathBuf {
        self.shared.authority.path("authority.pem")
    }

    pub fn misbehave(&self, fault: Fault) {
        self.shared.state.lock().fault = fault;
    }

    /// Where all names lead to. Validations wait for it.
    pub fn names_lead_to(&self, names: Names) {
        self.shared.names.send_replace(Some(names));
    }

    /// Accounts must be bound to an external one with this key.
    pub fn bind_accounts(&self, key: &[u8]) {
        self.shared.state.lock().external = Some(key.to_vec());
    }

    /// Certificates from now on have been valid for some time, and are for some
    /// more.
    pub fn issue_for(&self, before: Duration, after: Duration) {
        self.shared.state.lock().validity = Some((before, after));
    }

    pub fn forget_accounts(&self) {
        self.shared.state.lock().accounts.clear();
    }

    /// The contacts of each account.
    pub fn accounts(&self) -> Vec<Vec<String>> {
        let state = self.shared.state.lock();
        let accounts = state.accounts.values();
        accounts.map(|it| it.contact.clone()).collect()
    }

    /// The name of each order.
    pub fn orders(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        state.orders.values().map(|it| it.name.clone()).collect()
    }
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            serving.abort();
        }
    }
}
