//! Instances: the cost of a connection that needs a new one, beside one that
//! finds a warm one. Both are asked for their decision (`upgrade`); the
//! difference is the instance.
#![expect(clippy::disallowed_types, reason = "a benchmark measures real time")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use openline_benches::function;
use openline_core::event::UpgradeRequest;
use openline_core::limits::InstancePolicy;
use tokio::runtime::Builder;

use std::time::Instant;

fn instantiate(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut group = criterion.benchmark_group("instance");
    for (name, component) in [
        ("plain", openline_guests::ECHO),
        ("async", openline_guests::ECHO_ASYNC),
    ] {
        let one = 1;
        let warm = InstancePolicy {
            idle_timeout: Duration::from_secs(60),
            ..Default::default()
        };
        // One connection an instance, which goes with its connection.
        let cold = InstancePolicy {
            concurrency: one,
            idle_timeout: Duration::ZERO,
            ..Default::default()
        };
        for (kind, policy) in [("warm", warm), ("new", cold)] {
            let function = runtime
                .block_on(function(component, policy))
                .expect("the component loads");
            group.bench_function(format!("{name}/{kind}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    runtime.block_on(async {
                        let mut spent = Duration::ZERO;
                        for _ in 0..iterations {
                            let request = UpgradeRequest::default();
                            let started = Instant::now();
                            let accepted = function.upgrade(request).await.expect("there is room");
                            spent += started.elapsed();
                            drop(accepted);
                            // A cold one goes before the next is asked for.
                            while kind == "new" && function.instances() > 0 {
                                tokio::task::yield_now().await;
                            }
                        }
                        spent
                    })
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, instantiate);
criterion_main!(benches);
