#!/usr/bin/env bash
# Breaks the core, the JSON shapes and the table of codes in one small way after the other, and fails unless the core's
# own tests notice each time. Needs cargo-mutants (`cargo install --locked cargo-mutants`).
#
#   scripts/mutants.sh            all of them, in SHARDS=16 parts, JOBS=2 at a time
#   scripts/mutants.sh 2 5        these parts only
#   scripts/mutants.sh -F REGEX   only the mutants whose name matches, as `cargo mutants --list` spells it
#
# Each part is in target/mutants/part-K. A run that was cut goes on where it was; once the tests have changed, those
# mutants run again that were not caught; once what is broken has changed, all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

SHARDS=${SHARDS:-16}
JOBS=${JOBS:-2}
# Four fifths of the 1402 mutants that there were when this was written: with fewer, something has hidden them.
FLOOR=1120

work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants
cargo=${CARGO:-cargo}
$cargo mutants --version >/dev/null 2>&1 || { echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2 && exit 1; }
mkdir -p "$work/bin"
exec 9>"$work/lock"
flock --nonblock 9 || { echo "another run is at work in $work" >&2 && exit 1; }

# A copy for each job, at the same place each time, so that each mutant costs an incremental build; mutants never touch
# the tree that people work in. Times are not kept: cargo would take a file that was put back for one that it has built.
copy() {
    local tree=$1
    rm -rf "$tree"
    mkdir "$tree"
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [[ ! -f $file ]] || printf '%s\0' "$file"
    done | xargs -0 cp --parents -t "$tree"
    # There is one core, declared twice for the sake of its visibility. With both, each mutant would be made twice.
    sed -i '/^#\[cfg(feature = "internals")\]$/{N;N;/pub mod core;$/d}' "$tree/src/lib.rs"
    [[ $(grep -c 'mod core;$' "$tree/src/lib.rs") == 1 ]] || { echo "src/lib.rs declares the core in a new way" >&2 && exit 1; }
}
for ((job = 0; job < JOBS; job++)); do
    copy "$work/tree-$job"
