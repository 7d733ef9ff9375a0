#!/usr/bin/env bash
# Judges the host with the Autobahn test suite (see tests/conformance/README.md).
#
#   scripts/conformance.sh setup     finds or installs Python and the suite
#   scripts/conformance.sh quick     the cases without groups 9, 12 and 13,
#                                    against /echo (10 to 20 s)
#   scripts/conformance.sh full      all cases, against /echo and /echo-async
#   scripts/conformance.sh codec     all cases, against the codec by itself: its
#                                    example server, with and without context
#                                    takeover, and its example client; NON-STRICT
#                                    fails. Builds these; takes five minutes
#
# Starts a host on a free port and ends it, and succeeds when no case failed and
# the host ended well. The functions and the host must have been built. Where
# Python 3 or its venv is missing and this is Debian and the user is root, it
# is installed; else this says what to install and fails. Asks nothing, and
# every step has a time limit. All that it writes is in target/conformance.
#
#   OPENLINE=...                   the host's program (target/debug/openline;
#                                  `full`: target/release/openline)
#   OPENLINE_SKIP_CONFORMANCE=1    does nothing
set -euo pipefail
cd "$(dirname "$0")/.."

readonly INSTALL_SECONDS=900  # the packages, some 15 MB
readonly START_SECONDS=60     # it compiles two functions first
readonly END_SECONDS=30       # above its drain_timeout of 20
readonly results=target/conformance
readonly skip_hint="or set OPENLINE_SKIP_CONFORMANCE=1 to leave that test out"

# The hint may be one that its caller has set.
give_up() { # REASON [HINT]
    echo "error: $1" >&2
    echo "hint: ${2:-$hint}" >&2
    exit 1
}

# The first Python that can make a virtual environment with pip.
python() {
    local each
    for each in python3 /usr/bin/python3; do
        if "$each" -c 'import ensurepip, venv' 2>/dev/null; then
            command -v "$each"
            return
        fi
    done
    return 1
}

. scripts/debian.sh

find_python() {
    if python >/dev/null; then return; fi
    local missing="the conformance test needs Python 3 with venv and pip"
    local hint="install them (Debian: \`apt-get install python3-venv\`), $skip_hint"
    may_install "$missing"
    install_packages "$INSTALL_SECONDS" python3-venv
    python >/dev/null || give_up "$missing: Debian's packages did not bring it" "$hint"
}

setup() {
    find_python
    PYTHON3=$(python)
    export PYTHON3
    tests/conformance/run.sh setup ||
        give_up "there is no Autobahn test suite" "see above, $skip_hint"
}

host='' # the host's process, while there is one

# Whether `read` stopped because of its timeout, and not at the pipe's end.
is_timeout() { [ "$1" -gt 128 ]; }

# Starts the host and waits until it prints where it listens. Its standard
# output is a pipe that is kept open, so the pipe's end shows the host's end.
start_host() {
    local program=$1 pipe=$results/host.stdout line='' status=0
    [ -x "$program" ] || give_up "there is no $program" "build it: \`cargo build -p openline\`"
    rm -f "$pipe"
    mkfifo "$pipe"
    "$program" serve --config tests/conformance/openline.toml \
        >"$pipe" 2>"$results/host.stderr" </dev/null &
    host=$!
    exec 3<"$pipe"
    read -r -t $START_SECONDS line <&3 || status=$?
    address=${line#listening on http://}
    if [ "$address" = "$line" ]; then
        tail -n 20 "$results/host.stderr" >&2
        if is_timeout $status; then
            give_up "the host did not start within $START_SECONDS s" "see $results/host.stderr"
        fi
        give_up "the host did not say where it listens" "see above, and $results/host.stderr"
    fi
}

# Ends the host with SIGTERM, and waits for it. A host that does not end in time
# is killed, and so ends with a status other than 0.
end_host() {
    local status=0 process=$host
    host=''
    if [ -z "$process" ]; then return; fi
    kill -TERM "$process" 2>/dev/null || true
    read -r -d '' -t $END_SECONDS <&3 || status=$?
    if is_timeout $status; then
        kill -KILL "$process" 2>/dev/null || true
    fi
    status=0
    wait "$process" || status=$?
    return $status
}

judge() {
    local mode=$1 program=$2 failed=0 status=0 address='' each
    shift 2
    mkdir -p "$results"
    start_host "$program"
    for each in "$@"; do
        tests/conformance/run.sh "ws://$address/$each" "$results/$each" "$mode" || failed=1
    done
    end_host || status=$?
    if [ $status != 0 ]; then
        tail -n 20 "$results/host.stderr" >&2
        give_up "the host ended with exit status $status" "see $results/host.stderr"
    fi
    [ $failed = 0 ] || give_up "the host does not conform to RFC 6455" \
        "what the suite sent, expected and received is in the reports named above"
}

# Judges host/websocket without a host.
judge_codec() {
    local examples=${CARGO_TARGET_DIR:-target}/quick/examples mode line failed=0
    export STRICT=1
    ${CARGO:-cargo} build --quiet --profile quick -p openline-websocket --examples
    mkdir -p "$results"
    for mode in shared dedicated; do
        "$examples/echo_server" 127.0.0.1:0 $mode </dev/null >"$results/codec.stdout" &
        host=$!
        for _ in $(seq 100); do
            line=$(cat "$results/codec.stdout")
            [ -z "$line" ] || break
            sleep 0.1
        done
        tests/conformance/run.sh "${line#listening on }" "$results/codec-$mode" full || failed=1
        kill "$host"
        wait "$host" || true
        host=''
    done
    tests/conformance/run.sh client "$results/codec-client" "$examples/echo_client" || failed=1
    [ $failed = 0 ] || give_up "the codec does not conform to RFC 6455 and RFC 7692" \
        "what the suite sent, expected and received is in the reports named above"
}

main() {
    local mode=${1:-quick}
    case $#,$mode in
    [01],setup | [01],quick | [01],full | [01],codec) ;;
    *) give_up "not \`$*\`, but \`setup\`, \`quick\`, \`full\` or \`codec\`" "see the head of scripts/conformance.sh" ;;
    esac
    if [ "${OPENLINE_SKIP_CONFORMANCE:-}" = 1 ]; then
        echo "the conformance test is left out (OPENLINE_SKIP_CONFORMANCE=1)" >&2
        exit 0
    fi
    trap 'end_host || true' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    setup
    case $mode in
    quick) judge quick "${OPENLINE:-target/debug/openline}" echo ;;
    codec) judge_codec ;;
    full) judge full "${OPENLINE:-target/release/openline}" echo echo-async ;;
    esac
}
main "$@"
exit
