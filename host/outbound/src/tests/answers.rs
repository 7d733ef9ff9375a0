//! What other hosts answer: too late, too much, too little, or nothing.

use std::future::pending;

use super::*;

fn head_of(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up() {
    let server = Server::new(|mut stream| async move {
        head(&mut stream).await;
        pending::<()>().await;
    })
    .await;
    let (function, url) = calling(&server, |it| {
        it.outbound_head_timeout = Duration::from_millis(100);
    });
    let error = function.get(&url).await.unwrap_err();
    assert_eq!(error, OutboundError::HeadTimeout);
    assert_eq!(function.outbound.in_flight(), 0);
    // A function may wait for less, and not for more.
    let (function, url) = calling(&server, |_| {});
    let options = CallOptions {
        head_timeout: Some(Duration::from_millis(50)),
        ..CallOptions::default()
    };
    let error = function
        .calls
        .call(request(&url), options)
        .await
        .unwrap_err();
    assert_eq!(error, OutboundError::HeadTimeout);
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up() {
    let server = Server::new(|mut stream| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        // Any progress of a head is none.
        while stream.write_all(b"a: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let (function, url) = calling(&server, |it| {
        it.outbound_head_timeout = Duration::from_millis(200);
    });
    let error = function.get(&url).await.unwrap_err();
    assert_eq!(error, OutboundError::HeadTimeout);
}

#[tokio::test]
async fn the_time_of_the_head_begins_when_the_function_has_sent_its_body() {
    let server = Server::new(|mut stream| async move {
        head(&mut stream).await;
        let mut chunk = [0; 8];
        // `1\r\nx\r\n`, twice, and the end.
        for length in [6, 6, 5] {
            stream.read_exact(&mut chunk[..length]).await.unwrap();
        }
        let _ = stream.write_all((head_of(2) + "ok").as_bytes()).await;
    })
    .await;
    let (function, url) = calling(&server, |it| {
        it.outbound_head_timeout = Duration::from_millis(100);
    });
    let (request, body) = streamed(&url);
    let call = function.call(request);
    let write = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            body.send(Some(Bytes::from_static(b"x"))).await.unwrap();
        }
        drop(body);
    };
    let (answer, ()) = tokio::join!(call, write);
    assert_eq!(text(answer.unwrap()).await.unwrap(), "ok");
    assert_eq!(function.calls.counts().sent_bytes, 2);
}

#[tokio::test]
async fn silence_in_the_middle_ends_an_answer_and_slow_bytes_do_not() {
    let server = Server::new(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(head_of(6).as_bytes()).await.unwrap();
        for _ in 0..5 {
            let _ = stream.write_all(b"x").await;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        pending::<()>().await;
    })
    .await;
    let (function, url) = calling(&server, |it| {
        it.outbound_silence_timeout = Duration::from_millis(200);
    });
    let mut body = function.get(&url).await.unwrap().into_body();
    let mut got = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => got += frame.into_data().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!((got, error), (5, OutboundError::SilenceTimeout));
    assert!(body.frame().await.is_none());
    let counts = function.calls.counts();
    assert_eq!((counts.in_flight, counts.received_bytes), (0, 5));
    assert_eq!(counts.failures["outbound_silence_timeout"], 1);
}

#[tokio::test]
async fn a_call_ends_when_its_whole_time_is_up() {
    let server = Server::new(|mut stream| async move {
        head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // It never stops.
        while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let (function, url) = calling(&server, |it| {
        it.outbound_time = Duration::from_millis(200);
    });
    let answer = function.get(&url).await.unwrap();
    let error = text(answer).await.unwrap_err();
    assert_eq!(error, OutboundError::TimeUp);
    // Also if nobody reads it: the sweep takes it, and the place is free.
    let kept = function.get(&url).await.unwrap();
    assert_eq!(function.outbound.in_flight(), 1);
    eventually("the sweep", || function.outbound.in_flight() == 0).await;
    let error = text(kept).await.unwrap_err();
    assert_eq!(error, OutboundError::TimeUp);
    assert_eq!(function.calls.counts().failures["outbound_time"], 2);
}

#[tokio::test]
async fn an_answer_has_as_many_bytes_as_it_may() {
    let limit = |it: &mut FunctionLimits| it.outbound_response_bytes = 10;
    let chunked = |bytes: &str| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{bytes}0\r\n\r\n")
    };
    let until_the_end = |bytes: &str| format!("HTTP/1.1 200 OK\r\n\r\n{bytes}");
    for (says, fits) in [
        (head_of(10) + "0123456789", true),
        (head_of(11) + "0123456789a", false),
        (head_of(1 << 60) + "0", false),
        (chunked("5\r\n01234\r\n5\r\n56789\r\n"), true),
        (chunked("5\r\n01234\r\n6\r\n56789a\r\n"), false),
        (until_the_end("0123456789"), true),
        (until_the_end("0123456789a"), false),
    ] {
        let server = Server::saying_once(says.clone()).await;
        let (function, url) = calling(&server, limit);
        let got = function.text(&url).await;
        if fits {
            assert_eq!(got.unwrap(), "0123456789", "{says}");
        } else {
            assert_eq!(got, Err(OutboundError::ResponseBodyBytes(10)), "{says}");
        }
        assert_eq!(function.outbound.in_flight(), 0, "{says}");
    }
}

#[tokio::test]
async fn answers_that_lie_about_themselves_are_errors() {
    use OutboundError::{Incomplete, Terminated, Upgrade};
    for (says, expected) in [
        (String::new(), Terminated),
        ("HTTP/1.1 200 OK\r\na: b".into(), Terminated),
        (head_of(10) + "short", Incomplete),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01".into(),
            Incomplete,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".into(),
            Upgrade,
        ),
    ] {
        let server = Server::saying_once(says.clone()).await;
        let (function, url) = calling(&server, |_| {});
        assert_eq!(function.text(&url).await, Err(expected), "{says}");
    }
    for says in [
        "not HTTP at all\r\n\r\n",
        "HTTP/1.1 999999 What\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\n a: folded\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let server = Server::saying_once(says).await;
        let (function, url) = calling(&server, |_| {});
        let error = function.text(&url).await.unwrap_err();
        assert!(
            matches!(error, OutboundError::Protocol(_) | Terminated | Incomplete),
            "{says}: {error}"
        );
    }
}

