package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fragments writes each TLS record's payload byte by byte, every byte in a record
// of its own, as long as the handshake is in the clear.
type fragments struct {
	net.Conn
	wrote bool
}

func (f *fragments) Write(p []byte) (int, error) {
	if f.wrote || len(p) < 5 || p[0] != 22 { // handshake (RFC 8446, 5.1)
		return f.Conn.Write(p)
	}
	f.wrote = true
	var out []byte
	for _, b := range p[5:] {
		out = append(out, p[0], p[1], p[2], 0, 1, b)
	}
	_, err := f.Conn.Write(out)
	return len(p), err
}

// mutual is a world with a host that asks for client certificates and others that
// do not.
func mutual(t *testing.T) (w *world, p *proxy, dir string, clients *issuer) {
	w = newWorld(t)
	dir, flags := w.secrets()
	clients = newIssuer(t, "clients")
	write(t, filepath.Join(dir, "clients.pem"), pemOf(clients.cert))
	w.run(labelled("secret", "host=secret.localhost", "tls.client-ca=file:"+dir+"/clients.pem"), nil)
	w.run(labelled("deep", "host=*.deep.localhost", "tls.client-ca=file:"+dir+"/clients.pem"), nil)
	w.run(labelled("open", "host=open.localhost"), nil)
	w.run(labelled("strict", "host=strict.localhost", "tls.min-version=1.3"), nil)
	return w, w.start(flags...), dir, clients
}

// A host that asks for client certificates cannot be reached without one by
// making the handshake for another name.
func TestThreat23SNIAndHostMustAgree(t *testing.T) {
	t.Parallel()
	_, p, _, clients := mutual(t)
	with := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{clients.client("good")}}
	wrong := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{newIssuer(t, "stranger").client("bad")}}
	for _, tt := range []struct {
		sni, host string
		config    *tls.Config
		want      int // 0: no handshake, or nothing but an alert
	}{
		{"secret.localhost", "secret.localhost", with, 200},
		{"secret.localhost", "secret.localhost", nil, 0},
		{"secret.localhost", "secret.localhost", wrong, 0},
		{"SECRET.localhost", "secret.localhost", with, 200},
		{"SECRET.localhost", "secret.localhost", nil, 0},
		{"x.deep.localhost", "x.deep.localhost", with, 200},
		{"x.deep.localhost", "x.deep.localhost", nil, 0},
		{"x.deep.localhost", "y.deep.localhost", with, 200}, // one policy, one host pattern
		{"open.localhost", "secret.localhost", nil, 421},
		{"open.localhost", "SECRET.localhost", nil, 421},
		{"open.localhost", "secret.localhost.", nil, 421},
		{"open.localhost", "secret.localhost:443", nil, 421},
		{"open.localhost", "x.deep.localhost", nil, 421},
		{"unknown.example.com", "secret.localhost", nil, 421},
		{"", "secret.localhost", nil, 421},
		{"secret.localhost", "open.localhost", with, 421},
		{"open.localhost", "open.localhost", nil, 200},
		{"unknown.example.com", "open.localhost", nil, 200},
		{"open.localhost", "strict.localhost", nil, 421},
		{"strict.localhost", "strict.localhost", nil, 200},
		{"strict.localhost", "strict.localhost", &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, 0},
	} {
		for _, h2 := range []bool{false, true} {
			name := fmt.Sprintf("sni %s host %s h2 %v certificate %v", tt.sni, tt.host, h2, tt.config != nil)
			status, body, err := p.over(tt.sni, h2, tt.config).ask(tt.host, "/")
			if err != nil {
				status = 0
			}
			if status != tt.want {
				t.Errorf("%s: %d %q %v, want %d", name, status, body, err, tt.want)
			}
			if status != 200 && strings.Contains(body, "secret /") {
				t.Errorf("%s: the app answered", name)
			}
		}
	}
}

// The second request of a connection is looked at like the first.
func TestThreat23SecondRequestOfAConnection(t *testing.T) {
	t.Parallel()
	_, p, _, _ := mutual(t)
	for _, h2 := range []bool{false, true} {
		c := p.over("open.localhost", h2, nil)
		for i, tt := range []struct {
			host string
			want int
		}{{"open.localhost", 200}, {"secret.localhost", 421}, {"open.localhost", 200}} {
			if status, body, err := c.ask(tt.host, "/"); err != nil || status != tt.want {
				t.Errorf("h2 %v, request %d for %s: %d %q %v, want %d", h2, i+1, tt.host, status, body, err, tt.want)
			}
		}
	}
}

func TestThreat23FragmentedClientHello(t *testing.T) {
	t.Parallel()
	_, p, _, clients := mutual(t)
	dial := func(config *tls.Config) (int, error) {
		raw, err := net.Dial("tcp", p.addrs["https"])
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		c := tls.Client(&fragments{Conn: raw}, config)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: secret.localhost\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, nil
	}
	if status, err := dial(&tls.Config{InsecureSkipVerify: true, ServerName: "secret.localhost"}); status != 0 {
		t.Errorf("without a certificate: %d, want no answer", status)
	} else if err == nil {
		t.Error("without a certificate: neither answer nor error")
	}
	if status, err := dial(&tls.Config{InsecureSkipVerify: true, ServerName: "open.localhost"}); status != 421 {
		t.Errorf("under another name: %d %v, want 421", status, err)
	}
	with := &tls.Config{InsecureSkipVerify: true, ServerName: "secret.localhost", Certificates: []tls.Certificate{clients.client("good")}}
	if status, err := dial(with); status != 200 {
		t.Errorf("with a certificate: %d %v, want 200", status, err)
	}
}

