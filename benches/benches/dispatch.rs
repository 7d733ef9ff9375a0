//! Dispatch: an event is handed to an instance, the reply is in the outbox and
//! the call has returned. With the mailbox, the driver's task and the guest;
//! without a socket. One thread, so that no other core's wake-up is measured.
#![expect(clippy::disallowed_types, reason = "a benchmark measures real time")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openline_benches::{Line, function};
use openline_core::event::Event;
use openline_core::limits::InstancePolicy;
use openline_core::message::Message;
use std::time::Duration;
use tokio::runtime::Builder;

use std::time::Instant;

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
        let line = runtime.block_on(async {
            let function = function(component, InstancePolicy::default())
                .await
                .expect("it loads");
            Line::open(&function).await.expect("it accepts")
        });
        let mut line = Some(line);
        for batch in [1_usize, 16] {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(name, batch), |bencher| {
                bencher.iter_custom(|iterations| {
                    let owned = line.take().expect("the last round gave it back");
                    // A task like a connection's: the runtime's own future
                    // would pay for a system call between the two.
                    let task = runtime.spawn(rounds(owned, batch, iterations));
                    let (returned, spent) = runtime.block_on(task).expect("it does not panic");
                    line = Some(returned);
                    spent
                });
            });
        }
    }
    group.finish();
}

async fn rounds(mut line: Line, batch: usize, iterations: u64) -> (Line, Duration) {
    let payload = Message::Binary(vec![7; PAYLOAD_BYTES].into());
    let started = Instant::now();
    for _ in 0..iterations {
        let messages = vec![payload.clone(); batch];
        line.event(Event::Messages(messages))
            .await
            .expect("an echo does not fail");
        assert_eq!(line.drain(), batch);
    }
    let spent = started.elapsed();
    (line, spent)
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