#[tokio::test]
async fn what_follows_an_answer_is_not_the_next_one() {
    // An answer that nobody asked for, sent with another one.
    let says = head_of(1) + "a" + &head_of(6) + "forged";
    let server = Server::new(move |mut stream| {
        let says = says.clone();
        async move {
            head(&mut stream).await;
            let _ = stream.write_all(says.as_bytes()).await;
            while head(&mut stream).await.is_some() {
                let _ = stream.write_all((head_of(1) + "b").as_bytes()).await;
            }
        }
    })
    .await;
    let (function, url) = calling(&server, |_| {});
    for _ in 0..3 {
        let got = function.text(&url).await;
        assert!(got.is_err() || got == Ok("a".into()), "{got:?}");
    }
}

#[tokio::test]
async fn a_reset_is_an_error() {
    for says in [String::new(), head_of(10) + "short"] {
        let server = Server::new(move |mut stream| {
            let says = says.clone();
            async move {
                head(&mut stream).await;
                stream.write_all(says.as_bytes()).await.unwrap();
                // What is unread when a socket is closed makes it a reset.
                drop(stream);
            }
        })
        .await;
        let (function, url) = calling(&server, |_| {});
        let call = function.call(post(&url, vec![b'x'; 1 << 20])).await;
        let error = match call {
            Err(error) => error,
            Ok(answer) => text(answer).await.unwrap_err(),
        };
        assert!(
            matches!(error, OutboundError::Terminated | OutboundError::Incomplete),
            "{error}"
        );
    }
}

