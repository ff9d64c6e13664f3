#!/usr/bin/env bash
# Removes what `make demo` started: containers, networks and the proxy's volume.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo/common.sh
typo down -v -t 2
app down -v -t 2
proxy down -v -t 2
