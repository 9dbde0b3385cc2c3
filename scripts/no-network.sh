#!/usr/bin/env bash
# The library without its default features must not bring in a network, async or command-line crate.
set -euo pipefail
cd "$(dirname "$0")/.."

banned='tokio|async-std|smol|mio|hyper|axum|tower|reqwest|rustls|h2|clap|futures|async-.*'
tree=$(cargo tree --no-default-features --edges normal --prefix none)
if found=$(grep -E "^($banned) v" <<<"$tree"); then
    printf 'the library alone pulls in:\n%s\n' "$found" >&2
    exit 1
fi
printf 'the library alone pulls in %d crates, none of them for networks, async or command lines\n' \
    "$(sort -u <<<"$tree" | wc -l)"