#[tokio::test]
async fn headers_of_an_answer_have_a_limit() {
    let limit = |it: &mut FunctionLimits| it.outbound_header_bytes = 1000;
    let with = |bytes: usize| {
        let value = "v".repeat(bytes - "content-length".len() - 1 - "x".len());
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {value}\r\n\r\n")
    };
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(5000));
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "v".repeat(1 << 20));
    for (says, fits) in [
        (with(1000), true),
        (with(1001), false),
        (with(100_000), false),
        (many, false),
        (endless, false),
    ] {
        let server = Server::saying_once(says).await;
        let (function, url) = calling(&server, limit);
        match function.text(&url).await {
            Ok(_) => assert!(fits),
            Err(error) => {
                assert!(!fits);
                let large = matches!(error, OutboundError::ResponseHeaderBytes(_));
                assert!(large, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_has_as_many_bytes_as_it_may() {
    let server = Server::new(|mut stream| async move {
        head(&mut stream).await;
        let mut byte = [0; 1024];
        let _ = stream.write_all((head_of(2) + "ok").as_bytes()).await;
        while stream.read(&mut byte).await.is_ok_and(|it| it > 0) {}
    })
    .await;
    let limit = |it: &mut FunctionLimits| it.outbound_request_bytes = 10;
    let (function, url) = calling(&server, limit);
    let got = text(function.call(post(&url, "0123456789")).await.unwrap()).await;
    assert_eq!(got.unwrap(), "ok");
    let before = server.accepted();
    let error = function.call(post(&url, "0123456789a")).await.unwrap_err();
    assert_eq!(error, OutboundError::RequestBodyBytes(10));
    assert_eq!(server.accepted(), before, "nobody was called");
    // One whose length is not known before.
    let silent = Server::new(|mut stream| async move {
        let mut byte = [0; 1024];
        while stream.read(&mut byte).await.is_ok_and(|it| it > 0) {}
    })
    .await;
    for (last, expected) in [
        (
            Some(Bytes::from_static(b"6789a")),
            OutboundError::RequestBodyBytes(10),
        ),
        (None, OutboundError::RequestBody),
    ] {
        let (function, url) = calling(&silent, limit);
        let (request, body) = streamed(&url);
        let write = async {
            let _ = body.send(Some(Bytes::from_static(b"012345"))).await;
            let _ = body.send(last).await;
        };
        let (answer, ()) = tokio::join!(function.call(request), write);
        assert_eq!(answer.unwrap_err(), expected);
        assert_eq!(function.calls.counts().sent_bytes, 6);
    }
}

#[tokio::test]
async fn whoever_drops_a_call_or_its_answer_ends_it() {
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let server = Server::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            let asked = head(&mut stream).await.unwrap();
            if asked.starts_with("GET /begun") {
                let _ = stream.write_all(head_of(100).as_bytes()).await;
            }
            tell.send("asked").await.unwrap();
            // Until the other end has closed it.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            tell.send("closed").await.unwrap();
        }
    })
    .await;
    let (function, url) = calling(&server, |_| {});
    let call = function.calls.call(request(&url), CallOptions::default());
    let call = tokio::spawn(call);
    assert_eq!(told.recv().await, Some("asked"));
    assert_eq!(function.calls.counts().in_flight, 1);
    call.abort();
    assert_eq!(told.recv().await, Some("closed"));
    let answer = function.get(&format!("{url}begun")).await.unwrap();
    assert_eq!(told.recv().await, Some("asked"));
    drop(answer);
    assert_eq!(told.recv().await, Some("closed"));
    assert_eq!(function.outbound.in_flight(), 0);
    // A body that the function still writes ends as well.
    let (request, body) = streamed(&url);
    let call = tokio::spawn(function.calls.call(request, CallOptions::default()));
    assert_eq!(told.recv().await, Some("asked"));
    call.abort();
    assert_eq!(told.recv().await, Some("closed"));
    tokio::time::timeout(SOON, body.closed()).await.unwrap();
}

#[tokio::test]
async fn a_function_has_as_many_calls_in_flight_as_it_may() {
    let server = Server::saying(head_of(1)).await;
    let (function, url) = calling(&server, |it| it.outbound_calls = 2);
    let one = function.get(&url).await.unwrap();
    let two = function.get(&url).await.unwrap();
    let error = function.get(&url).await.unwrap_err();
    assert_eq!(error, OutboundError::CallLimit);
    assert_eq!(function.calls.counts().in_flight, 2);
    drop(one);
    let three = function.get(&url).await.unwrap();
    drop((two, three));
    assert_eq!(function.outbound.in_flight(), 0);
}

#[tokio::test]
async fn a_call_has_no_trailers_that_belong_into_its_head() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let server = Server::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            head(&mut stream).await.unwrap();
            let body = head(&mut stream).await.unwrap();
            tell.send(body).await.unwrap();
            let _ = stream.write_all(head_of(0).as_bytes()).await;
        }
    })
    .await;
    let (function, url) = calling(&server, |_| {});
    let mut trailers = http::HeaderMap::new();
    for name in ["x", "openline-claims", "x-forwarded-for", "forwarded"] {
        let name = http::HeaderName::from_static(name);
        trailers.insert(name, http::HeaderValue::from_static("1"));
    }
    let frames = [
        http_body::Frame::data(Bytes::from_static(b"ok")),
        http_body::Frame::trailers(trailers),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok))).boxed_unsync();
    let mut call = Request::post(&url).body(body).unwrap();
    let named = "x, openline-claims, x-forwarded-for, forwarded";
    let named = http::HeaderValue::from_static(named);
    call.headers_mut().insert("trailer", named);
    function.call(call).await.unwrap();
    let body = told.recv().await.unwrap();
    assert_eq!(body, "2\r\nok\r\n0\r\nx: 1\r\n\r\n");
}

#[tokio::test]
async fn trailers_and_answers_without_a_body_pass() {
    let says = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n\
                2\r\nok\r\n0\r\nx: y\r\ncontent-length: 5\r\nset-cookie: a=1\r\n\
                connection: x\r\nopenline_claims: {}\r\n\r\n";
    let server = Server::saying(says).await;
    let (function, url) = calling(&server, |_| {});
    let mut call = request(&url);
    call.headers_mut().insert("te", "trailers".parse().unwrap());
    let body = function.call(call).await.unwrap().into_body();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().unwrap();
    assert_eq!(trailers["x"], "y");
    assert_eq!(trailers.len(), 1, "{trailers:?}");
    let server = Server::saying("HTTP/1.1 204 No Content\r\n\r\n").await;
    let (function, url) = calling(&server, |_| {});
    for _ in 0..3 {
        // It need not be read.
        assert_eq!(function.get(&url).await.unwrap().status(), 204);
    }
    let mut ask = request(&url);
    *ask.method_mut() = http::Method::HEAD;
    assert!(function.call(ask).await.is_ok());
    eventually("one connection waits", || {
        function.calls.sweep_and_count() == 1
    })
    .await;
    assert_eq!(server.accepted(), 1);
}
