package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

// patience is how long a handshake may take on a busy machine.
const patience = 20 * time.Second

const directory = "https://acme.invalid/dir"

// A room is Certificates of which nothing runs, for a live table that is told.
type room struct {
	*Certificates
	testing.TB
	hosts   []spec.TLSHost
	secrets map[string][]byte // by reference
}

func newRoom(t testing.TB, names spec.Names) *room {
	t.Helper()
	r := &room{TB: t, secrets: map[string][]byte{}}
	var err error
	r.Certificates, err = New(Config{
		DataDir: t.TempDir(), Names: names, ACME: acme.Config{Directory: directory}, Log: zerolog.Nop(),
		Secret: func(ref string) ([]byte, error) {
			if data := r.secrets[ref]; data != nil {
				return data, nil
			}
			return nil, fs.ErrNotExist
		},
		Hosts: func() []spec.TLSHost { return r.hosts }, Lookup: r.lookup,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lookup finds exact hosts before wildcards, and those before expressions, as a
// table does.
func (r *room) lookup(name string) (spec.TLSHost, bool) {
	_, parent, _ := strings.Cut(name, ".")
	for _, fits := range []func(spec.Host) bool{
		func(h spec.Host) bool { return h.Kind == spec.ExactHost && h.Text == name },
		func(h spec.Host) bool { return h.Kind == spec.WildcardHost && h.Text == parent },
		func(h spec.Host) bool {
			return h.Kind == spec.RegexpHost && regexp.MustCompile("^"+h.Text+"$").MatchString(name)
		},
	} {
		if i := slices.IndexFunc(r.hosts, func(h spec.TLSHost) bool { return fits(h.Host) }); i >= 0 {
			return r.hosts[i], true
		}
	}
	return spec.TLSHost{}, false
}

// serve adds a host to the table.
func (r *room) serve(host string, policy spec.TLSPolicy) {
	r.Helper()
	h := spec.Host{Kind: spec.RegexpHost, Text: strings.TrimPrefix(host, "~")}
	if !strings.HasPrefix(host, "~") {
		var err error
		if h, err = spec.ParseHostPattern(host); err != nil {
			r.Fatal(err)
		}
	}
	r.hosts = append(r.hosts, spec.TLSHost{Host: h, Policy: policy})
}

// file returns the policy of a certificate called who for names, which the user
// brings.
func (r *room) file(who string, until time.Duration, names ...string) spec.TLSPolicy {
	r.Helper()
	ref := "env:" + who
	r.secrets[ref] = newPEM(r, who, until, names...)
	return spec.TLSPolicy{Mode: spec.TLSFile, Cert: ref, Key: ref}
}

// issued puts a certificate of the public authority for host into the store.
func (r *room) issued(host string) {
	r.Helper()
	issuer, err := acme.New(acme.Config{Directory: directory})
	if err != nil {
		r.Fatal(err)
	}
	if err := r.store.Put(issuer.Dir()+"/certs/"+host+".pem", newPEM(r, "public", time.Hour, host)); err != nil {
		r.Fatal(err)
	}
}

// newPEM makes a key and a certificate called who.
func newPEM(t testing.TB, who string, until time.Duration, names ...string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: who}, DNSNames: names,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(until),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return out.Bytes()
}

// whose says where cert is from: what newPEM called it, or internal with the
// names it is for, or nobody.
func (r *room) whose(cert *tls.Certificate) string {
	if cert == nil {
		return "nobody"
	}
	if cert.Leaf.CheckSignatureFrom(r.rootCertificate()) != nil {
		return cert.Leaf.Subject.CommonName
	}
	names := cert.Leaf.DNSNames
	for _, ip := range cert.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return "internal " + strings.Join(names, " ")
}

func (r *room) rootCertificate() *x509.Certificate {
	r.Helper()
	block, _ := pem.Decode(r.Root())
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		r.Fatal(err)
	}
	return root
}

// wants asks for the certificate of name: the choice, and what a handshake gets.
func (r *room) wants(name, want string) {
	r.Helper()
	host, known := r.lookup(name)
	if !known {
		r.Fatalf("no host of the table is for %s", name)
	}
	cert := r.choose(name, host)
	if got := r.whose(cert); got != want {
		r.Errorf("%s: the certificate is from %s, want %s", name, got, want)
	}
	shown, err := r.certificate(&tls.ClientHelloInfo{ServerName: name})
	switch {
	case err != nil:
		r.Errorf("%s: the handshake fails with %v, want it never to", name, err)
	case cert == nil && shown != r.stopGap:
		r.Errorf("%s: a handshake gets a certificate from %s, want the stop-gap", name, r.whose(shown))
	case cert != nil && r.whose(shown) != want:
		r.Errorf("%s: a handshake gets a certificate from %s, want %s", name, r.whose(shown), want)
	}
}

// The order is: the host's own file, any file that covers it, the public
// authority, the internal one, nobody.
func TestChooseTakesTheNearestCertificate(t *testing.T) {
	t.Parallel()
	r := newRoom(t, spec.Names{Domain: "example.org"})
	internal := spec.TLSPolicy{Mode: spec.TLSInternal}
	r.serve("own.example.com", r.file("own", time.Hour, "own.example.com"))
	r.serve("lost.example.com", spec.TLSPolicy{Mode: spec.TLSFile, Cert: "env:lost", Key: "env:lost"})
	r.serve("anchor.example.com", r.file("wild", 9*time.Hour, "*.example.com", "own.example.com", "nas.localhost", "named.app.localhost"))
	r.serve("anchor.example.net", r.file("expired", -time.Hour, "*.example.net"))
	for _, host := range []string{
		"shop.example.com", "shop.example.net", "shop.example.org", "late.example.org", "*.example.com", "*.example.net",
		"app.localhost", "nas.localhost", "*.localhost", "*.app.localhost", "127.0.0.1", "[::1]", "8.8.8.8", "nas.lan", "~x[0-9]\\.zone\\.test",
	} {
		r.serve(host, spec.TLSPolicy{})
	}
	r.serve("inside.example.org", internal)
	r.serve("foreign.example.net", internal)
	r.serve("off.example.com", spec.TLSPolicy{Mode: spec.TLSOff})
	public := []string{"own.example.com", "lost.example.com", "shop.example.com", "shop.example.net", "shop.example.org", "inside.example.org", "off.example.com"}
	for _, host := range public {
		r.issued(host)
	}
	r.use(r.hosts)
	r.public.Want(public) // as if each had been without a policy before

	for name, want := range map[string]string{
		"own.example.com":     "own",
		"lost.example.com":    "nobody", // who names a file wants no other
		"shop.example.com":    "wild",
		"below.example.com":   "wild",
		"off.example.com":     "nobody",
		"anchor.example.net":  "expired",
		"shop.example.net":    "public", // what would cover it has expired
		"below.example.net":   "nobody", // no public authority gives wildcards
		"foreign.example.net": "nobody",
		"shop.example.org":    "public",
		"late.example.org":    "nobody", // though the internal authority may sign it
		"inside.example.org":  "internal inside.example.org",
		"app.localhost":       "internal app.localhost",
		"nas.localhost":       "wild", // which names it
		"named.app.localhost": "wild", // and no other of *.app.localhost
		"any.localhost":       "internal any.localhost",
		"x.app.localhost":     "internal *.app.localhost",
		"127.0.0.1":           "internal 127.0.0.1",
		"[::1]":               "internal ::1",
		"8.8.8.8":             "nobody",
		"nas.lan":             "nobody",
		"x1.zone.test":        "nobody", // there is no certificate for an expression
	} {
		r.wants(name, want)
	}
}

// Without a public authority names below --domain are the internal one's.
func TestChooseWithoutAPublicAuthority(t *testing.T) {
	t.Parallel()
	r := newRoom(t, spec.Names{Domain: "example.org", Internal: []string{"lan"}, NoACME: true})
	for _, host := range []string{"shop.example.org", "*.example.org", "shop.example.com", "nas.lan"} {
		r.serve(host, spec.TLSPolicy{})
	}
	r.use(r.hosts)
	for name, want := range map[string]string{
		"shop.example.org": "internal shop.example.org", "x.example.org": "internal *.example.org", "shop.example.com": "nobody", "nas.lan": "internal nas.lan",
	} {
		r.wants(name, want)
	}
}

// Whoever asks for what is not served learns nothing of what is.
func TestHandshakesForUnknownNamesGetTheStopGap(t *testing.T) {
	t.Parallel()
	r := newRoom(t, spec.Names{})
	r.serve("app.localhost", spec.TLSPolicy{})
	r.use(r.hosts)
	for _, name := range []string{"", "other.localhost", "localhost", "example.com", "a b", "app.localhost:443:443", strings.Repeat("a", 300)} {
		if cert, err := r.certificate(&tls.ClientHelloInfo{ServerName: name}); err != nil || cert != r.stopGap {
			t.Errorf("%q gets a certificate from %s, %v; want the stop-gap", name, r.whose(cert), err)
		}
	}
}

// A ticketCache keeps the first ticket that it is given, and offers it for ever.
type ticketCache struct{ first *tls.ClientSessionState }

func (c *ticketCache) Get(string) (*tls.ClientSessionState, bool) { return c.first, c.first != nil }
func (c *ticketCache) Put(_ string, s *tls.ClientSessionState) {
	if c.first == nil {
		c.first = s
	}
}

// shake makes a connection with version for name, and reports whether it goes on
// with the session of c's ticket.
func (r *room) shake(name string, version uint16, c *ticketCache) (resumed bool) {
	r.Helper()
	near, far := net.Pipe()
	defer near.Close()
	near.SetDeadline(time.Now().Add(patience))
	served := make(chan error, 1)
	go func() {
		defer far.Close()
		conn := tls.Server(far, r.TLSConfig())
		_, err := conn.Write([]byte("!")) // shakes hands
		served <- err
	}()
	roots := x509.NewCertPool()
	roots.AddCert(r.rootCertificate())
	client := tls.Client(near, &tls.Config{ServerName: name, RootCAs: roots, MinVersion: version, MaxVersion: version, ClientSessionCache: c})
	if _, err := client.Read(make([]byte, 1)); err != nil { // tickets of TLS 1.3 come before it
		r.Fatalf("%s, %s: the connection fails: %v; the server says %v", name, tls.VersionName(version), err, <-served)
	}
	if err := <-served; err != nil {
		r.Fatalf("%s, %s: the server's side fails: %v", name, tls.VersionName(version), err)
	}
	return client.ConnectionState().DidResume
}

// turn changes the keys of tickets, as Run does every ticketLife.
func (r *room) turn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		s.rotate()
	}
}

