#!/bin/sh
# rustc with the instrumentation that guides libFuzzer. It is for
# RUSTC_WORKSPACE_WRAPPER, so that only this workspace's own packages get it,
# and dependencies are not compiled again.
set -eu
rustc=$1
shift
exec "$rustc" "$@" --cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Ccodegen-units=1
