//! What clients get where the host refuses a call, and where a function breaks the
//! rules of gRPC.

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::Code;

use super::raw::{Raw, message, piecewise, read, whole};
use super::*;
use crate::harness::eventually;

/// The bytes of a path, as digits.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn refusals_are_statuses_of_grpc() {
    let host = Host::with(openline_guests::GRPC, "/only-get/{*path}")
        .start()
        .await;
    let mut raw = Raw::connect(&host).await;
    for (path, status, word) in [
        ("/nothing", "12", "not_found"),
        ("/only-get/x", "12", "method_not_allowed"),
    ] {
        let answer = raw.call(path, &[], whole(message(b""))).await;
        assert_eq!(answer.status(), (status, word), "{path}");
        assert!(answer.trailers.is_none());
        assert_eq!(answer.head["openline-error-blame"], "peer");
        assert_eq!(answer.head["cache-control"], "no-store");
        let id = answer.head["openline-request-id"].to_str().unwrap();
        let said = answer.head["grpc-message"].to_str().unwrap();
        assert!(said.contains(id), "{said}");
    }
    // As a client tells its program.
    let mut greeter = Greeter::connect(&host).await;
    let failed = greeter.say_hello(hello("you")).await.unwrap_err();
    assert_eq!(
        (failed.code(), word(&failed)),
        (Code::Unimplemented, "not_found")
    );
    assert!(failed.message().contains("(request "), "{failed:?}");
}

#[tokio::test]
async fn a_refusal_that_will_pass_says_when_to_come_back() {
    let host = host(openline_guests::FAULT_WEB)
        .instance(|instance| instance.instances = 1)
        .limit(|limit| limit.upgrade_timeout = Duration::from_millis(200));
    let host = host.start().await;
    let mut raw = Raw::connect(&host).await;
    let busy = raw.open("/framed/0000000000/forever", &[], whole("")).await;
    let answer = raw.call("/hello", &[], whole("")).await;
    assert_eq!(answer.status(), ("14", "no_capacity"));
    let number = |name: &str| {
        let value = answer.head[name].to_str().unwrap();
        value.parse::<u64>().unwrap()
    };
    assert_eq!(
        number("grpc-retry-pushback-ms"),
        number("retry-after") * 1000
    );
    drop(busy);
}

#[tokio::test]
async fn a_call_over_http1_is_refused_as_http() {
    let host = greeter().start().await;
    let stream = TcpStream::connect(host.address).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("/openline.greeter.v1.Greeter/SayHello")
        .header("host", "localhost")
        .header("content-type", "application/grpc")
        .body(whole(message(b"")))
        .unwrap();
    let answer = within("an answer", sender.send_request(request)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 505);
    assert_eq!(answer.headers()["openline-error-type"], "http2_required");
    assert!(!answer.headers().contains_key("grpc-status"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.starts_with("gRPC needs HTTP/2"), "{text}");
}

#[tokio::test]
async fn a_timeout_that_is_not_valid_is_refused_before_the_function_is_asked() {
    let host = host(openline_guests::FAULT_WEB).start().await;
    let mut raw = Raw::connect(&host).await;
    for value in ["1", "S", "123456789S", "1s", "-1S"] {
        let answer = raw
            .call("/hello", &[("grpc-timeout", value)], whole(""))
            .await;
        assert_eq!(answer.status(), ("13", "grpc_timeout"), "{value}");
    }
    let answer = raw
        .call("/headers", &[("grpc-timeout", "12345678H")], whole(""))
        .await;
    assert_eq!(answer.status, 200);
    let seen = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(seen.contains("12345678H"), "the function sees it: {seen}");
}

/// What a function writes, how it ends that, and the status and the body that come of
/// it.
type Broken<'a> = (Vec<u8>, &'a str, (&'a str, &'a str), &'a [u8]);

/// Every answer of a call ends with a status.
#[tokio::test]
async fn a_function_that_breaks_the_rules_does_not_leave_its_clients_without_a_status() {
    let good = message(b"x");
    for component in BOTH {
        let host = host(component).limit(|limit| limit.message_bytes = 100);
        let host = host.start().await;
        let mut raw = Raw::connect(&host).await;
        let large = [0, 0, 0, 0, 101];
        let cases: [Broken<'_>; 9] = [
            (good.clone(), "status", ("0", ""), &good),
            (message(&[7; 100]), "status", ("0", ""), &message(&[7; 100])),
            (good.clone(), "end", ("2", "bad_answer"), &good),
            (
                good[..4].to_vec(),
                "status",
                ("13", "bad_answer"),
                &good[..4],
            ),
            (good[..5].to_vec(), "end", ("13", "bad_answer"), &good[..5]),
            (
                [&good[..], &[2, 0, 0, 0, 0]].concat(),
                "status",
                ("13", "bad_answer"),
                &good,
            ),
            (
                [&good[..], &large].concat(),
                "forever",
                ("8", "bad_answer"),
                &good,
            ),
            (good.clone(), "trap", ("13", "unfinished_answer"), &good),
            (
                good.clone(),
                "break-off",
                ("13", "unfinished_answer"),
                &good,
            ),
        ];
        for (bytes, end, expected, body) in cases {
            let path = format!("/framed/{}/{end}", digits(&bytes));
            let answer = raw.call(&path, &[], whole(message(b""))).await;
            // A trap may take with it what was not sent yet, and the head.
            if end == "trap" {
                assert_eq!(answer.status().0, "13", "{component} {path}");
                continue;
            }
            assert_eq!(answer.status(), expected, "{component} {path}");
            assert_eq!(answer.body, body, "{component} {path}");
        }
        let answer = raw.call("/trap", &[], whole("")).await;
        assert_eq!(answer.status(), ("13", "trap"), "{component}");
    }
}

#[tokio::test]
async fn a_status_at_the_head_is_the_whole_answer() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut raw = Raw::connect(&host).await;
        let answer = raw.call("/framed/-/end?status=5", &[], whole("")).await;
        assert_eq!(answer.status(), ("5", ""), "{component}");
        assert!(answer.trailers.is_none(), "{component}");
        let answer = raw
            .call("/framed/0000000000/end?status=0", &[], whole(""))
            .await;
        assert_eq!(answer.status(), ("13", "bad_answer"), "{component}");
    }
}

