//! Certificates that the host requests itself: of a small authority that really
//! connects to it, and misbehaves. Runs the real binary with a data directory.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::acme::{AcmeServer, Fault, Names};
use crate::harness::tls::connect;
use crate::harness::{Raw, Serving, eventually, openline, within};

const NAME: &str = "chat.example.org";

/// A host's configuration, in a folder of its own.
struct Configured {
    folder: TempDir,
}

impl Configured {
    /// `server` and `acme` are further lines of their tables.
    fn new(authority: &AcmeServer, hosts: &[&str], server: &str, acme: &str) -> Self {
        let configured = Self {
            folder: TempDir::new().unwrap(),
        };
        configured.write(authority, hosts, server, acme);
        configured
    }

    fn write(&self, authority: &AcmeServer, hosts: &[&str], server: &str, acme: &str) {
        let (directory, ca_file) = (authority.directory(), authority.ca_file());
        let echo = openline_guests::ECHO;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\ndata = \"data\"\n{server}\n\
             [server.tls.acme]\nterms_agreed = true\nhosts = {hosts:?}\n\
             directory = {directory:?}\nca_file = {ca_file:?}\n{acme}\n\
             [[function]]\nname = \"echo\"\ncomponent = {echo:?}\nroute = \"/echo\"\n"
        );
        fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("openline.toml")
    }

    async fn start(&self) -> Serving {
        let file = self.file();
        Serving::start(&["serve", "--config", file.to_str().unwrap()]).await
    }

    /// The host, to which all names lead.
    async fn start_for(&self, authority: &AcmeServer) -> Serving {
        let host = self.start().await;
        authority.names_lead_to(Names::Tls(host.address));
        host
    }

    /// The files that the host keeps of the authority, by name.
    fn kept(&self) -> Vec<PathBuf> {
        let all = self.folder.path().join("data/acme");
        let folder = fs::read_dir(all).unwrap().next().unwrap().unwrap().path();
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

async fn stop(host: Serving) {
    host.signal("TERM").await;
    assert_eq!(host.ended().await.0.code(), Some(0));
}

/// The certificate that a client gets for a name, if its handshake succeeds.
async fn shown(host: SocketAddr, authority: &AcmeServer, name: &str) -> Option<Vec<u8>> {
    let client = authority.authority().client(&[]);
    let stream = connect(host, name, client).await.ok()?;
    let certificates = stream.get_ref().1.peer_certificates();
    Some(certificates?[0].to_vec())
}

/// Waits until a client gets a certificate for a name that it trusts.
async fn served(host: SocketAddr, authority: &AcmeServer, name: &str) -> Vec<u8> {
    let asking = async {
        loop {
            if let Some(shown) = shown(host, authority, name).await {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("a certificate", asking).await
}

#[tokio::test]
async fn names_are_validated_by_tls_and_certificates_survive_a_restart() {
    let authority = AcmeServer::start();
    let names = [NAME, "other.example.org"];
    let contact = "contact = [\"ops@example.org\"]";
    let configured = Configured::new(&authority, &names, "", contact);
    let mut host = configured.start_for(&authority).await;
    for name in names {
        let missing = format!("warning: no valid certificate yet for {name}");
        host.told(&missing).await;
    }
    let mut before = Vec::new();
    for name in names {
        before.push(served(host.address, &authority, name).await);
    }
    assert_ne!(
        before[0], before[1],
        "each name has a certificate of its own"
    );
    assert_eq!(authority.orders(), names);
    assert_eq!(authority.accounts(), [["mailto:ops@example.org"]]);
    assert_eq!(
        shown(host.address, &authority, "nobody.example.org").await,
        None
    );
    // No one else gets the certificate of a challenge.
    let mut client = authority.authority().client(&[b"acme-tls/1"]);
    client.enable_sni = true;
    assert!(connect(host.address, NAME, client).await.is_err());
    stop(host).await;

    let files = configured.kept();
    let names_of = files
        .iter()
        .map(|it| it.file_name().unwrap().to_str().unwrap());
    let names_of: Vec<_> = names_of.collect();
    assert_eq!(
        names_of,
        [
            "account.json",
            "attempts.json",
            "chat.example.org.pem",
            "other.example.org.pem"
        ]
    );
    for file in files {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }

    let host = configured.start_for(&authority).await;
    for (name, before) in names.iter().zip(&before) {
        // At once: it was there before the host listened.
        let shown = shown(host.address, &authority, name).await;
        assert_eq!(shown.as_ref(), Some(before));
    }
    stop(host).await;
    assert_eq!(authority.orders().len(), 2, "nothing is ordered again");
    assert_eq!(authority.accounts().len(), 1);
}

#[tokio::test]
async fn a_name_is_validated_by_http_and_nothing_else_is_answered_there() {
    let authority = AcmeServer::start();
    let server = "acme_listen = \"127.0.0.1:0\"";
    let configured = Configured::new(&authority, &[NAME], server, "challenge = \"http-01\"");
    let mut host = configured.start().await;
    let challenges = loop {
        let line = host.line().await;
        if let Some(rest) = line.strip_prefix("challenges at http://") {
            break rest.split('/').next().unwrap().parse().unwrap();
        }
    };
    authority.names_lead_to(Names::Http(challenges));
    served(host.address, &authority, NAME).await;
    for path in [
        "/.well-known/acme-challenge/token-1",
        "/.well-known/acme-challenge/",
        "/.openline/ready",
        "/echo",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        let answer = Raw::request(challenges, &request).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    stop(host).await;
}

#[tokio::test]
async fn clients_that_must_show_a_certificate_do_not_keep_the_authority_out() {
    let authority = AcmeServer::start();
    let configured = Configured::new(&authority, &[NAME], "", "");
    let staff = authority.ca_file();
    let more = format!(
        "[server.tls]\nclient_certificates = \"required\"\nclient_authorities = {staff:?}\n"
    );
    let text = fs::read_to_string(configured.file()).unwrap();
    fs::write(configured.file(), text + &more).unwrap();
    let host = configured.start_for(&authority).await;
    // TLS 1.3 tells the client only afterwards that its certificate is missing.
    served(host.address, &authority, NAME).await;
    stop(host).await;
}

#[tokio::test]
async fn a_host_serves_and_is_ready_while_the_authority_is_away() {
    let authority = AcmeServer::away();
    let configured = Configured::new(&authority, &[NAME], "", "");
    authority.authority().write("file", &["localhost"]);
    let path = |name: &str| authority.authority().path(name);
    let (certificate, key) = (path("file.pem"), path("file-key.pem"));
    let file = format!("[[server.certificate]]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let text = fs::read_to_string(configured.file()).unwrap();
    fs::write(configured.file(), text + &file).unwrap();

    let checked = openline(&["check", "--config", configured.file().to_str().unwrap()]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let missing = "no valid certificate yet for chat.example.org";
    assert!(checked.stderr.contains(missing), "{}", checked.stderr);

    let mut host = configured.start_for(&authority).await;
    host.told("no connection to https://127.0.0.1").await;
    let client = authority.authority().client(&[b"http/1.1"]);
    let stream = connect(host.address, "localhost", client).await.unwrap();
    let answer = get(stream, "/.openline/ready").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(shown(host.address, &authority, NAME).await, None);
    assert!(authority.orders().is_empty());
    // It comes, and the operator has the host try again.
    authority.come();
    host.signal("HUP").await;
    served(host.address, &authority, NAME).await;
    stop(host).await;
}

async fn get(
    mut stream: tokio_rustls::client::TlsStream<tokio::net::TcpStream>,
    path: &str,
) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("an answer", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}

/// Starts a host with an authority that misbehaves, which the host must tell of;
/// then it behaves, and the host gets its certificate.
async fn recovers(fault: Fault, words: &str, hint: &str) {
    let authority = AcmeServer::start();
    authority.misbehave(fault);
    let configured = Configured::new(&authority, &[NAME], "", "");
    let mut host = configured.start_for(&authority).await;
    let line = loop {
        let line = host.line().await;
        if line.contains("trying again") {
            break line;
        }
    };
    assert!(
        line.contains(words) && line.contains(hint),
        "{fault:?}: {line}"
    );
    assert!(line.contains("WARN"), "{line}");
    assert!(!line.contains('\u{1b}'), "what it says is escaped: {line}");
    assert_eq!(shown(host.address, &authority, NAME).await, None);
    authority.misbehave(Fault::None);
    host.signal("HUP").await;
    served(host.address, &authority, NAME).await;
    stop(host).await;
}

#[tokio::test]
async fn an_authority_that_is_none_is_told_of_and_tried_again() {
    for (fault, words, hint) in [
        (
            Fault::Garbage,
            "not what it should be",
            "the URL of a directory",
        ),
        (
            Fault::Huge,
            "has more than 256 KiB",
            "the URL of a directory",
        ),
        (
            Fault::Redirect,
            "leads to `https://elsewhere.example/directory`",
            "name the URL",
        ),
        (
            Fault::Close,
            "does not answer as an authority does",
            "the URL of a directory",
        ),
        (
            Fault::Broken,
            "answers 502 without saying why",
            "the URL of a directory",
        ),
    ] {
        recovers(fault, words, hint).await;
    }
}

#[tokio::test]
async fn an_order_that_is_refused_or_odd_is_told_of_and_tried_again() {
    for (fault, words, hint) in [
        (Fault::RateLimited, "rateLimited", "a limit that is reached"),
        (
            Fault::OtherName,
            "about another name",
            "the authority that you mean",
        ),
        (
            Fault::TwoNames,
            "about 2 names",
            "the authority that you mean",
        ),
    ] {
        recovers(fault, words, hint).await;
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_not_kept() {
    for (fault, words, hint) in [
        (
            Fault::OtherCertificate,
            "is for other.example.org",
            "the authority that you mean",
        ),
        (Fault::OtherKey, "key", "the authority that you mean"),
        (
            Fault::NoCertificate,
            "cannot be used",
            "the authority that you mean",
        ),
        (Fault::Ended, "has expired already", "set the clock"),
    ] {
        recovers(fault, words, hint).await;
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_told_of_and_keeps_no_other_waiting() {
    let authority = AcmeServer::start();
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    drop(elsewhere);
    let configured = Configured::new(&authority, &[NAME], "", "");
    let mut host = configured.start().await;
    authority.names_lead_to(Names::Tls(address));
    host.told("the authority has not validated the name").await;
    // Another name is ordered although this one waits.
    authority.names_lead_to(Names::Tls(host.address));
    configured.write(&authority, &["other.example.org", NAME], "", "");
    host.signal("HUP").await;
    served(host.address, &authority, "other.example.org").await;
    stop(host).await;
}

#[tokio::test]
async fn a_certificate_is_renewed_and_no_connection_is_dropped() {
    let authority = AcmeServer::start();
    // Two thirds of its time have passed when it is issued.
    let (before, after) = (Duration::from_secs(40), Duration::from_secs(20));
    authority.issue_for(before, after);
    let configured = Configured::new(&authority, &[NAME], "", "");
    let host = configured.start_for(&authority).await;
    let first = served(host.address, &authority, NAME).await;
    let client = authority.authority().client(&[b"http/1.1"]);
    let stream = connect(host.address, NAME, client).await.unwrap();
    let opening = tokio_tungstenite::client_async(format!("wss://{NAME}/echo"), stream);
    let (mut socket, _) = within("a handshake", Box::pin(opening)).await.unwrap();
    authority.issue_for(before, Duration::from_secs(24 * 60 * 60));
    eventually("a second order", || authority.orders().len() == 2).await;
    let asking = async {
        while served(host.address, &authority, NAME).await == first {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("the new certificate", asking).await;
    socket.send(Message::text("still here")).await.unwrap();
    let answer = within("an answer", socket.next()).await.unwrap().unwrap();
    assert_eq!(answer, Message::text("still here"));
    assert_eq!(authority.orders().len(), 2, "the new one is not due");
    drop(socket);
    stop(host).await;
}

#[tokio::test]
async fn an_account_is_bound_to_an_external_one() {
    let authority = AcmeServer::start();
    authority.bind_accounts(&[0xfb, 0xff, 7, 7]);
    let configured = Configured::new(&authority, &[NAME], "", "");
    let mut host = configured.start_for(&authority).await;
    host.told("set `external_account`").await;
    let key = configured.folder.path().join("key");
    fs::write(&key, "+/8HBw==\n").unwrap();
    let external = "external_account = \"mine\"\nexternal_account_key_file = \"key\"";
    configured.write(&authority, &[NAME], "", external);
    host.signal("HUP").await;
    served(host.address, &authority, NAME).await;
    stop(host).await;
}

#[tokio::test]
async fn an_authority_that_has_forgotten_the_account_gets_another_one() {
    let authority = AcmeServer::start();
    let configured = Configured::new(&authority, &[NAME], "", "");
    let mut host = configured.start_for(&authority).await;
    served(host.address, &authority, NAME).await;
    authority.forget_accounts();
    let more = [NAME, "other.example.org"];
    configured.write(&authority, &more, "", "contact = []");
    host.signal("HUP").await;
    host.told("accountDoesNotExist").await;
    host.signal("HUP").await;
    served(host.address, &authority, "other.example.org").await;
    assert_eq!(authority.accounts().len(), 1);
    assert_eq!(authority.orders().len(), 2, "the other certificate is kept");
    stop(host).await;
}

#[tokio::test]
async fn a_damaged_certificate_is_requested_anew() {
    let authority = AcmeServer::start();
    let configured = Configured::new(&authority, &[NAME], "", "");
    let host = configured.start_for(&authority).await;
    let before = served(host.address, &authority, NAME).await;
    stop(host).await;
    let kept = configured.kept();
    let file = kept.iter().find(|it| it.ends_with("chat.example.org.pem"));
    let file = file.unwrap();
    let text = fs::read(file).unwrap();
    fs::write(file, &text[..text.len() / 2]).unwrap();
    let host = configured.start_for(&authority).await;
    let after = served(host.address, &authority, NAME).await;
    assert_ne!(before, after);
    assert_eq!(authority.orders().len(), 2);
    stop(host).await;
}

#[tokio::test]
async fn files_that_are_missing_are_told_of_at_the_start() {
    let authority = AcmeServer::start();
    let external = "external_account = \"mine\"\nexternal_account_key_file = \"no-such-key\"";
    let configured = Configured::new(&authority, &[NAME], "", external);
    let file = configured.file();
    for command in ["check", "serve"] {
        let ended = openline(&[command, "--config", file.to_str().unwrap()]).await;
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(
            ended.stderr.contains("no-such-key: it cannot be read"),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains("hint: name a file"),
            "{}",
            ended.stderr
        );
    }
    assert!(authority.accounts().is_empty());
}

/// Pebble, the test server of Let's Encrypt, for a name that leads to this
/// machine. `None` when the environment asks to do without.
struct Pebble {
    _process: tokio::process::Child,
    directory: String,
}

impl Pebble {
    /// `validates` is the port at which it looks for names, by TLS or by HTTP.
    async fn start(own: &AcmeServer, folder: &TempDir, validates: u16) -> Option<Self> {
        if std::env::var("OPENLINE_SKIP_PEBBLE").is_ok_and(|value| value == "1") {
            println!("skipped: OPENLINE_SKIP_PEBBLE is 1");
            return None;
        }
        let needs = "this test needs Pebble: install it (`scripts/pebble.sh` does on Debian), \
                     or set OPENLINE_SKIP_PEBBLE=1";
        let (address, management) = (free_address().await, free_address().await);
        let path = |name: &str| own.authority().path(name);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": path("acme.pem"),
            "privateKey": path("acme-key.pem"),
            "httpPort": validates,
            "tlsPort": validates,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        } });
        let file = folder.path().join("pebble.json");
        fs::write(&file, config.to_string()).unwrap();
        let process = tokio::process::Command::new("pebble")
            .args(["-strict", "-config", file.to_str().unwrap()])
            // It refuses a part of all nonces anyway; it need not wait.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect(needs);
        let knocking = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within("pebble to listen", knocking).await;
        Some(Self {
            _process: process,
            directory: format!("https://{address}/dir"),
        })
    }
}

/// An address that is free now.
async fn free_address() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn pebble_issues_certificates_after_either_challenge() {
    // Its own certificate is of this one's authority.
    let own = AcmeServer::away();
    for challenge in ["tls-alpn-01", "http-01"] {
        let (listen, challenges) = (free_address().await, free_address().await);
        let (server, validates) = match challenge {
            "http-01" => (format!("acme_listen = \"{challenges}\""), challenges.port()),
            _ => (String::new(), listen.port()),
        };
        let acme = format!("challenge = {challenge:?}");
        let configured = Configured::new(&own, &["localhost"], &server, &acme);
        let Some(pebble) = Pebble::start(&own, &configured.folder, validates).await else {
            return;
        };
        let text = fs::read_to_string(configured.file()).unwrap();
        let text = text.replace(&own.directory(), &pebble.directory);
        let text = text.replace("127.0.0.1:0", &listen.to_string());
        fs::write(configured.file(), text).unwrap();
        let mut host = configured.start().await;
        host.told("read certificates again: localhost").await;
        stop(host).await;
        let kept = configured.kept();
        assert!(
            kept.iter().any(|it| it.ends_with("localhost.pem")),
            "{kept:?}"
        );
        // It is not ordered again.
        let host = configured.start().await;
        let client = own.authority().client(&[]);
        let error = connect(host.address, "localhost", client)
            .await
            .unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("UnknownIssuer"),
            "a certificate of Pebble's: {words}"
        );
        stop(host).await;
    }
}
