package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const withTLS = "127.0.0.1:0"

func TestTLSALocalNameAnswersOverHTTPS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("app", "host=app.localhost, *.app.localhost, 127.0.0.1"), nil)
	p := w.start("--https", withTLS)
	p.await("app.localhost", 200, "app ") // plain HTTP is served for local names
	root := p.root()
	cert := p.verified("app.localhost", root)
	if life := time.Until(cert.NotAfter); life > 8*24*time.Hour {
		t.Errorf("the certificate holds for %s, want a week", life)
	}
	p.verified("x.app.localhost", root)
	if a, b := p.shown("x.app.localhost"), p.shown("y.app.localhost"); !a.Equal(b) || a.DNSNames[0] != "*.app.localhost" {
		t.Errorf("two names of a wildcard got %v and %v, want one certificate for *.app.localhost", a.DNSNames, b.DNSNames)
	}
	if cert := p.shown(""); len(cert.IPAddresses) != 1 || !cert.IPAddresses[0].IsLoopback() {
		t.Errorf("without a name: certificate for %v, want that of the address", cert.IPAddresses)
	}
	if l := p.certLine("app.localhost"); l.Source != "internal" || l.State != "valid" {
		t.Errorf("certs says %+v, want internal and valid", l)
	}
	_, id := w.run(labelled("late", "host=late.localhost"), nil)
	eventually(t, "a host that appears is served over HTTPS", func() bool {
		status, _, err := p.over("late.localhost", false, &tls.Config{RootCAs: root}).ask("late.localhost", "/")
		return err == nil && status == 200
	})
	w.engine.Stop(id)
}

func TestTLSUnknownNamesGetOneStopGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("app", "host=app.localhost"), nil)
	p := w.start("--https", withTLS)
	p.await("app.localhost", 200, "app ")
	first := p.shown("unknown.example.com")
	for _, sni := range []string{"other.localhost", "APP.localhost.evil.test"} {
		if cert := p.shown(sni); !cert.Equal(first) || len(cert.DNSNames) > 0 {
			t.Errorf("%s: a certificate for %v, want the one stop-gap without a name", sni, cert.DNSNames)
		}
	}
	if cert := p.shown("APP.LOCALHOST"); len(cert.DNSNames) != 1 || cert.DNSNames[0] != "app.localhost" {
		t.Errorf("a name in upper case: certificate for %v, want app.localhost", cert.DNSNames)
	}
	if status, _, err := p.over("unknown.example.com", true, nil).ask("unknown.example.com", "/"); err != nil || status != 404 {
		t.Errorf("an unknown host: %d, %v, want 404", status, err)
	}
	if status, _, err := p.over("unknown.example.com", true, nil).ask("app.localhost", "/"); err != nil || status != 200 {
		t.Errorf("a known host behind an unknown name, without a policy of its own: %d, %v, want 200", status, err)
	}
}

func TestTLSPlainHTTPIsRedirectedServedOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, labels := range map[string][]string{
		"public": {"host=www.example.com"}, "local": {"host=app.localhost"}, "off": {"host=off.example.com", "tls=off"},
		"redirect": {"host=redirect.localhost", "http=redirect"}, "serve": {"host=serve.example.com", "http=serve"}, "refuse": {"host=refuse.localhost", "http=refuse"},
	} {
		w.run(labelled(name, labels...), nil)
	}
	p := w.start("--https", withTLS, "--https-port", "8443", "--acme-directory", "https://acme.invalid/dir", "--trusted-proxies", "127.0.0.9")
	for _, host := range []string{"app.localhost", "off.example.com", "serve.example.com"} {
		p.await(host, 200, "")
	}
	for host, want := range map[string]int{
		"app.localhost": 200, "off.example.com": 200, "serve.example.com": 200, "refuse.localhost": 403, "www.example.com": 307, "redirect.localhost": 307,
	} {
		r := p.get(host, "/a%2Fb?c=d")
		if r.status != want {
			t.Errorf("%s: %v, want %d", host, r, want)
			continue
		}
		if want == 307 {
			if got := r.header.Get("Location"); got != "https://"+host+":8443/a%2Fb?c=d" {
				t.Errorf("%s: Location %q", host, got)
			}
			if r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q, want no-store", host, r.header.Get("Cache-Control"))
			}
		}
	}
	behind := request("GET", "www.example.com", "/", "X-Forwarded-Proto: https")
	eventually(t, "https according to a trusted proxy is served", func() bool { return p.rawFrom("127.0.0.9", behind).status == 200 })
	if r := p.raw(behind); r.status != 307 {
		t.Errorf("https according to anybody: %v, want 307", r)
	}
	if status, _, err := p.over("off.example.com", true, nil).ask("off.example.com", "/"); err != nil || status != http.StatusMisdirectedRequest {
		t.Errorf("tls=off over TLS: %d, %v, want 421", status, err)
	}
}

// writesSecrets gives a world a directory of secrets and returns it, with the
// flags that name it.
func (w *world) secrets() (dir string, flags []string) {
	dir = filepath.Join(w.dir, "secrets")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	return dir, []string{"--secrets-dir", dir, "--https", withTLS, "--acme-directory", "https://acme.invalid/dir"}
}

func fileLabel(dir, name string) string {
	return "tls=file:" + dir + "/" + name + ".pem," + dir + "/" + name + ".key"
}

func TestTLSOwnFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir, flags := w.secrets()
	i := newIssuer(t, "own")
	first := i.server(dir, "shop", "shop.example.com")
	wild := i.server(dir, "wild", "*.example.com")
	w.run(labelled("shop", "host=shop.example.com", fileLabel(dir, "shop")), nil)
	w.run(labelled("wild", "host=wild.example.com", fileLabel(dir, "wild")), nil)
	w.run(labelled("covered", "host=covered.example.com"), nil)
	w.run(labelled("late", "host=late.example.com", fileLabel(dir, "late")), nil)
	p := w.start(flags...)
	if cert := p.verified("shop.example.com", i.pool()); !cert.Equal(first) {
		t.Errorf("shop got a certificate for %v", cert.DNSNames)
	}
	if cert := p.verified("covered.example.com", i.pool()); !cert.Equal(wild) {
		t.Errorf("a host that a wildcard file covers got a certificate for %v", cert.DNSNames)
	}
	if l := p.certLine("covered.example.com"); l.Source != "file" || l.State != "valid" {
		t.Errorf("certs says %+v of the covered host, want the file", l)
	}
	if r := p.get("shop.example.com", "/"); r.status != 308 {
		t.Errorf("plain HTTP with a good certificate: %v, want 308", r)
	}
	// A file that is missing refuses its route, and serves as soon as it is there.
	if r := p.get("late.example.com", "/"); r.status != 503 {
		t.Errorf("a route whose file is missing: %v, want 503", r)
	}
	if text := p.view().problem("cannot-build"); !strings.Contains(text, "late.pem does not exist") {
		t.Errorf("problem %q, want it to name the missing file", text)
	}
	i.server(dir, "late", "late.example.com")
	eventually(t, "the file that came is served", func() bool { return p.get("late.example.com", "/").status == 308 })
	p.verified("late.example.com", i.pool())
	// A new one is served without a reload, a bad one is not.
	second := i.server(dir, "shop", "shop.example.com")
	eventually(t, "the new certificate is served", func() bool { return p.shown("shop.example.com").Equal(second) })
	for what, spoil := range map[string]struct{ file, text, words string }{
		"garbage":            {"shop.pem", "garbage", "holds nothing in PEM"},
		"somebody's key":     {"shop.key", pemKey(t, newIssuer(t, "x").key), "is not the key"},
		"no key":             {"shop.key", pemOf(second), "holds a certificate and no key"},
		"a key for the cert": {"shop.pem", pemKey(t, i.key), "holds a key"},
	} {
		good, err := os.ReadFile(filepath.Join(dir, spoil.file))
		if err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, spoil.file), spoil.text)
		eventually(t, what+" is a problem", func() bool { return strings.Contains(p.view().problem("certificate-file"), spoil.words) })
		if !p.shown("shop.example.com").Equal(second) {
			t.Errorf("%s: the old certificate is not served any more", what)
		}
		replace(t, filepath.Join(dir, spoil.file), string(good))
		eventually(t, what+" is a problem no more", func() bool { return p.view().problem("certificate-file") == "" })
	}
}

func TestTLSExpiredAndDisorderedFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir, flags := w.secrets()
	root := newIssuer(t, "root")
	between := &issuer{TB: t}
	between.cert, between.key = root.make(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: root.cert.Subject})
	leaf, key := between.make(&x509.Certificate{DNSNames: []string{"a.example.com"}})
	write(t, filepath.Join(dir, "a.pem"), pemOf(between.cert, leaf))
	write(t, filepath.Join(dir, "a.key"), pemKey(t, key))
	old, key := root.make(&x509.Certificate{DNSNames: []string{"b.example.com"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)})
	write(t, filepath.Join(dir, "b.pem"), pemOf(old))
	write(t, filepath.Join(dir, "b.key"), pemKey(t, key))
	w.run(labelled("a", "host=a.example.com", fileLabel(dir, "a")), nil)
	w.run(labelled("b", "host=b.example.com", fileLabel(dir, "b")), nil)
	p := w.start(flags...)
	if got := p.shown("a.example.com"); !got.Equal(leaf) {
		t.Errorf("a chain in the wrong order: %v is shown first, want the host's", got.Subject)
	}
	if got := p.shown("b.example.com"); !got.Equal(old) {
		t.Errorf("an expired file: a certificate for %v is shown, want the file's", got.DNSNames)
	}
	text := mustJSON(t, p.view().Problems)
	for _, words := range []string{"wrong order", "expired on"} {
		if !strings.Contains(text, words) {
			t.Errorf("the problems do not say %q:\n%s", words, text)
		}
	}
	if l := p.certLine("b.example.com"); l.State != "expired" || l.Fix == "" {
		t.Errorf("certs says %+v, want expired and what to do", l)
	}
}

// For a host whose routes are refused nothing is ordered, and certs says that
// rather than what would be true of an open one.
func TestTLSRefusedHostsGetNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("nokey", "host=www.example.com", "tls=file:/run/secrets/a.pem"), nil)
	w.run(labelled("local", "host=pub.example.org", "tls=internal"), nil)
	p := w.start("--https", withTLS, "--acme-directory", "https://acme.invalid/dir")
	for host, label := range map[string]string{"www.example.com": "names no key", "pub.example.org": "the internal authority may not sign pub.example.org"} {
		if l := p.certLine(host); l.Source != "none" || l.State != "refused" || !strings.Contains(l.Error, "refused") {
			t.Errorf("%s: %+v, want none, refused", host, l)
		}
		if text := p.view().problem("wrong-value") + p.view().problem("not-in-internal-ca"); !strings.Contains(text, label) {
			t.Errorf("routes says %q, want %q", text, label)
		}
	}
	if text := p.view().problem("no-certificate"); text != "" {
		t.Errorf("a refused route has a second problem: %s", text)
	}
}
