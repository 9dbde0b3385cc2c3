#!/usr/bin/env bash
# Fuzzes for so many seconds per target: fuzz/run.sh SECONDS [TARGET...]
#
# Builds once, then runs JOBS=2 targets at a time, each from what is checked in and what earlier runs have found
# (target/fuzz-corpus). Fails if any of them found something, and says where it is and how to see it again.
# TOOLCHAIN=nightly is the toolchain: libFuzzer's instrumentation needs it.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?say for how many seconds each target is to run}
shift
toolchain=${TOOLCHAIN:-nightly}
jobs=${JOBS:-2}
out=target/fuzz-corpus
host=$(rustc "+$toolchain" -vV | sed -n 's/^host: //p')
if [ $# -eq 0 ]; then
	set -- $(cargo "+$toolchain" fuzz list --fuzz-dir fuzz)
fi

# Linked at once: what the release profile asks for would take minutes for each target.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo "+$toolchain" fuzz build --fuzz-dir fuzz --target-dir target/fuzz --features libfuzzer

# One target to its end. The log has all that libFuzzer says; its last line here, what came of it.
run() {
	local target=$1
	local corpus=$out/$target log=$out/$target.log artifacts=target/fuzz-artifacts/$target
	mkdir -p "$corpus" "$artifacts"
	local dirs=("$corpus" "fuzz/seeds/$target")
	if [ -d "fuzz/regressions/$target" ]; then dirs+=("fuzz/regressions/$target"); fi
	local result=ok
	"target/fuzz/$host/release/$target" "${dirs[@]}" \
		-max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$artifacts/" >"$log" 2>&1 || result=FAILED
	local runs rate found
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
	found=$(grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "$log" | tail -n 1 || true)
	printf '%-13s %9s execs %8s/s  %s  %s\n' "$target" "${runs:-?}" "${rate:-?}" "${found:-no coverage}" "$result"
	[ "$result" = ok ] && return
	local artifact
	artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
	{
		grep -m 1 -A 3 -E 'panicked at|ERROR: ' "$log" || true
		echo "  input:  ${artifact:-none was written, see $log}"
		echo "  replay: target/fuzz/$host/release/$target ${artifact:-}"
		echo "  shrink: cargo +$toolchain fuzz tmin --fuzz-dir fuzz --target-dir target/fuzz --features libfuzzer $target ${artifact:-}"
		echo "  keep:   cp ${artifact:-INPUT} fuzz/regressions/$target/WHAT-HAPPENED"
	} >&2
	return 1
}
export -f run
export seconds out host toolchain

printf '%s\0' "$@" | xargs -0 -n 1 -P "$jobs" bash -c 'run "$1"' run
