#!/usr/bin/env bash
# The size of the binary, and the cliff behind it: one call of
# reflect.Value.MethodByName (text/template reaches it) switches off dead-code
# elimination for methods in the whole binary, +17 MB.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=$((20 * 1000 * 1000))
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -dumpdep' -o "$out/fairlead" ./cmd/fairlead 2>"$out/deps" ||
	{ grep -v -- '->' "$out/deps" >&2 || true; exit 1; }
size=$(wc -c <"$out/fairlead")
reflected=$(grep -c ReflectMethod "$out/deps" || true)
printf 'size: %d.%02d MB of 20, %d uses of ReflectMethod\n' $((size / 1000000)) $((size % 1000000 / 10000)) "$reflected"
if [ "$size" -ge "$limit" ]; then
	echo "size: the binary is too big" >&2
	exit 1
fi
if [ "$reflected" -ne 0 ]; then
	echo "size: these reach reflect.Value.MethodByName; find another way (docs/decisions):" >&2
	grep ReflectMethod "$out/deps" | sort -u | head >&2
	exit 1
fi
