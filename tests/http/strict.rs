//! Requests and answers by hand, where a byte too much or too few would be read in
//! another way by somebody: ambiguous requests, bodies that nobody reads, answers that
//! end too early or too late.

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::harness::proxy::{Kind, Proxy};
use crate::harness::{Raw, eventually};

/// The status and the word of an answer's head.
fn said(head: &str) -> (u16, &str) {
    let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    let word = head
        .lines()
        .find_map(|line| line.strip_prefix("openline-error-type: "));
    (status, word.unwrap_or(""))
}

fn says_close(head: &str) -> bool {
    head.to_ascii_lowercase().contains("connection: close\r\n")
}

/// All that comes until the end of the stream, and how that is.
async fn rest(raw: &mut Raw) -> (Vec<u8>, std::io::Result<usize>) {
    let mut bytes = Vec::new();
    let ended = within("the end", raw.socket.read_to_end(&mut bytes)).await;
    (bytes, ended)
}

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_is_refused() {
    let host = host(PLAIN).start().await;
    let host_twice = "GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    let coded = |coding: &str| {
        format!("POST /swallow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")
    };
    let with =
        |headers: &str| format!("POST /swallow HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\nxxxxx");
    for (request, expected) in [
        ("GET /hello HTTP/1.1\r\n\r\n".to_owned(), (400, "bad_host")),
        (host_twice.to_owned(), (400, "bad_host")),
        (
            "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
            (400, "bad_host"),
        ),
        (
            "GET http://b/hello HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            (400, "bad_host"),
        ),
        (
            "GET http://a/hello HTTP/1.1\r\n\r\n".to_owned(),
            (400, "bad_host"),
        ),
        (
            "GET ftp://a/hello HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            (400, "bad_host"),
        ),
        (
            "GET http://a/hello HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            (200, ""),
        ),
        ("GET /hello HTTP/1.0\r\n\r\n".to_owned(), (200, "")),
        (coded("gzip, chunked"), (400, "transfer_encoding")),
        (
            coded("chunked\r\nTransfer-Encoding: chunked"),
            (400, "transfer_encoding"),
        ),
        (coded("chunked"), (200, "")),
        // The library refuses these, without a word.
        (coded("identity"), (400, "")),
        (coded("chunked, gzip"), (400, "")),
        (coded("chunked").replace("1.1", "1.0"), (400, "")),
        (with("Content-Length: 5\r\nContent-Length: 6"), (400, "")),
        (with("Content-Length: 5, 5"), (400, "")),
        (with("Content-Length: +5"), (400, "")),
        (with("Content-Length : 5"), (400, "")),
        (with("Content-Length: 5\r\nContent-Length: 5"), (200, "")),
        (
            with("Content-Length: 5\r\nopenline_peer: 1"),
            (400, "reserved_header"),
        ),
        (
            with("Content-Length: 5\r\nOpenline.Claims: 1"),
            (400, "reserved_header"),
        ),
        (with("Content-Length: 5\r\nTE: gzip, chunked"), (200, "")),
    ] {
        let head = Raw::request(host.address, &request).await;
        let (status, word) = said(&head);
        // hyper's own parser decides where there is no word.
        assert_eq!(status, expected.0, "{request:?}: {head}");
        if !expected.1.is_empty() {
            assert_eq!(word, expected.1, "{request:?}: {head}");
        }
    }
}

/// Chunks win over a length, and what follows them is not the next request.
#[tokio::test]
async fn a_request_with_a_length_and_chunks_is_the_last_of_its_connection() {
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let host = host(PLAIN).start().await;
        let mut raw = Raw::connect(host.address).await;
        let smuggled = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
        let request = format!(
            "POST /swallow HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n2\r\nxx\r\n0\r\n\r\n{smuggled}"
        );
        raw.send(request.as_bytes()).await;
        let head = raw.head().await;
        assert_eq!(said(&head).0, 200, "{head}");
        assert!(says_close(&head), "{head}");
        assert_eq!(rest(&mut raw).await.0, b"2\n", "and no other answer");
    }
}

/// More than all buffers on the way hold.
const LARGE: usize = 32 << 20;

