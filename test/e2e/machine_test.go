package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A machine is one as a reader of the pages has it: ports 80 and 443 are free,
// an engine with nothing on it listens on /var/run/docker.sock, and names such
// as shop.example.com lead to it. It is this machine in namespaces of its own,
// of the network, the mounts and the processes: nothing on it is seen outside,
// it has no way out, and all of it ends with its first process.
type machine struct {
	t    testing.TB
	dir  string
	init *exec.Cmd // the first process
}

// The first process collects those that lost their parents, and ends when the
// test does, however that ends: nothing is ever written to what it reads.
const machineInit = `
mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs -o mode=755 tmpfs /run || exit
mount --bind hosts /etc/hosts && mount --bind var /var/lib && ip link set lo up || exit
dockerd --config-file "$PWD/daemon.json" --host unix:///run/docker.sock --iptables=false --ip6tables=false --ip-forward=false </dev/null &
read`

// newMachine starts a machine that has images, by their names in the pages, and
// hosts that lead to itself.
func newMachine(t testing.TB, images, hosts []string) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test makes a machine of its own, which needs root: run `sudo make test`")
	}
	removeOldMachines()
	dir, err := os.MkdirTemp("", prefix+"-m")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir}
	t.Cleanup(m.remove)
	for name, text := range map[string]string{
		"daemon.json": `{"default-address-pools": [{"base": "172.16.0.0/12", "size": 24}]}`,
		"hosts":       "127.0.0.1 localhost " + strings.Join(hosts, " ") + "\n::1 ip6-localhost\n",
		"bin/common":  shimCommon, "bin/docker": shimDocker, "bin/fairlead": shimFairlead,
		"bin/curl": shimCurl, "bin/make": shimMake, "bin/sudo": "#!/bin/bash\nexec \"$@\"\n",
		"home/.keep": "", "var/.keep": "",
	} {
		m.write(name, text)
	}
	m.boot()
	m.load(images)
	return m
}

// removeOldMachines removes the directories of machines whose test was killed;
// they themselves ended with it.
func removeOldMachines() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "fltest-e2e-p*-m*"))
	for _, dir := range dirs {
		of := runName.FindStringSubmatch(filepath.Base(dir))
		if of == nil {
			continue
		}
		if _, err := os.Stat("/proc/" + of[1]); err != nil {
			os.RemoveAll(dir)
		}
	}
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) boot() {
	m.t.Helper()
	log, err := os.Create(filepath.Join(m.dir, "log"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	m.init = exec.Command("bash", "-c", machineInit)
	m.init.Dir, m.init.Stdout, m.init.Stderr = m.dir, log, log
	m.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
	}
	if _, err := m.init.StdinPipe(); err != nil {
		m.t.Fatal(err)
	}
	if err := m.init.Start(); err != nil {
		m.t.Fatalf("start a machine: %v", err)
	}
	if err := poll(ready, func() error {
		r := m.run(m.dir, "docker version --format '{{.Server.Version}}'", ready)
		if r.Code != 0 {
			return fmt.Errorf("docker version ended with code %d: %s", r.Code, r.Out)
		}
		return nil
	}); err != nil {
		b, _ := os.ReadFile(log.Name())
		m.t.Fatalf("the engine of the test's machine did not answer: %v\n%s", err, tail(string(b), 20))
	}
}

// appImage stands in for the pages' your/app and the like: it listens on the
// usual ports, and has the files that apps have.
const appImage = `FROM fairlead-whoami:local
ENV WHOAMI_LISTEN=:80,:3000,:5000,:8000,:8080,:9000
ENV WHOAMI_FILES="/app/staticfiles/app.css=body{}"
`

// load copies our images, and names the stand-in as the pages name theirs, so
// that nothing is pulled, and nothing could be.
func (m *machine) load(images []string) {
	m.t.Helper()
	docker(m.t, "save", "-o", filepath.Join(m.dir, "images.tar"), imageFairlead, imageWhoami, imageFilter)
	script := "docker load -q -i images.tar && rm images.tar\n" +
		"docker tag " + imageWhoami + " fairlead-whoami:local\n" +
		"docker tag " + imageFilter + " fairlead-socketfilter:local\n" +
		"docker build -q -t app - <<'D'\n" + appImage + "D\n"
	for _, name := range images {
		from := "app"
		if strings.HasPrefix(name, "fairlead:") {
			from = imageFairlead
		}
		script += fmt.Sprintf("docker tag %s '%s'\n", from, name)
	}
	m.do(m.dir, script)
}

// run runs a script of bash there, in a directory, until the first command that
// fails.
func (m *machine) run(dir, script string, within time.Duration) result {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", fmt.Sprint(m.init.Process.Pid), "--net", "--mount", "--pid",
		"bash", "-c", `cd "$1" && exec bash -e -o pipefail -c "$2"`, "bash", dir, script)
	cmd.Env = m.environ()
	// All of it, also what the script started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	r := exitOf(m.t, cmd)
	if ctx.Err() != nil {
		r.Out += fmt.Sprintf("(not done within %v)\n", within)
	}
	return r
}

