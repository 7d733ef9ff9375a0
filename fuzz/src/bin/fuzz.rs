//! libFuzzer's driver: the target's name is in `OPENLINE_FUZZ_TARGET`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("OPENLINE_FUZZ_TARGET").unwrap_or_default();
    let found = openline_fuzz::TARGETS
        .iter()
        .find(|(name, _)| *name == wanted);
    let names: Vec<_> = openline_fuzz::TARGETS
        .iter()
        .map(|(name, _)| *name)
        .collect();
    let (_, target) = found.unwrap_or_else(|| {
        panic!(
            "OPENLINE_FUZZ_TARGET is `{wanted}`; there are {}",
            names.join(", ")
        )
    });
    *target
});

fuzz_target!(|bytes: &[u8]| TARGET(bytes));
