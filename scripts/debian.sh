# Installs what tests need beside this project from Debian's packages. Read by
# other scripts, which have `give_up REASON`: it says what is missing and exits.
# Asks nothing, and every step that uses the network has a time limit.

UPDATE_SECONDS=180 # lists of packages, some 10 MB

apt_get() {
    seconds=$1
    shift
    DEBIAN_FRONTEND=noninteractive timeout --kill-after=10 "$seconds" apt-get --quiet \
        -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
        -o Acquire::Retries=1 -o DPkg::Lock::Timeout=60 "$@" </dev/null >&2
}

# Gives up unless it may install; WHAT says what is missing.
may_install() { # WHAT
    command -v apt-get >/dev/null || give_up "$1"
    [ "$(id -u)" = 0 ] || give_up "$1, and installing takes root"
}

install_packages() { # SECONDS PACKAGE...
    seconds_of_install=$1
    shift
    echo "installing $* ..." >&2
    # Lists that cannot be updated may still be good enough to install from.
    apt_get "$UPDATE_SECONDS" update || true
    apt_get "$seconds_of_install" install --yes --no-install-recommends "$@" ||
        give_up "\`apt-get install\` failed"
}
