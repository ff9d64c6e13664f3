package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/acmetest"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// asVictim in the environment makes the test binary a process that gets
// certificates until it is killed.
const asVictim = "TEST_CERTS_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asVictim); dir != "" {
		victim(dir)
	}
	goleak.VerifyTestMain(m, acmetest.LeakOptions()...)
}

// victim gets certificates as the program does.
func victim(dir string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "panic:", err)
			os.Exit(3)
		}
	}
	bundle, err := os.ReadFile(filepath.Join(dir, "bundle.pem"))
	check(err)
	var hosts []spec.TLSHost
	for name := range strings.SplitSeq(os.Getenv("TEST_CERTS_HOSTS"), ",") {
		hosts = append(hosts, spec.TLSHost{Host: spec.Host{Text: name}})
	}
	c, err := New(Config{
		DataDir: dir, ACME: acme.Config{Directory: os.Getenv("TEST_CERTS_DIRECTORY"), CABundle: bundle}, HTTPOpen: true, HTTPSOpen: true, Log: zerolog.Nop(),
		Secret: func(string) ([]byte, error) { return nil, os.ErrNotExist }, Hosts: func() []spec.TLSHost { return hosts },
		Lookup: func(string) (spec.TLSHost, bool) { return spec.TLSHost{}, false },
	})
	check(err)
	resolver := acmetest.ResolverAt(os.Getenv("TEST_CERTS_DNS"))
	c.Checker.HTTPPort = os.Getenv("TEST_CERTS_PORT")
	c.Checker.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return resolver.LookupNetIP(ctx, "ip", host+".")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+c.Checker.HTTPPort)
	check(err)
	go http.Serve(ln, &exchange.Arrival{Next: c.Tokens(http.NotFoundHandler())})
	c.Update()
	check(c.Run(context.Background()))
}

// A process that is killed at any moment of an order loses no certificate, and
// what it costs is bounded: an order of which nobody knows, or whose validation met
// a dead process, is followed by another after a minute (or a tenth less).
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	const rounds, kills, perRound = 2, 100, 40
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ca := acmetest.New(t, acmetest.Options{HTTPPort: port})
	ln.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bundle.pem"), ca.Bundle(), 0o600); err != nil {
		t.Fatal(err)
	}
	v := &victims{TB: t, dir: dir, env: []string{
		asVictim + "=" + dir, "TEST_CERTS_DIRECTORY=" + ca.Directory, "TEST_CERTS_DNS=" + ca.DNSAddr(), "TEST_CERTS_PORT=" + strconv.Itoa(port),
	}}
	seen := map[string]string{} // serial numbers of stored certificates, by host
	for round := range rounds {
		var hosts []string
		for i := range perRound {
			hosts = append(hosts, fmt.Sprintf("r%d-h%d.example.com", round, i))
		}
		began := time.Now()
		for range kills {
			cmd := v.start(hosts)
			<-time.After(time.Duration(50+rand.IntN(350)) * time.Millisecond)
			v.kill(cmd)
			v.look(hosts, seen)
		}
		killing := time.Since(began)
		most := 2 + int(killing/(54*time.Second))
		cmd := v.start(hosts)
		deadline := time.After(4 * time.Minute) // an order or a validation that met a dead process is paid for with a minute
		for tick := time.NewTicker(20 * time.Millisecond); v.look(hosts, seen) < perRound; {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("round %d: %d of %d hosts have a certificate four minutes after the last kill\n%s", round, v.look(hosts, seen), perRound, v.begun())
			}
		}
		v.kill(cmd)
		for _, host := range hosts {
			if n := ca.Orders(host); n > most {
				t.Errorf("%s: %d orders, want at most %d after %s of killing", host, n, most, killing)
			}
		}
	}
	t.Logf("%d kills, %d certificates, %d orders", rounds*kills, len(seen), ca.Orders(""))
}

type victims struct {
	testing.TB
	dir string
	env []string
	err bytes.Buffer
}

func (v *victims) start(hosts []string) *exec.Cmd {
	v.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), v.env...), "TEST_CERTS_HOSTS="+strings.Join(hosts, ","))
	v.err.Reset()
	cmd.Stderr = &v.err
	if err := cmd.Start(); err != nil {
		v.Fatal(err)
	}
	v.Cleanup(func() { cmd.Process.Kill() })
	return cmd
}

func (v *victims) kill(cmd *exec.Cmd) {
	v.Helper()
	cmd.Process.Kill()
	err := cmd.Wait()
	if v.err.Len() > 0 {
		v.Fatalf("the process ended by itself (%v):\n%s", err, &v.err)
	}
}

// begun is what is stored of orders that have not come to an end.
func (v *victims) begun() (all string) {
	files, _ := filepath.Glob(filepath.Join(v.dir, "tls", "acme", "*", "orders", "*.json"))
	ledgers, _ := filepath.Glob(filepath.Join(v.dir, "tls", "acme", "*", "ledger.json"))
	for _, file := range append(files, ledgers...) {
		data, _ := os.ReadFile(file)
		all += filepath.Base(file) + ": " + string(data) + "\n"
	}
	return all
}

// look notes which hosts have a certificate stored, and fails if one is gone,
// another, or broken.
func (v *victims) look(hosts []string, seen map[string]string) (have int) {
	v.Helper()
	for _, host := range hosts {
		files, err := filepath.Glob(filepath.Join(v.dir, "tls", "acme", "*", "certs", host+".pem"))
		if err != nil || len(files) > 1 {
			v.Fatalf("%s is stored %d times, %v", host, len(files), err)
		}
		if len(files) == 0 {
			if seen[host] != "" {
				v.Errorf("%s: the certificate that was stored is gone", host)
			}
			continue
		}
		have++
		data, err := os.ReadFile(files[0])
		if err != nil {
			v.Fatal(err)
		}
		pair, err := tls.X509KeyPair(data, data)
		if err != nil {
			v.Fatalf("%s: what is stored is broken: %v", host, err)
		}
		serial := pair.Leaf.SerialNumber.String()
		if seen[host] != "" && seen[host] != serial {
			v.Errorf("%s: another certificate than the one that was stored", host)
		}
		seen[host] = serial
	}
	return have
}
