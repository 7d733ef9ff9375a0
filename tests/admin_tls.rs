//! TLS of the admin interface and of probes, and the commands that ask over it.

use std::fs;
use std::net::SocketAddr;

use openline_gateway::front::PROBES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::tls::{Authority, connect};
use crate::harness::{Raw, Serving, openline, openline_with, within};

/// A host whose own listeners speak TLS as `host`, a certificate for
/// `localhost`, and that of connections does not.
struct Secured {
    authority: Authority,
    host: Serving,
    admin: u16,
    probes: SocketAddr,
}

fn config(listeners: &str) -> String {
    let echo = openline_guests::ECHO;
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nprobes = \"127.0.0.1:0\"\n\
         [[server.certificate]]\ncertificate = \"host.pem\"\nkey = \"host-key.pem\"\n\
         listeners = {listeners}\n\
         [[function]]\nname = \"echo\"\ncomponent = {echo:?}\nroute = \"/echo\"\n"
    )
}

impl Secured {
    async fn start() -> Self {
        let authority = Authority::new();
        authority.write("host", &["localhost"]);
        let path = authority.path("openline.toml");
        fs::write(&path, config("[\"admin\", \"probes\"]")).unwrap();
        let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
        let admin = address(&mut host, "admin ").await.port();
        let probes = address(&mut host, "probes at ").await;
        Self {
            authority,
            host,
            admin,
            probes,
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.admin)
    }

    fn ca(&self) -> String {
        let path = self.authority.path("authority.pem");
        path.to_str().unwrap().to_owned()
    }
}

/// The address behind a word at the beginning of a line; it speaks TLS.
async fn address(host: &mut Serving, word: &str) -> SocketAddr {
    loop {
        let line = host.line().await;
        if let Some(url) = line.strip_prefix(word) {
            let rest = url.trim().strip_prefix("https://").unwrap();
            return rest.split('/').next().unwrap().parse().unwrap();
        }
    }
}

#[tokio::test]
async fn commands_ask_over_tls_and_say_whom_they_do_not_trust() {
    let secured = Secured::start().await;
    let (url, ca) = (secured.url(), secured.ca());
    let trusting = ["--admin", &url, "--ca", &ca];
    let ended = openline(&[&["functions"][..], &trusting].concat()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("echo"), "{}", ended.stdout);
    // A body of many pieces.
    let deploy = ["deploy", "echo", openline_guests::CHAT];
    let ended = openline(&[&deploy[..], &trusting].concat()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let variables = [("OPENLINE_ADMIN", &*url), ("OPENLINE_ADMIN_CA", &*ca)];
    let ended = openline_with(&variables, &["versions", "echo"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 3, "{}", ended.stdout);

    let failed = async |arguments: &[&str], words: &[&str]| {
        let ended = openline(&[&["functions"][..], arguments].concat()).await;
        ended.failed(1, words);
    };
    let untrusted = ["of an authority that is not trusted here", "--ca FILE"];
    failed(&["--admin", &url], &untrusted).await;
    let stranger = Authority::new();
    let other = stranger.path("authority.pem");
    let other = other.to_str().unwrap();
    failed(&["--admin", &url, "--ca", other], &untrusted).await;
    let number = format!("https://127.0.0.1:{}", secured.admin);
    let words = ["a certificate that is not for `127.0.0.1`", "\nhint: "];
    failed(&["--admin", &number, "--ca", &ca], &words).await;
    let plain = format!("http://localhost:{}", secured.admin);
    let words = ["does not answer as the admin interface", "`https://`"];
    failed(&["--admin", &plain], &words).await;
    let connections = format!("https://{}", secured.host.address);
    let words = ["does not speak TLS", "write `http://`"];
    failed(&["--admin", &connections, "--ca", &ca], &words).await;
    let missing = secured.authority.path("missing.pem");
    let missing = missing.to_str().unwrap();
    let words = [
        "missing.pem",
        "name the file of the authority's certificate",
    ];
    failed(&["--admin", &url, "--ca", missing], &words).await;
    let key = secured.authority.path("host-key.pem");
    let words = ["it holds no certificate", "BEGIN CERTIFICATE"];
    failed(&["--admin", &url, "--ca", key.to_str().unwrap()], &words).await;
}

#[tokio::test]
async fn certificates_of_the_admin_interface_are_replaced_and_removed() {
    let mut secured = Secured::start().await;
    let stranger = Authority::new();
    let issued = stranger.issue(&["localhost"], |_| {});
    secured.authority.write_as("host", &issued);
    secured
        .host
        .told("read certificates again: localhost")
        .await;
    let theirs = stranger.path("authority.pem");
    let url = secured.url();
    let trusting = [
        "functions",
        "--admin",
        &url,
        "--ca",
        theirs.to_str().unwrap(),
    ];
    let ended = openline(&trusting).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    // For connections now, and no longer for the admin interface.
    let path = secured.authority.path("openline.toml");
    fs::write(path, config("[\"listen\"]")).unwrap();
    secured.host.signal("HUP").await;
    secured.host.told("reloaded: ").await;
    let plain = format!("http://localhost:{}", secured.admin);
    let ended = openline(&["functions", "--admin", &plain]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = openline(&trusting).await;
    ended.failed(1, &["does not speak TLS", "\nhint: "]);
    let client = stranger.client(&[]);
    let stream = connect(secured.host.address, "localhost", client).await;
    drop(stream.unwrap());
}

#[tokio::test]
async fn probes_over_tls_are_answered_beside_clients_that_never_finish_a_handshake() {
    let secured = Secured::start().await;
    // The beginning of a client hello, and no more.
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    let mut slow = Vec::new();
    for _ in 0..PROBES_MAX {
        let mut raw = Raw::connect(secured.probes).await;
        raw.send(&hello).await;
        slow.push(raw);
    }
    // One more than there are places: the oldest client makes room. Probes of
    // orchestrators name no host and ask by the address, so the first
    // certificate is shown to them.
    for _ in 0..2 {
        let client = secured.authority.client(&[]);
        let mut stream = connect(secured.probes, "localhost", client).await.unwrap();
        let request = "GET /.openline/live HTTP/1.1\r\nHost: probes\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        within("an answer", reading).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(slow[0].is_ended().await);
    let client = secured.authority.client(&[]);
    let refused = connect(secured.probes, "127.0.0.1", client)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("name"), "{refused}");
}
