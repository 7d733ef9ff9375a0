#!/bin/sh
# Ensures that there is a browser and its driver for the test of the page:
# Chromium and chromedriver. If they are missing, it installs them on Debian as
# root; elsewhere it says what to install, and fails. Asks nothing, and every
# step that uses the network has a time limit.
#
# OPENLINE_SKIP_BROWSER=1 skips all this, and the test of the page.
set -eu

INSTALL_SECONDS=900 # the packages, some 150 MB

first_of() {
    for program in "$@"; do
        if command -v "$program"; then return 0; fi
    done
    return 1
}

browser() { first_of chromium chromium-browser google-chrome google-chrome-stable; }
driver() { first_of chromedriver chromium.chromedriver; }

give_up() {
    echo "error: the test of the page needs a browser: $1" >&2
    echo "hint: install Chromium and chromedriver (Debian: \`apt-get install chromium chromium-driver\`)," >&2
    echo "or set OPENLINE_SKIP_BROWSER=1 to leave that test out" >&2
    exit 1
}

. "$(dirname "$0")/debian.sh"

if [ "${OPENLINE_SKIP_BROWSER:-}" = 1 ]; then
    echo "the test of the page is left out (OPENLINE_SKIP_BROWSER=1)" >&2
    exit 0
fi
if browser && driver; then exit 0; fi

may_install "Chromium or chromedriver is missing"
install_packages $INSTALL_SECONDS chromium chromium-driver
browser && driver || give_up "Debian's packages did not bring it"