// environ is what a reader's shell has, and what the shims ask for.
func (m *machine) environ() []string {
	real := func(name string) string {
		path, err := exec.LookPath(name)
		if err != nil {
			m.t.Fatalf("%v: scripts/need.sh says what to install", err)
		}
		return path
	}
	return []string{
		"PATH=" + filepath.Join(m.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + filepath.Join(m.dir, "home"), "LANG=C.UTF-8", "TZ=UTC",
		"E2E_DOCKER=" + real("docker"), "E2E_CURL=" + real("curl"), "E2E_MAKE=" + real("make"),
		"E2E_FAIRLEAD=" + binary, "E2E_REPO=" + repo, "E2E_COMPOSE=" + os.Getenv("COMPOSE"),
	}
}

// do is run for what has to succeed.
func (m *machine) do(dir, script string) string {
	m.t.Helper()
	r := m.run(dir, script, 2*time.Minute)
	if r.Code != 0 {
		m.t.Fatalf("on the test's machine: %s\nended with code %d:\n%s", script, r.Code, r.Out)
	}
	return r.Out
}

// wipe ends the proxies and removes everything from the engine but the images.
func (m *machine) wipe() { m.run(m.dir, shimCommon+"fresh", time.Minute) }

func (m *machine) remove() {
	if m.init != nil && m.init.Process != nil {
		m.wipe() // control groups outlive a machine that is switched off
		m.init.Process.Kill()
		m.init.Wait()
	}
	if err := poll(ready, func() error { return os.RemoveAll(m.dir) }); err != nil {
		m.t.Errorf("clean up: %v", err)
	}
}

// What stands in for a reader's own programs. Each ends in the real one.
const (
	// Compose 1 calls shop-web-1 shop_web_1, and people are slower than scripts:
	// what asks the proxy waits until it has seen what was started before. The
	// last four are for what a page does before a block.
	shimCommon = `
name() {
	if [[ $1 =~ ^([a-z0-9-]+)-([a-z0-9]+)-([0-9]+)$ ]]; then
		local old=${BASH_REMATCH[1]}_${BASH_REMATCH[2]}_${BASH_REMATCH[3]}
		if "$E2E_DOCKER" inspect "$old" >/dev/null 2>&1; then echo "$old"; return; fi
	fi
	printf '%s\n' "$1"
}
ours() {
	local p
	p=$("$E2E_DOCKER" ps --format '{{.Names}}' | grep -m1 fairlead) || { "$E2E_FAIRLEAD" "$@"; return; }
	"$E2E_DOCKER" exec "$p" /fairlead "$@"
}
settled() {
	local out c _
	for _ in $(seq 25); do
		sleep 0.2
		out=$(ours routes --json 2>/dev/null)
		[ -n "$out" ] || [ -n "$("$E2E_DOCKER" ps -q)" ] || return 0
		for c in $("$E2E_DOCKER" ps --filter label=fairlead.host --format '{{.Names}}'); do
			[[ $out == *"\"$c\""* ]] || continue 2
		done
		[ -z "$out" ] || grep -qE '"state": ?"(starting|created)"' <<<"$out" || return 0
	done
}
args=()
quickstart() { docker compose -f "$E2E_REPO/compose-examples/quickstart/proxy/compose.yaml" up -d && settled; }
up() { cat >compose.yaml; docker compose up -d --remove-orphans && settled; }
process() { "$E2E_FAIRLEAD" run "$@" >/run/fairlead.log 2>&1 & settled; }
fresh() {
	local ids exe
	for exe in /proc/[0-9]*/exe; do
		[ "$(readlink "$exe")" != "$E2E_FAIRLEAD" ] || kill "$(basename "$(dirname "$exe")")"
	done
	ids=$("$E2E_DOCKER" ps -aq)
	[ -z "$ids" ] || "$E2E_DOCKER" rm -fv $ids
	"$E2E_DOCKER" network prune -f
	"$E2E_DOCKER" volume prune -f
	rm -rf /var/lib/fairlead
} >/dev/null
`
	shimDocker = `#!/bin/bash
. "${0%/*}/common"
if [ "$1" != compose ]; then
	[ "$1" != exec ] || settled
	for a in "$@"; do args+=("$(name "$a")"); done
	exec "$E2E_DOCKER" "${args[@]}"
fi
shift
[[ " $* " != *" exec "* ]] || settled
if [ -z "$E2E_COMPOSE" ] && "$E2E_DOCKER" compose version >/dev/null 2>&1; then
	exec "$E2E_DOCKER" compose "$@"
fi
# Compose 2 notices by itself that there is no terminal.
for a in "$@"; do args+=("$a"); [ "$a" != exec ] || args+=(-T); done
exec "${E2E_COMPOSE:-docker-compose}" "${args[@]}"
`
	// What asks a running proxy is run in its container, as the pages say.
	shimFairlead = `#!/bin/bash
. "${0%/*}/common"
case $1 in check | labels | completion | version | help | run) exec "$E2E_FAIRLEAD" "$@" ;; esac
settled
for a in "$@"; do args+=("$(name "$a")"); done
ours "${args[@]}"
`
	// On a terminal it shows no progress of what it prints.
	shimCurl = `#!/bin/bash
. "${0%/*}/common"
settled
exec "$E2E_CURL" -sS --noproxy '*' --max-time 60 "$@"
`
	// What it would make is made already; that it could is asked.
	shimMake = `#!/bin/bash
exec "$E2E_MAKE" --no-print-directory -C "$E2E_REPO" -n "$@" >/dev/null
`
)
