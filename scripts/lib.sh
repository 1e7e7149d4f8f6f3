# Output and process helpers that the scripts share. Bash scripts source it from the checkout's root.
# shellcheck shell=bash

say() { echo "==> $*"; }

# Ends the script with an error: what is wrong, then what to do about it.
fail() {
    echo "error: $1" >&2
    shift
    local line
    for line in "$@"; do echo "       $line" >&2; done
    exit 1
}

# Runs a command with a deadline if the machine has `timeout`; macOS does not.
limit() {
    if command -v timeout >/dev/null; then timeout "$@"; else shift; "$@"; fi
}

# Whether process $1 runs and was started from this checkout with $2 in its command line. The pid alone proves nothing, since it may have
# been reused.
is_ours() {
    [ -n "$1" ] || return 1
    { tr '\0' ' ' <"/proc/$1/cmdline" || ps -ww -p "$1" -o args=; } 2>/dev/null | grep -qF -- "$PWD/$2"
}