/// Clients make a status of that of HTTP themselves.
#[tokio::test]
async fn an_answer_that_is_not_of_grpc_goes_as_it_is() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut raw = Raw::connect(&host).await;
        let answer = raw.call("/hello", &[], whole("")).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello\n"[..]));
        assert!(answer.trailers.is_none(), "{component}");
        assert_eq!(raw.call("/status/404", &[], whole("")).await.status, 404);
    }
}

#[tokio::test]
async fn a_request_that_breaks_the_rules_ends_its_call() {
    for component in BOTH {
        let host = host(component)
            .server(|server| server.request_timeout = Duration::from_millis(300))
            .limit(|limit| limit.message_bytes = 100);
        let host = host.start().await;
        let mut raw = Raw::connect(&host).await;
        for (body, expected) in [
            (vec![2, 0, 0, 0, 0], ("13", "grpc_framing")),
            (vec![0, 0, 0, 0, 101], ("8", "message_bytes")),
            (vec![0, 0, 0, 0, 2, 1], ("13", "request_body_incomplete")),
            (vec![0, 0, 0], ("13", "request_body_incomplete")),
        ] {
            let answer = raw.call("/swallow", &[], whole(body.clone())).await;
            assert_eq!(answer.status(), expected, "{component} {body:?}");
        }
        // After the head of its answer.
        for (piece, expected) in [
            (&[0x80, 0, 0, 0, 0][..], ("13", "grpc_framing")),
            (&[0, 0, 0, 0, 101], ("8", "message_bytes")),
            // In the middle of a message a client may not be silent for long.
            (&[0, 0, 0, 0, 9, 1], ("13", "request_body_incomplete")),
        ] {
            let (pieces, body) = piecewise();
            pieces.send(message(b"first").into()).await.unwrap();
            let answer = raw.open("/echo", &[], body).await;
            pieces.send(piece.to_vec().into()).await.unwrap();
            let answer = read(answer).await;
            assert_eq!(answer.status(), expected, "{component} {piece:?}");
            assert_eq!(answer.body[..10], message(b"first"), "{component}");
        }
        eventually("all to be counted", || {
            let refused = host.gateway.tally().refused();
            let of = |word| refused.get(word).copied().unwrap_or_default();
            of("grpc_framing") + of("message_bytes") + of("request_body_incomplete") == 7
        })
        .await;
    }
}
