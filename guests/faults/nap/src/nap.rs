//! Alternates computing and waiting. At `nap` it computes forever, 20 ms at a
//! time, with waits of a nanosecond, which are no rest; at `rest ROUNDS` it
//! computes this many times for 5 ms, with waits of 20 ms.

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
