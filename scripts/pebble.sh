#!/bin/sh
# Ensures that there is Pebble, the test server of Let's Encrypt, for the test of
# certificates that the host requests itself. If it is missing, it installs it on
# Debian as root; elsewhere it says what to install, and fails. Asks nothing, and
# every step that uses the network has a time limit.
#
# OPENLINE_SKIP_PEBBLE=1 skips all this, and that test.
set -eu

UPDATE_SECONDS=180   # lists of packages, some 10 MB
INSTALL_SECONDS=300  # the package, 3 MB

give_up() {
    echo "error: the test with an authority of certificates needs Pebble: $1" >&2
    echo "hint: install it (Debian: \`apt-get install pebble\`)," >&2
    echo "or set OPENLINE_SKIP_PEBBLE=1 to leave that test out" >&2
    exit 1
}

apt_get() {
    seconds=$1
    shift
    DEBIAN_FRONTEND=noninteractive timeout --kill-after=10 "$seconds" apt-get --quiet \
        -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
        -o Acquire::Retries=1 -o DPkg::Lock::Timeout=60 "$@" </dev/null >&2
}

if [ "${OPENLINE_SKIP_PEBBLE:-}" = 1 ]; then
    echo "the test with Pebble is left out (OPENLINE_SKIP_PEBBLE=1)" >&2
    exit 0
fi
if command -v pebble; then exit 0; fi

command -v apt-get >/dev/null || give_up "it is missing"
[ "$(id -u)" = 0 ] || give_up "it is missing, and installing takes root"
echo "installing pebble ..." >&2
# Lists that cannot be updated may still be good enough to install from.
apt_get $UPDATE_SECONDS update || true
apt_get $INSTALL_SECONDS install --yes --no-install-recommends pebble ||
    give_up "\`apt-get install\` failed"
command -v pebble || give_up "Debian's package did not bring it"
