package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/public"
	"github.com/fairlead/fairlead/internal/acmetest"
)

// authority starts a CA that validates at ports of the test's own, and returns
// it with the flags of a proxy that uses it and listens there.
func (w *world) authority(o acmetest.Options) (ca *acmetest.CA, flags []string) {
	w.Helper()
	o.HTTPPort, o.TLSPort = freePort(w), freePort(w)
	ca = acmetest.New(w, o)
	bundle := filepath.Join(w.dir, "bundle.pem")
	write(w, bundle, string(ca.Bundle()))
	return ca, []string{
		"--http", fmt.Sprintf("127.0.0.1:%d", o.HTTPPort), "--https", fmt.Sprintf("127.0.0.1:%d", o.TLSPort),
		"--acme-directory", ca.Directory, "--acme-ca-bundle", bundle,
	}
}

// checks makes a checker look where the CA does.
func checks(c *public.Checker, ca *acmetest.CA, httpPort, httpsPort string) {
	resolver := ca.Resolver()
	c.HTTPPort, c.HTTPSPort = httpPort, httpsPort
	c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return resolver.LookupNetIP(ctx, "ip", host+".")
	}
}

// startWith runs a proxy that orders from ca.
func (w *world) startWith(ca *acmetest.CA, flags ...string) *proxy {
	w.Helper()
	p := w.prepare(flags...)
	port := func(tls bool) string {
		for _, e := range p.server.EntryPoints() {
			if e.TLS == tls {
				return portOf(e.Addr)
			}
		}
		return "1"
	}
	checks(p.certs.Checker, ca, port(false), port(true))
	p.begin()
	p.awaitReady()
	return p
}

func TestACMEACertificateComesWithTheRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	p := w.startWith(ca, flags...)
	w.run(labelled("app", "host=www.example.com"), nil)
	eventually(t, "the certificate came", func() bool { return p.certLine("www.example.com").State == "valid" })
	p.verified("www.example.com", ca.Roots())
	if r := p.get("www.example.com", "/"); r.status != http.StatusPermanentRedirect {
		t.Errorf("plain HTTP once the certificate is there: %v, want 308", r)
	}
	out, err := command("certs", "--data-dir", p.settings.dataDir)
	if err != nil || !strings.Contains(out, "www.example.com") || !strings.Contains(out, "valid") {
		t.Errorf("certs printed %q, %v", out, err)
	}
	t.Log(out)
	if ca.Orders("") != 1 {
		t.Errorf("%d orders, want 1", ca.Orders(""))
	}
}

// Without plain HTTP there is TLS-ALPN-01.
func TestACMEWithoutPort80(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	flags[1] = "off"
	p := w.prepare(flags...)
	checks(p.certs.Checker, ca, "1", portOf(p.addrs["https"]))
	p.addr = p.addrs["https"]
	p.begin()
	p.awaitReady()
	w.run(labelled("app", "host=www.example.com"), nil)
	eventually(t, "the certificate came", func() bool { return p.certLine("www.example.com").State == "valid" })
	p.verified("www.example.com", ca.Roots())
}

