#!/usr/bin/env bash
# Breaks the protocol in one way after the other, and fails unless some loom model notices each time.
#
# First every ordering in src/core that is stronger than Relaxed is made Relaxed, and every fence left out (a SeqCst one
# is also made AcqRel): the lines are searched for here, and weakened as the models run (loom/src/sites.rs). What no model
# notices has to stand in loom/argued.txt, with the reason. Then every loom/mutants/*.patch, whose first line says what
# it breaks, is applied to a copy of the tree. The models run one after the other until one fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tree=$target/loom-mutants
log=$target/loom-mutants.log
export RUST_BACKTRACE=0

# Builds the models in a directory, and prints their programs.
models() {
    (cd "$1" && CARGO_TARGET_DIR=$target ${CARGO:-cargo} test --quiet --profile loom -p plasmite-loom --tests --no-run --message-format json) |
        sed -n 's|.*"kind":\["test"\].*"executable":"\([^"]*\)".*|\1|p'
}

# Runs one model after the other until one fails, and prints its name. 101 is a failed test; all else is no verdict.
killer() {
    local program model status
    for program; do
        for model in $("$program" --list --format terse | sed -n 's/: test$//p'); do
            status=0
            "$program" --exact "$model" --nocapture >"$log" 2>&1 || status=$?
            case $status in
            0) ;;
            101) echo "$model" && return ;;
            *) cat "$log" >&2 && return 1 ;;
            esac
        done
    done
}

# What the first panic in the log says, on the line that follows the one which says where it was; of an error, what
# it says itself.
panic() {
    sed -n '/panicked at/{n;s/Inner {[^"]*"\([^"]*\)".*/\1/;s/; threads = .*//;p;q}' "$log"
}

killed=0
argued=0
survived=0

verdict() {
    local name=$1 model=$2 reason=$3
    if [[ $model ]]; then
        killed=$((killed + 1))
        printf '%-36s killed by %s: %s\n' "$name" "$model" "$(panic)"
    elif [[ $reason ]]; then
        printf '%-36s argued\n' "$name"
    else
        survived=$((survived + 1))
        printf '%-36s SURVIVED\n' "$name"
    fi
}

# The reason for which the ordering on this line of this file needs no model.
reason() {
    awk -F '\t' -v file="$1" -v line="$2" '$1 == file && index(line, $2) { print $3 }' loom/argued.txt
}

while IFS=$'\t' read -r file code _; do
    if ! grep -qF -- "$code" "$file"; then
        echo "loom/argued.txt: $file has no longer: $code"
        exit 1
    fi
    argued=$((argued + 1))
done < <(grep $'\t' loom/argued.txt)

# Every line up to the tests that uses an ordering, other than to import it. The heap's memory hands its own on.
sites() {
    local file
    for file in src/core/*.rs; do
        [[ $file == src/core/tests.rs ]] ||
            awk '/^mod tests/ { exit } /^ *\/\// || /^use / { next }
                /[( ](Acquire|Release|AcqRel|SeqCst)\)/ { print FILENAME ":" FNR "\t" $0 }' "$file"
    done
}

mapfile -t programs < <(models .)
((${#programs[@]})) || { echo "there are no models" && exit 1; }
count=0
while IFS=$'\t' read -r site line; do
    ways=("")
    [[ $line == *"fence(SeqCst)"* ]] && ways+=(":acqrel")
    for way in "${ways[@]}"; do
        count=$((count + 1))
        model=$(PLASMITE_LOOM_WEAKEN=$site$way killer "${programs[@]}")
        verdict "$site$way" "$model" "$(reason "${site%:*}" "$line")"
    done
done < <(sites)
((count > 10)) || { echo "only $count orderings were found" && exit 1; }

# At the same place each time, so that cargo's cache is of use the next time, too. Cargo takes what it has built there for
# what it would build here, so none of it may stay.
clean() { ${CARGO:-cargo} clean --quiet --profile loom -p plasmite -p plasmite-loom --target-dir "$target"; }
trap clean EXIT
for patch in loom/mutants/*.patch; do
    rm -rf "$tree"
    mkdir -p "$tree"
    git ls-files -z | xargs -0 cp --parents -t "$tree"
    patch --quiet --strip=0 --fuzz=0 --force --no-backup-if-mismatch --directory="$tree" <"$patch"
    mapfile -t programs < <(models "$tree")
    count=$((count + 1))
    verdict "$(basename "$patch" .patch)" "$(killer "${programs[@]}")" ""
done
rm -rf "$tree" "$log"

echo "killed $killed/$((killed + survived)), argued $argued"
((survived == 0))
