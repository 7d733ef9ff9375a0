#!/bin/sh
# Ensures that there is Pebble, the test server of Let's Encrypt, for the test of
# certificates that the host requests itself. If it is missing, it installs it on
# Debian as root; elsewhere it says what to install, and fails. Asks nothing, and
# every step that uses the network has a time limit.
#
# OPENLINE_SKIP_PEBBLE=1 skips all this, and that test.
set -eu

INSTALL_SECONDS=300 # the package, 3 MB

give_up() {
    echo "error: the test with an authority of certificates needs Pebble: $1" >&2
    echo "hint: install it (Debian: \`apt-get install pebble\`)," >&2
    echo "or set OPENLINE_SKIP_PEBBLE=1 to leave that test out" >&2
    exit 1
}

. "$(dirname "$0")/debian.sh"

if [ "${OPENLINE_SKIP_PEBBLE:-}" = 1 ]; then
    echo "the test with Pebble is left out (OPENLINE_SKIP_PEBBLE=1)" >&2
    exit 0
fi
if command -v pebble; then exit 0; fi

may_install "it is missing"
install_packages $INSTALL_SECONDS pebble
command -v pebble || give_up "Debian's package did not bring it"
