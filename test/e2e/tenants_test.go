package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The engine gives the lowest free address to the next container that starts.
// Whoever gets it must not get the requests of the one who had it.
func TestAddressThatChangesHandsBringsNoRequestsAlong(t *testing.T) {
	inBothModes(t, func(t *testing.T, p *proxy) {
		shared := network(t)
		mine, theirs := unique(t, "mine")+".localhost", unique(t, "theirs")+".localhost"
		reused := 0
		for range 4 {
			// One owner's containers, as after a deploy.
			a := runApp(t, label("host", mine), noHold, "--network", shared, "--label", "com.docker.compose.project="+mine)
			p.servedBy(mine, a.ID)
			had := address(t, a)
			l := p.load(mine)
			a.do("rm", "-f")
			b := runApp(t, label("host", theirs), "--network", shared, "--label", "com.docker.compose.project="+theirs)
			p.servedBy(theirs, b.ID)
			if address(t, b) == had {
				reused++
			}
			for _, s := range l.end() {
				if s.Container() == b.ID {
					t.Fatalf("%s was answered by the container of %s", mine, theirs)
				}
			}
			b.do("rm", "-f")
		}
		if reused == 0 {
			t.Error("no address was used again, so nothing was tested")
		}
	})
}

func address(t testing.TB, c *container) string {
	t.Helper()
	return docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", c.Name)
}

func TestAppWithoutAnAddressIsExplained(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "none") + ".localhost"
	c := runApp(t, label("host", host), "--network", "none")
	p.answers(host, 503)
	p.says([]string{c.Name, "network"}, "explain", "http://"+host+"/")
}

// A proxy in another container's network namespace has that container's
// /etc/hosts. It is not that container: its labels are as untrusted as others'.
func TestOwnerOfTheProxysNetworkIsNotTheProxy(t *testing.T) {
	addr := freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	host := unique(t, "vpn") + ".localhost"
	vpn := runApp(t, "-p", addr+":"+port, "-e", "WHOAMI_LISTEN=:8081",
		label("host", host), label("url", "http://127.0.0.1:1"))
	p := composeProxy(t, addr, []string{"http=:" + port}, "    network_mode: container:"+vpn.Name+"\n", "")
	p.says([]string{vpn.Name, "fairlead.url", "routes file"}, "explain", "http://"+host+"/")
}

// What cannot be read in one way only is refused, and the connection closed.
func TestMalformedRequestsAreRefusedAndTheConnectionIsClosed(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "bad") + ".localhost"
	c := runApp(t, label("host", host))
	p.servedBy(host, c.ID)
	for name, head := range map[string]string{
		"two hosts":     "GET / HTTP/1.1\r\nHost: " + host + "\r\nHost: other\r\n\r\n",
		"no host":       "GET / HTTP/1.1\r\n\r\n",
		"no name":       "GET / HTTP/1.1\r\nHost: " + host + "\r\n: x\r\n\r\n",
		"dots":          "GET /public/..%2fadmin HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"fragment":      "GET /a#/admin HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"two lengths":   "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"signed length": "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: +1\r\n\r\nx",
	} {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(soon))
		// What comes behind would be a second request, if it were read.
		fmt.Fprint(conn, head+"GET /smuggled HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if resp.StatusCode != 400 || !resp.Close {
			t.Errorf("%s: got %d, closing %v, want 400 and the end", name, resp.StatusCode, resp.Close)
		}
	}
	if log := docker(t, "logs", c.Name); strings.Contains(log, "smuggled") {
		t.Errorf("a request behind a refused one reached the app:\n%s", log)
	}
}

// The control socket is the operator's: nothing of it is on a public port.
func TestControlSocketIsPrivate(t *testing.T) {
	dir, err := os.MkdirTemp("", "fltest-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := startProcess(t, "data-dir="+dir)
	st, err := os.Stat(filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Mode().Perm(); got != 0o600 {
		t.Errorf("admin.sock has permissions %o, want 600", got)
	}
	for _, target := range []string{"/health", "/ready", "/routes", "/metrics", "/debug/pprof/"} {
		for _, host := range []string{"fairlead", "localhost", p.addr} {
			if a, err := p.get(host, target); err != nil || a.Status != 404 {
				t.Errorf("%s of host %s: got %v, %v, want 404", target, host, a, err)
			}
		}
	}
}

// A proxy that was killed leaves a socket and a ledger behind, and starts again.
func TestKilledProxyStartsAgain(t *testing.T) {
	dir, err := os.MkdirTemp("", "fltest-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	host := unique(t, "killed") + ".localhost"
	c := runApp(t, label("host", host))
	for range 3 {
		p := startProcess(t, "data-dir="+dir)
		p.servedBy(host, c.ID)
		p.stop(syscall.SIGKILL)
	}
	second := startProcess(t, "data-dir="+dir)
	second.servedBy(host, c.ID)
	// Two at once would share one ledger: the newer one takes over.
	third := startProcess(t, "data-dir="+dir)
	third.logged("took over")
	second.logged("handed over")
	third.servedBy(host, c.ID)
}
