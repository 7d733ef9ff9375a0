//! The times of calls and peers, with a clock that stands still.

use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;

use super::super::bodies::Awaited;
use super::super::written::AHEAD_BYTES_MAX;
use super::super::{RequestBodyError, ResponseBody, Unfinished};
use super::*;

const TIME: Duration = Duration::from_secs(10);
const STREAM_TIME: Duration = Duration::from_secs(1000);
const SILENCE: Duration = Duration::from_secs(20);

fn begun(is_shared: bool) -> Arc<Exchange> {
    let exchange = Exchange::new(Times {
        handler_timeout: TIME,
        stream_time: STREAM_TIME,
        silence: Some(SILENCE),
    });
    exchange.begin(is_shared);
    exchange
}

fn due(exchange: &Exchange) -> Duration {
    exchange.due(Waker::noop()) - Instant::now()
}

/// A body whose pieces a test sends.
fn body<E: Send + 'static>() -> (
    mpsc::Sender<Bytes>,
    http_body_util::combinators::UnsyncBoxBody<Bytes, E>,
) {
    let (sender, mut pieces) = mpsc::channel(8);
    let frames = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx));
    let frames = futures_util::StreamExt::map(frames, |piece| Ok(Frame::data(piece)));
    (sender, StreamBody::new(frames).boxed_unsync())
}

/// An answer that a function writes.
fn answer(exchange: &Arc<Exchange>) -> (mpsc::Sender<Bytes>, ResponseBody) {
    let (sender, body) = body();
    exchange.answer();
    let response = http::Response::new(body);
    let answer = ResponseBody::new(response, Arc::clone(exchange), None);
    (sender, answer.into_body())
}

fn poll(
    body: &mut (impl Body<Data = Bytes, Error: std::fmt::Debug> + Unpin),
) -> Poll<Option<Bytes>> {
    let polled = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
    polled.map(|frame| frame.map(|frame| frame.unwrap().into_data().unwrap()))
}

fn is_displaced(exchange: &Exchange) -> bool {
    exchange.why_displaced().is_some()
}

/// As the task that ushers does, since requests wait.
fn usher(exchange: &Exchange, wanted: Instant) -> Instant {
    let (owed, next) = exchange.lateness(wanted, Instant::now());
    if owed.is_some() {
        exchange.displace(Displaced::Slow);
    }
    next
}

fn poll_body(body: &mut Awaited) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

