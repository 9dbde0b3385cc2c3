#!/usr/bin/env bash
# Runs tests under what sees undefined behaviour. Needs a nightly toolchain; each prints so and is left out without it.
#
#   scripts/sanitize.sh miri   the core over memory on the heap, the JSON shapes and the codes, in Miri
#   scripts/sanitize.sh asan   the library with its mapped files, the faults and a short torture, in AddressSanitizer
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
nightly=(${CARGO:-cargo} +nightly)

# Adds up what test programs printed on their results.
passed() { awk '/^test result: / { for (i = 2; i <= NF; i++) if ($i == "passed;") sum += $(i - 1) } END { print sum + 0 }' "$1"; }

# Those that a test itself leaves out, and says why.
left_out() { grep -c '^test .* \.\.\. ignored' "$1" || true; }

miri() {
    if ! "${nightly[@]}" miri --version >/dev/null 2>&1; then
        echo "miri: left out, there is none: rustup component add miri rust-src --toolchain nightly"
        return
    fi
    mkdir -p "$target/miri"
    # Isolated: the core has no business with files, clocks or the environment, and Miri fails where it does. Symbolic
    # alignment is not asked for, since crc32c aligns by address, which that takes for a fault.
    export CARGO_TARGET_DIR=$target/miri
    export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-env-forward=PROPTEST_CASES -Zmiri-env-forward=PROPTEST_DISABLE_FAILURE_PERSISTENCE"
    export PROPTEST_CASES=4 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
    local log=$target/miri/log status=0
    "${nightly[@]}" miri test --no-default-features --lib -- core:: wire:: policy:: 2>&1 | tee "$log" || status=$?
    echo "miri: $(passed "$log") tests passed, $(left_out "$log") left out"
    ((status == 0 && $(passed "$log") >= 60))
}

# The sanitizer takes SIGBUS for a fault and ends the process; here it is what a file that was cut raises, and the
# library has a handler for it. Leaks are looked for at exit only, which the harnesses that kill do not come to.
asan() {
    if ! "${nightly[@]}" --version >/dev/null 2>&1; then
        echo "asan: left out, there is no nightly toolchain: rustup toolchain install nightly"
        return
    fi
    mkdir -p "$target/asan"
    local host log=$target/asan/log status=0
    host=$("${nightly[@]}" -vV | sed -n 's/^host: //p')
    export CARGO_TARGET_DIR=$target/asan RUSTFLAGS="-Zsanitizer=address"
    export ASAN_OPTIONS=handle_sigbus=0
    # Without optimisation, the tests that flip every bit take minutes.
    export CARGO_PROFILE_TEST_OPT_LEVEL=1
    # With --target, so that build scripts and macros, which run in the compiler, are left as they are.
    "${nightly[@]}" test --target "$host" --no-default-features --features internals --no-fail-fast \
        --lib --test faults --test torture 2>&1 | tee "$log" || status=$?
    echo "asan: $(passed "$log") tests passed, $(left_out "$log") left out; the torture $(grep -q '^torture: [0-9]* s, ' "$log" && echo "has run" || echo "has NOT run")"
    ((status == 0 && $(passed "$log") >= 150))
}

case ${1:-} in
miri | asan) "$1" ;;
*) echo "usage: scripts/sanitize.sh miri|asan" >&2 && exit 2 ;;
esac