/// A peer that sends all of its body before it reads gets the answer, whoever gives it.
#[tokio::test]
async fn an_answer_to_a_body_that_nobody_reads_says_that_it_is_the_last_and_is_read() {
    let refusals = [
        ("/hello", "openline-x: 1\r\n", (400, "reserved_header")),
        ("/swallow", "", (413, "request_body_bytes")),
        // Functions that do not read.
        ("/hello", "", (200, "")),
        ("/trap", "", (502, "trap")),
    ];
    for component in BOTH {
        let host = host(component)
            .limit(|limit| limit.request_body_bytes = LARGE * 2)
            .start()
            .await;
        for (path, headers, expected) in refusals {
            let length = if expected.0 == 413 { LARGE * 3 } else { LARGE };
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n"
            );
            let mut raw = Raw::connect(host.address).await;
            raw.send(head.as_bytes()).await;
            raw.send(&vec![b'x'; length]).await;
            let head = raw.head().await;
            assert_eq!(said(&head), expected, "{component} {path}");
            assert!(says_close(&head), "{component} {path}: {head}");
            let (body, ended) = rest(&mut raw).await;
            assert!(ended.is_ok() && !body.is_empty(), "{path} {ended:?}");
        }
    }
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_costs_no_connection() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut raw = Raw::connect(host.address).await;
        for (path, headers, expected) in [
            ("/hello", "openline-x: 1\r\n", 400),
            ("/hello", "", 200),
            ("/hello", "openline-x: 1\r\n", 400),
        ] {
            let length = 64 * 1024;
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n"
            );
            raw.send(head.as_bytes()).await;
            // A plain function is called when all of a small body is there.
            let comes_first = component == PLAIN && expected == 200;
            if comes_first {
                raw.send(&vec![b'x'; 64 * 1024]).await;
            }
            let head = raw.head().await;
            assert_eq!(said(&head).0, expected, "{component}");
            assert!(!says_close(&head), "{head}");
            let length = head.to_ascii_lowercase();
            let length = length
                .lines()
                .find_map(|it| it.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            within("a body", raw.socket.read_exact(&mut body))
                .await
                .unwrap();
            if !comes_first {
                raw.send(&vec![b'x'; 64 * 1024]).await;
            }
        }
        // One byte more is too much to read for nothing.
        raw.send(
            b"POST /hello HTTP/1.1\r\nHost: a\r\nopenline-x: 1\r\nContent-Length: 65537\r\n\r\n",
        )
        .await;
        assert!(says_close(&raw.head().await), "{component}");
        // Neither does one that waits for the end, before it sends or instead.
        let mut raw = Raw::connect(host.address).await;
        raw.send(b"POST /hello HTTP/1.1\r\nHost: a\r\nopenline-x: 1\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\n")
            .await;
        let head = raw.head().await;
        assert!(said(&head).0 == 400 && says_close(&head), "{head}");
        assert!(raw.is_ended().await);
        // A peer that waits before it sends may never send.
        let mut raw = Raw::connect(host.address).await;
        raw.send(b"POST /hello HTTP/1.1\r\nHost: a\r\nopenline-x: 1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await;
        let head = raw.head().await;
        assert!(said(&head).0 == 400 && says_close(&head), "{head}");
        assert!(raw.is_ended().await);
    }
}

/// Over HTTP/1.0 an answer without a length has no other end than that of its stream.
#[tokio::test]
async fn an_answer_over_http10_that_is_cut_off_does_not_look_whole() {
    for component in BOTH {
        let host = host(component).start().await;
        for path in ["/trap-after/10", "/trap-after/500000", "/break-off/10"] {
            let mut raw = Raw::connect(host.address).await;
            raw.send(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
                .await;
            let (bytes, ended) = rest(&mut raw).await;
            assert!(bytes.starts_with(b"HTTP/1.0 200 "), "{component} {path}");
            assert!(ended.is_err(), "{component} {path}");
        }
        for keep in ["", "Connection: keep-alive\r\n"] {
            let mut raw = Raw::connect(host.address).await;
            raw.send(format!("GET /count/3 HTTP/1.0\r\n{keep}\r\n").as_bytes())
                .await;
            let (bytes, ended) = rest(&mut raw).await;
            assert!(
                bytes.ends_with(b"\r\n\r\n1\n2\n3\n") && ended.is_ok(),
                "{ended:?}"
            );
        }
    }
}

/// The same behind a proxy, whose clients speak HTTP/1.1.
#[tokio::test]
async fn an_answer_that_is_cut_off_does_not_look_whole_behind_nginx() {
    let host = host(ASYNC).start().await;
    let location = |version: &str| {
        format!(
            "location /{version}/ {{
                proxy_pass http://{}/;
                proxy_http_version {version};
            }}",
            host.address
        )
    };
    let proxy = Proxy::start(Kind::Nginx, |listen| {
        format!(
            "http {{
                access_log off;
                client_body_temp_path {{folder}};
                proxy_temp_path {{folder}};
                fastcgi_temp_path {{folder}};
                uwsgi_temp_path {{folder}};
                scgi_temp_path {{folder}};
                server {{ listen {listen}; {}{} }}
            }}",
            location("1.0"),
            location("1.1"),
        )
    });
    let Some(proxy) = proxy.await else { return };
    for version in ["1.0", "1.1"] {
        for (path, is_whole) in [("trap-after/100000", false), ("count/3", true)] {
            let stream = TcpStream::connect(proxy.address).await.unwrap();
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut peer = Peer {
                sender,
                address: proxy.address,
            };
            let answer = peer.get(&format!("/{version}/{path}")).await;
            assert_eq!(answer.status(), StatusCode::OK, "{version}");
            let body = within("the end", answer.into_body().collect()).await;
            assert_eq!(body.is_ok(), is_whole, "{version} {path}");
        }
    }
}

