#!/usr/bin/env bash
# Known vulnerabilities in what the binary calls. The database is
# https://vuln.go.dev, or GOVULNDB (a copy for machines without internet); where
# neither can be read the check is left out, and says so, instead of making the
# build depend on the internet.
set -euo pipefail
cd "$(dirname "$0")/.."

# Both are reported for every import of the Docker client because they name no
# package; they concern the engine itself. docs: SECURITY.md.
allowed='GO-2026-4883 GO-2026-4887'

if [ -z "${GOVULNDB:-}" ] && ! curl -sSf -m 10 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; then
	cat >&2 <<-'M'
	************************************************************************
	vuln: NOT CHECKED. https://vuln.go.dev cannot be reached, and GOVULNDB
	vuln: names no copy of it. Run `make vuln` where it can be.
	************************************************************************
	M
	exit 0
fi
out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0
go tool -modfile=tools/govulncheck.mod govulncheck ${GOVULNDB:+-db "$GOVULNDB"} ./cmd/... >"$out" || status=$?
# 3: vulnerabilities found. Anything else is a failure of the check itself.
if [ "$status" != 0 ] && [ "$status" != 3 ]; then
	cat "$out"
	exit "$status"
fi
for id in $(grep -oE '^Vulnerability #[0-9]+: GO-[0-9]+-[0-9]+' "$out" | grep -oE 'GO-.*' | sort -u); do
	case " $allowed " in
	*" $id "*) echo "vuln: $id concerns the engine, not its client" ;;
	*)
		cat "$out"
		echo "vuln: $id" >&2
		exit 1
		;;
	esac
done
echo "vuln: nothing known in what the binary calls"
