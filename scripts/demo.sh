#!/usr/bin/env bash
# `make demo`: brings the quickstart up on the real engine, shows a request
# answered by the container, the same over HTTPS, and a wrong label explained.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo/common.sh

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; }
fail() {
	printf 'demo: %s\n' "$*" >&2
	proxy exec -T fairlead /fairlead explain http://app.localhost/ >&2 || true
	proxy logs --tail 10 >&2 || true
	echo "demo: what was started stays up for you to look at; make demo-stop removes it" >&2
	exit 1
}
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# eventually COMMAND...: within half a minute.
eventually() {
	local _
	for _ in $(seq 60); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.5
	done
	return 1
}

scripts/need.sh go curl engine compose
quietly scripts/demo-stop.sh # of an earlier demo, which would hold the port

port=${FAIRLEAD_DEMO_PORT:-80}
if taken "$port"; then
	[ -z "${FAIRLEAD_DEMO_PORT:-}" ] || { echo "demo: port $port is taken; choose another FAIRLEAD_DEMO_PORT" >&2; exit 1; }
	for port in 8080 8081 8082 8888 none; do
		[ "$port" = none ] || ! taken "$port" || continue
		break
	done
	[ "$port" != none ] || { echo "demo: port 80 is taken; run FAIRLEAD_DEMO_PORT=<a free port> make demo" >&2; exit 1; }
	echo "demo: port 80 is taken, so this demo is on port $port (FAIRLEAD_DEMO_PORT chooses another)"
fi
projects=
if [ -n "$(docker ps -aq --filter label=fairlead.host=app.localhost)" ]; then
	echo "demo: another container on this machine has the host app.localhost, so this demo's proxy serves only the demo"
	projects=fairlead-demo-app,fairlead-demo-typo
fi

for https in 443 8443 8444 9443 none; do
	[ "$https" = none ] || ! taken "$https" || continue
	break
done
[ "$https" != none ] || { echo "demo: the ports 443, 8443, 8444 and 9443 are all taken" >&2; exit 1; }
at=$([ "$port" = 80 ] || echo ":$port")
at_tls=$([ "$https" = 443 ] || echo ":$https")
# Works where *.localhost does not resolve, too.
get() { curl -sS -m 10 --noproxy '*' --resolve "$1:$port:127.0.0.1" "http://$1:$port$2"; }

step "Building the binary and the images"
make --no-print-directory image

step "Starting the proxy, in a project of its own"
show "docker compose -f $quickstart/proxy/compose.yaml up -d"
proxy up -d
eventually proxy exec -T fairlead /fairlead health || fail "the proxy did not become healthy"

step "Starting an app with one label, in another project"
grep -A1 'labels:' $quickstart/app/compose.yaml
show "docker compose -f $quickstart/app/compose.yaml up -d"
app up -d
answered() { get app.localhost / | grep -q '^Hostname:'; }
eventually answered || fail "app.localhost did not answer"
show "curl http://app.localhost$at/hello?from=demo"
get app.localhost '/hello?from=demo'
answering=$(docker ps --filter label=com.docker.compose.project=fairlead-demo-app --format '{{.Names}}')
echo "(answered by the container $answering, $(docker inspect --format '{{slice .Id 0 12}}' "$answering"))"

step "The same over HTTPS, verified against the proxy's own authority"
root=$(mktemp)
trap 'rm -f "$root"' EXIT
show "docker compose -f $quickstart/proxy/compose.yaml exec fairlead /fairlead ca > fairlead-root.pem"
proxy exec -T fairlead /fairlead ca >"$root"
openssl x509 -in "$root" -noout -subject -enddate 2>/dev/null || true
show "curl --cacert fairlead-root.pem https://app.localhost$at_tls/"
curl -sS -m 10 --noproxy '*' --cacert "$root" --resolve "app.localhost:$https:127.0.0.1" -o /dev/null \
	-w 'status %{http_code} over HTTP/%{http_version}, certificate verified (%{ssl_verify_result})\n' "https://app.localhost:$https/" ||
	fail "the certificate of https://app.localhost$at_tls/ was not verified"
show "docker compose -f $quickstart/proxy/compose.yaml exec fairlead /fairlead certs"
proxy exec -T fairlead /fairlead certs

step "Starting a container with a wrong label"
grep -A2 'labels:' scripts/demo/typo.yaml
typo up -d
eventually get typo.localhost /
inside=$(docker ps --filter label=com.docker.compose.project=fairlead-demo --format '{{.Names}}')
show "docker exec $inside /fairlead routes"
docker exec "$inside" /fairlead routes
show "docker exec $inside /fairlead explain http://typo.localhost$at/"
docker exec "$inside" /fairlead explain "http://typo.localhost$at/"
docker exec "$inside" /fairlead routes | grep -q 'fairlead\.port' || fail "the wrong label was not explained"

step "It is still running"
cat <<M
Try it:   curl http://app.localhost$at/      (or open it in a browser, or https://app.localhost$at_tls/)
          docker restart $answering, and ask meanwhile: the answer comes when it is back
Stop it:  make demo-stop
M
