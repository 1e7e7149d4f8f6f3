# Helpers that `make test`, `make test-crash` and `make test-long` share. Bash scripts source it after lib.sh, from the checkout's root.
# shellcheck shell=bash

# Drops the settings of the user's own server and Docker.
without_settings() {
    local name
    unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
    for name in ${!FASTLANE_@}; do
        case $name in FASTLANE_TEST_* | FASTLANE_MODEL_SEEDS) ;; *) unset "$name" ;; esac
    done
}

# Locks the checkout, drops the settings of the user's own server, and installs the packages that a test engine needs. $1: the make target.
begin_testing() {
    without_settings
    [ "$(id -u)" = 0 ] || fail "$1 starts its own Docker engine and must run as root" "make check runs as any user."
    mkdir -p .fastlane
    exec 8>.fastlane/test.lock
    trap end_asides EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    flock -n 8 || fail "another make test is running in this checkout" "Wait until it ends."
    scripts/packages dockerd=docker.io docker=docker-cli ip=iproute2 unshare=util-linux busybox=busybox-static docker-registry=docker-registry \
        openssl=openssl ssh=openssh-client sshd=openssh-server chromium=chromium node=nodejs npm=npm zsh=zsh sqlite3=sqlite3 \
        redis-server=redis-server haproxy=haproxy promtool=prometheus pipx=pipx \
        cosign=cosign skopeo=skopeo jq=jq /usr/libexec/docker/cli-plugins/docker-buildx=docker-buildx
}

MOST_AGAIN=3
RAN_AGAIN=tests/ran-again.tsv

# Runs pytest with the arguments "${@:2}". Up to MOST_AGAIN tests that fail beside others run once more, by themselves; decision 0024 says
# why. $1 names the run, since several may go on in one checkout. TEST_PYTHON: whose pytest it is.
run_pytest() {
    local cache=$PWD/.pytest_cache/$1 python=${TEST_PYTHON:-.venv-test/bin/python} code=0 failed
    shift
    rm -rf "$cache"
    "$python" -m pytest -o cache_dir="$cache" "$@" 8>&- </dev/null || code=$?
    [ "$code" = 1 ] || return "$code"
    failed=$(sed -nE 's/^  "(.*)": true,?$/    \1/p' "$cache/v/cache/lastfailed")
    [ -n "$failed" ] && [ "$(wc -l <<<"$failed")" -le "$MOST_AGAIN" ] || return 1
    say "running once more, by themselves, the tests that failed"
    "$python" -m pytest -o cache_dir="$cache" "$@" -n 0 --last-failed 8>&- </dev/null || return
    say "Passed by themselves, but not beside others. Each first failure, above, is a fault of the test or of fastlane: find out which."
    echo "$failed"
    sed "s/^ */$(date -u +%F)\t/" <<<"$failed" >>"$RAN_AGAIN"
    say "They stand in $RAN_AGAIN now: commit it, with the cause when it is found."
}

# Runs pytest with the arguments "${@:2}" on a private engine, which it removes afterwards. $1 names the run.
pytest_on_private_engine() {
    trap 'end_asides; scripts/test-engine stop' EXIT
    say "starting a private Docker engine"
    FASTLANE_TEST_ENGINE=$(scripts/test-engine start 8>&- | tail -n 1)
    export FASTLANE_TEST_ENGINE
    say "running pytest ${*:2} on $FASTLANE_TEST_ENGINE"
    run_pytest "$@"
}
