#!/bin/sh
# Tests the JavaScript client, sdk/js-client, with Node's own test runner, within
# seconds: its behaviour, its package, and what it weighs.
#
#   scripts/js-client.sh            runs the tests; installs nothing
#   scripts/js-client.sh types      checks its types as well, with the compiler of
#                                   its package-lock.json, in the target folder
#   scripts/js-client.sh browser    runs the one in a real Chromium alone
#
# OPENLINE_SKIP_JS=1 skips all this.
set -eu
cd "$(dirname "$0")/../sdk/js-client"

NODE_MAJOR_MIN=20
TEST_SECONDS=120 # some seconds, unless it hangs
INSTALL_SECONDS=300 # the compiler, some 25 MB

give_up() {
    echo "error: the tests of the JavaScript client: $1" >&2
    echo "hint: install Node $NODE_MAJOR_MIN or newer${2:-}," >&2
    echo "or set OPENLINE_SKIP_JS=1 to leave those tests out" >&2
    exit 1
}

if [ "${OPENLINE_SKIP_JS:-}" = 1 ]; then
    echo "the tests of the JavaScript client are left out (OPENLINE_SKIP_JS=1)" >&2
    exit 0
fi

command -v node >/dev/null || give_up "there is no \`node\`"
major=$(node --print 'process.versions.node.split(".")[0]')
[ "$major" -ge $NODE_MAJOR_MIN ] || give_up "this Node is version $major"

# Node has a WebSocket from 22 on; before, it is behind an option.
websocket=
[ "$major" -ge 22 ] || websocket=--experimental-websocket

# Puts the packages of the lock into the target folder.
packages=${CARGO_TARGET_DIR:-$PWD/../../target}/js-client
install() {
    cmp -s package-lock.json "$packages/.installed.json" && return
    command -v npm >/dev/null || give_up "there is no \`npm\`" " with npm"
    mkdir -p "$packages"
    cp package.json package-lock.json "$packages"
    (
        cd "$packages"
        timeout --kill-after=10 $INSTALL_SECONDS \
            npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2
    ) || give_up "\`npm ci\` failed" " with npm that reaches its registry"
    cp package-lock.json "$packages/.installed.json"
}

case ${1:-} in
'') ;;
types)
    install
    node "$packages/node_modules/typescript/bin/tsc" --project test/tsconfig.json
    ;;
browser)
    [ "${OPENLINE_SKIP_BROWSER:-}" = 1 ] ||
        timeout --kill-after=10 $TEST_SECONDS node --test test/in-browser.js
    exit
    ;;
*)
    echo "usage: scripts/js-client.sh [types | browser]" >&2
    exit 64
    ;;
esac
NODE_OPTIONS="${NODE_OPTIONS:-} $websocket" \
    timeout --kill-after=10 $TEST_SECONDS node --test test/*.test.js
