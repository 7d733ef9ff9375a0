#!/usr/bin/env bash
# Installs the servers that Openline is measured beside, for `make bench-peers` and
# `make bench-http`:
#
#   benches/peers/setup.sh FOLDER     such as target/peers
#
# Bun, Deno, workerd and `ws` come from npm at the versions of package-lock.json,
# without running anything that packages bring along; websocketd comes from
# Debian, unpacked and not installed. All that it writes is in FOLDER. What
# cannot be had is said in one line and left out, and this succeeds without it.
# Asks nothing, and every step has a time limit.
set -euo pipefail

readonly NPM_SECONDS=600    # the packages, some 130 MB
readonly UPDATE_SECONDS=180 # lists of packages, some 10 MB
readonly APT_SECONDS=120    # one package of 2 MB

[ $# = 1 ] || {
    echo "usage: benches/peers/setup.sh FOLDER" >&2
    exit 64
}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"

skip() { echo "skipped: $1" >&2; }

cp "$here"/{package.json,package-lock.json,bun.js,bun-http.js,deno.js,deno-http.js,node.js,workerd.js,workerd.capnp} .

# The lock of what is installed says whether it is what it should be. It names
# the packages of some platforms only, so this is no `npm ci`.
npm_packages() {
    cmp -s package-lock.json node_modules/.installed.json && return
    command -v npm >/dev/null || {
        skip "Bun, Deno, workerd and Node: there is no \`npm\`"
        return
    }
    echo "installing Bun, Deno, workerd and ws ..." >&2
    timeout --kill-after=10 $NPM_SECONDS \
        npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
        </dev/null >&2 || {
        skip "Bun, Deno, workerd and Node: \`npm install\` failed"
        return
    }
    cp package-lock.json node_modules/.installed.json
}

apt_get() {
    local seconds=$1
    shift
    timeout --kill-after=10 "$seconds" apt-get --quiet=2 \
        -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
        -o Acquire::Retries=1 -o APT::Sandbox::User= "$@" </dev/null >&2
}

download_websocketd() { apt_get $APT_SECONDS download websocketd; }

websocketd() {
    [ -x websocketd/usr/bin/websocketd ] && return
    command -v apt-get dpkg >/dev/null || {
        skip "websocketd: there is no \`apt-get\` to bring it"
        return
    }
    echo "unpacking websocketd ..." >&2
    if ! download_websocketd; then
        # The lists may be missing, and only root may fetch them.
        [ "$(id -u)" = 0 ] && apt_get $UPDATE_SECONDS update && download_websocketd || {
            skip "websocketd: \`apt-get download\` failed"
            return
        }
    fi
    rm -rf websocketd
    if dpkg -x websocketd_*.deb websocketd &&
        dpkg-deb --field websocketd_*.deb Version >websocketd/version; then
        rm -f websocketd_*.deb
    else
        skip "websocketd: its package cannot be unpacked"
    fi
}

npm_packages
websocketd
