//! What a dialect costs for each command and for each publication: the work
//! beside that of the socket, the broker and the hub.
//!
//! `cargo bench -p openline-dialects`

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openline_dialects::{
    Action, DataView, Dialect, MemberView, PublicationView, Session, Subscribed, Welcome,
};

const WELCOME: Welcome<'_> = Welcome {
    connection: "0123456789abcdef0123456789abcdef",
    version: "",
    node: "",
    session: "",
    ping_s: 25,
    pong: true,
    ttl_s: None,
    data: None,
    subscriptions: &[],
    time_ms: 0,
};

fn connected() -> Session {
    let mut session = Session::centrifugo();
    let connect = Bytes::from_static(br#"{"id":1,"connect":{"name":"js"}}"#);
    session.receive(connect).expect("a session that is new");
    session.next_action();
    session.connected(&WELCOME).expect("a wish to connect");
    session
}

fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command");
    let data = format!("{{\"text\":\"{}\"}}", "a".repeat(10_000));
    let frames = [
        ("publish", r#"{"publish":{"channel":"chat:1","data":{"text":"hello"}},"id":7}"#.to_owned()),
        ("publish 10 KB", format!(r#"{{"publish":{{"channel":"chat:1","data":{data}}},"id":7}}"#)),
        ("subscribe", r#"{"subscribe":{"channel":"chat:1","flag":1,"recover":true,"epoch":"xyz","offset":12},"id":2}"#.to_owned()),
        ("pong", "{}".to_owned()),
    ];
    for (name, frame) in frames {
        let frame = Bytes::from(frame);
        let mut session = connected();
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                session.ping();
                session.receive(frame.clone()).expect("no actions are left");
                black_box(session.next_action())
            });
        });
    }
}

fn publications(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publication");
    let large = format!("\"{}\"", "a".repeat(10_000));
    for (name, data) in [("64 B", &*"a".repeat(64)), ("10 KB", &large)] {
        let view = PublicationView {
            channel: "chat:1",
            offset: 7,
            id: "0123456789abcdef",
            event: None,
            data: DataView::Json(data),
            tags: None,
            sender: Some(MemberView {
                connection: "0123456789abcdef0123456789abcdef",
                user: "42",
                connection_info: None,
                channel_info: None,
            }),
            time_ms: 1_700_000_000_000,
        };
        for dialect in Dialect::ALL {
            group.throughput(Throughput::Bytes(data.len() as u64));
            group.bench_function(format!("{} {name}", dialect.name()), |bencher| {
                bencher.iter(|| black_box(dialect.publication(black_box(&view))));
            });
        }
    }
}

fn replies(criterion: &mut Criterion) {
    let frame = Bytes::from_static(br#"{"subscribe":{"channel":"chat:1"},"id":2}"#);
    let mut session = connected();
    session.receive(frame).expect("no actions are left");
    let Some(Action::Subscribe(reply, _)) = session.next_action() else {
        return;
    };
    criterion.bench_function("reply to subscribe", |bencher| {
        bencher.iter(|| black_box(reply.subscribed(&Subscribed::default())));
    });
}

criterion_group!(benches, commands, publications, replies);
criterion_main!(benches);
