#!/bin/sh
# Ensures that there are the Python packages that tests run, at the versions and
# with the digests of tests/python/requirements.txt, in an environment of their
# own: the folder `python` of the target folder. Asks nothing, and every step has
# a time limit.
#
# OPENLINE_SKIP_EDGE=1 skips all this, and the tests that need them.
set -eu
cd "$(dirname "$0")/.."

INSTALL_SECONDS=300 # a few packages, below 2 MB

give_up() {
    echo "error: the tests with other people's clients need packages of Python: $1" >&2
    echo "hint: install venv (Debian: \`apt-get install python3-venv\`) and let pip reach its registry," >&2
    echo "or set OPENLINE_SKIP_EDGE=1 to leave those tests out" >&2
    exit 1
}

if [ "${OPENLINE_SKIP_EDGE:-}" = 1 ]; then exit 0; fi
folder=${CARGO_TARGET_DIR:-target}/python
wanted=tests/python/requirements.txt
# What is installed says what it is.
if cmp -s $wanted "$folder/.installed.txt"; then exit 0; fi

echo "installing the Python packages of tests ..." >&2
python3 -m venv "$folder" >&2 || give_up "\`python3 -m venv\` failed"
timeout --kill-after=10 $INSTALL_SECONDS "$folder/bin/pip" install --quiet \
    --disable-pip-version-check --require-hashes --only-binary :all: \
    -r $wanted </dev/null >&2 || give_up "\`pip install\` failed"
cp $wanted "$folder/.installed.txt"
