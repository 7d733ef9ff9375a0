//! Key sets that a host fetches from issuers, which fail in every way. Runs the
//! real binary, and an issuer that is a few lines of HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::harness::tls::Authority;
use crate::harness::{ASK_AGAIN, Client, Serving, within};

/// How the issuer fails at each path, until it is asked to do well.
const FAILURES: [&str; 7] = [
    "html", "empty", "huge", "twice", "redirect", "closed", "slow",
];

struct Issuer {
    address: SocketAddr,
    key: Ed25519KeyPair,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    set: String,
    /// All paths are as they should be.
    well: AtomicBool,
    asked: Mutex<BTreeMap<String, u32>>,
    /// A handshake of TLS has failed.
    distrusted: AtomicBool,
}

impl Issuer {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With TLS, if it has a certificate.
    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x});
        let state = Arc::new(State {
            set: json!({"keys": [jwk]}).to_string(),
            well: AtomicBool::new(false),
            asked: Mutex::default(),
            distrusted: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let (state, tls) = (Arc::clone(&state), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => answer(socket, state).await,
                            // A host that does not trust it ends the handshake.
                            Some(tls) => match tls.accept(socket).await {
                                Ok(socket) => answer(socket, state).await,
                                Err(_) => state.distrusted.store(true, Ordering::SeqCst),
                            },
                        }
                    });
                }
            }
        });
        Self {
            address,
            key,
            state,
            serving,
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "tokens end by the clock on the wall"
    )]
    fn token(&self) -> String {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let end = since.unwrap().as_secs() + 600;
        let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encoded(json!({"alg": "EdDSA", "kid": "one"}));
        let claims = encoded(json!({"sub": "ann", "exp": end, "iss": "http://127.0.0.1:9"}));
        let text = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn asked(&self, path: &str) -> u32 {
        self.state.asked.lock().get(path).copied().unwrap_or(0)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one request, well or not.
async fn answer(socket: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let mut socket = BufReader::new(socket);
    let mut target = String::new();
    socket.read_line(&mut target).await.unwrap_or(0);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if socket.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let path = target.split(' ').nth(1).unwrap_or_default().to_owned();
    let path = path.trim_start_matches('/').to_owned();
    *state.asked.lock().entry(path.clone()).or_default() += 1;
    let set = state.set.clone();
    let failing = if state.well.load(Ordering::SeqCst) {
        ""
    } else {
        path.as_str()
    };
    let (head, body) = match failing {
        "html" => ("200 OK", "<!doctype html><title>sign in</title>".to_owned()),
        "empty" => ("200 OK", String::new()),
        "huge" => ("200 OK", format!("{set}{}", " ".repeat(1 << 20))),
        "twice" => ("200 OK", {
            let other = URL_SAFE_NO_PAD.encode([1; 32]);
            let other = json!({"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": other});
            set.replace("]}", &format!(",{other}]}}"))
        }),
        "redirect" => ("302 Found\r\nLocation: /elsewhere", String::new()),
        "closed" => return,
        _ => ("200 OK", set),
    };
    let mut text = format!(
        "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let is_slow = failing == "slow";
    if is_slow {
        text.truncate(text.len() - 1);
    }
    // A host that has read enough goes away.
    let _ = socket.get_mut().write_all(text.as_bytes()).await;
    if is_slow {
        // Until the host gives up.
        let _ = socket.read_line(&mut line).await;
    }
}

/// The status and the word of a refusal; nothing if the token lets in.
async fn ask(host: SocketAddr, path: &str, token: &str) -> Option<(u16, String)> {
    let authorization = format!("Bearer {token}");
    let asked = Client::open(host, path, &[("authorization", &authorization)]).await;
    let refused = asked.err()?;
    let word = refused.headers.get("openline-error-type").unwrap();
    Some((refused.status, word.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn a_failing_issuer_keeps_only_its_own_peers_out_until_it_is_well() {
    let issuer = Issuer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let component = openline_guests::ECHO;
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
         [[function]]\nname = \"f\"\ncomponent = {component:?}\n"
    );
    for path in FAILURES.iter().chain(&["good"]) {
        text += &format!(
            "[[function.trigger]]\nroute = \"/{path}\"\nauth = \"jwt\"\n\
             [function.trigger.jwt]\njwks_url = \"http://{}/{path}\"\n",
            issuer.address
        );
    }
    let config = folder.path().join("openline.toml");
    fs::write(&config, text).unwrap();
    let serving = Serving::start(&["serve", "--config", config.to_str().unwrap()]).await;
    let (host, token) = (serving.address, issuer.token());
    let until_let_in = async |path: &str| {
        let trying = async {
            while let Some(refused) = ask(host, path, &token).await {
                assert_eq!(refused, (503, "token_keys_unavailable".into()), "{path}");
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        within("the keys", trying).await;
    };
    until_let_in("/good").await;
    for path in FAILURES {
        let asking = async {
            while issuer.asked(path) == 0 {
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        within("the host to ask", asking).await;
        let refused = ask(host, &format!("/{path}"), &token).await;
        assert_eq!(
            refused,
            Some((503, "token_keys_unavailable".into())),
            "{path}"
        );
    }
    issuer.state.well.store(true, Ordering::SeqCst);
    for path in FAILURES {
        until_let_in(&format!("/{path}")).await;
    }
    assert_eq!(issuer.asked("elsewhere"), 0, "redirects are not followed");
    // Without the issuer, what is known stays in force.
    let asked = issuer.asked("good");
    let forged = {
        let other = Issuer::start().await;
        other.token()
    };
    drop(issuer);
    assert_eq!(asked, 1);
    assert_eq!(ask(host, "/good", &token).await, None);
    let answer = ask(host, "/good", &forged).await;
    assert_eq!(answer, Some((401, "token_invalid".into())));
}

/// A configuration with a trigger for the key set at each of these addresses.
fn config(urls: &[String]) -> String {
    let component = openline_guests::ECHO;
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
         [[function]]\nname = \"f\"\ncomponent = {component:?}\n"
    );
    for (number, url) in urls.iter().enumerate() {
        text += &format!(
            "[[function.trigger]]\nname = \"t{number}\"\nroute = \"/{number}\"\nauth = \"jwt\"\n\
             [function.trigger.jwt]\njwks_url = \"{url}\"\naudience = \"chat\"\n"
        );
    }
    text
}

/// The status and the text of the answer to `/.openline/ready`.
async fn ready(host: SocketAddr) -> (u16, String) {
    let mut socket = TcpStream::connect(host).await.unwrap();
    let request = "GET /.openline/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = socket.read_to_string(&mut answer);
    within("the answer to a probe", reading).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    (status, text.to_owned())
}

async fn until_ready(host: SocketAddr) {
    let trying = async {
        while ready(host).await.0 != 200 {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    within("the host to be ready", trying).await;
}

#[tokio::test]
async fn a_host_is_ready_when_it_has_asked_each_issuer_once() {
    // An issuer that does not answer before it is told to.
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let held_at = held.local_addr().unwrap();
    // An issuer that is down, and one that fails.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_at = closed.local_addr().unwrap();
    drop(closed);
    let issuer = Issuer::start().await;
    let urls = [
        format!("http://{held_at}/"),
        format!("http://{closed_at}/"),
        format!("http://{}/html", issuer.address),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openline.toml");
    fs::write(&path, config(&urls)).unwrap();
    let serving = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let accepting = within("the host to ask", held.accept());
    let (mut asked, _) = accepting.await.unwrap();
    let expected = (503, "waiting for keys\n".to_owned());
    assert_eq!(ready(serving.address).await, expected);
    let set = issuer.state.set.clone();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{set}",
        set.len()
    );
    asked.write_all(answer.as_bytes()).await.unwrap();
    until_ready(serving.address).await;

    // A reload with another issuer that does not answer does not take it away.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other_at = other.local_addr().unwrap();
    let more = [&urls[..], &[format!("http://{other_at}/")]].concat();
    fs::write(&path, config(&more)).unwrap();
    serving.signal("HUP").await;
    let accepting = within("the host to ask the new issuer", other.accept());
    let _asked = accepting.await.unwrap();
    assert_eq!(ready(serving.address).await.0, 200);
}

/// An issuer that never answers keeps only its own peers out.
#[tokio::test]
async fn a_host_is_ready_without_an_issuer_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openline.toml");
    fs::write(&path, config(&[url])).unwrap();
    let serving = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    until_ready(serving.address).await;
    let refused = ask(serving.address, "/0", "a.b.c").await;
    assert_eq!(refused, Some((503, "token_keys_unavailable".into())));
}

/// A listener whose queue is full, so that the system drops what else connects,
/// and the connections that fill it. Nothing on a machine without IPv6.
async fn black_hole(port: u16) -> Option<(TcpListener, Vec<TcpStream>)> {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let socket = TcpSocket::new_v6().ok()?;
    socket.bind(address).ok()?;
    let listener = socket.listen(1).ok()?;
    let mut filling = Vec::new();
    // Where it never fills up, the host is not held up, either.
    for _ in 0..64 {
        let connecting = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(500), connecting).await {
            Ok(connected) => filling.push(connected.ok()?),
            Err(_) => break,
        }
    }
    Some((listener, filling))
}

#[tokio::test]
async fn one_dead_address_of_an_issuer_keeps_no_keys_away() {
    let issuer = Issuer::start().await;
    let port = issuer.address.port();
    let _dead = black_hole(port).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("openline.toml");
    let text = config(&[format!("http://localhost:{port}/good")]);
    fs::write(&path, text.replace("audience = \"chat\"\n", "")).unwrap();
    let serving = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    until_ready(serving.address).await;
    let token = issuer.token();
    assert_eq!(ask(serving.address, "/0", &token).await, None);
    assert_eq!(issuer.asked("good"), 1, "by the first fetch");
}

/// A configuration with one trigger at `/a`, whose keys come from there.
fn configured(folder: &Path, url: &str, more: &str) -> String {
    let component = openline_guests::ECHO;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
         [[function]]\nname = \"f\"\ncomponent = {component:?}\n\
         [[function.trigger]]\nroute = \"/a\"\nauth = \"jwt\"\n\
         [function.trigger.jwt]\njwks_url = \"{url}\"\n{more}"
    );
    let path = folder.join("openline.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const UNAVAILABLE: &str = "token_keys_unavailable";

/// An issuer with a certificate of this authority, for this name.
async fn with_tls(authority: &Authority, name: &str) -> Issuer {
    let (certificate, key) = authority.issue(&[name], |_| {});
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Issuer::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
}

/// The authorities of the system are those of `SSL_CERT_FILE`, if that is set.
#[tokio::test]
async fn over_tls_keys_come_from_those_whom_the_system_trusts() {
    let authority = Authority::new();
    let trusted = authority.path("authority.pem").display().to_string();
    let stranger = Authority::new();
    for (issuer, is_trusted) in [
        (with_tls(&authority, "localhost").await, true),
        (with_tls(&stranger, "localhost").await, false),
        (with_tls(&authority, "elsewhere.example.org").await, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("https://localhost:{}/a", issuer.address.port());
        let config = configured(folder.path(), &url, "");
        let export = format!("export SSL_CERT_FILE='{trusted}'");
        let serving = Serving::under(&export, &["serve", "--config", &config]).await;
        let (host, token) = (serving.address, issuer.token());
        let asking = async {
            loop {
                let answer = ask(host, "/a", &token).await;
                match (answer, is_trusted) {
                    (None, true) => return,
                    (None, false) => panic!("keys of a stranger were taken"),
                    (Some(refused), _) => assert_eq!(refused, (503, UNAVAILABLE.into())),
                }
                if issuer.state.distrusted.load(Ordering::SeqCst) {
                    assert!(!is_trusted);
                    return;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        within("the host to ask", asking).await;
        assert_eq!(issuer.asked("a") > 0, is_trusted);
    }
}

/// The shortest `jwks_stale` is half a minute, and this waits for it.
#[tokio::test]
async fn keys_end_when_their_issuer_is_away_for_too_long() {
    const STALE: Duration = Duration::from_secs(30);
    let issuer = Issuer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}/a", issuer.address);
    let times = "jwks_refresh = \"30 s\"\njwks_stale = \"30 s\"\n";
    let config = configured(folder.path(), &url, times);
    let begun = tokio::time::Instant::now();
    let serving = Serving::start(&["serve", "--config", &config]).await;
    let (host, token) = (serving.address, issuer.token());
    let letting_in = async {
        while ask(host, "/a", &token).await.is_some() {
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    within("the keys", letting_in).await;
    drop(issuer);
    let ending = async {
        loop {
            if let Some(refused) = ask(host, "/a", &token).await {
                return refused;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    let refused = tokio::time::timeout(4 * STALE, ending).await;
    assert_eq!(refused.unwrap(), (503, UNAVAILABLE.into()));
    assert!(begun.elapsed() >= STALE, "{:?}", begun.elapsed());
}
