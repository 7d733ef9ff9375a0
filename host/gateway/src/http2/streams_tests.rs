//! What the host notices of the streams of a TCP connection.

use std::net::SocketAddr;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use openline_admission::services::Services;
use openline_core::config::ServerConfig;

use http_body_util::Full;

use super::*;
use crate::gateway::Gateway;

/// So long that no test sees the end of it.
const HOUR: Duration = Duration::from_secs(3600);

fn an_hour_ago() -> Instant {
    Instant::now().checked_sub(HOUR).unwrap()
}

/// The gateway of no function.
fn gateway() -> Arc<Gateway> {
    let services = Services::new(ServerConfig::default(), Vec::new()).unwrap();
    Gateway::new(Arc::new(services)).into()
}

fn streams(gateway: &Arc<Gateway>) -> Arc<Streams> {
    let from = SocketAddr::from(([10, 0, 0, 1], 1));
    let permit = gateway.permit(from).now_or_never();
    Streams::new(Arc::new(permit.unwrap().unwrap()))
}

fn is_idle(streams: &Streams) -> bool {
    streams.idle(HOUR).now_or_never().is_some()
}

/// Whether an answer has waited for twice the half of an hour.
fn is_unread(streams: &Streams) -> bool {
    streams.stop_unread(HOUR / 2).now_or_never().is_some()
}

fn is_cancelled(streams: &Streams) -> bool {
    streams.cancelled().now_or_never().is_some()
}

/// A request that its peer cancels.
fn cancel(streams: &Arc<Streams>) {
    drop(Streams::begin(streams));
}

/// A request that is answered.
fn answer(streams: &Arc<Streams>) {
    Streams::begin(streams).answered();
}

#[tokio::test]
async fn it_is_idle_without_a_stream_and_not_with_one() {
    let gateway = gateway();
    let streams = streams(&gateway);
    assert!(!is_idle(&streams), "it has only begun");
    streams.state.lock().since = an_hour_ago();
    assert!(is_idle(&streams));
    let (first, second) = (Streams::begin(&streams), Streams::begin(&streams));
    streams.state.lock().since = an_hour_ago();
    assert!(!is_idle(&streams));
    first.answered();
    drop(first);
    assert!(!is_idle(&streams), "the second is there");
    second.answered();
    drop(second);
    assert!(
        !is_idle(&streams),
        "the time begins with the last stream's end"
    );
    streams.state.lock().since = an_hour_ago();
    assert!(is_idle(&streams));
}

#[tokio::test]
async fn a_tcp_connection_with_a_stream_makes_no_room_for_others() {
    let config = ServerConfig {
        requests: 2,
        ..ServerConfig::default()
    };
    let services = Services::new(config, Vec::new()).unwrap();
    let gateway: Arc<_> = Gateway::new(Arc::new(services)).into();
    let streams = streams(&gateway);
    let slot = streams.permit.slot();
    let active = Streams::begin(&streams);
    // Another peer takes the second place, and a third needs one.
    let other = gateway.permit(SocketAddr::from(([10, 0, 0, 2], 1)));
    let other = other.now_or_never().unwrap().unwrap();
    let mut third = Box::pin(gateway.permit(SocketAddr::from(([10, 0, 0, 3], 1))));
    assert!(third.as_mut().now_or_never().is_none());
    assert!(slot.closed().now_or_never().is_none());
    assert!(other.slot().closed().now_or_never().is_some());
    drop(other);
    let third = third.now_or_never().unwrap().unwrap();
    third.slot().begin();
    // After its last stream it waits like others.
    active.answered();
    drop(active);
    let mut fourth = Box::pin(gateway.permit(SocketAddr::from(([10, 0, 0, 4], 1))));
    assert!(fourth.as_mut().now_or_never().is_none());
    assert!(slot.closed().now_or_never().is_some());
}

