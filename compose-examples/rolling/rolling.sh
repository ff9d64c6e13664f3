#!/usr/bin/env bash
# Replaces the containers of the service by newer ones, one after the other, and
# asks for the site all the while. Prints how often it got which status, and
# ends with code 1 if any was not 200.
#
#   VERSION=2 ./rolling.sh
#
# COMPOSE names the Compose to use, URL what is asked for.
set -euo pipefail
cd "$(dirname "$0")"
service=web
url=${URL:-http://rolling.localhost/}

compose() {
	if [ -n "${COMPOSE:-}" ]; then
		"$COMPOSE" "$@"
	elif docker compose version >/dev/null 2>&1; then
		docker compose "$@"
	else
		docker-compose "$@"
	fi
}

containers() { compose ps -q "$service" | sort; }

# healthy CONTAINER: within a minute.
healthy() {
	local _
	for _ in $(seq 60); do
		[ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" != healthy ] || return 0
		sleep 1
	done
	return 1
}

# ask: ten requests over one connection, again and again. 000 is none at all.
ask() {
	until [ -e "$seen/enough" ]; do
		curl -s -m 60 --noproxy '*' -o /dev/null -w '%{http_code}\n' "$url?[1-10]" || true
	done
}

mapfile -t old < <(containers)
[ "${#old[@]}" -gt 0 ] || { echo "rolling: nothing runs yet: docker compose up -d" >&2; exit 1; }

seen=$(mktemp -d)
trap 'touch "$seen/enough"; wait; rm -rf "$seen"' EXIT
for n in 1 2 3 4; do ask >"$seen/$n" & done

for id in "${old[@]}"; do
	# The new one first, so that there are never fewer than before.
	before=$(containers)
	compose up -d --no-deps --no-recreate --scale "$service=$((${#old[@]} + 1))" "$service"
	new=$(comm -13 <(echo "$before") <(containers))
	healthy "$new" || {
		echo "rolling: $new did not become healthy; the old ones serve on. See docker logs $new, then docker rm -f $new" >&2
		exit 1
	}
	# The proxy sends it no new request, and those that it has may finish.
	docker stop "$id" >/dev/null
	docker rm "$id" >/dev/null
done

touch "$seen/enough"
wait
echo "requests by status:"
sort "$seen"/[0-9] | uniq -c
! grep -qvx 200 "$seen"/[0-9]
