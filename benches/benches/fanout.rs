//! Fan-out: one message into the outboxes of all subscribers of a channel, and
//! out of them. Without sockets: what the hub itself costs for each delivery.

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openline_channels::budget::HostBudget;
use openline_channels::connection::{Facts, Next, SocketOwner};
use openline_channels::hub::Hub;
use openline_channels::space::Publishing;
use openline_channels::wakeups::Wakeups;
use openline_core::limits::FunctionLimits;
use openline_core::message::Message;
use openline_core::name::ChannelName;

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    let limits = Arc::new(FunctionLimits::default());
    let budget = HostBudget::new(1 << 30, 1 << 30).function();
    for subscribers in [1_usize, 100, 1000] {
        let hub = Hub::alone();
        let channel = ChannelName::new("room").expect("this is a name");
        let owners: Vec<_> = (0..subscribers)
            .map(|_| {
                let limits = Arc::clone(&limits);
                let owner = SocketOwner::new(Facts::default(), limits, Arc::clone(&budget));
                hub.join(owner.connection());
                hub.subscribe(owner.connection(), &channel, &mut Wakeups::default())
                    .expect("it is its first channel");
                owner
            })
            .collect();
        let message = Message::Binary(vec![7; 125].into());
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            bencher.iter(|| {
                let mut wakeups = Wakeups::default();
                let publishing = Publishing::of(message.clone());
                let outcome = hub.publish(&channel, publishing, &mut wakeups);
                let outcome = outcome.now().expect("nothing is kept");
                assert_eq!(outcome.local, subscribers as u64);
                for owner in &owners {
                    assert!(matches!(owner.next(), Next::Item(_)));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
