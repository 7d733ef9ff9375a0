//! Channels that remember, without sockets and without a disk: what it costs to
//! subscribe and leave, to publish on a channel with a history, and to recover.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openline_broker::position::Position;
use openline_broker::terms::TermsTable;
use openline_channels::budget::{FunctionBudget, HostBudget};
use openline_channels::connection::{Facts, Next, SocketOwner};
use openline_channels::hub::{Hub, Subscribing};
use openline_channels::space::{Publishing, Space};
use openline_channels::wakeups::Wakeups;
use openline_core::config::Config;
use openline_core::limits::FunctionLimits;
use openline_core::message::Message;
use openline_core::name::ChannelName;

/// Publications that a peer has missed.
const MISSED: u64 = 50;

const CONFIGURATION: &str = "
[[function]]
name = \"f\"
route = \"/\"
[[function.channel]]
pattern = \"kept:*\"
history = { count = 100 }
[[function.channel]]
pattern = \"seen:*\"
presence = true
";

fn hub() -> Hub {
    let host = HostBudget::new(1 << 30, 1 << 30).with_channels(1 << 30);
    let config = Config::parse(CONFIGURATION).expect("the configuration is right");
    let function = &config.functions[0];
    let table = TermsTable::new(&function.name, &function.channels, &[]);
    let sweeps = Arc::default();
    let own = Space::new(table.expect("nothing is shared"), host.channels(), &sweeps);
    let shared = Space::new(TermsTable::default(), host.channels(), &sweeps);
    Hub::new(own, shared)
}

fn peer(hub: &Hub, limits: &Arc<FunctionLimits>, budget: &Arc<FunctionBudget>) -> SocketOwner {
    let owner = SocketOwner::new(Facts::default(), Arc::clone(limits), Arc::clone(budget));
    hub.join(owner.connection());
    owner
}

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).expect("this is a name")
}

fn message() -> Message {
    Message::Binary(vec![7; 125].into())
}

fn channels(criterion: &mut Criterion) {
    let (hub, limits) = (hub(), Arc::new(FunctionLimits::default()));
    let budget = HostBudget::new(1 << 30, 1 << 30).function();
    let owner = peer(&hub, &limits, &budget);
    let mut group = criterion.benchmark_group("channels");
    group.throughput(Throughput::Elements(1));
    for channel in ["plain", "seen:1", "kept:1"] {
        let channel = name(channel);
        // Others are there, too, so that the channel stays.
        let _other = {
            let other = peer(&hub, &limits, &budget);
            hub.subscribe(other.connection(), &channel, &mut Wakeups::default())
                .expect("there is room");
            other
        };
        group.bench_function(
            format!("subscribe and leave {}", channel.as_str()),
            |bencher| {
                bencher.iter(|| {
                    let mut wakeups = Wakeups::default();
                    hub.subscribe(owner.connection(), &channel, &mut wakeups)
                        .expect("there is room");
                    assert!(hub.unsubscribe(owner.connection(), &channel));
                });
            },
        );
    }
    group.bench_function("subscribe and leave a new channel", |bencher| {
        let mut number = 0_u64;
        bencher.iter(|| {
            number += 1;
            let channel = name(&format!("new {number}"));
            hub.subscribe(owner.connection(), &channel, &mut Wakeups::default())
                .expect("there is room");
            assert!(hub.unsubscribe(owner.connection(), &channel));
        });
    });
    for channel in ["plain", "kept:2"] {
        let channel = name(channel);
        let reader = peer(&hub, &limits, &budget);
        hub.subscribe(reader.connection(), &channel, &mut Wakeups::default())
            .expect("there is room");
        group.bench_function(format!("publish {}", channel.as_str()), |bencher| {
            bencher.iter(|| {
                let publishing = Publishing::of(message());
                let published = hub.publish(&channel, publishing, &mut Wakeups::default());
                published.now().expect("it is published");
                while matches!(reader.next(), Next::Item(_)) {}
            });
        });
    }
    recover(&mut group, &hub, (&limits, &budget));
    group.finish();
}

fn recover(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    hub: &Hub,
    (limits, budget): (&Arc<FunctionLimits>, &Arc<FunctionBudget>),
) {
    let channel = name("kept:3");
    let mut last = None;
    for _ in 0..100 {
        let publishing = Publishing::of(message());
        let published = hub.publish(&channel, publishing, &mut Wakeups::default());
        last = published.now().expect("it is published").position;
    }
    let last = last.expect("the channel counts");
    let since = Position::new(last.epoch, last.offset - MISSED);
    group.throughput(Throughput::Elements(MISSED));
    group.bench_function("recover 50 publications", |bencher| {
        bencher.iter(|| {
            let owner = peer(hub, limits, budget);
            let wish = Subscribing {
                since: Some(since),
                ..Subscribing::default()
            };
            let mut wakeups = Wakeups::default();
            let backlog = hub.subscribe_with(owner.connection(), &channel, wish, &mut wakeups);
            let backlog = backlog.expect("there is room").expect("it is new");
            assert_eq!(backlog.recovered, Some(true));
            hub.leave(owner.connection());
        });
    });
}

criterion_group!(benches, channels);
criterion_main!(benches);