// Until the certificate is there the host answers with the stop-gap, and what is
// in its way is said.
func TestACMEWhatIsInTheWayIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	ca.SetDNS("away.example.com", "127.0.0.99")
	elsewhere := &http.Server{Handler: http.NotFoundHandler()}
	ln, err := net.Listen("tcp", "127.0.0.98:"+portOf(flags[1]))
	if err != nil {
		t.Fatal(err)
	}
	go elsewhere.Serve(ln)
	t.Cleanup(func() { elsewhere.Close() })
	ca.SetDNS("elsewhere.example.com", "127.0.0.98")
	p := w.startWith(ca, flags...)
	for _, name := range []string{"away", "elsewhere", "fine"} {
		w.run(labelled(name, "host="+name+".example.com"), nil)
	}
	for host, words := range map[string]string{"away.example.com": "refuses connections", "elsewhere.example.com": "something else than this proxy answers"} {
		within(t, 3*patience, host+" says why", func() bool { return strings.Contains(p.certLine(host).Error, words) })
		if l := p.certLine(host); l.State != "waiting" || l.Fix == "" {
			t.Errorf("%s: %+v, want it to wait, and a fix", host, l)
		}
		if status, _, err := p.over(host, true, nil).ask(host, "/"); err != nil || status != 200 {
			t.Errorf("%s over TLS meanwhile: %d %v, want 200 behind the stop-gap", host, status, err)
		}
		if r := p.get(host, "/"); r.status != http.StatusTemporaryRedirect {
			t.Errorf("%s over plain HTTP meanwhile: %v, want 307", host, r)
		}
		if ca.Orders(host) != 0 {
			t.Errorf("%s: %d orders, want none", host, ca.Orders(host))
		}
	}
	within(t, 3*patience, "another host is not concerned", func() bool { return p.certLine("fine.example.com").State == "valid" })
	if text := p.view().problem("no-certificate"); text == "" {
		t.Error("routes does not show the problem")
	}
	// The operator knows better: ordered without the check, and refused by the authority.
	if out, err := command("certs", "retry", "away.example.com", "--data-dir", p.settings.dataDir); err != nil {
		t.Errorf("certs retry: %q, %v", out, err)
	}
	eventually(t, "the order was made", func() bool { return p.certLine("away.example.com").State == "failed" })
	if l := p.certLine("away.example.com"); !strings.Contains(l.Error, "cannot connect") || l.Next.IsZero() {
		t.Errorf("after it failed: %+v, want why and when it goes on", l)
	}
	if _, err := command("certs", "retry", "awya.example.com", "--data-dir", p.settings.dataDir); err == nil || !strings.Contains(err.Error(), "did you mean away.example.com") {
		t.Errorf("certs retry of a typo: %v", err)
	}
}

func TestACMEFaultsOfTheAuthority(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind  string
		fault acmetest.Fault
		words string
	}{
		"CAA":          {"finalize", acmetest.Fault{Status: 403, Type: "caa", Detail: "CAA forbids"}, "CAA record"},
		"rate limited": {"order", acmetest.Fault{Status: 429, Type: "rateLimited", Detail: "too many new orders", RetryAfter: "3600"}, "no more certificates"},
		"no ACME":      {"directory", acmetest.Fault{Status: 200, Body: "<html>"}, "no ACME directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ca, flags := w.authority(acmetest.Options{})
			ca.SetFault(func(kind string, _ int) *acmetest.Fault {
				if kind == tt.kind {
					return &tt.fault
				}
				return nil
			})
			w.run(labelled("app", "host=www.example.com"), nil)
			w.run(labelled("local", "host=app.localhost"), nil)
			p := w.startWith(ca, flags...)
			eventually(t, "it says why, how to mend it, and is in no hurry", func() bool {
				l := p.certLine("www.example.com")
				return strings.Contains(l.Error, tt.words) && l.Fix != "" && l.Next.After(time.Now().Add(30*time.Second))
			})
			p.verified("app.localhost", p.root())
		})
	}
}

// An app may have an ACME client of its own, and nobody may hijack ours (docs/threats.md 39).
func TestThreat39TokensAreOursOnlyWhereWeHaveThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	w.run(labelled("app", "host=www.example.com", "http=serve"), func(c *appConn, r *seen) bool { return c.ok("the app's own") })
	w.run(labelled("other", "host=app.localhost"), func(c *appConn, r *seen) bool { return c.ok("another app's") })
	p := w.startWith(ca, flags...)
	eventually(t, "the certificate came although the app answers everything", func() bool { return p.certLine("www.example.com").State == "valid" })
	for host, want := range map[string]string{"www.example.com": "the app's own", "app.localhost": "another app's"} {
		if r := p.get(host, "/.well-known/acme-challenge/unknown"); r.status != 200 || r.body != want {
			t.Errorf("%s, an unknown token: %v, want the app's answer", host, r)
		}
	}
	post := "POST /.well-known/acme-challenge/unknown HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello"
	if r := p.raw(post); r.status != 200 || r.body != "the app's own" {
		t.Errorf("POST: %v, want the app's answer", r)
	}
}

