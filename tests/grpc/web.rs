//! Calls of gRPC-Web: Google's client in a real browser, Connect's in Node, both
//! unmodified, and calls by hand that break the rules, over both versions of HTTP.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use openline_core::config::Config;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::raw::{Body, Raw, message, whole};
use super::*;
use crate::harness::Browser;
use crate::harness::driven::{fetched, node};
use crate::harness::proxy::is_left_out;
use crate::harness::site::Site;
use crate::tidy::root;

/// The longest message of these tests, so that one past it is small.
const MESSAGE_BYTES: usize = 50_000;

/// The service, which pages of a site may call.
fn service(page: &str) -> HostBuilder {
    let text = format!(
        "[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\n
        [[function.trigger]]
        route = \"{ROUTE}\"
        methods = [\"GET\", \"POST\"]
        [function.trigger.cors]
        allow_origins = [\"{page}\"]
        allow_methods = [\"POST\"]
        allow_headers = [\"content-type\", \"x-grpc-web\", \"x-user-agent\", \"grpc-timeout\"]\n"
    );
    let config = Config::parse(&text).unwrap();
    greeter()
        .function(move |function| function.triggers = config.functions[0].triggers.clone())
        .limit(|limits| limits.message_bytes = MESSAGE_BYTES)
}

/// What a page is told.
async fn told(browser: &Browser, origin: &str, format: &str) -> Value {
    let script = std::fs::read_to_string(root().join("tests/clients/grpc/web.js")).unwrap();
    let source = fetched("npm/node_modules/grpc-web/index.js", "scripts/npm.sh");
    let source = std::fs::read_to_string(source).unwrap();
    let body = format!("const a = arguments[0]; return (async () => {{ {script} }})()");
    let asked = json!([{"source": source, "origin": origin, "format": format}]);
    browser.script(&body, asked).await
}

#[tokio::test]
async fn a_page_calls_by_googles_client() {
    if is_left_out() {
        return;
    }
    let Some(browser) = Browser::start_that_trusts_all().await else {
        return;
    };
    let site = Site::start().await;
    let page = site.origin("127.0.0.1");
    let authority = Authority::new();
    for is_tls in [false, true] {
        let host = service(&page)
            .server(|server| {
                if is_tls {
                    server.certificate = vec![authority.certificate("host", &["localhost"], true)];
                }
            })
            .start()
            .await;
        let scheme = if is_tls { "https" } else { "http" };
        let origin = format!("{scheme}://localhost:{}", host.address.port());
        // By preflights; over TLS both agree on HTTP/2.
        browser.goto(&page).await;
        for format in ["text", "binary"] {
            let mut expected = json!({
                "unary": "Hello, é𝄞!",
                "argument": [3, "`name` is empty"],
                "method": 12,
                "large": 8,
                "stream": [500, ["Hello, you!"], 0],
                "deadline": 4,
            });
            if format == "text" {
                expected["cancelled"] = json!([vec!["Hello, you!"; 3], "cancelled"]);
            }
            assert_eq!(told(&browser, &origin, format).await, expected, "{format}");
        }
    }
}

#[tokio::test]
async fn programs_in_node_call_by_connects_client() {
    if is_left_out() {
        return;
    }
    let host = service("https://app.example.org").start().await;
    let mut command = node();
    command
        .arg(root().join("tests/clients/grpc/connect.cjs"))
        .arg(format!("http://{}", host.address))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = within("a client", command.output()).await.unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}\n{errors}");
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = [
        json!(["unary", ["Hello, é𝄞!", "text"]]),
        json!(["stream", [500, ["Hello, you!"]]]),
        json!(["argument", [3, "`times` is over 1,000,000", null]]),
        json!(["method", [12, "", null]]),
        json!(["large", [8, "message_bytes"]]),
        json!(["deadline", 4]),
        json!(["cancelled", 1]),
        json!(["many", 20]),
    ];
    assert_eq!(told, expected);
    host.nothing_is_left().await;
}

const WEB: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

/// A call over HTTP/1.1 by hand: the type of the answer, and its body as bytes.
async fn call(host: &Host, path: &str, content_type: &str, body: Body) -> (String, Vec<u8>) {
    let stream = TcpStream::connect(host.address).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(path)
        .header("host", "localhost")
        .header("content-type", content_type)
        .body(body)
        .unwrap();
    let answer = within("an answer", sender.send_request(request)).await;
    let (head, body) = answer.unwrap().into_parts();
    assert_eq!(head.status, 200);
    assert!(!head.headers.contains_key("grpc-status"));
    let body = within("the end", body.collect()).await.unwrap();
    assert!(body.trailers().is_none());
    let answered = head.headers["content-type"].to_str().unwrap().to_owned();
    let body = body.to_bytes();
    let body = match answered.starts_with(TEXT) {
        // Padded wherever a piece has ended.
        true => {
            let quads = body.chunks(4);
            quads
                .flat_map(|quad| STANDARD.decode(quad).unwrap())
                .collect()
        }
        false => body.to_vec(),
    };
    (answered, body)
}

/// The messages of a body, and the trailers behind them.
fn read(body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let (mut rest, mut messages) = (body, Vec::new());
    loop {
        let (prefix, others) = rest.split_at(5);
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
        let (message, others) = others.split_at(length);
        if prefix[0] == 0x80 {
            assert!(others.is_empty(), "the trailers are the end");
            return (messages, String::from_utf8(message.to_vec()).unwrap());
        }
        messages.push(message.to_vec());
        rest = others;
    }
}

/// The bytes of a path, as digits.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn every_answer_ends_with_a_status_in_its_body() {
    let two = [message(b"a"), message(b"bc")].concat();
    let digits = digits(&two);
    for component in BOTH {
        let host = host(component).start().await;
        for (end, status, word) in [
            ("status", "grpc-status: 0", ""),
            ("break-off", "grpc-status: 13", "unfinished"),
            ("trap", "grpc-status: 13", "unfinished"),
            ("nothing", "grpc-status: 2", "bad_answer"),
        ] {
            for (content_type, expected) in [(WEB, "application/grpc-web"), (TEXT, TEXT)] {
                let path = format!("/framed/{digits}/{end}");
                let (answered, body) = call(&host, &path, content_type, whole("")).await;
                assert_eq!(answered, expected);
                let (messages, trailers) = read(&body);
                assert_eq!(messages, [b"a".to_vec(), b"bc".to_vec()], "{path}");
                let mut lines = trailers.lines();
                assert!(lines.any(|line| line == status), "{path}: {trailers}");
                assert!(trailers.contains(word), "{path}: {trailers}");
                assert!(trailers.ends_with("\r\n"));
            }
        }
        // A status at the head.
        let (_, body) = call(&host, "/framed?status=5", WEB, whole("")).await;
        assert_eq!(read(&body), (Vec::new(), "grpc-status: 5\r\n".into()));
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn requests_in_base64_are_read_in_whatever_pieces_they_come() {
    let host = service("https://app.example.org").start().await;
    let path = "/openline.greeter.v1.Greeter/SayHello";
    let request = message(b"\x0a\x03you");
    let encoded = STANDARD.encode(&request);
    let padded = STANDARD.encode(&request[..7]) + &STANDARD.encode(&request[7..]);
    assert!(padded[..padded.len() - 4].contains('='));
    for good in [encoded.clone(), padded] {
        let (_, body) = call(&host, path, TEXT, whole(good)).await;
        let (messages, trailers) = read(&body);
        assert_eq!(messages, [b"\x0a\x0bHello, you!"]);
        assert!(trailers.contains("grpc-status: 0"), "{trailers}");
    }
    for (bad, word) in [
        (encoded[..7].to_owned(), "grpc-status: 13"),
        ("!!!!".to_owned(), "grpc-status: 13"),
        // More than `message_bytes`, once it is decoded.
        (
            STANDARD.encode(message(&vec![0; MESSAGE_BYTES + 1])),
            "grpc-status: 8",
        ),
    ] {
        let (_, body) = call(&host, path, TEXT, whole(bad)).await;
        let (messages, trailers) = read(&body);
        assert!(messages.is_empty() && trailers.contains(word), "{trailers}");
        assert!(trailers.contains("(request "), "{trailers}");
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_refusal_is_a_status_in_the_body_over_both_versions() {
    let host = Host::with(openline_guests::GRPC, "/only-get/{*path}")
        .start()
        .await;
    let (_, body) = call(&host, "/nothing", WEB, whole("")).await;
    let (messages, first) = read(&body);
    assert!(
        messages.is_empty() && first.contains("grpc-status: 12\r\n"),
        "{first}"
    );
    let mut raw = Raw::connect(&host).await;
    let answer = raw.ask("/only-get/x", WEB, whole("")).await;
    assert_eq!(answer.head["openline-error-type"], "method_not_allowed");
    let (messages, second) = read(&answer.body);
    assert!(
        messages.is_empty() && second.contains("grpc-status: 12\r\n"),
        "{second}"
    );
    assert!(answer.trailers.is_none());
}
