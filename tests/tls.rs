//! TLS on the listener of connections: certificates by name, clients with
//! certificates, files that change while connections are open, and peers that
//! misbehave during a handshake.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openline_core::config::{ClientCertificates, ServerConfig};
use rcgen::date_time_ymd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::tls::{Authority, connect};
use crate::harness::{Browser, HANDSHAKE, Host, Raw, Serving, eventually, openline, within};

type WebSocket = WebSocketStream<TlsStream<TcpStream>>;

async fn host(authority: &Authority, change: impl FnOnce(&mut ServerConfig)) -> Host {
    Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.certificate = vec![authority.certificate("host", &["localhost"], true)];
            change(server);
        })
        .start()
        .await
}

async fn websocket(stream: TlsStream<TcpStream>) -> WebSocket {
    let opening = tokio_tungstenite::client_async("wss://localhost/echo", stream);
    within("a handshake", Box::pin(opening)).await.unwrap().0
}

async fn echo(socket: &mut WebSocket, message: Message) {
    within("a message", socket.send(message.clone()))
        .await
        .unwrap();
    let answer = within("an answer", socket.next()).await.unwrap().unwrap();
    assert!(answer == message, "{} bytes", answer.len());
}

/// Waits until nothing is held for any peer. (The state is only answered over
/// TLS.)
async fn nothing_is_left(host: &Host) {
    let ledger = host.deployer.services().ledger();
    eventually("everything to be let go", || {
        ledger.connections() == 0 && host.gateway.sockets() == 0 && host.gateway.requests() == 0
    })
    .await;
}

/// Whether a new TCP connection is served.
async fn answers(host: &Host, authority: &Authority) {
    let stream = connect(host.address, "localhost", authority.client(&[]))
        .await
        .unwrap();
    echo(&mut websocket(stream).await, Message::text("hello")).await;
}

#[tokio::test]
async fn messages_of_any_size_travel_and_the_stream_ends_in_good_order() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    let stream = connect(host.address, "localhost", authority.client(&[]))
        .await
        .unwrap();
    let mut socket = websocket(stream).await;
    for bytes in [0, 1, 125, 4096, 4097, 16 * 1024, 70_000, 1 << 20] {
        echo(&mut socket, Message::binary(vec![7; bytes])).await;
    }
    for number in 0..500 {
        socket
            .feed(Message::text(format!("{number}")))
            .await
            .unwrap();
    }
    within("all to be sent", socket.flush()).await.unwrap();
    for number in 0..500 {
        let answer = within("an answer", socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text(format!("{number}")));
    }
    within("a close", socket.close(None)).await.unwrap();
    // A stream that ends without TLS's own end would be an error.
    while let Some(frame) = within("the end", socket.next()).await {
        frame.unwrap();
    }
    drop(socket);
    nothing_is_left(&host).await;
}

#[tokio::test]
async fn a_peer_that_reads_late_gets_everything() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(host.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(authority.client(&[])));
    let name = "localhost".try_into().unwrap();
    let stream = within("TLS", connector.connect(name, stream))
        .await
        .unwrap();
    let mut socket = websocket(stream).await;
    // More than the buffers on the way back hold, in records of any size.
    let message = |number: u8| Message::binary(vec![number; 1 << 20]);
    for number in 0..4 {
        within("a message", socket.send(message(number)))
            .await
            .unwrap();
        within("a message", socket.send(Message::text("small")))
            .await
            .unwrap();
    }
    for number in 0..4 {
        let answer = within("an answer", socket.next()).await.unwrap().unwrap();
        assert!(answer == message(number), "{} bytes", answer.len());
        let answer = within("an answer", socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::text("small"));
    }
    drop(socket);
    nothing_is_left(&host).await;
}

