#!/usr/bin/env bash
# A first run on real input: a build is tapped; then the build messages of this very project go through a pool, and a
# second process follows them through a filter while the first still writes. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

work=$(mktemp -d)
export PLASMITE_DIR=$work/pools
follower=
cleanup() {
    [ -z "$follower" ] || kill "$follower" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

say "Building plasmite"
cargo build --quiet
pls=${CARGO_TARGET_DIR:-$PWD/target}/debug/pls

say "1. Tapping the build of a small crate: what cargo prints comes through, and goes into a pool named tapped"
cargo new --quiet --vcs none "$work/hello"
tap() {
    "$pls" tap tapped --create -- cargo build --offline \
        --manifest-path "$work/hello/Cargo.toml" --target-dir "$work/hello/target" 2>&1
}
tapped() { "$pls" follow tapped --no-follow --data-only --where ".data.kind == \"$1\""; }
tap | tee "$work/shown" | sed 's/^/   /'
echo 'fn main() { greet() }' >"$work/hello/src/main.rs"
code=0
tap >>"$work/shown" || code=$?
lines=$(tapped line | wc -l)
echo "   Once more with a mistake in it: exit code $code. Both builds in the pool: $lines lines, and how they ended:"
tapped exit | tee "$work/ends" | sed 's/^/   /'
[ "$(tapped start | wc -l)" -eq 2 ] && [ "$lines" -gt 2 ] && [ "$lines" -eq "$(wc -l <"$work/shown")" ]
[ "$(sed 's/,"elapsed_ms".*//' "$work/ends" | paste -sd ' ')" = "{\"kind\":\"exit\",\"code\":0 {\"kind\":\"exit\",\"code\":$code" ]
[ "$code" -eq 101 ]

say "2. Creating a pool of 8 MiB, named build"
"$pls" pool create build --size 8M >/dev/null
echo "   $PLASMITE_DIR/build.plasmite"

say "3. A second process follows it: only finished crates, and it waits for what is to come"
"$pls" follow build --from 1 --where '.data.reason == "compiler-artifact"' --data-only >"$work/followed.jsonl" &
follower=$!

say "4. Feeding cargo's build messages of this project into it while cargo works"
cargo build --quiet --message-format=json --target-dir "$work/target" --no-default-features --lib |
    "$pls" feed build --tag cargo >"$work/receipts.jsonl"
fed=$(wc -l <"$work/receipts.jsonl")
echo "   $fed messages went in; the last receipt:"
tail -n 1 "$work/receipts.jsonl" | sed 's/^/   /'

say "5. What the follower has seen, without anybody telling it that more had come"
artifacts=$("$pls" follow build --no-follow --where '.data.reason == "compiler-artifact"' --data-only | wc -l)
for _ in $(seq 200); do
    [ "$(wc -l <"$work/followed.jsonl")" -eq "$artifacts" ] && break
    sleep 0.05
done
kill "$follower"
wait "$follower" || true
follower=
seen=$(wc -l <"$work/followed.jsonl")
echo "   $seen of $artifacts finished crates"
[ "$seen" -eq "$artifacts" ] && [ "$artifacts" -gt 0 ]

say "6. Fetching message 1"
"$pls" fetch build 1 | cut -c 1-160 | sed 's/^/   /'

say "7. Checking every byte of the pool"
"$pls" doctor build | sed 's/^/   /'

say "Done: two builds tapped, $fed messages fed, $seen followed, 1 fetched, the pool is sound. Nothing is left behind."
