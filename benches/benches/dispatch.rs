//! Dispatch: an event is handed to an instance, the reply is in the outbox and
//! the call has returned. With the mailbox, the driver's task and the guest;
//! without a socket. One thread, so that no other core's wake-up is measured.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openline_benches::{Line, function};
use openline_core::event::Event;
use openline_core::limits::InstancePolicy;
use openline_core::message::Message;
use tokio::runtime::Builder;

const PAYLOAD_BYTES: usize = 125;

fn dispatch(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut group = criterion.benchmark_group("dispatch");
    for (name, component) in [
        ("plain", openline_guests::ECHO),
        ("async", openline_guests::ECHO_ASYNC),
    ] {
        let mut line = runtime.block_on(async {
            let function = function(component, InstancePolicy::default())
                .await
                .expect("it loads");
            Line::open(&function).await.expect("it accepts")
        });
        for batch in [1_usize, 16] {
            let payload = Message::Binary(vec![7; PAYLOAD_BYTES].into());
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(name, batch), |bencher| {
                bencher.iter(|| {
                    let messages = vec![payload.clone(); batch];
                    runtime
                        .block_on(line.event(Event::Messages(messages)))
                        .expect("an echo does not fail");
                    assert_eq!(line.drain(), batch);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