#[tokio::test]
async fn a_certificate_for_each_name_and_none_for_others() {
    let authority = Authority::new();
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| {
            server.certificate = vec![
                authority.certificate("chat", &["chat.example.org"], false),
                authority.certificate("any", &["*.example.org"], false),
            ];
        })
        .start()
        .await;
    let shown = async |name: &str| {
        let stream = connect(host.address, name, authority.client(&[])).await?;
        let certificates = stream.get_ref().1.peer_certificates().unwrap();
        std::io::Result::Ok(certificates[0].to_vec())
    };
    let chat = shown("chat.example.org").await.unwrap();
    let other = shown("other.example.org").await.unwrap();
    assert_ne!(chat, other);
    assert_eq!(shown("more.example.org").await.unwrap(), other);
    let refused = shown("localhost").await.unwrap_err().to_string();
    assert!(refused.contains("alert"), "{refused}");
    // The host goes on.
    assert_eq!(shown("chat.example.org").await.unwrap(), chat);
    nothing_is_left(&host).await;
}

#[tokio::test]
async fn clients_with_certificates_and_without() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let mine = authority.issue(&["client"], |_| {});
    let theirs = stranger.issue(&["client"], |_| {});
    for asked in [ClientCertificates::Optional, ClientCertificates::Required] {
        let host = host(&authority, |server| {
            server.tls.client_certificates = asked;
            server.tls.client_authorities = Some(authority.path("authority.pem"));
        })
        .await;
        // With TLS 1.3 a client learns of a refusal when it reads.
        let is_served = async |client| {
            let mut stream = match connect(host.address, "localhost", client).await {
                Ok(stream) => stream,
                Err(_) => return false,
            };
            let request = HANDSHAKE.replace("{path}", "/echo");
            let _ = stream.write_all(request.as_bytes()).await;
            let mut byte = [0];
            within("an answer", stream.read_exact(&mut byte))
                .await
                .is_ok()
        };
        assert!(is_served(authority.client_with(&mine)).await, "{asked:?}");
        assert!(
            !is_served(authority.client_with(&theirs)).await,
            "{asked:?}"
        );
        let without = is_served(authority.client(&[])).await;
        assert_eq!(without, asked == ClientCertificates::Optional);
    }
}

#[tokio::test]
async fn a_handshake_without_end_is_cut_off_and_keeps_no_other_out() {
    let authority = Authority::new();
    let host = host(&authority, |server| {
        server.request_timeout = Duration::from_secs(2);
        server.requests = 8;
    })
    .await;
    // The beginning of a client hello, and no more.
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    let mut slow = Vec::new();
    for byte in 0..8 {
        let mut raw = Raw::connect(host.address).await;
        raw.send(&hello[..byte.min(hello.len())]).await;
        slow.push(raw);
    }
    answers(&host, &authority).await;
    for raw in &mut slow {
        assert!(raw.is_ended().await);
    }
    nothing_is_left(&host).await;
}

#[tokio::test]
async fn bytes_that_are_no_tls_end_the_connection() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    // A handshake message of 64 KiB, which no client hello is.
    let mut large = vec![0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x01, 0x00, 0x00];
    large.resize(5 + 0x4000, 0);
    for bytes in [&[0xff; 1024][..], &large] {
        let mut raw = Raw::connect(host.address).await;
        let _ = raw.socket.write_all(bytes).await;
        raw.socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = within("the end", raw.socket.read_to_end(&mut rest)).await;
        assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
    }
    answers(&host, &authority).await;
    nothing_is_left(&host).await;
}

