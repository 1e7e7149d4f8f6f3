# What `make test`, `make test-crash` and `make test-long` share. Sourced by bash, after lib.sh, from the checkout's root.
# shellcheck shell=bash

# Alone in this checkout, without the settings of a server of yours, and with the packages that a test engine needs. $1: who asks.
begin_testing() {
    local name
    unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
    for name in ${!FASTLANE_@}; do
        case $name in FASTLANE_TEST_* | FASTLANE_MODEL_SEEDS) ;; *) unset "$name" ;; esac
    done
    [ "$(id -u)" = 0 ] || fail "$1 starts a Docker engine of its own, for which it must be root" "As any user: make check."
    mkdir -p .fastlane
    exec 8>.fastlane/test.lock
    flock -n 8 || fail "another make test runs in this checkout" "Wait for its end."
    scripts/packages dockerd=docker.io docker=docker-cli ip=iproute2 unshare=util-linux busybox=busybox-static docker-registry=docker-registry \
        openssl=openssl chromium=chromium
}

# pytest with these arguments, on an engine that is gone afterwards.
pytest_on_private_engine() {
    trap 'scripts/test-engine stop' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    say "a private Docker engine"
    FASTLANE_TEST_ENGINE=$(scripts/test-engine start 8>&- | tail -n 1)
    export FASTLANE_TEST_ENGINE
    say "pytest $*, on $FASTLANE_TEST_ENGINE"
    .venv-test/bin/python -m pytest "$@" 8>&- </dev/null
}
