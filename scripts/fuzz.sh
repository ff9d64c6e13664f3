#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time, one after another
# (`go test -fuzz` takes one target at a time).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-20s}
found=0
for dir in $(go list -f '{{.Dir}}' ./...); do
	for name in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | cut -d' ' -f2 || true); do
		found=$((found + 1))
		echo "fuzz: $name in ${dir#"$PWD"/} for $time"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x "$dir"
	done
done
echo "fuzz: $found targets"
[ "$found" -gt 0 ]