#[tokio::test]
async fn a_drain_closes_connections_over_tls_with_their_reason() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    let stream = connect(host.address, "localhost", authority.client(&[]))
        .await
        .unwrap();
    let mut socket = websocket(stream).await;
    echo(&mut socket, Message::text("hello")).await;
    let (left, closed) = tokio::join!(host.drain(), async {
        loop {
            match within("a close", socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!((left, closed), (0, 1001));
}

/// A host of the real binary, with `host.pem` and `host-key.pem` of a folder.
async fn serving(authority: &Authority) -> Serving {
    let path = authority.path("openline.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
         [[server.certificate]]\ncertificate = \"host.pem\"\nkey = \"host-key.pem\"\ndefault = true\n\
         [[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/echo\"\n",
        openline_guests::ECHO
    );
    fs::write(&path, text).unwrap();
    Serving::start(&["serve", "--config", path.to_str().unwrap()]).await
}

/// The certificate that a host shows.
async fn shown(host: &Serving, authority: &Authority) -> Vec<u8> {
    let stream = connect(host.address, "localhost", authority.client(&[]))
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn certificates_are_replaced_whole_or_not_at_all_and_connections_stay() {
    let authority = Authority::new();
    authority.write("host", &["localhost"]);
    let mut host = serving(&authority).await;
    let stream = connect(host.address, "localhost", authority.client(&[]))
        .await
        .unwrap();
    let mut open = websocket(stream).await;
    let first = shown(&host, &authority).await;

    // Half a file: noticed by looking at it, and refused.
    let (certificate, key) = authority.issue(&["localhost"], |_| {});
    fs::write(
        authority.path("host.pem"),
        &certificate[..certificate.len() / 2],
    )
    .unwrap();
    host.told("it is not whole, or is no PEM").await;
    host.told("certificates not replaced").await;
    assert_eq!(shown(&host, &authority).await, first);
    // Whole, with the old key.
    fs::write(authority.path("host.pem"), &certificate).unwrap();
    host.told("the private key is not that of the certificate")
        .await;
    // By a signal, too; then the rest of the configuration is not read either.
    host.signal("HUP").await;
    host.told("the private key is not that of the certificate")
        .await;
    host.told("not reloaded").await;
    assert_eq!(shown(&host, &authority).await, first);

    fs::write(authority.path("host-key.pem"), &key).unwrap();
    host.told("read certificates again: localhost").await;
    let second = shown(&host, &authority).await;
    assert_ne!(second, first);

    // An expired one does not replace it.
    let expired = authority.issue(&["localhost"], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    authority.write_as("host", &expired);
    host.told("the certificate has expired, and the one in force has not")
        .await;
    assert_eq!(shown(&host, &authority).await, second);

    authority.write("host", &["localhost", "other.test"]);
    host.signal("HUP").await;
    host.told("reloaded: ").await;
    assert_ne!(shown(&host, &authority).await, second);
    echo(&mut open, Message::text("still here")).await;
}

#[tokio::test]
async fn a_wrong_certificate_is_an_error_of_the_configuration() {
    let authority = Authority::new();
    authority.write("host", &["localhost"]);
    drop(serving(&authority).await);
    let path = authority.path("openline.toml");
    let arguments = ["check", "--config", path.to_str().unwrap()];
    let checked = openline(&arguments).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let expired = authority.issue(&["localhost"], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    authority.write_as("host", &expired);
    let checked = openline(&arguments).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(
        checked.stderr.contains("the certificate has expired"),
        "{}",
        checked.stderr
    );
    fs::write(authority.path("host-key.pem"), "").unwrap();
    for command in ["check", "serve"] {
        let failed = openline(&[command, "--config", path.to_str().unwrap()]).await;
        failed.failed(
            78,
            &[
                "line 5: ",
                "host-key.pem: it holds no private key",
                "hint: ",
            ],
        );
    }
}

#[tokio::test]
async fn run_makes_a_certificate_and_keeps_it() {
    let arguments = [
        "run",
        openline_guests::ECHO,
        "--listen",
        "127.0.0.1:0",
        "--tls",
    ];
    let certificate = async || {
        let mut host = Serving::start(&arguments).await;
        let line = host.line().await;
        let path = line.strip_prefix("certificate ").unwrap().trim().to_owned();
        (host, path)
    };
    let (host, path) = certificate().await;
    let text = fs::read_to_string(&path).unwrap();
    let authority = Authority::new();
    fs::write(authority.path("authority.pem"), &text).unwrap();
    let stream = connect(host.address, "localhost", authority.client(&[]))
        .await
        .unwrap();
    echo(&mut websocket(stream).await, Message::text("hello")).await;
    let stream = connect(host.address, "127.0.0.1", authority.client(&[]))
        .await
        .unwrap();
    echo(&mut websocket(stream).await, Message::text("hello")).await;
    // Commands of the same user trust it, and say so of no other.
    let url = format!("wss://{}/echo", host.address);
    let ended = openline(&[&["bench", &url][..], &SHORT].concat()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    drop(host);
    let (_host, again) = certificate().await;
    assert_eq!((&again, fs::read_to_string(&again).unwrap()), (&path, text));
}

/// A run of `openline bench` that takes no longer than it must.
const SHORT: [&str; 7] = [
    "--connections",
    "2",
    "--duration",
    "100 ms",
    "--warm-up",
    "0",
    "--json",
];

#[tokio::test]
async fn bench_measures_over_tls_and_says_whom_it_does_not_trust() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    let path = authority.path("authority.pem");
    let path = path.to_str().unwrap();
    let localhost = format!("wss://localhost:{}/echo", host.address.port());
    let number = format!("wss://{}/echo", host.address);
    let bench = async |url: &str, more: &[&str]| {
        openline(&[&["bench", url][..], &SHORT, more].concat()).await
    };
    for (url, more) in [
        (&localhost, &["--ca", path][..]),
        (&number, &["--insecure"]),
    ] {
        let ended = bench(url, more).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(report["messages"]["answered"].as_u64().unwrap() > 0);
    }
    let refused = ["certificate is not accepted", "`--ca FILE`", "`--insecure`"];
    bench(&localhost, &[]).await.failed(1, &refused);
    bench(&number, &["--ca", path]).await.failed(1, &refused);
    nothing_is_left(&host).await;

    let plain = Host::with(openline_guests::ECHO, "/echo").start().await;
    let url = format!("wss://{}/echo", plain.address);
    let ended = bench(&url, &["--insecure"]).await;
    ended.failed(1, &["no TLS handshake", "`ws://`"]);
}

/// Runs curl against a host; none where there is no curl.
pub async fn curl(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--noproxy",
        "*",
    ]);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match within("curl", command.output()).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: there is no curl");
            None
        }
        output => {
            let output = output.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
    }
}

#[tokio::test]
async fn curl_speaks_every_version() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    let url = format!("https://localhost:{}/.openline/live", host.address.port());
    let trust = authority.path("authority.pem");
    let trust = trust.to_str().unwrap();
    let format = "%{http_version} %{ssl_verify_result} %{http_code}";
    for (more, expected) in [
        (
            &["--http1.1", "--tlsv1.2", "--tls-max", "1.2"][..],
            "1.1 0 200",
        ),
        (&["--http1.1", "--tlsv1.3"], "1.1 0 200"),
        (&["--http2", "--tlsv1.3"], "2 0 200"),
        (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], "2 0 200"),
        (&["--no-alpn", "--http1.1"], "1.1 0 200"),
    ] {
        let fixed = [
            "--ipv4",
            "--cacert",
            trust,
            "--output",
            "/dev/null",
            "--write-out",
            format,
        ];
        let arguments: Vec<_> = fixed.iter().chain(more).copied().chain([&*url]).collect();
        let Some(said) = curl(&arguments).await else {
            return;
        };
        assert_eq!(said, expected, "{more:?}");
    }
}

#[tokio::test]
async fn a_browser_opens_many_websockets_over_one_tcp_connection() {
    let authority = Authority::new();
    let host = host(&authority, |_| {}).await;
    let Some(browser) = Browser::start_that_trusts_all().await else {
        return;
    };
    let origin = format!("https://{}", host.address);
    browser.goto(&format!("{origin}/.openline/")).await;
    let script = "window.answers = 0; window.failures = 0;
        for (let number = 0; number < 20; number += 1) {
            const socket = new WebSocket(`wss://${location.host}/echo`);
            socket.onopen = () => socket.send(`message ${number}`);
            socket.onmessage = (event) => {
                if (event.data === `message ${number}`) window.answers += 1;
            };
            socket.onerror = () => { window.failures += 1; };
        }
        return true;";
    browser.script(script, serde_json::json!([])).await;
    let all = "return window.answers === 20 && window.failures === 0;";
    browser
        .until("all answers", all, serde_json::json!([]))
        .await;
    // The page came over HTTP/2, and its WebSockets are streams beside it.
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol;";
    assert_eq!(browser.script(protocol, serde_json::json!([])).await, "h2");
    assert_eq!(host.deployer.services().ledger().connections(), 20);
    assert!(
        host.gateway.sockets() < 20,
        "{} TCP connections",
        host.gateway.sockets()
    );
}