// Whoever connects decides nothing about orders (docs/threats.md 40).
func TestThreat40UnknownNamesOrderNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	w.run(labelled("app", "host=www.example.com, *.wild.example.com, ~.*[.]regexp[.]example[.]com"), nil)
	p := w.startWith(ca, flags...)
	eventually(t, "the one certificate came", func() bool { return p.certLine("www.example.com").State == "valid" })
	var clients sync.WaitGroup
	for k := range 10 {
		clients.Go(func() {
			over := p.over("www.example.com", true, nil)
			for i := k; i < 1000; i += 10 {
				name := fmt.Sprintf("n%d.%s", i, []string{"example.com", "wild.example.com", "regexp.example.com", "example.org"}[i%4])
				c, err := tls.Dial("tcp", p.addrs["https"], &tls.Config{ServerName: name, InsecureSkipVerify: true})
				if err != nil {
					t.Errorf("handshake for %s: %v", name, err)
					return
				}
				c.Close()
				if _, _, err := over.ask(name, "/"); err != nil {
					t.Errorf("request for %s: %v", name, err)
					return
				}
				if status, _, err := p.fetch(name, "/"); err != nil || status == 0 {
					t.Errorf("plain request for %s: %d %v", name, status, err)
					return
				}
			}
		})
	}
	clients.Wait()
	if n := ca.Orders(""); n != 1 {
		t.Errorf("%d orders, want the one of the route", n)
	}
	for _, host := range []string{"*.wild.example.com", "~.*[.]regexp[.]example[.]com"} {
		if l := p.certLine(host); l.State != "none" || l.Fix == "" {
			t.Errorf("%s: %+v, want it said that nobody vouches for it", host, l)
		}
	}
}

// Every key below the data directory is its owner's alone (docs/threats.md 41).
func TestThreat41KeysAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	w.run(labelled("app", "host=www.example.com"), nil)
	p := w.startWith(ca, flags...)
	eventually(t, "the certificate came", func() bool { return p.certLine("www.example.com").State == "valid" })
	files := 0
	err := filepath.WalkDir(p.settings.dataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		files++
		return err
	})
	if err != nil || files < 10 {
		t.Errorf("looked at %d files, %v", files, err)
	}
}

func TestACMETwoProcessesOnOneDirectoryOrderOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	for i := range 8 {
		w.run(labelled(fmt.Sprintf("app%d", i), fmt.Sprintf("host=h%d.example.com", i)), nil)
	}
	data := filepath.Join(w.dir, "shared")
	first := w.startWith(ca, append(flags, "--data-dir", data)...)
	second := w.prepare("--https", withTLS, "--data-dir", data, "--admin", filepath.Join(w.dir, "second.sock"), "--acme-directory", ca.Directory, "--acme-ca-bundle", flags[7])
	checks(second.certs.Checker, ca, portOf(flags[1]), portOf(flags[3]))
	second.begin()
	second.awaitReady()
	for i := range 8 {
		host := fmt.Sprintf("h%d.example.com", i)
		within(t, 3*patience, host+" has its certificate in both", func() bool {
			return first.certLine(host).State == "valid" && second.certLine(host).State == "valid"
		})
		if n := ca.Orders(host); n != 1 {
			t.Errorf("%s: %d orders, want 1", host, n)
		}
	}
}

// No handshake gets another certificate because a new process has just begun,
// and the old one orders no more.
func TestACMECertificatesAreInUseWhenAProcessTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, flags := w.authority(acmetest.Options{})
	w.run(labelled("app", "host=www.example.com"), nil)
	first := w.startWith(ca, flags...)
	eventually(t, "the certificate came", func() bool { return first.certLine("www.example.com").State == "valid" })
	config := &tls.Config{ServerName: "www.example.com", RootCAs: ca.Roots()}
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			select {
			case <-stop:
				failed <- nil
				return
			default:
			}
			var c *tls.Conn
			if c, err = tls.Dial("tcp", first.addrs["https"], config); err == nil {
				c.Close()
			}
		}
		failed <- err
	}()
	second := w.startWith(ca, append(flags, "--data-dir", first.settings.dataDir)...)
	eventually(t, "the first has ended", func() bool { return len(first.lines(`"stopped"`)) > 0 })
	close(stop)
	if err := <-failed; err != nil {
		t.Errorf("a handshake meanwhile: %v", err)
	}
	second.verified("www.example.com", ca.Roots())
	if n := ca.Orders("www.example.com"); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}
