#!/bin/sh
# Checks licences, bans, sources and known defects of Openline's dependencies
# (deny.toml) with cargo-deny. If cargo-deny is missing, it is compiled once,
# into target/tools (three minutes). Without a network the known defects are not
# checked, and the output says so.
set -eu
cd "$(dirname "$0")/.."

VERSION=0.20.2
FETCH_SECONDS=120
INSTALL_SECONDS=1200

tools=${CARGO_TARGET_DIR:-target}/tools
cargo=${CARGO:-cargo}

if command -v cargo-deny >/dev/null; then
    deny=cargo-deny
else
    deny=$tools/bin/cargo-deny
    # Not optimised: it runs for a second.
    [ -x "$deny" ] || CARGO_TARGET_DIR=$tools/build timeout --kill-after=10 "$INSTALL_SECONDS" \
        "$cargo" install --quiet --debug --locked --root "$tools" "cargo-deny@$VERSION" </dev/null || {
        echo 'error: cargo-deny is not installed' >&2
        echo "hint: \`cargo install --locked cargo-deny\`, or see above what its build needs" >&2
        exit 1
    }
    rm -rf "$tools/build"
fi

checks='licenses bans sources'
if timeout --kill-after=10 "$FETCH_SECONDS" "$deny" fetch db </dev/null >/dev/null 2>&1; then
    checks="advisories $checks"
else
    echo 'the database of known defects cannot be fetched: advisories are not checked' >&2
fi
# What they need has been fetched with the lock file.
# shellcheck disable=SC2086
exec "$deny" --offline check $checks