fn read_ahead(exchange: &Exchange) {
    exchange.read_ahead(&mut Context::from_waker(Waker::noop()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_late_is_late_whether_its_peer_has_left_or_not() {
    let exchange = begun(false);
    assert!(!exchange.ends_forsaken(), "the peer is there");
    tokio::time::advance(TIME / 2).await;
    exchange.forsake();
    assert!(exchange.ends_forsaken(), "it has time");
    tokio::time::advance(TIME / 2).await;
    assert_eq!(due(&exchange), Duration::ZERO);
    assert!(
        !exchange.ends_forsaken() && exchange.is_late(),
        "it has had its time"
    );
    let exchange = begun(false);
    exchange.answer();
    exchange.forsake();
    tokio::time::advance(TIME).await;
    assert_eq!(due(&exchange), Duration::ZERO);
    assert!(exchange.ends_forsaken(), "it had stream_time");
}

#[tokio::test(start_paused = true)]
async fn a_call_behind_its_whole_answer_has_handler_timeout() {
    let exchange = begun(false);
    let (pieces, mut answer) = answer(&exchange);
    assert_eq!(due(&exchange), STREAM_TIME + TIME);
    drop(pieces);
    assert!(answer.frame().await.is_none() && answer.is_whole());
    drop(answer);
    assert_eq!(due(&exchange), TIME);
}

/// To look once for the body is not to wait for it.
#[tokio::test(start_paused = true)]
async fn the_time_stands_still_while_a_peer_sends_and_no_longer_than_it_may_be_silent() {
    let exchange = begun(false);
    let (pieces, body) = body();
    let mut body = Awaited::new(body, Arc::clone(&exchange));
    assert!(poll(&mut body).is_pending());
    assert_eq!(due(&exchange), SILENCE + TIME);
    tokio::time::advance(SILENCE).await;
    assert_eq!(due(&exchange), TIME);
    pieces.try_send(Bytes::from_static(b"a")).unwrap();
    assert!(poll(&mut body).is_ready());
    // As much as it had when it began to wait.
    assert_eq!(due(&exchange), TIME);
    tokio::time::advance(TIME).await;
    assert!(exchange.is_late());
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_is_displaced_only_where_others_wait_for_the_call() {
    for is_shared in [false, true] {
        let exchange = begun(is_shared);
        let (pieces, body) = body();
        let mut body = Awaited::new(body, Arc::clone(&exchange));
        // Twice: its waits count together.
        for _ in 0..2 {
            assert!(poll(&mut body).is_pending());
            tokio::time::advance(TIME * 2 / 3).await;
            if is_displaced(&exchange) {
                break;
            }
            if exchange.due(Waker::noop()) <= Instant::now() {
                assert!(!exchange.is_late(), "the call is not late, its peer is");
                break;
            }
            pieces.try_send(Bytes::from_static(b"a")).unwrap();
            assert!(poll(&mut body).is_ready());
        }
        assert_eq!(is_displaced(&exchange), is_shared);
        if is_shared {
            let frame = body.frame().await.unwrap();
            assert_eq!(frame.unwrap_err(), RequestBodyError::Slow);
            assert_eq!(due(&exchange), TIME, "the function has time to return");
            assert!(
                exchange.ends_forsaken(),
                "and commits no fault if it does not"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_whose_call_others_wait_is_read_ahead() {
    let exchange = begun(true);
    let (pieces, mut answer) = answer(&exchange);
    let half = Bytes::from(vec![0; AHEAD_BYTES_MAX / 2]);
    pieces.try_send(half.clone()).unwrap();
    read_ahead(&exchange);
    assert_eq!(due(&exchange), TIME, "the function writes");
    tokio::time::advance(TIME / 2).await;
    pieces.try_send(half.clone()).unwrap();
    read_ahead(&exchange);
    // It may have to wait from here on, and its own time stands still.
    assert_eq!(due(&exchange), TIME);
    tokio::time::advance(TIME / 2).await;
    assert_eq!(due(&exchange), TIME / 2);
    assert_eq!(poll(&mut answer), Poll::Ready(Some(half.clone())));
    read_ahead(&exchange);
    assert_eq!(due(&exchange), TIME / 2, "what it has left of its own time");
    pieces.try_send(half.clone()).unwrap();
    pieces.try_send(half.clone()).unwrap();
    read_ahead(&exchange);
    assert_eq!(due(&exchange), TIME / 2, "what its peer has left");
    tokio::time::advance(TIME / 2).await;
    assert!(!exchange.is_late());
    assert!(pieces.try_send(half).is_err(), "the function learns it");
    let frame = answer.frame().await.unwrap();
    assert_eq!(frame.unwrap_err(), Unfinished::Slow);
}

/// What was read ahead comes in its order, also when the call has returned.
#[tokio::test(start_paused = true)]
async fn what_was_read_ahead_is_whole() {
    let exchange = begun(true);
    let in_call = exchange.call();
    let (pieces, mut answer) = answer(&exchange);
    assert!(poll(&mut answer).is_pending());
    for piece in ["a", "b"] {
        pieces.try_send(Bytes::from(piece)).unwrap();
    }
    read_ahead(&exchange);
    pieces.try_send(Bytes::from("c")).unwrap();
    drop(pieces);
    assert_eq!(poll(&mut answer), Poll::Ready(Some(Bytes::from("ab"))));
    in_call.returned();
    assert!(!answer.is_whole());
    for piece in [Some("c"), None] {
        assert_eq!(poll(&mut answer), Poll::Ready(piece.map(Bytes::from)));
    }
    assert!(answer.is_whole());
}

#[tokio::test(start_paused = true)]
async fn the_peers_of_an_instance_that_ends_are_not_waited_for() {
    let exchange = begun(false);
    let (pieces, body) = body();
    let mut body = Awaited::new(body, Arc::clone(&exchange));
    exchange.stop_waiting();
    // What is there is read.
    pieces.try_send(Bytes::from_static(b"a")).unwrap();
    assert_eq!(poll(&mut body), Poll::Ready(Some(Bytes::from("a"))));
    assert!(!is_displaced(&exchange));
    let frame = body.frame().await.unwrap();
    assert_eq!(frame.unwrap_err(), RequestBodyError::Slow);
    tokio::time::timeout(TIME, exchange.displaced())
        .await
        .unwrap();
}

/// Requests wait for a seat: a peer keeps its own as long as it goes on.
#[tokio::test(start_paused = true)]
async fn a_peer_keeps_its_seat_by_its_rate() {
    let second = usize::try_from(SEAT_BYTES_PER_SECOND_MIN).unwrap();
    let piece = Bytes::from(vec![0; second]);
    for (pause, stays) in [(SEAT_TIME, true), (SEAT_TIME * 3, false)] {
        let exchange = begun(false);
        let wanted = Instant::now();
        usher(&exchange, wanted);
        let (pieces, body) = body();
        let mut body = Awaited::new(body, Arc::clone(&exchange));
        for _ in 0..5 {
            assert_eq!(poll_body(&mut body).is_pending(), !is_displaced(&exchange));
            if is_displaced(&exchange) {
                break;
            }
            tokio::time::advance(pause - Duration::from_millis(1)).await;
            usher(&exchange, wanted);
            pieces.try_send(piece.clone()).unwrap();
            if !is_displaced(&exchange) {
                assert!(poll_body(&mut body).is_ready());
            }
        }
        assert_eq!(is_displaced(&exchange), !stays);
    }
    // What it has sent faster is not saved up.
    let exchange = begun(false);
    let wanted = Instant::now();
    usher(&exchange, wanted);
    let (pieces, body) = body();
    let mut body = Awaited::new(body, Arc::clone(&exchange));
    pieces.try_send(Bytes::from(vec![0; 100 * second])).unwrap();
    assert!(poll_body(&mut body).is_ready() && poll_body(&mut body).is_pending());
    tokio::time::advance(SEAT_TIME).await;
    usher(&exchange, wanted);
    assert!(is_displaced(&exchange));
    // A function that does not wait for its peer keeps it.
    let exchange = begun(false);
    usher(&exchange, wanted);
    tokio::time::advance(TIME).await;
    usher(&exchange, wanted);
    assert!(!is_displaced(&exchange));
}

/// A peer that was slow before anybody waited has as much time as any.
#[tokio::test(start_paused = true)]
async fn only_the_time_in_which_others_wait_counts() {
    let exchange = begun(false);
    let (_pieces, body) = body();
    let mut body = Awaited::new(body, Arc::clone(&exchange));
    assert!(poll_body(&mut body).is_pending());
    for _ in 0..2 {
        tokio::time::advance(TIME).await;
        let wanted = Instant::now();
        let next = usher(&exchange, wanted);
        assert!(!is_displaced(&exchange));
        assert_eq!(next, wanted + SEAT_TIME);
    }
    tokio::time::advance(SEAT_TIME).await;
    usher(&exchange, Instant::now() - SEAT_TIME);
    assert!(is_displaced(&exchange));
}

/// The library and the kernel take much at once, and then nothing until that is gone.
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_at_its_rate_keeps_its_seat_however_much_is_taken_at_once() {
    let exchange = begun(false);
    let wanted = Instant::now();
    usher(&exchange, wanted);
    let (pieces, mut answer) = answer(&exchange);
    let piece = Bytes::from(vec![0; BURST_BYTES / 8]);
    for _ in 0..4 {
        for _ in 0..8 {
            pieces.try_send(piece.clone()).unwrap();
            assert!(poll(&mut answer).is_ready());
        }
        // Twice as fast as it has to be.
        tokio::time::advance(time_of(BURST_BYTES) / 2).await;
        usher(&exchange, wanted);
        assert!(!is_displaced(&exchange));
    }
    tokio::time::advance(time_of(BURST_BYTES) / 2).await;
    usher(&exchange, wanted);
    assert!(!is_displaced(&exchange), "it may take as long");
    tokio::time::advance(SEAT_TIME).await;
    usher(&exchange, wanted);
    assert!(is_displaced(&exchange) && !answer.is_whole());
    let frame = answer.frame().await.unwrap();
    assert_eq!(frame.unwrap_err(), Unfinished::Slow);
}

/// An answer may be the request's own body, which learns of its end while it is read.
#[tokio::test(start_paused = true)]
async fn the_body_of_a_request_can_be_its_answer() {
    let exchange = begun(false);
    exchange.stop_waiting();
    let (_pieces, request) = body::<RequestBodyError>();
    let request = Awaited::new(request, Arc::clone(&exchange));
    exchange.answer();
    let passed = request.map_err(|error| error.to_string()).boxed_unsync();
    let response = http::Response::new(passed);
    let mut answer = ResponseBody::new(response, Arc::clone(&exchange), None).into_body();
    let frame = answer.frame().await.unwrap();
    assert!(matches!(frame, Err(Unfinished::Function(_))));
}

/// Many small pieces take no more memory than large ones, and none that are empty.
#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_is_joined() {
    let exchange = begun(true);
    let (pieces, mut answer) = answer(&exchange);
    for _ in 0..4 {
        for piece in ["a", "", "b"] {
            pieces.try_send(Bytes::from(piece)).unwrap();
        }
        read_ahead(&exchange);
    }
    assert_eq!(exchange.answer.lock().ahead.len(), 1);
    assert_eq!(
        poll(&mut answer),
        Poll::Ready(Some(Bytes::from("abababab")))
    );
    assert_eq!(exchange.answer.lock().ahead_bytes, 0);
}
