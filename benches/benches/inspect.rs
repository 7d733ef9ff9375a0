//! A firewall function's call on a warm instance, beside the other call that
//! decides about a request, `upgrade` of the echo.

#![expect(clippy::disallowed_types, reason = "a benchmark measures real time")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use openline_benches::function;
use openline_core::event::{Headers, UpgradeRequest};
use openline_core::inspection::Inspection;
use openline_core::limits::InstancePolicy;
use tokio::runtime::Builder;

/// The headers of a handshake, as a browser sends them.
fn headers() -> Headers {
    let headers = [
        ("host", "example.org"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("origin", "https://example.org"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        ),
        ("accept-encoding", "gzip, deflate, br"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("cookie", "session=0123456789abcdef0123456789abcdef"),
    ];
    let headers = headers.map(|(name, value)| (name.into(), value.into()));
    headers.into()
}

fn inspection() -> Inspection {
    Inspection {
        method: "GET".into(),
        scheme: "https".into(),
        host: Some("example.org".into()),
        path: "/chat/lobby".into(),
        query: Some("nick=ada".into()),
        headers: headers(),
        peer: Ipv4Addr::new(192, 0, 2, 1).into(),
        peer_port: Some(4711),
        tls: None,
        id: "0123456789abcdef".into(),
        target: None,
        claims: None,
    }
}

fn handshake() -> UpgradeRequest {
    UpgradeRequest {
        method: "GET".into(),
        uri: "/chat/lobby?nick=ada".into(),
        headers: headers(),
        peer: "192.0.2.1:4711".into(),
        ..UpgradeRequest::default()
    }
}

fn inspect(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let warm = || InstancePolicy {
        idle_timeout: Duration::from_secs(60),
        ..Default::default()
    };
    let mut group = criterion.benchmark_group("decide");
    let echo = runtime.block_on(function(openline_guests::ECHO, warm()));
    let echo = echo.expect("the component loads");
    group.bench_function("upgrade/plain", |bencher| {
        bencher.iter_custom(|iterations| {
            runtime.block_on(async {
                let started = Instant::now();
                for _ in 0..iterations {
                    let decided = echo.upgrade(handshake()).await;
                    drop(decided.expect("there is room"));
                }
                started.elapsed()
            })
        });
    });
    for (name, component) in [
        ("inspect/plain", openline_guests::GATE),
        ("inspect/async", openline_guests::FAULT_FIREWALL_ASYNC),
    ] {
        let gate = runtime.block_on(function(component, warm()));
        let gate = gate.expect("the component loads");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..iterations {
                        let decided = gate.inspect(inspection()).await;
                        drop(decided.expect("there is room"));
                    }
                    started.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, inspect);
criterion_main!(benches);
