#!/usr/bin/env bash
# Schemathesis against a server of its own: what the OpenAPI description says is held against what the server does.
# Needs Python 3 and, the first time, PyPI. What is left out, and why, is in
# scripts/schemathesis.toml and scripts/schemathesis_hooks.py.
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
seed=20261125
examples=${1:-40}

target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/schemathesis/venv
work=$(mktemp -d)
export PLASMITE_DIR=$work/pools
# Tails end by themselves; otherwise every one of them would be waited for. No pool may fill the disk.
export LONGEST_TAIL_MS=200 LARGEST_FILE=$((64 * 1024 * 1024))
server=
cleanup() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT

if [ "$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("schemathesis"))' 2>/dev/null)" != "$version" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi

cargo build --quiet

(umask 077 && head -c 24 /dev/urandom | base64 >"$work/token")
authorization="Authorization: Bearer $(cat "$work/token")"
(
    ulimit -f $((LARGEST_FILE / 1024))
    PLASMITE_LOG=off exec "$target/debug/plasmite" serve --bind 127.0.0.1:0 --token-file "$work/token" \
        --max-tail-timeout-ms "$LONGEST_TAIL_MS"
) 2>"$work/stderr" &
server=$!
url=
for _ in $(seq 200); do
    url=$(sed -n '1s/.*"listening":"\([^"]*\)".*/\1/p' "$work/stderr")
    [ -z "$url" ] || break
    sleep 0.05
done
if [ -z "$url" ]; then
    echo "the server did not start:" >&2
    cat "$work/stderr" >&2
    exit 1
fi

post() { curl --silent --show-error --fail --output /dev/null --header "$authorization" --json "$2" "$url$1"; }
post /v0/pools '{"pool":"chat"}'
for n in 1 2 3; do
    post /v0/pools/chat/append "{\"data\":{\"n\":$n},\"tags\":[\"greeting\"]}"
done

# One worker: with several, CPython 3.11 fails in ast (recursion depth mismatch), and the order would not be fixed.
# The description comes from a file: from a URL, the route that it came from would be left out.
curl --silent --show-error --fail --output "$work/openapi.json" "$url/v0/openapi.json"
"$venv/bin/st" --config-file scripts/schemathesis.toml run "$work/openapi.json" --url "$url" --header "$authorization" \
    --phases examples,coverage,fuzzing,stateful --seed "$seed" --max-examples "$examples" \
    --workers 1 --continue-on-failure --request-timeout 10