// Tickets are good until their key has been changed for the third time.
func TestTicketsOutliveTwoChangesOfTheirKey(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, spec.Names{})
			r.serve("app.localhost", spec.TLSPolicy{})
			r.use(r.hosts)
			old := &ticketCache{}
			if r.shake("app.localhost", version, old) || old.first == nil {
				t.Fatalf("the first connection got the ticket %v, want one, and no session to go on with", old.first)
			}
			for turns, want := range []bool{true, true, true, false, false} {
				if turns > 0 {
					r.turn()
				}
				if got := r.shake("app.localhost", version, old); got != want {
					t.Errorf("after %d changes of the key the ticket is accepted: %v, want %v", turns, got, want)
				}
			}
			young := &ticketCache{}
			r.shake("app.localhost", version, young)
			r.turn()
			if !r.shake("app.localhost", version, young) {
				t.Error("a ticket of the last key is not accepted after one more change")
			}
		})
	}
}

// Keys change for all sessions, however few connections there are.
func TestTicketKeysChangeTwiceADay(t *testing.T) {
	t.Parallel()
	r := newRoom(t, spec.Names{})
	all := []demands{{}, {minVersion: "1.3"}}
	for _, d := range all {
		r.session(d)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.rotate(ctx) }()
		known := map[[32]byte]bool{}
		for changes := range 6 {
			for _, d := range all {
				r.mu.Lock()
				keys := r.sessions[d].keys
				r.mu.Unlock()
				if want := min(changes+1, 3); len(keys) != want || known[keys[0]] {
					t.Errorf("%+v after %d half days: %d keys, and it is %v that the first was there before; want %d, and a new one", d, changes, len(keys), known[keys[0]], want)
				}
				known[keys[0]] = true
			}
			<-time.After(12 * time.Hour)
			synctest.Wait()
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("rotate = %v, want nil when its context ends", err)
		}
	})
}

