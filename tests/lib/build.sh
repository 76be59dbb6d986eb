# shellcheck shell=bash
# Steps and builds for tests/run and conf/demo/run. Sourced after packages.sh; the working directory is the root of the tree.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    sp_bold=$'\e[1m' sp_red=$'\e[31m' sp_green=$'\e[32m' sp_plain=$'\e[0m'
else
    sp_bold='' sp_red='' sp_green='' sp_plain=''
fi
sp_jobs=$(nproc 2>/dev/null || echo 2)
sp_step_count=0

# sp_step TITLE COMMAND...: says what it does and how long it took; ends the script at the first that fails.
sp_step() {
    local title=$1 began=$SECONDS status=0
    shift
    sp_step_count=$((sp_step_count + 1))
    printf '\n%s== %d. %s%s\n' "$sp_bold" "$sp_step_count" "$title" "$sp_plain"
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        printf '\n%s== FAILED in step %d: %s (exit status %d, after %d s)%s\n' \
            "$sp_red" "$sp_step_count" "$title" "$status" $((SECONDS - began)) "$sp_plain" >&2
        exit "$status"
    fi
    printf '%s   done in %d s%s\n' "$sp_green" $((SECONDS - began)) "$sp_plain"
}

# sp_build PRESET [TARGET...]: configures if need be and builds. Ninja's own line is the progress on a terminal; elsewhere
# its last lines are enough, and all of it if the build fails.
sp_build() {
    local preset=$1 options=() log
    shift
    command -v ccache >/dev/null && options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    mkdir -p build
    log=build/$preset.log
    if ! cmake --preset "$preset" "${options[@]}" >"$log" 2>&1; then
        cat "$log" >&2
        return 1
    fi
    if [ -t 1 ]; then
        cmake --build "build/$preset" -j "$sp_jobs" ${1:+--target "$@"}
    elif cmake --build "build/$preset" -j "$sp_jobs" ${1:+--target "$@"} >"$log" 2>&1; then
        tail -n 1 "$log"
    else
        grep -Ev '^\[[0-9]+/[0-9]+\] (Building|Linking|Re-checking)' "$log" >&2
        return 1
    fi
}
