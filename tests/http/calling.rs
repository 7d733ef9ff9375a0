//! Calls of functions to others: whom they may call, what comes back, and the sample
//! that asks a language model.

use openline_core::config::{Config, FunctionConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::harness::Client;

/// An HTTP server that answers each request as a test says, piece by piece.
struct Api {
    listener: TcpListener,
}

/// A request that it has got, and its answer.
struct Asked {
    stream: TcpStream,
    request: String,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next request, with its body if that has a length.
    async fn next(&self) -> Asked {
        let (mut stream, _) = within("a call", self.listener.accept()).await.unwrap();
        let mut got = Vec::new();
        let reading = async {
            loop {
                let text = String::from_utf8_lossy(&got).to_ascii_lowercase();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let mut lines = head.lines();
                    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                    let length = length.map_or(0, |length| length.parse().unwrap());
                    if body.len() >= length {
                        return;
                    }
                }
                assert!(stream.read_buf(&mut got).await.unwrap() > 0, "{text}");
            }
        };
        within("the request", reading).await;
        Asked {
            stream,
            request: String::from_utf8(got).unwrap(),
        }
    }
}

impl Asked {
    async fn head(&mut self, head: &str) {
        let text = format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n");
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn piece(&mut self, piece: &str) {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        self.stream.write_all(chunk.as_bytes()).await.unwrap();
    }

    async fn end(mut self) {
        self.stream.write_all(b"0\r\n\r\n").await.unwrap();
    }

    async fn answer(mut self, whole: &str) {
        self.stream.write_all(whole.as_bytes()).await.unwrap();
    }
}

/// Tables of a function, as a configuration has them.
fn tables(function: &mut FunctionConfig, text: &str) {
    let head = "[[function]]\nname = \"f\"\nroute = \"/\"\n";
    let config = Config::parse(&format!("{head}{text}")).unwrap();
    let of = config.functions.into_iter().next().unwrap();
    function.outbound = of.outbound;
    function.environment = of.environment;
}

fn may_call(component: &str, hosts: &str) -> HostBuilder {
    let text = format!("[function.outbound]\nhosts = [{hosts}]\n");
    host(component).function(|function| tables(function, &text))
}

fn out(url: &str) -> String {
    let escaped: String = url.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("/out?url={escaped}")
}

#[tokio::test]
async fn a_function_calls_nobody_unless_it_may() {
    for component in BOTH {
        let api = Api::start().await;
        let url = format!("http://{}/", api.address());
        for hosts in [
            "",
            "\"http://127.0.0.1:1\"",
            "\"https://127.0.0.0/8\"",
            "\"*\"",
        ] {
            let host = may_call(component, hosts).start().await;
            let mut peer = Peer::connect(&host).await;
            let (status, text) = peer.text(&out(&url)).await;
            assert_eq!(status, 500);
            let denied = ["HttpRequestDenied", "DestinationIpProhibited"];
            assert!(denied.iter().any(|it| text.contains(it)), "{hosts}: {text}");
        }
        // Nobody has tried to connect.
        let accepting = api.listener.accept();
        let refused = tokio::select! {
            biased;
            _ = accepting => false,
            () = std::future::ready(()) => true,
        };
        assert!(refused, "{component}");
    }
}

#[tokio::test]
async fn a_name_has_public_addresses_only_unless_it_says_private() {
    for component in BOTH {
        let api = Api::start().await;
        let port = api.address().port();
        let url = format!("http://localhost:{port}/");
        let host = may_call(component, &format!("\"localhost:{port}\""))
            .start()
            .await;
        let mut peer = Peer::connect(&host).await;
        let (_, text) = peer.text(&out(&url)).await;
        assert!(text.contains("DestinationIpProhibited"), "{text}");
        let private = format!("{{ host = \"localhost:{port}\", private = true }}");
        let host = may_call(component, &private).start().await;
        let mut peer = Peer::connect(&host).await;
        let answering = async {
            let asked = api.next().await;
            assert!(
                asked
                    .request
                    .to_lowercase()
                    .contains(&format!("host: localhost:{port}"))
            );
            asked
                .answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
        };
        let path = out(&url);
        let ((status, text), ()) = tokio::join!(peer.text(&path), answering);
        assert_eq!((status, &*text), (200, "ok"), "{component}");
    }
}

#[tokio::test]
async fn an_answer_comes_through_piece_by_piece_and_redirects_are_not_followed() {
    for component in BOTH {
        let api = Api::start().await;
        let at = api.address();
        let host = may_call(component, &format!("\"http://{at}\""))
            .start()
            .await;
        let mut peer = Peer::connect(&host).await;
        let path = out(&format!("http://{at}/a?b=c"));
        let asking = peer.get(&path);
        let answering = async {
            let mut asked = api.next().await;
            assert!(asked.request.starts_with("GET /a?b=c HTTP/1.1\r\n"));
            assert!(!asked.request.to_lowercase().contains("\nopenline-"));
            asked.head("200 OK").await;
            asked.piece("one").await;
            asked
        };
        let (answer, mut asked) = tokio::join!(asking, answering);
        let mut body = answer.into_body();
        assert_eq!(piece(&mut body).await.unwrap(), "one");
        asked.piece("two").await;
        assert_eq!(piece(&mut body).await.unwrap(), "two");
        asked.end().await;
        assert_eq!(piece(&mut body).await, None, "{component}");

        let mut peer = Peer::connect(&host).await;
        let moved = async {
            let asked = api.next().await;
            let elsewhere = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n";
            asked
                .answer(&format!("{elsewhere}Content-Length: 0\r\n\r\n"))
                .await;
        };
        let ((status, _), ()) = tokio::join!(peer.text(&path), moved);
        assert_eq!(status, 302, "{component}");
    }
}

/// The peer leaves in the middle of an answer, and gets the rest when it comes back.
#[tokio::test]
async fn tokens_of_a_model_reach_a_peer_as_they_come_also_one_that_comes_back() {
    let api = Api::start().await;
    let at = api.address();
    let text = format!(
        "[function.outbound]\nhosts = [\"http://{at}\"]\n\
         [function.environment]\nLLM_URL = \"http://{at}/v1/chat\"\nLLM_KEY = \"k\"\nLLM_MODEL = \"m\"\n"
    );
    let host = Host::with(openline_guests::LLM_RELAY, "/llm/{conversation}")
        .function(|function| tables(function, &text))
        .channels("[[function.channel]]\npattern = \"llm:*\"\nhistory = { count = 1000 }\n")
        .limit(|limit| limit.handler_timeout = LONG);
    let host = host.start().await;
    let mut client = host.connect("/llm/one").await;
    client.text("why?").await;
    let mut asked = api.next().await;
    let request = asked.request.to_lowercase();
    assert!(
        request.starts_with("post /v1/chat http/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("authorization: bearer k\r\n"), "{request}");
    assert!(request.contains("why?"), "{request}");
    let token = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    asked
        .head("200 OK\r\nContent-Type: text/event-stream")
        .await;
    asked.piece(&token("Hel")).await;
    let first: Value = serde_json::from_str(&client.next_text().await).unwrap();
    assert_eq!(first["token"], "Hel");
    client.vanish();
    asked.piece(&token("lo")).await;
    let id = first["id"].as_str().unwrap();
    let path = format!("/llm/one?after={id}");
    let mut back = Client::open(host.address, &path, &[]).await.unwrap();
    let second: Value = serde_json::from_str(&back.next_text().await).unwrap();
    assert_eq!(second["token"], "lo");
    asked.piece("data: [DONE]\n\n").await;
    asked.end().await;
    let end: Value = serde_json::from_str(&back.next_text().await).unwrap();
    assert!(end["end"].is_string(), "{end}");
}

#[tokio::test]
async fn the_functions_of_benchmarks_give_their_answers() {
    const LARGE: usize = 1 << 20;
    for component in [
        openline_guests::FAULT_HELLO,
        openline_guests::FAULT_HELLO_ASYNC,
    ] {
        let api = Api::start().await;
        let at = api.address();
        let host = may_call(component, &format!("\"http://{at}\""));
        let host = host.start().await;
        let mut peer = Peer::connect(&host).await;
        assert_eq!(peer.text("/hello").await, (200, "hello\n".to_owned()));
        let (status, text) = peer.text("/download").await;
        assert_eq!((status, text.len()), (200, LARGE));
        for (path, answer) in [("/upload", "1048576\n"), ("/echo", &*"x".repeat(LARGE))] {
            let body = whole(vec![b'x'; LARGE]);
            let (status, text) = read(peer.ask(Method::POST, path, body).await).await;
            assert_eq!(status, 200, "{component}, {path}");
            assert!(text == answer, "{component}, {path}: {} bytes", text.len());
            // It may have answered before it has read all.
            peer = Peer::connect(&host).await;
        }
        let path = format!("/call?{at}");
        let answering = async {
            let asked = api.next().await;
            assert!(asked.request.starts_with("GET /hello "));
            let greeting = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
            asked.answer(greeting).await;
        };
        let (answer, ()) = tokio::join!(peer.text(&path), answering);
        assert_eq!(answer, (200, "hello\n".to_owned()), "{component}");
        assert_eq!(peer.text("/other").await.0, 404);
    }
}
