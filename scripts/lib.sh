# What the scripts share: how they speak. Sourced by bash, from the checkout's root: every script begins by going there.
# shellcheck shell=bash

say() { echo "==> $*"; }

# The last words of a script: what is wrong, then what to do about it.
fail() {
    echo "error: $1" >&2
    shift
    local line
    for line in "$@"; do echo "       $line" >&2; done
    exit 1
}

# A deadline around a command, where the machine has `timeout` (macOS has not).
limit() {
    if command -v timeout >/dev/null; then timeout "$@"; else shift; "$@"; fi
}

# Whether process $1 lives and was started from this checkout with the words $2 in its command line: a pid alone may be another's by now.
is_ours() {
    [ -n "$1" ] || return 1
    { tr '\0' ' ' <"/proc/$1/cmdline" || ps -ww -p "$1" -o args=; } 2>/dev/null | grep -qF -- "$PWD/$2"
}
