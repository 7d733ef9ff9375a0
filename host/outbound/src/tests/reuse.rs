//! Connections that wait for the next call: used again, bounded, and never by
//! another function.

use super::*;

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn calls_one_after_the_other_use_one_connection() {
    let server = Server::saying(HELLO).await;
    let (function, url) = calling(&server, |_| {});
    for _ in 0..5 {
        assert_eq!(function.text(&url).await.unwrap(), "hello");
        eventually("it waits", || function.calls.waiting() == (1, 0)).await;
    }
    assert_eq!(server.accepted(), 1);
    let counts = function.calls.counts();
    assert_eq!((counts.calls, counts.connects), (5, 1));
    assert_eq!((counts.sent_bytes, counts.received_bytes), (0, 25));
    assert!(counts.failures.is_empty());
}

#[tokio::test]
async fn a_connection_that_the_host_has_closed_meanwhile_is_replaced() {
    let server = Server::saying_once(HELLO).await;
    let (function, url) = calling(&server, |_| {});
    for round in 1..=5 {
        assert_eq!(function.text(&url).await.unwrap(), "hello");
        assert_eq!(server.accepted(), round);
        eventually("it has ended", || function.calls.sweep_and_count() == 0).await;
    }
}

#[tokio::test]
async fn as_many_wait_as_may() {
    let server = Server::saying(HELLO).await;
    for (most, expected) in [(0, 0), (2, 2), (3, 3)] {
        let (function, url) = calling(&server, |it| it.outbound_idle_connections = most);
        let all = [(); 3].map(|()| function.get(&url));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(text(answer.unwrap()).await.unwrap(), "hello");
        }
        eventually("they wait", || function.calls.waiting().0 == expected).await;
    }
}

#[tokio::test]
async fn they_wait_as_long_as_they_may() {
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let server = Server::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            while head(&mut stream).await.is_some() {
                let _ = stream.write_all(HELLO.as_bytes()).await;
            }
            tell.send("closed").await.unwrap();
        }
    })
    .await;
    let time = |millis| {
        move |it: &mut FunctionLimits| {
            it.outbound_idle_timeout = Duration::from_millis(millis);
        }
    };
    // The sweep closes it, and a call that comes before that does not use it.
    let (function, url) = calling(&server, time(100));
    assert_eq!(function.text(&url).await.unwrap(), "hello");
    assert_eq!(told.recv().await, Some("closed"));
    let (function, url) = calling(&server, time(0));
    assert_eq!(function.text(&url).await.unwrap(), "hello");
    assert_eq!(told.recv().await, Some("closed"));
    assert_eq!(function.calls.waiting(), (0, 0));
}

#[tokio::test]
async fn other_terms_do_not_use_what_was_made_under_earlier_ones() {
    let server = Server::saying(HELLO).await;
    let (function, url) = calling(&server, |_| {});
    assert_eq!(function.text(&url).await.unwrap(), "hello");
    // An answer that is read under new terms.
    let late = function.get(&url).await.unwrap();
    function.allow(server.port(), |_| {});
    assert_eq!(text(late).await.unwrap(), "hello");
    assert_eq!(function.calls.waiting(), (0, 0));
    assert_eq!(function.text(&url).await.unwrap(), "hello");
    // Nothing at all is allowed: nothing that waits is used either.
    function
        .calls
        .replace(terms(&[], &FunctionLimits::default()));
    assert!(!function.calls.is_on());
    let error = function.get(&url).await.unwrap_err();
    assert!(matches!(error, OutboundError::Denied(_)), "{error}");
}

#[tokio::test]
async fn functions_share_no_connection() {
    let server = Server::saying(HELLO).await;
    let (function, url) = calling(&server, |_| {});
    let host = format!("private home.example:{}", server.port());
    let limits = FunctionLimits::default();
    let name = FunctionName::new("other").unwrap();
    let other = function.outbound.function(&name, terms(&[&host], &limits));
    for calls in [&function.calls, &other, &function.calls, &other] {
        let call = calls.call(request(&url), CallOptions::default());
        assert_eq!(text(call.await.unwrap()).await.unwrap(), "hello");
        eventually("it waits", || calls.waiting() == (1, 0)).await;
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn calls_work_on_any_runtime() {
    let server = Server::saying(HELLO).await;
    let (function, url) = calling(&server, |_| {});
    for _ in 0..3 {
        let (calls, url) = (Arc::clone(&function.calls), url.clone());
        // A runtime that ends after the call, and its connection does not.
        let thread = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let call = calls.call(request(&url), CallOptions::default());
                text(call.await.unwrap()).await
            })
        });
        assert_eq!(thread.await.unwrap().unwrap(), "hello");
        eventually("it waits", || function.calls.waiting() == (1, 0)).await;
    }
    assert_eq!(server.accepted(), 1);
}
