#!/usr/bin/env bash
# Installs the manual pages and what shells complete with, as the program itself writes them:
# scripts/install-docs.sh PREFIX
#
# DESTDIR stands before the prefix, as packagers know it. PLASMITE=PROGRAM asks that program.
set -euo pipefail

prefix=${1:?say below which directory to install}
share=${DESTDIR:-}$prefix/share
program=${PLASMITE:-$(dirname "$0")/../${CARGO_TARGET_DIR:-target}/release/plasmite}
man=$share/man/man1
bash=$share/bash-completion/completions
zsh=$share/zsh/site-functions
fish=$share/fish/vendor_completions.d

install -d "$man" "$bash" "$zsh" "$fish"

"$program" man-pages "$man"
for page in "$man"/plasmite.1 "$man"/plasmite-*.1; do
    name=$(basename "$page")
    ln -sf "$name" "$man/pls${name#plasmite}"
done

"$program" completion bash >"$bash/plasmite"
ln -sf plasmite "$bash/pls"
# One file for both names, which stand in its first line.
"$program" completion zsh >"$zsh/_plasmite"
"$program" completion fish >"$fish/plasmite.fish"
ln -sf plasmite.fish "$fish/pls.fish"