done
# What is broken: all that stands before a file's tests. The tests: all that is built.
sum() { sha256sum | cut -d ' ' -f 1; }
broken=$(for file in src/core/*.rs src/wire.rs src/policy.rs .cargo/mutants.toml; do
    sed '/^#\[cfg(test)\]$/,$d' "$file"
done | sum)/$SHARDS
tests_are=$(cat src/core/*.rs src/core/tests/*.rs src/wire.rs src/policy.rs | sum)

# Not optimised: building is what most of the time goes into, and most mutants never meet the slow tests.
export CARGO_PROFILE_TEST_DEBUG=0
# The same cases for every mutant. A case that fails is enough; it need not be the smallest, nor be kept.
export PROPTEST_RNG_SEED=1 PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
export RUST_BACKTRACE=0

# Runs the tests for cargo: those that take no time first, since they notice most mutants. The limits are on what a loop
# without end uses up, not on how long the machine takes: the tests need 1 s and then 20 s, and less than 200 MB.
export RUST_TEST_THREADS=2
cat >"$work/bin/mutants-test-runner" <<'RUNNER'
#!/usr/bin/env bash
slow=(any_flipped_bit overwritten_meanwhile a_writer_has_recovered a_mark_that_no_deletion)
ulimit -v 1048576
status=0
(ulimit -t 15 && exec "$@" "${slow[@]/#/--skip=}") || status=$?
[[ $status != 0 ]] || (ulimit -t 90 && exec "$1" "${slow[@]}") || status=$?
((status < 128)) || echo "the tests had to be stopped"
exit $status
RUNNER
chmod +x "$work/bin/mutants-test-runner"
host=$($cargo -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${host}_RUNNER=mutants-test-runner" PATH="$work/bin:$PATH"
tests=(--lib -- core:: wire:: policy::)

# Runs those of the mutants that the arguments choose which were not caught before, into a directory, as a job.
mutate() {
    local job=$1 out=$2 status=0
    shift 2
    mkdir -p "$out"
    keep "$out"
    CARGO_TARGET_DIR=$work/build-$job $cargo mutants --dir "$work/tree-$job" --in-place --iterate --baseline skip \
        --timeout 300 --no-default-features --output "$out" --colors never --no-times "$@" -- "${tests[@]}" || status=$?
    keep "$out"
    # Some were missed, some took too long: both are for the summary. Anything else is no result.
    [[ $status == [023] ]]
}

# Keeps what the last run in a directory found: the next one forgets it. A mutant whose tests had to be stopped counts
# as timed out, which is as good as caught: who breaks this will notice.
keep() {
    local out=$1 what
    [[ -d $out/mutants.out ]] || return 0
    for what in caught unviable; do
        sort -u -o "$out/$what" <(cat "$out/$what" "$out/mutants.out/$what.txt" 2>/dev/null)
    done
    cp "$out/mutants.out/missed.txt" "$out/missed"
    cp "$out/mutants.out/timeout.txt" "$out/timeout"
    { grep -lrsx 'the tests had to be stopped' "$out/mutants.out/log" || true; } |
        xargs -r sed -s -n 's/^\*\*\* \(src\/.*:[0-9]*:[0-9]*: \)/\1/p' |
        sort -u -o "$out/stopped" - $([[ ! -f $out/stopped ]] || echo "$out/stopped")
}

# Tells how it went, by the directories of some parts.
summary() {
    local what
    local -A count
    for what in caught unviable missed timeout stopped; do
        count[$what]=$(cat "${@/%//$what}" 2>/dev/null | grep -c . || true)
    done
    cat "${@/%//missed}" 2>/dev/null | sed 's/^/MISSED   /'
    cat "${@/%//timeout}" "${@/%//stopped}" 2>/dev/null | sed 's/^/TIMEOUT  /'
    local all=$((count[caught] + count[unviable] + count[missed] + count[timeout]))
    echo "mutants: $all, caught $((count[caught] - count[stopped])), missed ${count[missed]}, timeout $((count[timeout] + count[stopped])), unviable ${count[unviable]}"
    ((count[missed] == 0))
}

echo "the tests, unbroken:"
CARGO_TARGET_DIR=$work/build-0 $cargo test --quiet --no-default-features --manifest-path "$work/tree-0/Cargo.toml" "${tests[@]}"

if [[ ${1:-} == -F ]]; then
    rm -rf "$work/some"
    mutate 0 "$work/some" -F "$2"
    summary "$work/some"
    exit
fi

# An exclusion that excludes nothing is a leftover.
list() { $cargo mutants --dir "$work/tree-0" --list --line-col true --colors never "$@"; }
all=$(list --no-config -f 'src/core/**/*.rs' -f src/wire.rs -f src/policy.rs -e src/core/tests.rs -e 'src/core/tests/*.rs')
stale=$(sed -n "s/^    '\(.*\)',\$/\1/p" .cargo/mutants.toml | while read -r regex; do
    grep -qP -- "$regex" <<<"$all" || printf '%s\n' "$regex"
done)
if [[ $stale ]]; then
    printf 'no mutant matches any more, of .cargo/mutants.toml:\n%s\n' "$stale"
    exit 1
fi
expected=$(list | wc -l)
echo "$expected mutants, besides $(($(wc -l <<<"$all") - expected)) that are excluded"
((expected >= FLOOR)) || { echo "these are fewer than $FLOOR" && exit 1; }

# One part, unless it has run on this source, and on these tests or without a miss.
part() {
    local job=$1 part=$2 out=$work/part-$2
    [[ $(cat "$out/broken" 2>/dev/null) == "$broken" ]] || rm -rf "$out"
    if [[ -f $out/tests ]]; then
        [[ $(cat "$out/tests") != "$tests_are" && -s $out/missed ]] || return 0
    fi
    mkdir -p "$out"
    echo "$broken" >"$out/broken"
    rm -f "$out/tests"
    mutate "$job" "$out" --shard "$part/$SHARDS" >"$out/log" 2>&1 || { tail -n 20 "$out/log" && return 1; }
    echo "$tests_are" >"$out/tests"
    echo "part $part: $(tail -n 1 "$out/log")"
}

# Each job takes the next part that nobody has taken.
wanted=("$@")
[[ $# != 0 ]] || mapfile -t wanted < <(seq 0 $((SHARDS - 1)))
rm -rf "$work/taken"
mkdir "$work/taken"
job() {
    local part
    for part in "${wanted[@]}"; do
        mkdir "$work/taken/$part" 2>/dev/null || continue
        part "$1" "$part"
    done
}
for ((job = 1; job < JOBS; job++)); do
    job "$job" &
done
job 0
wait

done=()
for ((part = 0; part < SHARDS; part++)); do
    out=$work/part-$part
    [[ $(cat "$out/broken" 2>/dev/null) != "$broken" || ! -f $out/tests ]] || done+=("$out")
done
[[ ${#done[@]} == "$SHARDS" ]] || { echo "only ${#done[@]} of $SHARDS parts have run on this source" && summary "${done[@]}" && exit 1; }
summary "${done[@]}"
