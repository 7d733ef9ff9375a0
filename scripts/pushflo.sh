#!/bin/sh
# Ensures that there is PushFlo's SDK, which tests run: version 1.0.8 from its
# repository, at the commit and with the digests of tests/clients/pushflo, built as
# the SDK builds itself, by the esbuild of scripts/npm.sh. It is put into the folder
# `pushflo` of the target folder. Asks nothing, and every step has a time limit.
#
# OPENLINE_PUSHFLO_GIT names another copy of the repository; what comes from there
# must be the same. OPENLINE_SKIP_EDGE=1 skips all this, and the tests that need it.
# No registry of packages has the SDK. Where its repository cannot be reached, this
# says so and succeeds, and leaves a note by which the tests know that they cannot
# run; a copy named in OPENLINE_PUSHFLO_GIT has to be there.
set -eu
cd "$(dirname "$0")/.."

COMMIT=0baf289ceefe59ed0f881c6d05705648b4b17977 # v1.0.8
FETCH_SECONDS=60 # below 1 MB

give_up() {
    echo "error: the tests with PushFlo's SDK need its source: $1" >&2
    echo "hint: let git reach github.com, name a copy in OPENLINE_PUSHFLO_GIT," >&2
    echo "or set OPENLINE_SKIP_EDGE=1 to leave those tests out" >&2
    exit 1
}

if [ "${OPENLINE_SKIP_EDGE:-}" = 1 ]; then exit 0; fi
target=${CARGO_TARGET_DIR:-target}
folder=$target/pushflo
digests=tests/clients/pushflo/sdk.sha256
# What is installed says what it is.
if cmp -s $digests "$folder/.installed.txt"; then exit 0; fi

unreachable=$folder/.unreachable.txt
not_reached() {
    [ -z "${OPENLINE_PUSHFLO_GIT:-}" ] || give_up "\`git fetch\` failed"
    echo "skipped: the tests with PushFlo's SDK, as its repository cannot be reached" >&2
    date >"$unreachable"
    exit 0
}

scripts/npm.sh
echo "fetching PushFlo's SDK ..." >&2
rm -rf "$folder"
source=$folder/source
mkdir -p "$source"
git init --quiet "$folder/git"
GIT_TERMINAL_PROMPT=0 timeout --kill-after=10 $FETCH_SECONDS \
    git -C "$folder/git" fetch --quiet --depth 1 \
    "${OPENLINE_PUSHFLO_GIT:-https://github.com/PushFlo/pushflo-sdk.git}" $COMMIT \
    </dev/null >&2 || not_reached
git -C "$folder/git" archive $COMMIT src package.json | tar -x -C "$source"
wanted=$PWD/$digests
(cd "$source" && sha256sum --check --strict --quiet "$wanted" >&2) ||
    give_up "it is not the source that is expected"

# The formats and names that its package.json exports.
sdk=$folder/node_modules/@pushflodev/sdk
mkdir -p "$sdk"
cp "$source/package.json" "$sdk"
build() {
    "$target/npm/node_modules/.bin/esbuild" "$source/src/index.ts" "$source/src/server.ts" \
        --bundle --platform=neutral --log-level=warning --outdir="$sdk/dist" "$@" >&2 ||
        give_up "\`esbuild\` failed"
}
build --format=esm
build --format=cjs --out-extension:.js=.cjs
cp $digests "$folder/.installed.txt"
