//! Components that other toolchains make for `wasi:http`, as they are: Rust with wstd,
//! with wasmCloud's crate and with Spin's SDK, JavaScript with componentize-js, Python
//! with componentize-py. scripts/foreign.sh makes the last two, from tests/foreign.

use openline_core::route::Route;
use openline_core::trigger::Trigger;
use openline_kit::exchange::ask;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::harness::driven::fetched;
use crate::harness::proxy::is_left_out;
use crate::harness::{Serving, openline, runtime};

/// As many as an issue of such a component may take to show.
const REQUESTS: usize = 1000;
/// Requests that are answered at once.
const AT_ONCE: u32 = 50;

/// A host with a component at every path, which may call one address.
async fn every_path(component: &str, may_call: SocketAddr) -> Host {
    let text = format!(
        "[[function]]\nname = \"f\"\nroute = \"/\"\n\
         [function.outbound]\nhosts = [\"http://{may_call}\"]\n"
    );
    let config = openline_core::config::Config::parse(&text).unwrap();
    let outbound = config.functions[0].outbound.clone();
    // Engines of languages take this long where all tests compile at once.
    let runtime = runtime(AT_ONCE + 10, |options| {
        options.compile_timeout = Duration::from_secs(600);
    });
    let host = host(component).function(|function| {
        let mut at_the_root = Trigger::new(Route::new("/").unwrap());
        at_the_root.methods = function.triggers[0].methods;
        function.triggers.push(at_the_root);
        function.outbound = outbound;
        // Of one that is being waited for, each request may be the first.
        function.instance.instances = AT_ONCE;
    });
    host.start_on(&runtime).await
}

/// A server that answers every request with a text.
async fn api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
            let answer =
                b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nfrom api";
            stream.write_all(answer).await.unwrap();
        }
    });
    address
}

