//! Broker: a publish with nothing to remember, with a history, and with a key; a
//! recovery of a hundred publications; a page of a history; a filter; the
//! encoding.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use openline_broker::channel::{Channel, Publish, Room, Subscribe};
use openline_broker::filter::{FilterNode, TagFilter};
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::moment::Moment;
use openline_broker::position::{Epoch, Position};
use openline_broker::publication::{Data, Publication, Tags};
use openline_core::channel::{ChannelTerms, HistoryTerms, KeyedTerms};
use openline_core::name::ChannelName;

const NOW: Moment = Moment(1_800_000_000_000);

fn channel(terms: ChannelTerms) -> Channel {
    let name = ChannelName::new("room:1").expect("this is a name");
    Channel::new(name, Arc::new(terms), Epoch::from_random(1), NOW)
}

fn with_history() -> ChannelTerms {
    ChannelTerms {
        history: Some(HistoryTerms::default()),
        recovery: true,
        ..ChannelTerms::default()
    }
}

fn request() -> Publish {
    Publish::new(Data::Json(r#"{"text":"hello"}"#.into()))
}

fn publish(channel: &mut Channel, request: Publish) -> Publication {
    let published = channel.publish(request, NOW, &Room::ANY, |_| 1);
    let published = published.expect("nothing is in the way");
    published.publication.expect("it was not suppressed")
}

fn publishes(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    let mut plain = channel(ChannelTerms::default());
    group.bench_function("without history", |b| {
        b.iter(|| publish(&mut plain, black_box(request())));
    });
    let mut history = channel(with_history());
    group.bench_function("with history", |b| {
        b.iter(|| publish(&mut history, black_box(request())));
    });
    let keyed = Some(KeyedTerms::default());
    let mut values = channel(ChannelTerms {
        keyed,
        ..ChannelTerms::default()
    });
    let mut number = 0u32;
    group.bench_function("one of a thousand keys", |b| {
        b.iter(|| {
            number = (number + 1) % 1000;
            let key = Some(number.to_string().into());
            publish(&mut values, Publish { key, ..request() })
        });
    });
    group.finish();
}

fn reads(c: &mut Criterion) {
    let mut channel = channel(with_history());
    for _ in 0..1000 {
        publish(&mut channel, request());
    }
    let since = Subscribe {
        since: Some(Position::new(Epoch::from_random(1), 900)),
        ..Subscribe::NEW
    };
    assert_eq!(channel.subscribe(&since, NOW).recovered, Some(true));
    c.bench_function("recover 100", |b| {
        b.iter(|| channel.subscribe(black_box(&since), NOW));
    });
    let limit = PageLimit {
        count: 10,
        bytes: 1 << 20,
    };
    c.bench_function("page of 10", |b| {
        b.iter(|| channel.history(black_box(PageQuery::default()), limit, NOW));
    });
}

fn others(c: &mut Criterion) {
    let leaf = |key: &str, val: &str| FilterNode {
        key: key.into(),
        cmp: "eq".into(),
        val: val.into(),
        ..FilterNode::default()
    };
    let node = FilterNode {
        op: "and".into(),
        nodes: vec![leaf("a", "1"), leaf("b", "2")],
        ..FilterNode::default()
    };
    let filter = TagFilter::new(&node).expect("the filter is right");
    let pairs = [("a", "1"), ("b", "2"), ("c", "3")];
    let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
    let tags = Tags::new(pairs.to_vec()).expect("the tags are right");
    c.bench_function("filter two of three tags", |b| {
        b.iter(|| filter.accepts(black_box(&tags)));
    });
    let mut channel = channel(with_history());
    let publication = publish(&mut channel, Publish { tags, ..request() });
    c.bench_function("encode", |b| b.iter(|| black_box(&publication).encode()));
    let bytes = publication.encode();
    c.bench_function("decode", |b| {
        b.iter(|| Publication::decode(black_box(bytes.clone())));
    });
}

criterion_group!(benches, publishes, reads, others);
criterion_main!(benches);
