#!/usr/bin/env bash
# House rules that no linter knows. STYLE: CONTRIBUTING.md.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
complain() {
	printf 'lint: %s:\n%s\n' "$1" "$2" >&2
	bad=1
}

# Files that git would commit: the tree may hold others' scratch files.
mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.go' | while read -r f; do [ -f "$f" ] && echo "$f"; done)
[ "${#files[@]}" -gt 0 ] || { echo "lint: no Go files found; is this a git checkout?" >&2; exit 1; }

unformatted=$(gofmt -l "${files[@]}")
[ -z "$unformatted" ] || complain "not formatted by gofmt" "$unformatted"

long=$(wc -l "${files[@]}" | awk '$2 != "total" && $1 > 600 {print $2 ": " $1 " lines"}')
[ -z "$long" ] || complain "longer than 600 lines" "$long"

# A sleep in a test is a race that has not been lost yet; in the program it is
# a wait that nobody can cancel.
sleeping=$(grep -nE '\btime\.Sleep\(' "${files[@]}" /dev/null || true)
[ -z "$sleeping" ] || complain "time.Sleep" "$sleeping"

# A skipped test is a promise nobody checks.
skipped=$(grep -nE '\b[tbf]\.Skip(f|Now)?\(' "${files[@]}" /dev/null || true)
[ -z "$skipped" ] || complain "a skipped test" "$skipped"

if ! go mod verify >/dev/null; then complain "go mod verify" "a module is not what go.sum says"; fi

[ "$bad" = 0 ] && echo "lint: ${#files[@]} Go files follow the house rules"
exit "$bad"
