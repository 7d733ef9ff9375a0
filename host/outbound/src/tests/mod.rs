//! Calls to real sockets: what other hosts do wrong, and what names lead to.

mod addresses;
mod answers;
mod reuse;
mod secure;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use openline_core::config::ServerConfig;
use openline_core::limits::FunctionLimits;
use openline_core::name::FunctionName;
use openline_core::outbound::{OutboundConfig, OutboundRule, OutboundRules};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::{
    AnswerBody, CallBody, CallOptions, FunctionOutbound, Outbound, OutboundError, Resolve,
    Resolving, SystemRoots, Terms,
};

/// Long enough for a busy machine, and still an end.
const SOON: Duration = Duration::from_secs(20);

/// What a name leads to, after so many look-ups.
type Found = dyn Fn(&str, u32) -> Vec<&'static str> + Send + Sync;

/// What names lead to, and which were asked for.
pub(super) struct Names {
    found: Box<Found>,
    asked: Mutex<Vec<String>>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Names {
    /// The function gets the name and how often any was asked for before.
    pub(super) fn new(
        found: impl Fn(&str, u32) -> Vec<&'static str> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            found: Box::new(found),
            asked: Mutex::default(),
        })
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Resolve for Names {
    fn resolve(&self, name: &str) -> Resolving {
        let mut asked = self.asked.lock();
        let before = u32::try_from(asked.len()).unwrap();
        asked.push(name.to_owned());
        let found = (self.found)(name, before);
        let found: Vec<IpAddr> = found.iter().map(|it| it.parse().unwrap()).collect();
        Box::pin(async move { Ok(found) })
    }
}

/// A function with its host.
pub(super) struct Function {
    pub(super) outbound: Arc<Outbound>,
    pub(super) calls: Arc<FunctionOutbound>,
}

pub(super) fn rules(hosts: &[&str]) -> OutboundRules {
    let rule = |host: &&str| match host.strip_prefix("private ") {
        Some(host) => OutboundRule::new(host, true).unwrap(),
        None => OutboundRule::new(host, false).unwrap(),
    };
    OutboundRules::new(hosts.iter().map(rule).collect())
}

pub(super) fn terms(hosts: &[&str], limits: &FunctionLimits) -> Terms {
    let config = OutboundConfig {
        rules: rules(hosts),
        roots: Vec::new(),
    };
    Terms::read(&config, limits, &SystemRoots::none()).unwrap()
}

impl Function {
    /// May call these hosts, whose names are as given.
    pub(super) fn new(
        hosts: &[&str],
        names: Arc<Names>,
        change: impl FnOnce(&mut FunctionLimits),
    ) -> Self {
        let mut limits = FunctionLimits::default();
        change(&mut limits);
        Self::with(terms(hosts, &limits), names)
    }

    pub(super) fn with(terms: Terms, names: Arc<Names>) -> Self {
        let config = ServerConfig::default();
        let outbound = Outbound::with_resolver(&config, names, Handle::current());
        let calls = outbound.function(&FunctionName::new("f").unwrap(), terms);
        Self { outbound, calls }
    }

    /// May call everything on this machine.
    pub(super) fn at_home(change: impl FnOnce(&mut FunctionLimits)) -> (Self, &'static str) {
        let mut limits = FunctionLimits::default();
        change(&mut limits);
        let config = OutboundConfig {
            rules: OutboundRules::default(),
            roots: Vec::new(),
        };
        let none = Terms::read(&config, &limits, &SystemRoots::none()).unwrap();
        (Self::with(none, home()), "home.example")
    }

    /// Lets it call a port of this machine by the name `home.example`.
    pub(super) fn allow(&self, port: u16, change: impl FnOnce(&mut FunctionLimits)) {
        let mut limits = FunctionLimits::default();
        change(&mut limits);
        let host = format!("private home.example:{port}");
        self.calls.replace(terms(&[&host], &limits));
    }

    pub(super) async fn get(&self, url: &str) -> Result<Response<AnswerBody>, OutboundError> {
        self.call(request(url)).await
    }

    pub(super) async fn call(
        &self,
        request: Request<CallBody>,
    ) -> Result<Response<AnswerBody>, OutboundError> {
        let call = self.calls.call(request, CallOptions::default());
        tokio::time::timeout(SOON, call).await.unwrap()
    }

    /// The body of an answer, or why there is none.
    pub(super) async fn text(&self, url: &str) -> Result<String, OutboundError> {
        text(self.get(url).await?).await
    }
}

/// This machine is `home.example`.
pub(super) fn home() -> Arc<Names> {
    Names::new(|_, _| vec!["127.0.0.1"])
}

/// A function that may call a server of this machine, and the server's URL.
pub(super) fn calling(server: &Server, change: impl Fn(&mut FunctionLimits)) -> (Function, String) {
    let (function, name) = Function::at_home(|_| {});
    function.allow(server.port(), change);
    let url = format!("http://{name}:{}/", server.port());
    (function, url)
}

pub(super) fn request(url: &str) -> Request<CallBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(body).unwrap()
}

pub(super) fn post(url: &str, bytes: impl Into<Bytes>) -> Request<CallBody> {
    let body = Full::new(bytes.into()).map_err(|never| match never {});
    Request::post(url).body(body.boxed_unsync()).unwrap()
}

/// A request whose body comes from a channel: `None` ends it with an error.
pub(super) fn streamed(url: &str) -> (Request<CallBody>, tokio::sync::mpsc::Sender<Option<Bytes>>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Option<Bytes>>(1);
    let frames = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|next| {
            next.map(|bytes| match bytes {
                Some(bytes) => Ok(http_body::Frame::data(bytes)),
                None => Err("the function fails".into()),
            })
        })
    });
    let body = StreamBody::new(frames).boxed_unsync();
    (Request::post(url).body(body).unwrap(), sender)
}

pub(super) async fn text(answer: Response<AnswerBody>) -> Result<String, OutboundError> {
    let read = answer.into_body().collect();
    let bytes = tokio::time::timeout(SOON, read).await.unwrap()?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// Polls until something is so.
pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(SOON, waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

/// A server of this machine that does what a test says with each TCP connection.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(super) async fn new<F>(does: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                all.spawn(does(stream));
            }
        });
        Self {
            address,
            accepted,
            task,
        }
    }

    /// Writes the same bytes after each head of a request, and keeps the
    /// connection open.
    pub(super) async fn saying(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::new(move |mut stream| {
            let bytes = bytes.clone();
            async move {
                while head(&mut stream).await.is_some() {
                    let _ = stream.write_all(&bytes).await;
                }
            }
        })
        .await
    }

    /// The same, and closes the connection.
    pub(super) async fn saying_once(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::new(move |mut stream| {
            let bytes = bytes.clone();
            async move {
                head(&mut stream).await;
                let _ = stream.write_all(&bytes).await;
            }
        })
        .await
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the head of a request; `None` when the connection ends.
pub(super) async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.ok()?;
        read.push(byte);
    }
    Some(String::from_utf8(read).unwrap())
}
