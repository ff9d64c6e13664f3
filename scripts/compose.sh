#!/usr/bin/env bash
# Runs Docker Compose, whichever is there: the one named by COMPOSE, the plugin
# of v2, or the older docker-compose.
set -euo pipefail
if [ -n "${COMPOSE:-}" ]; then
	exec "$COMPOSE" "$@"
elif docker compose version >/dev/null 2>&1; then
	exec docker compose "$@"
else
	exec docker-compose "$@"
fi
