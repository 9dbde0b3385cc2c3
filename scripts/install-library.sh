#!/usr/bin/env bash
# Builds the library without the command line, the server and the client of servers, and installs it, shared and static,
# with its header and what pkg-config wants: scripts/install-library.sh PREFIX [PROFILE]
#
# DESTDIR stands before the prefix, as packagers know it. PROFILE=release is cargo's profile.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=${1:?say below which directory to install}
profile=${2:-release}
into=${DESTDIR:-}$prefix
cargo=${CARGO:-cargo}
target=${CARGO_TARGET_DIR:-target}

# In a directory of its own: the same library with other features is in the one beside it.
private=$($cargo rustc --lib --no-default-features --profile "$profile" --target-dir "$target/library" \
    --crate-type cdylib,staticlib -- --print native-static-libs 2>&1 | tee /dev/stderr |
    sed -n 's/.*native-static-libs: //p')
directory=$profile
[[ $profile != dev ]] || directory=debug
built=$target/library/$directory
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

install -d "$into/include" "$into/lib/pkgconfig"
install -m 644 include/plasmite.h "$into/include"
install -m 644 "$built/libplasmite.a" "$into/lib"
install -m 755 "$built/libplasmite.so" "$into/lib"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" -e "s|@PRIVATE@|$private|" include/plasmite.pc.in \
    >"$into/lib/pkgconfig/plasmite.pc"
