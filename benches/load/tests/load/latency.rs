//! Latencies count from the time a message was due.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openline_load::{Activity, run};
use tokio::sync::watch;

use crate::server::Server;
use crate::{measure, options};

#[tokio::test]
async fn with_a_rate_every_message_due_in_the_window_counts_once() {
    let server = Server::echo().await;
    let mut options = options(&server);
    options.rate = Some(1_000.0);
    options.duration = Duration::from_millis(500);
    options.threads = 2;
    let report = measure(options).await.unwrap();

    assert!(report.errors.is_empty(), "{:?}", report.errors);
    // One more or less where a due time meets a bound of the window.
    let count = report.latency.unwrap().count;
    assert!((498..=502).contains(&count), "{count}");
    assert_eq!(report.lateness.unwrap().count, count);
    let messages = report.messages.unwrap();
    assert_eq!((messages.unanswered, messages.unsent), (0, 0));
}

/// A server that answers nothing until it is told to.
async fn stalling_server() -> (Server, watch::Sender<bool>) {
    let (resume, resumed) = watch::channel(false);
    let server = Server::web_socket(move |mut socket| {
        let mut resumed = resumed.clone();
        async move {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_binary() {
                    resumed.wait_for(|resumed| *resumed).await.unwrap();
                    let _ = socket.send(message).await;
                }
            }
        }
    })
    .await;
    (server, resume)
}

#[tokio::test]
async fn a_stall_counts_for_every_message_due_in_it() {
    let (server, resume) = stalling_server().await;
    let mut options = options(&server);
    options.connections = 1;
    options.warm_up = Duration::ZERO;
    options.duration = Duration::from_millis(400);
    options.rate = Some(200.0);
    // The server stalls for at least the first 200 of 400 ms, by the load
    // generator's own clock.
    let stall = Duration::from_millis(200);
    let progress = |progress: openline_load::Progress| {
        let over = match progress.activity {
            Activity::Connecting | Activity::WarmingUp => false,
            Activity::Measuring => progress.elapsed >= stall,
            Activity::Holding | Activity::Finishing => true,
        };
        resume.send_if_modified(|resumed| over && !std::mem::replace(resumed, over));
    };
    let report = run(options, progress).await.unwrap();

    // Were latencies counted from sending, one message would show the stall.
    // Counted from due, the 20 of 80 messages due in the first 100 ms of the
    // stall waited for 100 ms at least.
    let latency = report.latency.unwrap();
    assert!((79..=81).contains(&latency.count), "{}", latency.count);
    assert!(latency.max_microseconds >= 195_000.0, "{report}");
    assert!(latency.p90_microseconds >= 100_000.0, "{report}");
}

#[tokio::test]
async fn what_is_never_answered_counts_with_the_time_it_waited() {
    // Answers the first message of each connection and no other.
    let server = Server::web_socket(|mut socket| async move {
        let mut answered = false;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() && !std::mem::replace(&mut answered, true) {
                let _ = socket.send(message).await;
            }
        }
    })
    .await;
    let mut options = options(&server);
    options.connections = 1;
    options.depth = 2;
    options.warm_up = Duration::ZERO;
    options.rate = Some(100.0);
    options.duration = Duration::from_millis(300);
    options.reply_timeout = Duration::from_secs(1);
    let report = measure(options).await.unwrap();

    let messages = report.messages.unwrap();
    let latency = report.latency.unwrap();
    assert_eq!(messages.unanswered, 2, "the depth: {report}");
    assert_eq!(latency.count, 1 + messages.unanswered + messages.unsent);
    assert!((29..=31).contains(&latency.count), "{report}");
    assert!(
        latency.p50_microseconds >= 1_000_000.0,
        "the drain: {report}"
    );
    assert!(report.to_string().contains("did not keep up"), "{report}");
}
