#!/bin/sh
# Ensures that there is the client of Socket.IO with which the sample `socket-io`
# is tested: Node, and npm's package `socket.io-client` with what it depends on,
# in the versions and with the checksums of tests/clients/socket-io. They go to
# target/socket-io. Node and npm are installed on Debian as root if they are
# missing; elsewhere this says what to install, and fails. Runs no script of a
# package, asks nothing, and every step that uses the network has a time limit.
#
# OPENLINE_SKIP_EDGE=1 skips all this, and the tests that need it.
set -eu
cd "$(dirname "$0")/.."

INSTALL_SECONDS=600  # Debian's packages
DOWNLOAD_SECONDS=120 # npm's packages, 2 MB

pinned=tests/clients/socket-io
place=target/socket-io

give_up() {
    echo "error: the tests of the sample \`socket-io\` need its client: $1" >&2
    echo "hint: install Node and npm (Debian: \`apt-get install nodejs npm\`)," >&2
    echo "or set OPENLINE_SKIP_EDGE=1 to leave those tests out" >&2
    exit 1
}

. scripts/debian.sh

if [ "${OPENLINE_SKIP_EDGE:-}" = 1 ]; then
    echo "the tests with the client of Socket.IO are left out (OPENLINE_SKIP_EDGE=1)" >&2
    exit 0
fi
# Written last, so it says what has arrived.
cmp -s $pinned/package-lock.json $place/complete.json && exit 0

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    may_install "Node or npm is missing"
    install_packages $INSTALL_SECONDS nodejs npm
fi
mkdir -p $place
cp $pinned/package.json $pinned/package-lock.json $place
(cd $place && timeout --kill-after=10 $DOWNLOAD_SECONDS \
    npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier >&2 </dev/null) ||
    give_up "\`npm ci\` failed"
cp $pinned/package-lock.json $place/complete.json