// A session that was begun at one host is of no use at another that asks for
// more (CVE-2025-23419).
func TestThreat24SessionsAreNotSharedAcrossPolicies(t *testing.T) {
	t.Parallel()
	_, p, _, _ := mutual(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := &anyName{tls.NewLRUClientSessionCache(4)}
		config := func(sni string) *tls.Config {
			return &tls.Config{InsecureSkipVerify: true, ServerName: sni, ClientSessionCache: cache, MaxVersion: version}
		}
		resumed := func(sni string) (bool, int) {
			c, err := tls.Dial("tcp", p.addrs["https"], config(sni))
			if err != nil {
				return false, 0
			}
			defer c.Close()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+sni+"\r\nConnection: close\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return c.ConnectionState().DidResume, 0
			}
			io.Copy(io.Discard, res.Body) // tickets come with the answer
			return c.ConnectionState().DidResume, res.StatusCode
		}
		if _, status := resumed("open.localhost"); status != 200 {
			t.Fatalf("version %x: first connection: %d", version, status)
		}
		if again, status := resumed("open.localhost"); !again || status != 200 {
			t.Errorf("version %x: second connection resumed %v, %d; want it to", version, again, status)
		}
		if again, status := resumed("secret.localhost"); again || status != 0 {
			t.Errorf("version %x: at the host that asks for certificates: resumed %v, %d; want neither", version, again, status)
		}
	}
}

// anyName is a cache that offers a session to every server.
type anyName struct{ tls.ClientSessionCache }

func (a *anyName) Get(string) (*tls.ClientSessionState, bool) { return a.ClientSessionCache.Get("") }
func (a *anyName) Put(_ string, s *tls.ClientSessionState)    { a.ClientSessionCache.Put("", s) }

// Without its authorities a host is closed, not open (CVE-2026-27586).
func TestThreat25MissingAuthoritiesCloseTheHost(t *testing.T) {
	t.Parallel()
	w, p, dir, clients := mutual(t)
	write(t, filepath.Join(dir, "empty.pem"), "")
	write(t, filepath.Join(dir, "garbage.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	for _, name := range []string{"missing", "empty", "garbage"} {
		w.run(labelled(name, "host="+name+".localhost", "tls.client-ca=file:"+dir+"/"+name+".pem"), nil)
	}
	stranger := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{clients.client("good")}}
	for _, name := range []string{"missing", "empty", "garbage"} {
		host := name + ".localhost"
		eventually(t, host+" is known", func() bool { return p.get(host, "/").status == 503 })
		for _, config := range []*tls.Config{nil, stranger} {
			status, body, err := p.over(host, true, config).ask(host, "/")
			if err == nil && status != 503 && status != 421 {
				t.Errorf("%s over TLS: %d %q, want it closed", host, status, body)
			}
		}
	}
	if status, _, err := p.over("open.localhost", true, nil).ask("open.localhost", "/"); err != nil || status != 200 {
		t.Errorf("another host: %d %v, want 200", status, err)
	}
	// Once there, a file that goes bad changes nothing.
	replace(t, filepath.Join(dir, "clients.pem"), "")
	eventually(t, "the bad file is a problem", func() bool { return p.view().problem("certificate-file") != "" })
	if status, body, err := p.over("secret.localhost", true, nil).ask("secret.localhost", "/"); err == nil {
		t.Errorf("without a certificate after the file went bad: %d %q, want no answer", status, body)
	}
	if status, _, err := p.over("secret.localhost", true, stranger).ask("secret.localhost", "/"); err != nil || status != 200 {
		t.Errorf("with a good certificate after the file went bad: %d %v, want 200", status, err)
	}
	if err := os.Remove(filepath.Join(dir, "clients.pem")); err != nil {
		t.Fatal(err)
	}
}

// Plain HTTP is no way around, and neither is a connection that was there first.
func TestThreat25NoWayAroundClientCertificates(t *testing.T) {
	t.Parallel()
	w, p, dir, _ := mutual(t)
	if r := p.get("secret.localhost", "/"); r.status == 200 || strings.Contains(r.body, "secret /") {
		t.Errorf("plain HTTP: %v, want no way to the app", r)
	}
	first, id := w.run(labelled("later", "host=later.localhost"), nil)
	p.await("later.localhost", 200, "later ")
	c := p.over("later.localhost", true, nil)
	if status, _, err := c.ask("later.localhost", "/"); err != nil || status != 200 {
		t.Fatalf("before the label: %d %v", status, err)
	}
	w.engine.Kill(id, 9)
	w.engine.Remove(id)
	first.close()
	w.run(labelled("later", "host=later.localhost", "tls.client-ca=file:"+dir+"/clients.pem"), nil)
	eventually(t, "the connection that was there is refused", func() bool {
		status, _, err := c.ask("later.localhost", "/")
		return err == nil && status == 421
	})
}
