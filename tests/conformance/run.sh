#!/usr/bin/env bash
# Judges a WebSocket echo server with the fuzzing client of the Autobahn test
# suite, or an echo client with its fuzzing server, and prints a table.
#
#   run.sh setup                      installs the suite, if it is not there
#   run.sh URL FOLDER [quick|full]    runs it against a server
#   run.sh client FOLDER COMMAND      runs it, all cases, against a client:
#                                     COMMAND 127.0.0.1:PORT NAME has to connect
#                                     to ws://127.0.0.1:PORT, as an agent NAME
#
#   URL     ws://127.0.0.1:8080/echo: answers text with the same text, binary
#           with the same binary
#   FOLDER  gets index.html, index.json, a report for each case and wstest.log
#   quick   without groups 9 (limits and performance) and 12 and 13 (compression)
#   full    all cases; if nothing is said
#
# The last line is `conformance: N passed, N failed, N unimplemented`. Exit
# status: 0 when no case failed, 1 when one did, 2 when the suite did not run.
#
#   CASES='1.* 7.7.1'     only these
#   EXCLUDE='9.*'         not these
#   STRICT=1              NON-STRICT fails
#   CONFORMANCE_HOME=...  where the suite is installed (target/conformance)
#   PYTHON3=...           the Python to install it for (python3)
set -euo pipefail

readonly INSTALL_SECONDS=300  # each of six steps; some 20 MB in all
readonly QUICK_SECONDS=600    # takes 10 to 20 on an idle machine
readonly FULL_SECONDS=1800    # takes a minute or two on an idle machine

here=$(cd "$(dirname "$0")" && pwd)
readonly here
home=${CONFORMANCE_HOME:-$here/../../target/conformance}
mkdir -p "$home"
home=$(cd "$home" && pwd)
readonly home
readonly venv=$home/venv
readonly python=$venv/bin/python

give_up() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 2
}

# A command with a time limit, where there is a program for that. In the
# foreground: who ends this script ends the command as well.
bounded() {
    local seconds=$1
    shift
    if command -v timeout >/dev/null; then
        timeout --foreground --kill-after=10 "$seconds" "$@" </dev/null
    else
        "$@" </dev/null
    fi
}

# What the installed suite is made of: it is made anew when that changes.
stamp() { cat "$here/py3port.py" "$here/requirements-py3.txt" | cksum; }

is_installed() {
    [ "$(cat "$venv/installed" 2>/dev/null)" = "$(stamp)" ] &&
        "$python" -c 'import autobahntestsuite' 2>/dev/null
}

pip_install() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore \
        bounded $INSTALL_SECONDS "$python" -m pip install --quiet --timeout 20 --retries 2 "$@"
}

# Its packages, as requirements-py3.txt has them; the suite's own list of what
# it needs is for Python 2.7 and is not followed.
install() {
    local suite packages
    suite=$(grep '^autobahntestsuite==' "$here/requirements-py3.txt")
    packages=$(grep -vE '^(#|autobahntestsuite==)' "$here/requirements-py3.txt")
    rm -rf "$venv"
    bounded $INSTALL_SECONDS "${PYTHON3:-python3}" -m venv "$venv" || return 1
    # autobahn 0.10.9 is built with setuptools.command.test, and the suite uses
    # pkg_resources: later releases have neither.
    pip_install setuptools==69.5.1 wheel || return 1
    # Python 3.13 has no lib2to3, which py3port.py works with.
    "$python" -c 'import lib2to3' 2>/dev/null || pip_install fissix || return 1
    # Written in C: the suite runs without, only more slowly.
    pip_install wsaccel==0.6.7 || echo "going on without wsaccel" >&2
    # Other versions will do where this Python does not have these, but for the
    # two that py3port.py knows.
    # shellcheck disable=SC2086,SC2046 # one word a package
    pip_install --no-build-isolation $packages || pip_install --no-build-isolation \
        $(echo "$packages" | sed -E '/^(autobahn|txaio)==/!s/==.*//') || return 1
    pip_install --no-build-isolation --no-deps "$suite" || return 1
    "$python" "$here/py3port.py" && "$venv/bin/wstest" --autobahnversion
}

