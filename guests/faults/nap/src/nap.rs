//! Computing by turns with waits: upon `nap` for 20 ms with a nanosecond
//! between, which is no rest, and without end; upon `rest ROUNDS` so often for
//! 5 ms with 20 ms between.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn obey(text: &str) {
    while black_box(text) == "nap" {
        compute(Duration::from_millis(20));
        thread::sleep(Duration::from_nanos(1));
    }
    let rounds = text.strip_prefix("rest ");
    for _ in 0..rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(0) {
        compute(Duration::from_millis(5));
        thread::sleep(Duration::from_millis(20));
    }
}

fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {}
}
