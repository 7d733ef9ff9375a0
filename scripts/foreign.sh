#!/bin/sh
# Ensures that there are functions that other toolchains made, which tests run: one in
# JavaScript and one in Python, of the sources in tests/foreign. Their toolchains are
# those of tests/foreign/package-lock.json and requirements.txt, with their digests;
# everything is in the folder `foreign` of the target folder. Runs nothing that the
# packages of npm bring along. Installs Node and npm on Debian as root if they are
# missing. Asks nothing, and every step has a time limit.
#
# OPENLINE_SKIP_EDGE=1 skips all this, and the tests that need them.
set -eu
cd "$(dirname "$0")/.."

INSTALL_SECONDS=300 # 60 MB from npm, 30 MB from PyPI; 240 MB when unpacked
NPM_INSTALL_SECONDS=600 # npm itself, some 30 MB
BUILD_SECONDS=300 # each takes ten to twenty seconds of one core

give_up() {
    echo "error: the tests with other toolchains need componentize-js and componentize-py: $1" >&2
    echo "hint: install Node, npm and venv (Debian: \`apt-get install nodejs npm python3-venv\`) and let them reach their registries," >&2
    echo "or set OPENLINE_SKIP_EDGE=1 to leave those tests out" >&2
    exit 1
}

. scripts/debian.sh

if [ "${OPENLINE_SKIP_EDGE:-}" = 1 ]; then exit 0; fi
folder=${CARGO_TARGET_DIR:-target}/foreign
sources="tests/foreign/*.* tests/foreign/wit/world.wit sdk/wit-deps/*-0.2.wit"
# What is there says what it was made of.
if cat $sources scripts/foreign.sh | cmp -s - "$folder/.made-of"; then exit 0; fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    may_install "Node or npm is missing"
    install_packages $NPM_INSTALL_SECONDS nodejs npm
fi
mkdir -p "$folder"
rm -f "$folder/.made-of"
bounded() {
    seconds=$1
    shift
    timeout --kill-after=10 "$seconds" "$@" </dev/null >&2
}

# The interfaces in the version that a toolchain wants.
interfaces() {
    rm -rf "$folder/$1"
    mkdir -p "$folder/$1/deps"
    sed "s/0\.2\.12/$2/g" tests/foreign/wit/world.wit >"$folder/$1/world.wit"
    for package in io clocks http; do
        sed "s/0\.2\.12/$2/g" "sdk/wit-deps/$package-0.2.wit" >"$folder/$1/deps/$package.wit"
    done
}

echo "making a function in JavaScript, with componentize-js ..." >&2
cp tests/foreign/package.json tests/foreign/package-lock.json "$folder"
(
    cd "$folder"
    bounded $INSTALL_SECONDS npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
) || give_up "\`npm ci\` failed"
interfaces wit-js 0.2.3
bounded $BUILD_SECONDS "$folder/node_modules/.bin/componentize-js" tests/foreign/function.js \
    --wit "$folder/wit-js" -o "$folder/javascript.wasm" || give_up "\`componentize-js\` failed"

echo "making a function in Python, with componentize-py ..." >&2
python3 -m venv "$folder/python" >&2 || give_up "\`python3 -m venv\` failed"
bounded $INSTALL_SECONDS "$folder/python/bin/python" -m pip install --quiet --only-binary :all: \
    --disable-pip-version-check --require-hashes -r tests/foreign/requirements.txt ||
    give_up "\`pip install\` failed"
interfaces wit-py 0.2.12
# The folder with the source is the module's search path.
mkdir -p "$folder/app"
cp tests/foreign/function.py "$folder/app"
bounded $BUILD_SECONDS "$folder/python/bin/componentize-py" -d "$folder/wit-py" -w function \
    componentize -p "$folder/app" function -o "$folder/python.wasm" || give_up "\`componentize-py\` failed"
cat $sources scripts/foreign.sh >"$folder/.made-of"
