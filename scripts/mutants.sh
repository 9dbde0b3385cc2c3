#!/usr/bin/env bash
# Breaks the core, the JSON shapes and the table of codes in one small way after the other, and fails unless the core's
# own tests notice each time. Needs cargo-mutants (`cargo install --locked cargo-mutants`).
#
#   scripts/mutants.sh            all of them, in SHARDS=16 parts; a run that was cut goes on where it was
#   scripts/mutants.sh 2 5        these parts only
#   scripts/mutants.sh -F REGEX   only the mutants whose name matches, as `cargo mutants --list` spells it
#
# Each part is in target/mutants/shard-K, with the sum of what it was made from: it runs again once the core, its tests
# or .cargo/mutants.toml have changed. What is not worth a test is excluded in .cargo/mutants.toml, each with its reason.
set -euo pipefail
cd "$(dirname "$0")/.."

SHARDS=${SHARDS:-16}
# Four fifths of the 1387 mutants that there were when this was written: with fewer, something has hidden them.
FLOOR=1100

work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants
tree=$work/tree
cargo=${CARGO:-cargo}
$cargo mutants --version >/dev/null 2>&1 || { echo "cargo-mutants is missing: cargo install --locked cargo-mutants" >&2 && exit 1; }

# A copy at the same place each time, so that each mutant costs an incremental build; mutants never touch the tree that
# people work in. Times are not kept: cargo would take a file that was put back for one that it has built.
mkdir -p "$work/bin"
exec 9>"$work/lock"
flock --nonblock 9 || { echo "another run is at work in $work" >&2 && exit 1; }
rm -rf "$tree"
mkdir "$tree"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [[ ! -f $file ]] || printf '%s\0' "$file"
done | xargs -0 cp --parents -t "$tree"
# There is one core, declared twice for the sake of its visibility. With both, each mutant would be made twice.
sed -i '/^#\[cfg(feature = "internals")\]$/{N;N;/pub mod core;$/d}' "$tree/src/lib.rs"
[[ $(grep -c 'mod core;$' "$tree/src/lib.rs") == 1 ]] || { echo "src/lib.rs declares the core in a new way" >&2 && exit 1; }
cd "$tree"
sum=$(cat src/core/*.rs src/core/*/*.rs src/wire.rs src/policy.rs Cargo.toml Cargo.lock .cargo/mutants.toml | sha256sum | cut -d ' ' -f 1)

export CARGO_TARGET_DIR=$work/build
# Not optimised: building is what most of the time goes into, and most mutants never meet the slow tests.
export CARGO_PROFILE_TEST_DEBUG=0
# The same cases for every mutant. A case that fails is enough; it need not be the smallest, nor be kept.
export PROPTEST_RNG_SEED=1 PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
export RUST_BACKTRACE=0

# Runs the tests for cargo: those that take no time first, since they notice most mutants. The limits are on what a loop
# without end uses up, not on how long the machine takes: the tests need 2 s and then 25 s, and less than 200 MB.
export RUST_TEST_THREADS=2
cat >"$work/bin/mutants-test-runner" <<'RUNNER'
#!/usr/bin/env bash
slow=(any_flipped_bit overwritten_meanwhile a_writer_has_recovered a_mark_that_no_deletion others_do_meanwhile
    no_control_word_is_needed while_it_is_overwritten all_that_was_not_synced)
ulimit -v 1048576
status=0
(ulimit -t 10 && exec "$@" "${slow[@]/#/--skip=}") || status=$?
[[ $status != 0 ]] || (ulimit -t 90 && exec "$1" "${slow[@]}") || status=$?
((status < 128)) || echo "the tests had to be stopped"
exit $status
RUNNER
chmod +x "$work/bin/mutants-test-runner"
host=$($cargo -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${host}_RUNNER=mutants-test-runner" PATH="$work/bin:$PATH"
tests=(core:: wire:: policy::)

# Runs the mutants that the arguments choose, into this directory. Only the library's own tests are built.
mutate() {
    local out=$1 status=0
    shift
    rm -rf "$out"
    mkdir -p "$out"
    $cargo mutants --dir "$tree" --in-place --baseline skip --timeout 300 --no-default-features --output "$out" \
        --cargo-test-arg=--lib --colors never --no-times "$@" -- -- "${tests[@]}" || status=$?
    # Some were missed, some took too long: both are for the summary. Anything else is no result.
    [[ $status == [023] ]]
}

# The mutants of these directories with this outcome, one a line.
outcome() {
    local what=$1
    shift
    cat "${@/%//mutants.out/$what.txt}" 2>/dev/null || true
}

# Tells how it went, by the directories of some parts. A mutant whose tests had to be stopped counts as timed out, which
# is as good as caught: who breaks this will notice.
summary() {
    local caught missed timeout unviable stopped
    caught=$(outcome caught "$@" | wc -l)
    missed=$(outcome missed "$@" | wc -l)
    timeout=$(outcome timeout "$@" | wc -l)
    unviable=$(outcome unviable "$@" | wc -l)
    stopped=$({ grep -lrsx 'the tests had to be stopped' "${@/%//mutants.out/log}" || true; } |
        xargs -r sed -s -n 's/^\*\*\* \(src\/.*:[0-9]*:[0-9]*: \)/\1/p')
    outcome missed "$@" | sed 's/^/MISSED   /'
    { outcome timeout "$@" && printf '%s' "${stopped:+$stopped$'\n'}"; } | sed 's/^/TIMEOUT  /'
    timeout=$((timeout + $(grep -c . <<<"$stopped" || true)))
    caught=$((caught - $(grep -c . <<<"$stopped" || true)))
    echo "mutants: $((caught + missed + timeout + unviable)), caught $caught, missed $missed, timeout $timeout, unviable $unviable"
    ((missed == 0))
}

echo "the tests, unbroken:"
$cargo test --quiet --no-default-features --lib -- "${tests[@]}"

if [[ ${1:-} == -F ]]; then
    mutate "$work/some" -F "$2"
    summary "$work/some"
    exit
fi

# An exclusion that excludes nothing is a leftover.
list() { $cargo mutants --dir "$tree" --list --line-col true --colors never "$@"; }
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

parts=()
for ((part = 0; part < SHARDS; part++)); do
    parts+=("$work/shard-$part")
    [[ $# == 0 || " $* " == *" $part "* ]] || continue
    [[ $(cat "$work/shard-$part/sum" 2>/dev/null) == "$sum/$SHARDS" ]] && continue
    mutate "$work/shard-$part" --shard "$part/$SHARDS"
    echo "$sum/$SHARDS" >"$work/shard-$part/sum"
done

done=()
for part in "${parts[@]}"; do
    [[ $(cat "$part/sum" 2>/dev/null) != "$sum/$SHARDS" ]] || done+=("$part")
done
[[ ${#done[@]} == "$SHARDS" ]] || echo "only ${#done[@]} of $SHARDS parts have run on this source"
summary "${done[@]}"
