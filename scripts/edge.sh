#!/bin/sh
# Ensures that there are the proxies and the clients that the tests of the edge
# put before the host: nginx with its module for streams, HAProxy, OpenSSL, Node
# with `ws`, and Python with `websockets`. What is missing is installed on
# Debian as root; elsewhere this says what to install, and fails. Starts no
# service, asks nothing, and every step that uses the network has a time limit.
#
# OPENLINE_SKIP_EDGE=1 skips all this, and the tests that need them.
set -eu

INSTALL_SECONDS=600 # the packages, some 40 MB

NODE_PATH=/usr/share/nodejs # where Debian has packages of Node
PATH=$PATH:/usr/sbin        # where Debian has proxies
export NODE_PATH PATH

# The packages of what is missing.
missing() {
    command -v nginx >/dev/null || echo nginx
    find /usr/lib*/nginx/modules -name ngx_stream_module.so 2>/dev/null | grep -q . ||
        nginx -V 2>&1 | grep -Eq -- '--with-stream( |$)' || echo libnginx-mod-stream
    command -v haproxy >/dev/null || echo haproxy
    command -v openssl >/dev/null || echo openssl
    command -v node >/dev/null || echo nodejs
    node -e 'require("ws")' 2>/dev/null || echo node-ws
    python3 -c 'import websockets' 2>/dev/null ||
        /usr/bin/python3 -c 'import websockets' 2>/dev/null || echo python3-websockets
}

give_up() {
    echo "error: the tests of the edge need proxies and clients: $1" >&2
    echo "hint: install them (Debian: \`apt-get install $packages\`)," >&2
    echo "or set OPENLINE_SKIP_EDGE=1 to leave those tests out" >&2
    exit 1
}

. "$(dirname "$0")/debian.sh"

if [ "${OPENLINE_SKIP_EDGE:-}" = 1 ]; then
    echo "the tests behind proxies and with other people's clients are left out (OPENLINE_SKIP_EDGE=1)" >&2
    exit 0
fi
packages=$(missing | paste -s -d ' ' -)
[ -n "$packages" ] || exit 0

may_install "some are missing"
# Debian starts a service when it installs one, unless this says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
# The names of packages are words.
# shellcheck disable=SC2086
install_packages $INSTALL_SECONDS $packages
packages=$(missing | paste -s -d ' ' -)
[ -z "$packages" ] || give_up "Debian's packages did not bring all"
