# Output and process helpers that the scripts share. Bash scripts source it from the checkout's root.
# shellcheck shell=bash

# Compiled modules are kept whatever the caller prefers, because the tests start thousands of processes.
unset PYTHONDONTWRITEBYTECODE

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

# Prints what identifies process $1 while it lives: the machine's boot and the moment at which the process started. A pid proves nothing, since it
# may have been reused, and a command line is empty or another program's while the process is starting. Fails if the process has ended.
identity() {
    local about fields
    [ -n "$1" ] || return 1
    if [ -e /proc/self/stat ]; then
        about=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
        # The program's name, in parentheses, may contain anything.
        read -r -a fields <<<"${about##*) }"
        about="${fields[0]} $(cat /proc/sys/kernel/random/boot_id)-${fields[19]}"
    else
        about=$(ps -p "$1" -o stat= -o lstart=) || return 1
    fi
    # Without /proc, the blanks after the state depend on the state.
    read -r -a fields <<<"$about"
    case ${fields[0]} in Z* | X*) return 1 ;; esac
    local IFS=-
    echo "${fields[*]:1}"
}

# What `aside` has started and nobody has waited for: NAME=PID=FILE of its output. (The bash of macOS has no associative arrays.)
asides=()

# Runs the command "${@:2}" beside what follows, under the name $1. Its output comes when `finish` waits for it.
aside() {
    local name=$1 file
    shift
    file=$(mktemp)
    "$@" >"$file" 2>&1 </dev/null &
    asides+=("$name=$!=$file")
}

# Waits for the command of that name and prints its output. Succeeds if it did.
finish() {
    local row pid file code=0 others=()
    for row in "${asides[@]}"; do
        if [ "${row%%=*}" != "$1" ]; then others+=("$row"); continue; fi
        pid=${row#*=} file=${row##*=}
        wait "${pid%%=*}" || code=$?
        cat "$file"
        rm -f "$file"
    done
    asides=(${others[@]+"${others[@]}"})
    return "$code"
}

# Ends what still runs beside, with its children: for a script that ends early.
end_asides() {
    local row pid
    for row in ${asides[@]+"${asides[@]}"}; do
        pid=${row#*=} pid=${pid%%=*}
        end_tree "$pid"
        rm -f "${row##*=}"
    done
}

end_tree() {
    local child
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null || true); do end_tree "$child"; done
    kill "$1" 2>/dev/null || true
}
