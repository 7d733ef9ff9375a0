//! The load generator against servers on loopback that behave, stall, refuse
//! and break. Nothing here depends on how fast the machine is: counts are
//! exact where the schedule makes them so, and times are only bounded from the
//! side that a slow machine makes truer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod latency;
mod server;

use std::time::Duration;

use openline_load::{LoadError, MessageKind, Options, Report, run};
use server::Server;

/// Settings for a short run against `server`.
fn options(server: &Server) -> Options {
    let mut options = Options::new(server.url("/echo").parse().unwrap());
    options.connections = 4;
    options.duration = Duration::from_millis(500);
    options.warm_up = Duration::from_millis(50);
    options
}

async fn measure(options: Options) -> Result<Report, LoadError> {
    // A hang is a failure, not a hung test.
    tokio::time::timeout(Duration::from_secs(60), run(options, |_| {}))
        .await
        .expect("the run ends by itself")
}

#[tokio::test]
async fn an_echo_is_measured_in_a_closed_loop() {
    let server = Server::echo().await;
    for (kind, bytes, threads) in [
        (MessageKind::Binary, 125, 1),
        (MessageKind::Text, 70_000, 2),
        (MessageKind::Text, 0, 1),
    ] {
        let mut options = options(&server);
        options.depth = 3;
        options.kind = kind;
        options.message_bytes = bytes;
        options.threads = threads;
        let report = measure(options).await.unwrap();

        assert_eq!(report.connections.opened, 4);
        assert_eq!(report.connections.lost, 0);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert_eq!(
            report.close_codes.into_iter().collect::<Vec<_>>(),
            [(1000, 4)]
        );
        let messages = report.messages.unwrap();
        assert!(messages.answered > 0);
        assert_eq!((messages.unanswered, messages.unsent), (0, 0));
        let latency = report.latency.unwrap();
        assert!(latency.p50_microseconds > 0.0);
        assert!(latency.p50_microseconds <= latency.p99_microseconds);
        assert!(latency.p99_microseconds <= latency.max_microseconds);
        assert_eq!(report.connect.unwrap().count, 4);
        assert_eq!(report.lateness, None);
    }
}

#[tokio::test]
async fn idle_connections_are_held_and_closed() {
    let server = Server::echo().await;
    let mut options = options(&server);
    options.idle = true;
    options.connections = 20;
    options.threads = 2;
    if cfg!(target_os = "linux") {
        options.process = Some(std::process::id());
    }
    let report = measure(options).await.unwrap();

    assert_eq!(report.connections.opened, 20);
    assert_eq!(report.connections.lost, 0);
    assert_eq!(report.messages, None);
    assert_eq!(report.latency, None);
    assert_eq!(
        report.close_codes.into_iter().collect::<Vec<_>>(),
        [(1000, 20)]
    );
    assert_eq!(report.server.is_some(), cfg!(target_os = "linux"));
}

#[tokio::test]
async fn the_report_survives_json_and_prints() {
    let server = Server::echo().await;
    let mut options = options(&server);
    options.headers = vec![("authorization".to_owned(), "secret".to_owned())];
    if cfg!(target_os = "linux") {
        options.process = Some(std::process::id());
    }
    let report = measure(options).await.unwrap();

    let json = serde_json::to_string(&report).unwrap();
    assert!(!json.contains("secret"), "{json}");
    assert!(json.contains("\"duration_seconds\":0.5"), "{json}");
    let again: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(again.to_string(), report.to_string());
    let text = report.to_string();
    for part in [
        "4 connections × 1 in flight × 125 bytes of binary",
        "latency",
        "p99.9",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