#[tokio::test]
async fn a_tcp_connection_has_a_place_unless_all_of_its_streams_are_websockets() {
    let gateway = gateway();
    let streams = streams(&gateway);
    assert_eq!(gateway.requests(), 1);
    let (first, second) = (Streams::begin(&streams), Streams::begin(&streams));
    first.upgraded();
    assert_eq!(gateway.requests(), 1, "the second is a request");
    second.answered();
    drop(second);
    assert_eq!(gateway.requests(), 0);
    // A request has a place of its own.
    let third = Streams::begin(&streams);
    third.upgraded();
    drop(first);
    assert_eq!(gateway.requests(), 0);
    drop(third);
    assert_eq!(gateway.requests(), 1);
    assert!(streams.permit.slot().closed().now_or_never().is_none());
    let fourth = Streams::begin(&streams);
    fourth.upgraded();
    assert_eq!(gateway.requests(), 0);
    drop(fourth);
    drop(streams);
    assert_eq!((gateway.requests(), gateway.sockets()), (0, 0));
}

#[tokio::test]
async fn the_time_without_a_stream_begins_anew_when_the_peer_is_told() {
    let gateway = gateway();
    let streams = streams(&gateway);
    streams.state.lock().since = an_hour_ago();
    assert!(is_idle(&streams));
    streams.restart();
    assert!(!is_idle(&streams));
    streams.state.lock().since = an_hour_ago();
    assert!(is_idle(&streams));
}

#[tokio::test]
async fn an_answer_is_unread_until_it_is_sent_or_given_up() {
    let gateway = gateway();
    let streams = streams(&gateway);
    assert!(!is_unread(&streams));
    let body = || Full::from("text");
    let first = Tracked::new(body(), &streams, None);
    let second = Tracked::new(body(), &streams, None);
    assert!(!is_unread(&streams), "they are new");
    let age = |number: u64| {
        let mut state = streams.state.lock();
        state.unread.get_mut(&number).unwrap().since = an_hour_ago();
    };
    age(first.number);
    assert!(is_unread(&streams));
    drop(first);
    assert!(!is_unread(&streams));
    // One that began before it, and is read, does not hide it.
    let third = Tracked::new(body(), &streams, None);
    age(third.number);
    assert!(is_unread(&streams));
    drop(third);
    age(second.number);
    assert!(is_unread(&streams));
    // hyper drops the body when all of it is sent.
    assert_eq!(second.collect().await.unwrap().to_bytes(), "text");
    assert!(!is_unread(&streams));
    assert!(streams.state.lock().unread.is_empty());
}

#[tokio::test]
async fn requests_are_cancelled_as_often_as_they_may_be_and_once_more() {
    let gateway = gateway();
    let streams = streams(&gateway);
    for _ in 0..CANCELLED_MAX {
        cancel(&streams);
    }
    assert!(!is_cancelled(&streams));
    cancel(&streams);
    assert!(is_cancelled(&streams));
}

#[tokio::test]
async fn each_answered_request_forgives_one_and_no_more() {
    let gateway = gateway();
    let streams = streams(&gateway);
    for _ in 0..10 {
        answer(&streams);
    }
    for _ in 0..CANCELLED_MAX {
        cancel(&streams);
    }
    assert!(!is_cancelled(&streams));
    for _ in 0..1_000 {
        answer(&streams);
        cancel(&streams);
    }
    assert!(!is_cancelled(&streams));
    // Those before the first cancelled one have not made room for more.
    cancel(&streams);
    assert!(is_cancelled(&streams));
}

#[tokio::test]
async fn a_body_comes_in_pieces_of_a_frame() {
    let gateway = gateway();
    let streams = streams(&gateway);
    let bytes = |length| (0..=u8::MAX).cycle().take(length).collect::<Bytes>();
    for (length, expected) in [
        (0, &[][..]),
        (1, &[1]),
        (FRAME_BYTES, &[FRAME_BYTES]),
        (FRAME_BYTES + 1, &[FRAME_BYTES, 1]),
        (2 * FRAME_BYTES + 7, &[FRAME_BYTES, FRAME_BYTES, 7]),
    ] {
        let mut body = Tracked::new(Full::from(bytes(length)), &streams, None);
        let (mut pieces, mut whole) = (Vec::new(), Vec::new());
        assert_eq!(body.is_end_stream(), length == 0);
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            pieces.push(piece.len());
            whole.extend(piece);
            let left = (length - whole.len()) as u64;
            assert_eq!(body.size_hint().exact(), Some(left));
            assert_eq!(body.is_end_stream(), left == 0);
        }
        assert_eq!(pieces, expected);
        assert_eq!(whole, bytes(length));
    }
}
