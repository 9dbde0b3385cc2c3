#!/usr/bin/env bash
# Installs the library below a directory of its own, and uses it as strangers do: a C program, built against the header
# that was installed, with AddressSanitizer and UndefinedBehaviorSanitizer, linked shared and static; a Python program
# by ctypes alone; and a look at what the library exports.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/library
mkdir -p "$work"
# Not where `make library` has its own: both may run at once.
prefix=$work/strangers
rm -rf "$prefix"
scripts/install-library.sh "$prefix" dev 2>"$work/log" || { cat "$work/log" >&2 && exit 1; }

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
pools=$(mktemp -d)
trap 'rm -rf "$pools"' EXIT

foreign=$(nm --dynamic --defined-only "$prefix/lib/libplasmite.so" | awk '$3 !~ /^plsm_/ { print $3 }')
[[ -z $foreign ]] || { printf 'the library exports what is not its own:\n%s\n' "$foreign" && exit 1; }
declared=$(grep -oE 'plsm_[a-z_]+\(' "$prefix/include/plasmite.h" | tr -d '(' | sort -u)
exported=$(nm --dynamic --defined-only "$prefix/lib/libplasmite.so" | awk '{ print $3 }' | sort -u)
[[ $declared == "$exported" ]] || { echo "header and library differ:" && diff <(echo "$declared") <(echo "$exported") && exit 1; }
echo "the library exports $(wc -l <<<"$exported") symbols, those of the header"

# No answer is a list of words, on purpose.
# shellcheck disable=SC2046
build() { ${CC:-cc} -std=c11 -Wall -Wextra -Werror -g -fsanitize=address,undefined -fno-sanitize-recover=all \
    $(pkg-config --cflags plasmite) "$1" -o "$work/$2" "${@:3}" -pthread; }
build tests/abi/user.c shared $(pkg-config --libs plasmite)
build tests/abi/user.c static "$prefix/lib/libplasmite.a" $(pkg-config --libs-only-l --static plasmite | sed 's/-lplasmite//')
echo "a C program, linked shared:"
"$work/shared" "$pools/shared" | sed 's/^/   /'
echo "the same, linked static:"
env -u LD_LIBRARY_PATH "$work/static" "$pools/static" | tail -n 1 | sed 's/^/   /'
echo "a Python program:"
python3 tests/abi/user.py "$prefix/lib/libplasmite.so" "$pools/python" | sed 's/^/   /'
echo "the program in README.md:"
sed -n '/^```c$/,/^```$/{/^```/!p}' README.md >"$work/readme.c"
build "$work/readme.c" readme $(pkg-config --libs plasmite)
(cd "$pools" && "$work/readme") | sed 's/^/   /' | grep '"data":{"n":1}'
