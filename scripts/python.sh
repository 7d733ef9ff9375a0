#!/bin/sh
# Ensures that there are the Python packages that tests run, at the versions and
# with the digests of tests/python, in an environment of their own: the folder
# `python` of the target folder. Those of sources.txt are published as source
# alone, and are built by the packages of requirements.txt. Asks nothing, and every
# step has a time limit.
#
# OPENLINE_SKIP_EDGE=1 skips all this, and the tests that need them.
set -eu
cd "$(dirname "$0")/.."

INSTALL_SECONDS=300 # some forty packages, 24 MB

give_up() {
    echo "error: the tests with other people's clients need packages of Python: $1" >&2
    echo "hint: install venv (Debian: \`apt-get install python3-venv\`) and let pip reach its registry," >&2
    echo "or set OPENLINE_SKIP_EDGE=1 to leave those tests out" >&2
    exit 1
}

if [ "${OPENLINE_SKIP_EDGE:-}" = 1 ]; then exit 0; fi
folder=${CARGO_TARGET_DIR:-target}/python
wanted=tests/python/requirements.txt
sources=tests/python/sources.txt
# What is installed says what it is.
if cat $wanted $sources | cmp -s - "$folder/.installed.txt"; then exit 0; fi

echo "installing the Python packages of tests ..." >&2
python3 -m venv "$folder" >&2 || give_up "\`python3 -m venv\` failed"
pip_install() {
    timeout --kill-after=10 $INSTALL_SECONDS "$folder/bin/python" -m pip install --quiet \
        --disable-pip-version-check --require-hashes "$@" </dev/null >&2 ||
        give_up "\`pip install\` failed"
}
pip_install --only-binary :all: -r $wanted
pip_install --no-binary :all: --no-build-isolation --no-deps -r $sources
cat $wanted $sources >"$folder/.installed.txt"
