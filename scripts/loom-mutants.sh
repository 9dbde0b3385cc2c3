#!/usr/bin/env bash
# Breaks the protocol in one way after the other, and fails unless some loom model notices each time.
#
# Every loom/mutants/*.patch is one way to break it; its first line says which. It is applied to a copy of the tree,
# and the models run one after the other, as `make loom` runs them, until one fails. Arguments name the mutants to try; without any, all are tried.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tree=$target/loom-mutants
log=$target/loom-mutants.log
patches=(loom/mutants/*.patch)
if (($#)); then
    patches=("${@/#/loom/mutants/}")
    patches=("${patches[@]/%/.patch}")
fi

# At the same place each time, so that cargo's cache is of use the next time, too.
copy() {
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z | xargs -0 cp --parents -t "$tree"
}

models() {
    (cd "$tree" && CARGO_TARGET_DIR=$target ${CARGO:-cargo} test --quiet --profile loom -p plasmite-loom --test append_read "$@")
}

# Runs one model after the other until one fails, and prints its name. 101 is a failed test; all else is no verdict.
killer() {
    local model status
    for model in $(models -- --list --format terse | sed -n 's/: test$//p'); do
        status=0
        models -- --exact "$model" --nocapture >"$log" 2>&1 || status=$?
        case $status in
        0) ;;
        101) echo "$model" && return ;;
        *) cat "$log" >&2 && return 1 ;;
        esac
    done
}

# What the first panic in the log says, on the line that follows the one which says where it was; of an error, what
# it says itself.
panic() {
    sed -n '/panicked at/{n;s/Inner {[^"]*"\([^"]*\)".*/\1/;p;q}' "$log"
}

killed=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    copy
    patch --quiet --strip=0 --fuzz=0 --force --no-backup-if-mismatch --directory="$tree" <"$patch"
    models --no-run 2>"$log" || { cat "$log" >&2 && exit 1; }
    model=$(killer)
    if [[ $model ]]; then
        killed=$((killed + 1))
        printf '%-24s killed by %s: %s\n' "$name" "$model" "$(panic)"
    else
        printf '%-24s SURVIVED: %s\n' "$name" "$(head -n 1 "$patch")"
    fi
done
rm -rf "$tree" "$log"

echo "killed $killed/${#patches[@]}"
((killed == ${#patches[@]}))
