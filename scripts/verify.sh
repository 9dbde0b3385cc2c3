#!/usr/bin/env bash
# The bounded form of every check of what the specification promises, one after the other, with the figures of each.
# A check that fails ends it. What each of them reaches, and what none of them sees, is in docs/verification.md.
set -euo pipefail
cd "$(dirname "$0")/.."

log=target/verify.log
mkdir -p target
begin=$SECONDS

# Runs a check, and prints of its output what matches a pattern; all of it if it fails.
check() {
    local name=$1 pattern=$2
    shift 2
    local from=$SECONDS
    printf '%s\n' "-- $name"
    "$@" >"$log" 2>&1 || { cat "$log" && echo "FAILED: $name" && exit 1; }
    grep -E "$pattern" "$log" | sed 's/^/   /' || { echo "FAILED: $name says nothing" && exit 1; }
    printf '   %d s\n' $((SECONDS - from))
}

check "conformance: every clause on every surface" '^[0-9]+ cases' make conformance
check "saboteurs: the cases notice what is broken" 'saboteurs' make conformance-selftest
check "reference: the cases are what the text says" '^[0-9]+ cases' make conformance-reference
check "loom: every interleaving of small scenes" ' iterations, complete' make loom
check "loom mutants: every ordering is needed" '^killed [0-9]' make loom-mutants
check "crash states: deaths and losses of power" 'failures = ' make crash
check "fuzz: seeds, and all that was ever found" '[1-9][0-9]* passed' ${CARGO:-cargo} test -p plasmite-fuzz
check "torture: all that may happen to processes and pools" 'wrong = ' make torture SECONDS=60

echo "verified in $(((SECONDS - begin) / 60)) min $(((SECONDS - begin) % 60)) s"
