//! The rules against leaks: after a round no count is higher than before,
//! and memory does not grow with the rounds. These rules need no host.

use std::collections::BTreeMap;

/// How many first rounds do not count for memory: in them the host makes things
/// that it makes once (engines, caches, arenas of each thread), and touches
/// pages of the pool for the first time.
pub const WARM_UP: usize = 3;
/// The least number of rounds after those for a line.
pub const ROUNDS_MIN: usize = 6;
/// How much resident memory may grow with each round, in bytes. A host that
/// leaks nothing still grows by about 350 KiB a round over its first ten: plans
/// differ, and each touches places for instances and pages of the allocator
/// that none has touched before. This is three times that. A plan has dozens of
/// connections, so a leak of some ten KiB for each of them would be found.
pub const GROWTH_BYTES_MAX: f64 = 1024.0 * 1024.0;

/// Counts that are higher than before, or no longer reported; each with both
/// numbers.
pub fn kept(
    before: &BTreeMap<&'static str, Option<u64>>,
    now: &BTreeMap<&'static str, Option<u64>>,
) -> Vec<String> {
    let mut kept = Vec::new();
    for (word, before) in before {
        let now = now.get(word).copied().flatten();
        if now.is_none() || now > *before {
            let number = |count: Option<u64>| count.map_or("?".into(), |count| count.to_string());
            kept.push(format!(
                "{} {word} ({} before)",
                number(now),
                number(*before)
            ));
        }
    }
    kept
}

/// How much memory grows with each round: the median of the slopes between all
/// pairs of rounds after the first ones (Theil and Sen), which a few rounds
/// that keep more do not change. `None` if there are too few.
pub fn growth(resident: &[f64]) -> Option<f64> {
    let late = resident.get(WARM_UP..)?;
    if late.len() < ROUNDS_MIN {
        return None;
    }
    let mut slopes = Vec::new();
    for (from, first) in late.iter().enumerate() {
        for (to, second) in late.iter().enumerate().skip(from + 1) {
            slopes.push((second - first) / (to - from) as f64);
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied()
}
