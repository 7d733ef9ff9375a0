//! The soak of the adversary: its rules about leftovers, and the host's counts
//! that it reads.

use std::collections::BTreeMap;

use crate::harness::{Host, runtime};

#[path = "adversary/soak/leaks.rs"]
mod leaks;

use leaks::{GROWTH_BYTES_MAX, ROUNDS_MIN, WARM_UP, growth, kept};

#[test]
fn one_more_of_anything_is_kept_and_less_or_the_same_is_not() {
    let counts = |tasks, files| BTreeMap::from([("tasks", Some(tasks)), ("files", files)]);
    let before = counts(4, Some(20));
    assert_eq!(kept(&before, &counts(4, Some(20))), [""; 0]);
    assert_eq!(kept(&before, &counts(3, Some(0))), [""; 0]);
    assert_eq!(kept(&before, &counts(5, Some(20))), ["5 tasks (4 before)"]);
    // A count that the host no longer reports would be a check that never runs.
    assert_eq!(kept(&before, &counts(4, None)), ["? files (20 before)"]);
}

#[test]
fn memory_that_grows_with_each_round_is_told_from_memory_that_varies() {
    let rounds = WARM_UP + ROUNDS_MIN;
    let noise = |round: usize| [0.0, 9e6, 1e6, 4e6, 2e6][round % 5];
    let steady: Vec<_> = (0..3 * rounds).map(|round| 5e7 + noise(round)).collect();
    assert!(growth(&steady).unwrap() < GROWTH_BYTES_MAX / 4.0);
    let leaking = |each: f64| -> Vec<f64> {
        let grown = steady.iter().enumerate();
        grown
            .map(|(round, bytes)| bytes + each * round as f64)
            .collect()
    };
    assert!(growth(&leaking(2.0 * GROWTH_BYTES_MAX)).unwrap() > GROWTH_BYTES_MAX);
    // Growth that happens once, or during the warm-up, is not a leak.
    let mut once = vec![4e7; rounds];
    once[..WARM_UP].fill(0.0);
    once[WARM_UP] = 9e7;
    assert_eq!(growth(&once), Some(0.0));
    assert_eq!(growth(&once[..rounds - 1]), None);
}

#[tokio::test]
async fn the_state_says_what_is_taken_and_that_it_came_back() {
    // A runtime of its own: it also counts what functions of other hosts take.
    let runtime = runtime(20, |_| {});
    let host = Host::with(openline_guests::FAULT_KEEPER, "/keeper/{room}")
        .instance(|instance| {
            instance.affinity = Some("room".into());
            instance.idle_timeout = std::time::Duration::ZERO;
        })
        .start_on(&runtime)
        .await;
    let mut client = host.connect("/keeper/a?attach=kept").await;
    assert_eq!(client.ask("key-alarm later 300000").await, "ok");
    let taken = host.state().await;
    assert_eq!(taken["taken"]["alarms"], 1, "{taken:#}");
    assert_eq!(taken["taken"]["functions"], 1, "{taken:#}");
    // The TCP connection of the request itself.
    assert_eq!(taken["requests"], 1, "{taken:#}");
    assert!(taken["attached_bytes"].as_u64().unwrap() > 4, "{taken:#}");
    assert_eq!(client.ask("key-clear later").await, "ok");
    client.close(1000, "").await;
    assert_eq!(client.closed().await.code, 1000);
    let all = ["places", "alarms", "compilations", "trials", "long_runs"];
    host.until("all that was taken to come back", |state| {
        all.iter().all(|what| state["taken"][what] == 0) && state["attached_bytes"] == 0
    })
    .await;
}
