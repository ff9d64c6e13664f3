# shellcheck shell=bash
# Sourced by demo.sh and demo-stop.sh.
quickstart=compose-examples/quickstart
compose() { scripts/compose.sh "$@"; }
proxy() { FAIRLEAD_DEMO_PORT="${port:-80}" FAIRLEAD_DEMO_HTTPS="${https:-443}" FAIRLEAD_DEMO_PROJECTS="${projects:-}" compose -p fairlead-demo -f $quickstart/proxy/compose.yaml -f scripts/demo/proxy.yaml "$@"; }
app() { compose -p fairlead-demo-app -f $quickstart/app/compose.yaml "$@"; }
typo() { compose -p fairlead-demo-typo -f scripts/demo/typo.yaml "$@"; }
# quietly COMMAND...: its output only if it fails.
quietly() {
	local out
	if ! out=$("$@" 2>&1); then
		printf '%s\n' "$out" >&2
		return 1
	fi
}
