package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// status reads fields of /proc/PID/status.
func status(t testing.TB, pid int) map[string]string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

func TestImageDropsItsPrivileges(t *testing.T) {
	p := startContainer(t)
	s := status(t, p.pid)
	for _, id := range []string{"Uid", "Gid"} {
		for got := range strings.FieldsSeq(s[id]) {
			if got != "65532" {
				t.Errorf("%s is %q, want 65532 in all places", id, s[id])
				break
			}
		}
	}
	// What a thread may do now, what it may get back, what it may hand on.
	for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
		if strings.Trim(s[set], "0") != "" {
			t.Errorf("%s is %s, want none", set, s[set])
		}
	}
	if n := len(strings.Fields(s["Groups"])); n > 1 {
		t.Errorf("groups are %q, want at most the socket's", s["Groups"])
	}
	// Linux knows privileges per thread; a thread that was missed is a hole.
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, th := range threads {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", p.pid, th.Name()))
		if err != nil {
			continue // ended meanwhile
		}
		if err := contains(string(b), "Uid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000"); err != nil {
			t.Errorf("thread %s: %v", th.Name(), err)
		}
	}
	// And it still works.
	host := unique(t, "priv") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
}

// With a read-only root file system and nothing but what it needs to start.
func TestImageRunsReadOnly(t *testing.T) {
	shared := network(t)
	addr := freeAddr(t)
	p := composeProxy(t, addr, nil, "    networks: [shared]\n    ports: [\""+addr+":80\"]\n    read_only: true\n"+
		"    security_opt: [\"no-new-privileges:true\"]\n",
		"networks:\n  shared:\n    external: true\n    name: "+shared+"\n")
	host := unique(t, "ro") + ".localhost"
	c := runApp(t, label("host", host), "--network", shared)
	p.servedBy(host, c.ID)
}

func TestRefusedSocketNamesTheGroupToAdd(t *testing.T) {
	addr := freeAddr(t)
	proj := newProject(t, "refused", composeFile(t, "compose.yaml", `services:
  fairlead:
    image: `+imageFairlead+`
    network_mode: host
    user: "65532:65532"
    environment:
      FAIRLEAD_HTTP: "`+addr+`"
      FAIRLEAD_HTTPS: "off"
      FAIRLEAD_LOG_FORMAT: json
    volumes:
      - `+socketPath()+`:/var/run/docker.sock
      - data:/var/lib/fairlead
volumes:
  data:
`))
	proj.do("up", "-d")
	p := inContainer(t, proj.container("fairlead"), addr)
	st, err := os.Stat(socketPath())
	if err != nil {
		t.Fatal(err)
	}
	gid := fmt.Sprint(st.Sys().(*syscall.Stat_t).Gid)
	p.logged("group_add", gid)

	// The line it names is the cure.
	proj.files = append(proj.files, composeFile(t, "cure.yaml", "services:\n  fairlead:\n    group_add: [\""+gid+"\"]\n"))
	proj.do("up", "-d")
	p = inContainer(t, proj.container("fairlead"), addr)
	p.listens()
	if s := status(t, p.pid); !strings.HasPrefix(s["Uid"], "65532") {
		t.Errorf("it runs as %s, want 65532 as given", s["Uid"])
	}
}