setup() {
    if is_installed; then return; fi
    # Two at a time would write over each other.
    if command -v flock >/dev/null; then
        exec 9>"$home/venv.lock"
        flock --timeout $((6 * INSTALL_SECONDS)) 9 || true
        if is_installed; then return; fi
    fi
    echo "installing the Autobahn test suite ..." >&2
    install >&2 || give_up "the Autobahn test suite could not be installed" \
        "it needs Python 3.9 or newer and the network (PyPI); what failed is above"
    stamp >"$venv/installed"
    exec 9>&-
}

run() {
    local url=$1 folder=$2 mode=$3 shown=$2 exclude=${EXCLUDE:-} seconds=$FULL_SECONDS status=0
    if [ "$mode" = quick ]; then
        exclude="9.* 12.* 13.* $exclude"
        seconds=$QUICK_SECONDS
    fi
    "$python" "$here/summary.py" probe "$url" ||
        give_up "no WebSocket answers at $url" "start the server first"
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    rm -f "$folder"/index.* "$folder"/server_case_* "$folder/wstest.log" "$folder/spec.json"
    CASES=${CASES:-*} EXCLUDE=$exclude "$python" "$here/summary.py" spec "$url" "$folder" \
        >"$folder/spec.json"
    SECONDS=0
    (
        cd "$folder" # where the suite leaves files of its own
        PYTHONUNBUFFERED=1 bounded "$seconds" "$venv/bin/wstest" \
            --mode fuzzingclient --spec spec.json >wstest.log 2>&1
    ) || status=$?
    if [ $status != 0 ]; then
        tail -n 5 "$folder/wstest.log" | cut -c 1-300 >&2
        give_up "the fuzzing client failed with exit status $status" \
            "124 is its limit of $seconds s; see $shown/wstest.log"
    fi
    echo "$url, $mode, $SECONDS s; reports: $shown/index.html"
    "$python" "$here/summary.py" report "$folder"
}

# Whether something accepts connections on a port of this machine, soon.
accepts() {
    local port=$1 attempt
    for attempt in $(seq 100); do
        if (exec 4<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        sleep 0.2
    done
    echo "nothing accepted on port $port, $attempt times" >&2
    return 1
}

run_client() {
    local folder=$1 shown=$1 port server status=0
    shift
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    rm -f "$folder"/index.* "$folder"/server_case_* "$folder/wstest.log" "$folder/spec.json"
    port=$("$python" "$here/summary.py" free-port)
    CASES=${CASES:-*} EXCLUDE=${EXCLUDE:-} "$python" "$here/summary.py" \
        serve-spec "$port" "$folder" >"$folder/spec.json"
    SECONDS=0
    (
        cd "$folder"
        PYTHONUNBUFFERED=1 exec "$venv/bin/wstest" --mode fuzzingserver --webport 0 \
            --spec spec.json >wstest.log 2>&1 </dev/null
    ) &
    server=$!
    accepts "$port" && bounded $FULL_SECONDS "$@" "127.0.0.1:$port" server >&2 || status=$?
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    [ $status = 0 ] || give_up "the client failed with exit status $status" \
        "124 is its limit of $FULL_SECONDS s; see $shown/wstest.log"
    echo "$1, $SECONDS s; reports: $shown/index.html"
    "$python" "$here/summary.py" report "$folder"
}

# Read to its end before it runs, so that an edit meanwhile does no harm.
main() {
    case "$#,${1:-},${3:-full}" in
    1,setup,*) setup ;;
    [3-9],client,*)
        shift
        setup
        run_client "$@"
        ;;
    [23],ws://*,quick | [23],ws://*,full)
        setup
        run "$1" "$2" "${3:-full}"
        ;;
    *)
        sed -n '2,/^set /{/^#/s/^# \{0,1\}//p;}' "$0" >&2
        exit 2
        ;;
    esac
}
main "$@"
exit
