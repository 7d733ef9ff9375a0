#!/bin/sh
# Ensures that there are the npm packages that tests run, at the versions and
# with the digests of tests/npm/package-lock.json, in the folder `npm` of the
# target folder. Runs nothing that the packages bring along. Installs Node and
# npm on Debian as root if they are missing. Asks nothing, and every step has a
# time limit.
#
# OPENLINE_SKIP_EDGE=1 skips all this, and the tests that need them.
set -eu
cd "$(dirname "$0")/.."

INSTALL_SECONDS=300 # some thirty packages, 8 MB
NPM_INSTALL_SECONDS=600 # npm itself, some 30 MB

give_up() {
    echo "error: the tests with other people's clients need packages of npm: $1" >&2
    echo "hint: install Node and npm (Debian: \`apt-get install nodejs npm\`) and let npm reach its registry," >&2
    echo "or set OPENLINE_SKIP_EDGE=1 to leave those tests out" >&2
    exit 1
}

. scripts/debian.sh

if [ "${OPENLINE_SKIP_EDGE:-}" = 1 ]; then exit 0; fi
folder=${CARGO_TARGET_DIR:-target}/npm
# What is installed says what it is.
if cmp -s tests/npm/package-lock.json "$folder/.installed.json"; then exit 0; fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    may_install "Node or npm is missing"
    install_packages $NPM_INSTALL_SECONDS nodejs npm
fi
mkdir -p "$folder"
cp tests/npm/package.json tests/npm/package-lock.json "$folder"
echo "installing the npm packages of tests ..." >&2
(
    cd "$folder"
    timeout --kill-after=10 $INSTALL_SECONDS \
        npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2
) || give_up "\`npm ci\` failed"
cp tests/npm/package-lock.json "$folder/.installed.json"
