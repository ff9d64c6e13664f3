package files

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// A file of authorities that is no good must never let anybody in: neither an
// empty pool nor the system's roots may take its place (CVE-2026-27586).
func TestAuthoritiesThatAreNoGoodRefuse(t *testing.T) {
	ca := maker{cn: "clients", ca: true}.make(t)
	client := maker{cn: "somebody", by: ca}.make(t)
	for _, tt := range []struct {
		name string
		file []byte // nil is none
		want string
	}{
		{"missing", nil, "does not exist in the proxy"},
		{"empty", []byte{}, "is empty"},
		{"text", []byte("x"), "holds nothing in PEM"},
		{"a key", ca.pkcs8(t), "holds a key where certificates of authorities are wanted"},
		{"something else", block("X509 CRL", []byte{1}), "holds no certificate, but X509 CRL"},
		{"no authority", client.crt(), "holds no certificate of an authority, only of somebody"},
		{"broken", block("CERTIFICATE", ca.cert.Raw[:50]), "certificate 1 in"},
		{"the second is broken", slices.Concat(ca.crt(), block("CERTIFICATE", ca.cert.Raw[:50])), "certificate 2 in"},
		{"cut off", slices.Concat(ca.crt(), ca.crt()[:80]), "is damaged: only 1 of its 2 blocks"},
		{"too many", []byte(strings.Repeat(string(ca.crt()), maxAuthorities+1)), "holds 501 certificates, more than 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			if tt.file != nil {
				r.put("ca.pem", tt.file)
			}
			err := r.Check(spec.TLSPolicy{ClientCA: r.ref("ca.pem")})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check = %v, want %q in it", err, tt.want)
			}
			if got := r.Clients(r.ref("ca.pem")); got != nil {
				t.Errorf("got %d authorities, want none at all", len(got.roots))
			}
		})
	}
}

func TestAuthoritiesThatAreOldOrNoneAreSaid(t *testing.T) {
	now := time.Now()
	good := maker{cn: "good", ca: true}.make(t)
	old := maker{cn: "old", ca: true, from: now.Add(-48 * time.Hour), until: now.Add(-24 * time.Hour)}.make(t)
	client := maker{cn: "somebody", by: good}.make(t)
	r := newRoom(t, nil)
	r.put("ca.pem", good.crt(), client.crt(), old.crt())
	r.mustCheck(spec.TLSPolicy{ClientCA: r.ref("ca.pem")})
	c := r.Clients(r.ref("ca.pem"))
	if c == nil || len(c.roots) != 2 || !c.roots[0].Equal(good.cert) {
		t.Fatalf("got %+v, want both authorities and not the client", c)
	}
	r.wantTroubles("1 of the certificates in "+r.dir+"/ca.pem are no authority and do not count: somebody", "the authority old in "+r.dir+"/ca.pem expired on ")
}

func TestAuthoritiesFromTheEnvironment(t *testing.T) {
	ca := maker{cn: "clients", ca: true}.make(t)
	t.Setenv("FAIRLEAD_SECRET_CA", string(ca.crt()))
	r := newRoom(t, nil)
	p := spec.TLSPolicy{ClientCA: "env:FAIRLEAD_SECRET_CA"}
	r.run()
	r.mustCheck(p)
	if c := r.Clients(p.ClientCA); c == nil || len(c.roots) != 1 {
		t.Errorf("got %+v, want the authority", c)
	}
}

func TestSigned(t *testing.T) {
	ca, other := maker{cn: "clients", ca: true}.make(t), maker{cn: "clients", ca: true}.make(t)
	middle := maker{cn: "middle", ca: true, by: ca}.make(t)
	leaf := maker{cn: "somebody", by: middle}.make(t)
	r := newRoom(t, nil)
	r.put("ca.pem", ca.crt(), ca.crt())
	r.mustCheck(spec.TLSPolicy{ClientCA: r.ref("ca.pem")})
	c := r.Clients(r.ref("ca.pem"))
	for _, tt := range []struct {
		name   string
		chains [][]*x509.Certificate
		want   bool
	}{
		{"none", nil, false},
		{"an empty one", [][]*x509.Certificate{{}}, false},
		{"ours", [][]*x509.Certificate{{leaf.cert, middle.cert, ca.cert}}, true},
		{"ours is the second", [][]*x509.Certificate{{leaf.cert, other.cert}, {leaf.cert, middle.cert, ca.cert}}, true},
		{"of the same name", [][]*x509.Certificate{{leaf.cert, other.cert}}, false},
		{"ours in the middle", [][]*x509.Certificate{{leaf.cert, ca.cert, other.cert}}, false},
	} {
		conn := &tls.ConnectionState{VerifiedChains: tt.chains, PeerCertificates: []*x509.Certificate{leaf.cert, middle.cert, ca.cert}}
		if got := c.Signed(conn); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		if n := testing.AllocsPerRun(10, func() { c.Signed(conn) }); n != 0 {
			t.Errorf("%s: got %v allocations, want none: every request asks", tt.name, n)
		}
	}
}

func TestPairAndAuthoritiesOfOnePolicy(t *testing.T) {
	r := newRoom(t, nil)
	a := forHost(t, "a.ex")
	p := r.pair("a.pem", "a.key")
	p.ClientCA, p.MinVersion = r.ref("ca.pem"), "1.3"
	r.put("a.pem", a.crt())
	r.put("a.key", a.pkcs8(t))
	if err := r.Check(p); err == nil || !strings.Contains(err.Error(), "ca.pem does not exist") {
		t.Errorf("Check = %v, want that the authorities are missing", err)
	}
	if r.Certificate(p) == nil {
		t.Error("the pair is not served, want it: what needs no client certificate goes on")
	}
	if got := r.Troubles(); len(got) != 1 || got[0].Policy != (spec.TLSPolicy{ClientCA: p.ClientCA}) {
		t.Errorf("got troubles %+v, want one of the authorities alone", got)
	}
}