/// What a function writes beyond the length that it announces is nobody's answer.
#[tokio::test]
async fn an_answer_longer_than_it_announces_harms_no_other() {
    for component in BOTH {
        let host = host(component).start().await;
        // In one piece that is too long, and in one too many.
        for (path, length) in [("/length/50/100", 50), ("/length/4096/8192", 4096)] {
            let mut raw = Raw::connect(host.address).await;
            let next = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            raw.send(format!("{request}{next}").as_bytes()).await;
            let head = raw.head().await;
            assert_eq!(said(&head).0, 200, "{head}");
            let (bytes, _) = rest(&mut raw).await;
            let own = bytes.iter().take_while(|byte| **byte == b'x').count();
            assert!(own <= length, "{component} {path}: {own}");
            let others = String::from_utf8(bytes[own..].to_vec()).unwrap();
            if own == length {
                assert!(others.starts_with("HTTP/1.1 200 OK\r\n"), "{others}");
                assert!(others.ends_with("hello\n"), "{others}");
            } else {
                assert_eq!(others, "", "{component} {path}");
            }
            let uri = format!("http://{}{path}", host.address);
            let request = Request::builder().uri(uri).body(none()).unwrap();
            let body = match over_http2(&host, request).await {
                Ok(answer) => within("the end", answer.into_body().collect())
                    .await
                    .map(drop),
                Err(error) => Err(error),
            };
            // The host says so, and not the client's library.
            let error = format!("{:?}", body.unwrap_err());
            assert!(
                error.contains("INTERNAL_ERROR"),
                "{component} {path}: {error}"
            );
        }
    }
}

/// As nginx and Envoy have it: a peer that closes its half has left.
#[tokio::test]
async fn a_peer_that_ends_its_half_has_left() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut raw = Raw::connect(host.address).await;
        raw.send(b"GET /sleep/600000 HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        within("the end", raw.socket.shutdown()).await.unwrap();
        assert_eq!(rest(&mut raw).await.0, b"", "{component}");
        eventually("it to be counted", || refused(&host, "peer_gone") == 1).await;
    }
}

/// What has no body has none over HTTP/2 either, where the library takes nothing away.
#[tokio::test]
async fn an_answer_whose_status_has_no_body_is_whole() {
    for component in BOTH {
        let host = host(component).start().await;
        for (status, length) in [(204, None), (304, Some("3"))] {
            let uri = format!("http://{}/status/{status}/abc", host.address);
            let request = Request::builder().uri(uri).body(none()).unwrap();
            let answer = over_http2(&host, request).await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            let found = answer.headers().get("content-length").cloned();
            let found = found.as_ref().map(|it| it.to_str().unwrap());
            assert!(found == length || found.is_none(), "{status} {found:?}");
            let body = within("a body", answer.into_body().collect()).await;
            assert!(body.unwrap().to_bytes().is_empty(), "{component} {status}");
            let mut peer = Peer::connect(&host).await;
            let path = format!("/status/{status}/abc");
            assert_eq!(peer.text(&path).await, (status, String::new()));
            assert_eq!(peer.text("/hello").await.0, 200, "the next one");
        }
        assert_eq!(refused(&host, "peer_gone"), 0);
    }
}

/// The host answers `Expect` itself.
#[tokio::test]
async fn a_function_does_not_learn_what_its_peer_expects_of_the_host() {
    let host = host(PLAIN).start().await;
    let mut raw = Raw::connect(host.address).await;
    raw.send(b"POST /headers HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nX-Mine: 1\r\nContent-Length: 1\r\nConnection: close\r\n\r\n")
        .await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    raw.send(b"x").await;
    let (answer, _) = rest(&mut raw).await;
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert!(
        answer.contains("x-mine") && !answer.contains("100-continue"),
        "{answer}"
    );
}