// A handshake of an authority gets the certificate of its challenge, or none: what
// else would be shown is not what it came for.
func TestChallengesAreOnlyForHostsThatAreChecked(t *testing.T) {
	t.Parallel()
	r := newRoom(t, spec.Names{})
	r.serve("app.localhost", spec.TLSPolicy{})
	defer r.answers.PutCertificate("shop.example.com", r.stopGap)()
	for name, want := range map[string]*tls.Certificate{"shop.example.com": r.stopGap, "SHOP.example.com": r.stopGap, "app.localhost": nil, "other.example.com": nil, "": nil} {
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{acme.ALPNProto}}
		config, err := r.config(hello)
		if err != nil || !config.SessionTicketsDisabled {
			t.Fatalf("%q: configuration %+v, %v; want one without tickets", name, config, err)
		}
		if cert, err := config.GetCertificate(hello); cert != want || (err == nil) != (want != nil) {
			t.Errorf("%q: a certificate from %s, %v; want one: %v", name, r.whose(cert), err, want != nil)
		}
	}
}

// Apps may answer authorities of their own: only what is expected is ours.
func TestTokensAreAnsweredOnlyWhereTheyAreExpected(t *testing.T) {
	t.Parallel()
	r := newRoom(t, spec.Names{})
	const path, body = "/.well-known/acme-challenge/", "token-1.thumbprint"
	defer r.answers.PutToken("shop.example.com", "token-1", body)()
	r.answers.PutToken("shop.example.com", "token-2", "over")() // and taken away
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "app "+r.Method) })
	for name, tt := range map[string]struct {
		method, url string
		ours        bool
		body        string
	}{
		"expected":         {"GET", "http://shop.example.com" + path + "token-1", true, body},
		"host in capitals": {"GET", "http://SHOP.Example.com.:80" + path + "token-1", true, body},
		"head":             {"HEAD", "http://shop.example.com" + path + "token-1", true, ""},
		"post":             {"POST", "http://shop.example.com" + path + "token-1", false, "app POST"},
		"options":          {"OPTIONS", "http://shop.example.com" + path + "token-1", false, "app OPTIONS"},
		"another host":     {"GET", "http://other.example.com" + path + "token-1", false, "app GET"},
		"host above":       {"GET", "http://example.com" + path + "token-1", false, "app GET"},
		"unknown":          {"GET", "http://shop.example.com" + path + "token-3", false, "app GET"},
		"answered before":  {"GET", "http://shop.example.com" + path + "token-2", false, "app GET"},
		"none":             {"GET", "http://shop.example.com" + path, false, "app GET"},
		"with a query":     {"GET", "http://shop.example.com" + path + "token-1?x", false, "app GET"},
		"below it":         {"GET", "http://shop.example.com" + path + "token-1/x", false, "app GET"},
		"another path":     {"GET", "http://shop.example.com/token-1", false, "app GET"},
	} {
		t.Run(name, func(t *testing.T) {
			var code string
			tokens := r.Tokens(app)
			arrival := &exchange.Arrival{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tokens.ServeHTTP(w, r)
				code = exchange.Of(r).Code
			})}
			w := httptest.NewRecorder()
			arrival.ServeHTTP(w, httptest.NewRequest(tt.method, tt.url, nil))
			if w.Code != http.StatusOK || w.Body.String() != tt.body {
				t.Errorf("%s %s: %d %q, want 200 %q", tt.method, tt.url, w.Code, w.Body, tt.body)
			}
			if !tt.ours {
				if code != "" {
					t.Errorf("%s %s: the app's answer has our code %q", tt.method, tt.url, code)
				}
				return
			}
			if h := w.Header(); h.Get("Content-Type") != "text/plain" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Length") != strconv.Itoa(len(body)) {
				t.Errorf("%s %s: head %v, want text/plain of %d bytes that nobody stores", tt.method, tt.url, h, len(body))
			}
			if code != "acme-token" {
				t.Errorf("%s %s: code %q, want acme-token", tt.method, tt.url, code)
			}
		})
	}
}