/// What all of them do alike, after whatever the component is first asked.
async fn check(component: &str, hello: &str, is_streaming: bool, failed: u16) {
    let api = api().await;
    let host = every_path(component, api).await;
    let mut peer = Peer::connect(&host).await;
    assert_eq!(peer.text("/").await, (200, hello.into()), "{component}");
    assert_eq!(peer.text("/nowhere").await, (404, "no such path\n".into()));

    // A body of 1 MiB there and back, whole and in pieces without a length.
    let body = Bytes::from_iter((0..1 << 20).map(|at: u32| (at % 251) as u8));
    let answer = peer.ask(Method::POST, "/echo", whole(body.clone())).await;
    assert_eq!(answer.status(), 200);
    let echoed = within("a body", answer.into_body().collect()).await;
    assert!(echoed.unwrap().to_bytes() == body, "{component}");
    // It answers before it has read all, and then a TCP connection has no next request.
    let mut peer = Peer::connect(&host).await;
    let (pieces, streamed) = piecewise();
    tokio::spawn(async move {
        for piece in ["a", "b", "c"] {
            pieces.send(Bytes::from(piece)).await.unwrap();
        }
    });
    let answer = peer.ask(Method::POST, "/echo", streamed).await;
    assert_eq!(read(answer).await, (200, "abc".into()), "{component}");
    let mut peer = Peer::connect(&host).await;

    if is_streaming {
        let mut answer = peer.get("/pieces").await.into_body();
        let mut text = piece(&mut answer).await.unwrap().to_vec();
        // The first piece does not wait for the others.
        assert_eq!(text, b"1;", "{component}");
        while let Some(more) = piece(&mut answer).await {
            text.extend_from_slice(&more);
        }
        assert_eq!(text, b"1;2;3;", "{component}");
    }

    let asking = Request::get("/ask").header("x-ask", format!("http://{api}/"));
    let asking = asking.header("host", host.address.to_string());
    let answer = peer.send(asking.body(none()).unwrap()).await.unwrap();
    assert_eq!(read(answer).await, (200, "from api".into()), "{component}");

    let answer = peer.get("/fail").await;
    assert_eq!(answer.status().as_u16(), failed, "{component}");
    if failed == 502 {
        assert_eq!(word(&answer), "trap");
    }
    drop(answer);
    for _ in 0..REQUESTS {
        assert_eq!(peer.text("/").await, (200, hello.into()), "{component}");
    }
    let peers = (0..AT_ONCE).map(async |_| {
        let mut peer = Peer::connect(&host).await;
        for _ in 0..4 {
            assert_eq!(peer.text("/").await, (200, hello.into()), "{component}");
        }
    });
    futures_util::future::join_all(peers).await;
    drop(peer);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_component_of_wstd() {
    check(openline_guests::FOREIGN_WSTD, "hello 1\n", true, 502).await;
}

#[tokio::test]
async fn a_component_of_spin_with_wasi_http_3() {
    check(openline_guests::FOREIGN_SPIN, "hello\n", false, 502).await;
}

#[tokio::test]
async fn a_component_in_javascript() {
    if !is_left_out() {
        let component = fetched("foreign/javascript.wasm", "scripts/foreign.sh");
        // Its engine catches what would be a trap, and answers.
        check(component.to_str().unwrap(), "hello 1\n", true, 500).await;
    }
}

#[tokio::test]
async fn a_component_in_python() {
    if !is_left_out() {
        let component = fetched("foreign/python.wasm", "scripts/foreign.sh");
        check(component.to_str().unwrap(), "hello 1\n", true, 502).await;
    }
}

/// Its crate returns errors of wasi:http, where there is no answer.
#[tokio::test]
async fn an_error_instead_of_an_answer() {
    for component in [
        openline_guests::FOREIGN_WSTD,
        openline_guests::FOREIGN_WASMCLOUD,
    ] {
        let host = every_path(component, SocketAddr::from(([127, 0, 0, 1], 9))).await;
        let mut peer = Peer::connect(&host).await;
        let answer = peer.get("/error").await;
        assert_eq!(
            (answer.status().as_u16(), word(&answer)),
            (502, "bad_answer")
        );
    }
}

/// What wasmCloud's components say by `wasi:logging` are lines of the host's log.
#[tokio::test]
async fn a_component_of_wasmcloud_that_logs() {
    let mut host = Serving::start(&[
        "run",
        "--root",
        openline_guests::FOREIGN_WASMCLOUD,
        "--listen",
        "127.0.0.1:0",
    ])
    .await;
    let mut peer = Peer::at(host.address).await;
    let answer = peer.ask(Method::POST, "/log", whole("text")).await;
    assert_eq!(read(answer).await, (200, "text".into()));
    // Escaped and cut, as the lines of a function's own output are.
    let line = line_with(&mut host, "a line\\nand one that is \\u{1b}[1mbold").await;
    for word in ["level=\"warn\"", "context=foreign", "foreign-wasmcloud"] {
        assert!(line.contains(word), "{line}");
    }
    let line = line_with(&mut host, "level=\"critical\"").await;
    for (letter, of) in [("c", "context"), ("m", "message")] {
        assert!(line.contains(&letter.repeat(1024)), "{of}: {line}");
        assert!(!line.contains(&letter.repeat(1025)), "{of}: {line}");
    }
    let (status, text) = peer.text("/").await;
    assert_eq!((status, text.contains("trap")), (502, true), "{text}");
}

/// The next line of its log that has a text.
async fn line_with(host: &mut Serving, text: &str) -> String {
    loop {
        let line = host.line().await;
        if line.contains(text) {
            return line;
        }
    }
}

#[tokio::test]
async fn run_serves_one_component_at_every_path() {
    let host = Serving::start(&[
        "run",
        "--root",
        openline_guests::FOREIGN_WSTD,
        "--listen",
        "127.0.0.1:0",
    ])
    .await;
    for (path, status) in [
        ("/", 200),
        ("/echo", 200),
        ("/a/b", 404),
        ("/.openline/x", 404),
    ] {
        let answer = ask(host.address, "GET", path, None).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
        let is_the_functions = !path.starts_with("/.openline/");
        assert_eq!(
            answer.head.contains("openline-error-type"),
            !is_the_functions
        );
    }
    let two = [
        "run",
        "--root",
        openline_guests::FOREIGN_WSTD,
        openline_guests::FOREIGN_WASMCLOUD,
    ];
    let ended = openline(&two).await;
    ended.failed(1, &["`--root` takes one component", "hint: "]);
}

/// wstd's own way to echo panics when its peer leaves. Others are served all the same.
#[tokio::test]
async fn peers_that_break_off_their_uploads_do_not_have_others_refused() {
    let host = host(openline_guests::FOREIGN_WSTD).start().await;
    for _ in 0..20 {
        let (pieces, body) = piecewise();
        let mut peer = Peer::connect(&host).await;
        pieces.send(Bytes::from_static(b"x")).await.unwrap();
        let mut echoed = peer.ask(Method::POST, "/echo", body).await.into_body();
        assert_eq!(piece(&mut echoed).await.unwrap(), "x");
        drop((echoed, peer, pieces));
    }
    let mut peer = Peer::connect(&host).await;
    for _ in 0..20 {
        let (status, _) = peer.text("/nowhere").await;
        assert_eq!(status, 404);
    }
}
