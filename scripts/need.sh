#!/usr/bin/env bash
# Makes sure that the named tools are there:
#
#   scripts/need.sh go gcc curl engine compose
#
# What is missing is installed from the distribution's packages on Debian and
# Ubuntu when we are root; otherwise the message says what to install. "engine"
# is a Docker engine that answers: one that is installed but not running is
# started, and its process id kept in .run/dockerd.pid.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'need: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
can_install() { have apt-get && [ "$(id -u)" = 0 ]; }

# install TOOL PACKAGE...: the first of the packages that exists.
install() {
	local tool=$1 package out
	shift
	can_install || die "$tool is missing. On Debian or Ubuntu: sudo apt-get install $1. Elsewhere: see docs/getting-started.md."
	# Once per run: every call of this script may come to a machine that has
	# never fetched its package lists.
	if [ -z "${updated:-}" ]; then
		apt-get update -qq >&2 || say "the package lists could not be refreshed; trying with what is there"
		updated=1
	fi
	for package in "$@"; do
		if apt-cache show "$package" >/dev/null 2>&1; then
			say "installing $package"
			out=$(DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" 2>&1) ||
				die "$package could not be installed: $out"
			return
		fi
	done
	die "$tool is missing, and the distribution has none of: $*"
}

# install_stopped SERVICE PACKAGE...: the same for a service, which stays off.
install_stopped() {
	local policy=/usr/sbin/policy-rc.d # asked by the packages' scripts; 101 is no
	if can_install && [ ! -e "$policy" ]; then
		trap "rm -f $policy" EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	install "$@"
	systemctl disable "$1" >/dev/null 2>&1 || true
}

need_go() {
	have go || die "Go is missing: install Go 1.26 from https://go.dev/dl/ (distributions often have an older one)"
}

need_gcc() {
	have gcc && echo 'int main(void){return 0;}' | gcc -x c -o /dev/null - 2>/dev/null && return
	install gcc gcc
	install "the C library's headers" libc6-dev
}

need_curl() { have curl || install curl curl; }
need_chromium() { have chromium || install Chromium chromium; }
need_certutil() { have certutil || install certutil libnss3-tools; }
need_openssl() { have openssl || install openssl openssl; }
need_ip() { have ip && have ss || install "ip and ss" iproute2; }
need_testssl() { have testssl || install testssl.sh testssl.sh; }

# The benchmark starts its own: a service that began with the installation, or
# with the machine, would hold port 80.
need_nginx() { have nginx || install_stopped nginx nginx-light nginx; }
need_haproxy() { have haproxy || install_stopped haproxy haproxy; }
need_caddy() { have caddy || install_stopped caddy caddy; }
need_wrk() { have wrk || install wrk wrk; }
need_h2load() { have h2load || install h2load nghttp2-client; }

need_compose() {
	docker compose version >/dev/null 2>&1 || have docker-compose ||
		install "Docker Compose" docker-compose-v2 docker-compose
}

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

need_engine() {
	have docker || install "the Docker command" docker-cli docker.io
	answers && return
	[ -z "${DOCKER_HOST:-}" ] || die "no engine answers at DOCKER_HOST=$DOCKER_HOST"
	if docker version 2>&1 | grep -qi 'permission denied'; then
		die "you may not use the Docker socket: run 'sudo usermod -aG docker $USER', log in again, and try again"
	fi
	have dockerd || install "the Docker engine" docker.io
	answers && return
	[ "$(id -u)" = 0 ] || die "the Docker engine is not running: sudo systemctl start docker"
	start_engine
}

start_engine() {
	if [ -d /run/systemd/system ] && systemctl start docker >/dev/null 2>&1 && wait_for_engine; then
		return
	fi
	# Without systemd nothing may have mounted the control groups.
	if [ -z "$(ls -A /sys/fs/cgroup 2>/dev/null)" ]; then
		install "control groups" cgroupfs-mount
		cgroupfs-mount
	fi
	mkdir -p .run
	run_dockerd && return
	say "the engine did not start; trying again without its firewall rules"
	run_dockerd --iptables=false --ip6tables=false && return
	tail -n 20 .run/dockerd.log >&2
	die "the Docker engine did not start; its log is .run/dockerd.log"
}

run_dockerd() {
	say "starting the Docker engine (log: .run/dockerd.log)"
	setsid nohup dockerd "$@" >.run/dockerd.log 2>&1 </dev/null &
	local pid=$!
	echo "$pid" >.run/dockerd.pid
	wait_for_engine "$pid" && return
	kill "$pid" 2>/dev/null || true
	rm -f .run/dockerd.pid
	return 1
}

# wait_for_engine [PID]: up to a minute, shorter if the process has ended.
wait_for_engine() {
	local _
	for _ in $(seq 120); do
		answers && return
		[ -z "${1:-}" ] || kill -0 "$1" 2>/dev/null || return 1
		sleep 0.5
	done
	return 1
}

for tool in "$@"; do
	case $tool in
	go | gcc | curl | chromium | certutil | testssl | openssl | ip | engine | compose | nginx | haproxy | caddy | wrk | h2load) "need_$tool" ;;
	*) die "unknown tool $tool" ;;
	esac
done
