package acme

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/acmetest"
)

func TestBothChallengesGetACertificate(t *testing.T) {
	s := newSite(t, acmetest.Options{})
	i := s.issuer()
	for _, by := range []Challenge{HTTP01, TLSALPN01} {
		host := string(by) + ".example.com"
		data, err := i.Order(t.Context(), host, by)
		if err != nil {
			t.Fatalf("%s: %v", by, err)
		}
		s.verify(host, data)
		i.Done(host)
		if _, err := s.store.Get(i.orderFile(host)); err == nil {
			t.Errorf("%s: the order is still kept after Done", by)
		}
		if _, ok := s.answers.Token(host, ""); ok || s.answers.Certificate(host) != nil {
			t.Errorf("%s: an answer is left", by)
		}
	}
	if n := s.ca.Asked("account"); n != 1 {
		t.Errorf("%d accounts asked for, want 1", n)
	}
	again := s.issuer() // another process
	if _, err := again.Order(t.Context(), "third.example.com", HTTP01); err != nil {
		t.Errorf("with the stored account: %v", err)
	}
}

func TestBadNoncesCostNothing(t *testing.T) {
	s := newSite(t, acmetest.Options{BadNonces: 50})
	data, err := s.issuer().Order(t.Context(), "a.example.com", HTTP01)
	if err != nil {
		t.Fatalf("with every second nonce refused: %v", err)
	}
	s.verify("a.example.com", data)
}

func TestExternalAccountBinding(t *testing.T) {
	const mac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	s := newSite(t, acmetest.Options{EAB: map[string]string{"kid-1": mac}})
	if f := s.fault(s.issuer(), "a.example.com"); f.Scope != OfAuthority || !strings.Contains(f.Fix, "--acme-eab-kid") {
		t.Errorf("without a binding: %+v, want a Fault of the authority that names the setting", f)
	}
	wrong := s.issuer(func(c *Config) { c.EABKeyID, c.EABHMAC = "kid-2", mac })
	if f := s.fault(wrong, "a.example.com"); f.Scope != OfAuthority || !strings.Contains(f.Fix, "check --acme-eab-kid") {
		t.Errorf("with a wrong binding: %+v, want a Fault of the authority that names the setting", f)
	}
	right := s.issuer(func(c *Config) { c.EABKeyID, c.EABHMAC = "kid-1", mac+"==" })
	if _, err := right.Order(t.Context(), "a.example.com", HTTP01); err != nil {
		t.Errorf("with the right binding: %v", err)
	}
}

// Whatever is lost on the way, the next process takes the order up.
func TestADeathInMidOrderCostsNoOrder(t *testing.T) {
	for _, kind := range []string{"order", "authz", "challenge", "poll", "finalize", "cert"} {
		for name, fault := range map[string]*acmetest.Fault{"cut": {Cut: true}, "swallowed": {Swallow: true}} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, acmetest.Options{})
				s.ca.SetFault(func(k string, n int) *acmetest.Fault {
					if k == kind {
						return fault
					}
					return nil
				})
				first := s.issuer(func(c *Config) { c.Timeout = 3 * time.Second })
				_, err := first.Order(t.Context(), "a.example.com", HTTP01)
				// Nobody asks for an order that is ready at once, and a challenge of
				// which only the answer is lost is met all the same.
				if met := kind == "poll" || kind == "challenge" && fault.Swallow; err == nil && !met {
					t.Error("the first process: no error")
				}
				s.ca.SetFault(nil)
				if got, want := s.issuer().Made("a.example.com"), kind != "order"; got != want {
					t.Errorf("the next process: Made = %v, want %v", got, want)
				}
				if kind == "order" {
					s.age("a.example.com", time.Minute)
				}
				data, err := s.issuer().Order(t.Context(), "a.example.com", HTTP01)
				if err != nil {
					t.Fatalf("the next process: %v", err)
				}
				s.verify("a.example.com", data)
				want := 1
				if kind == "order" && fault.Swallow {
					want = 2 // nobody could know of the first
				}
				if got := s.ca.Orders("a.example.com"); got != want {
					t.Errorf("%d orders, want %d", got, want)
				}
			})
		}
	}
}

// A validation that met no process any more counts as any other that failed.
func TestAnOrderThatFailedMeanwhileCounts(t *testing.T) {
	s := newSite(t, acmetest.Options{})
	s.ca.SetDNS("a.example.com", "127.0.0.99") // where nobody listens
	s.ca.SetFault(func(kind string, n int) *acmetest.Fault {
		if kind == "authz" && n > 1 {
			return &acmetest.Fault{Cut: true}
		}
		return nil
	})
	s.fault(s.issuer(func(c *Config) { c.Timeout = 3 * time.Second }), "a.example.com")
	s.ca.SetFault(nil)
	for _, order := range []func(*Issuer, string) *Fault{s.failure, s.fault} { // the first dies before that is noted
		if f := order(s.issuer(), "a.example.com"); !f.Over || !f.Validation || f.Scope != OfHost || f.Fix == "" {
			t.Errorf("the next process: %+v, want a failed validation of the host that is over", f)
		}
	}
	if got := s.ca.Orders("a.example.com"); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
	s.ca.SetDNS("a.example.com", "127.0.0.1")
	if _, err := s.issuer().Order(t.Context(), "a.example.com", HTTP01); err != nil {
		t.Errorf("the one after it: %v", err)
	}
}

// What was fetched and not stored is fetched again, not ordered again.
func TestUntilDoneTheSameOrderIsFetched(t *testing.T) {
	s := newSite(t, acmetest.Options{})
	first, err := s.issuer().Order(t.Context(), "a.example.com", HTTP01)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.issuer().Order(t.Context(), "a.example.com", HTTP01)
	if err != nil || string(first) != string(second) {
		t.Errorf("the second process got another certificate (err %v), want the same", err)
	}
	if got := s.ca.Orders("a.example.com"); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
}

// Orders of which no answer is known are counted: a process that dies at just
// that point again and again must not order again and again.
func TestLostOrdersWait(t *testing.T) {
	s := newSite(t, acmetest.Options{})
	s.ca.SetFault(func(kind string, n int) *acmetest.Fault {
		if kind == "order" {
			return &acmetest.Fault{Swallow: true}
		}
		return nil
	})
	for n, wait := range []time.Duration{30 * time.Second, 10 * time.Minute, 10 * time.Minute} {
		s.fault(s.issuer(), "a.example.com")
		f := s.fault(s.issuer(), "a.example.com")
		if got := s.ca.Orders("a.example.com"); got != n+1 {
			t.Errorf("%d orders, want %d", got, n+1)
		}
		if f.Scope != OfHost || f.RetryAfter > wait || f.RetryAfter < wait-20*time.Second {
			t.Errorf("after %d lost orders: %+v, want the host to wait %s", n+1, f, wait)
		}
		s.age("a.example.com", wait)
	}
}

func TestFaultsInWords(t *testing.T) {
	in90 := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	tests := []struct {
		name  string
		kind  string
		fault acmetest.Fault
		scope Scope
		after time.Duration // about
		words []string
	}{
		{"a rate limit of the account", "order", acmetest.Fault{Status: 429, Type: "rateLimited", Detail: "too many new orders (300) from this account in the last 3h0m0s", RetryAfter: "120"}, OfAuthority, 2 * time.Minute, []string{"no more certificates for now", "300"}},
		{"a rate limit of the host", "order", acmetest.Fault{Status: 429, Type: "rateLimited", Detail: "too many failed authorizations (5) for \"a.example.com\" in the last 1h0m0s", RetryAfter: in90}, OfHost, 90 * time.Second, []string{"failed authorizations"}},
		{"out of order", "order", acmetest.Fault{Status: 503, Type: "serverInternal", Detail: "maintenance", RetryAfter: "60"}, OfAuthority, time.Minute, []string{"cannot help at the moment", "maintenance"}},
		{"broken", "finalize", acmetest.Fault{Status: 500, Type: "serverInternal", Detail: "oops"}, OfAuthority, 0, []string{"cannot help at the moment"}},
		{"CAA", "finalize", acmetest.Fault{Status: 403, Type: "caa", Detail: "CAA record for example.com prevents issuance"}, OfHost, 0, []string{"CAA record forbids", `CAA 0 issue "127.0.0.1"`}},
		{"a name it does not sign", "order", acmetest.Fault{Status: 400, Type: "rejectedIdentifier", Detail: "policy forbids"}, OfHost, 0, []string{"gives no certificate for a.example.com", "tls: internal"}},
		{"new terms", "order", acmetest.Fault{Status: 403, Type: "userActionRequired", Detail: "terms changed"}, OfAuthority, 0, []string{"terms"}},
		{"an unknown problem", "order", acmetest.Fault{Status: 400, Type: "strange", Detail: "what\x1b[31m is this"}, OfHost, 0, []string{"strange"}},
		{"a directory that is a web page", "directory", acmetest.Fault{Status: 200, Body: "<html>hello</html>"}, OfAuthority, 0, []string{"no ACME directory", "--acme-directory"}},
		{"a directory that is something else", "directory", acmetest.Fault{Status: 200, Body: `{"hello":"world"}`}, OfAuthority, 0, []string{"no ACME directory", "--acme-directory"}},
		{"a directory that is not there", "directory", acmetest.Fault{Status: 404, Body: "not found"}, OfAuthority, 0, []string{"404", "--acme-directory"}},
		{"a cut connection", "account", acmetest.Fault{Cut: true}, OfAuthority, 0, []string{"broke"}},
		{"an authority that is slow", "order", acmetest.Fault{Delay: time.Hour}, OfAuthority, 0, []string{"did not answer in time"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, acmetest.Options{})
			s.ca.SetFault(func(kind string, n int) *acmetest.Fault {
				if kind == tt.kind {
					return &tt.fault
				}
				return nil
			})
			f := s.fault(s.issuer(func(c *Config) {
				if tt.fault.Delay > 0 {
					c.Timeout = time.Second
				}
			}), "a.example.com")
			if f.Scope != tt.scope || f.Validation {
				t.Errorf("scope %d, validation %v, want %d and no validation", f.Scope, f.Validation, tt.scope)
			}
			if d := f.RetryAfter - tt.after; d > time.Second || d < -30*time.Second || tt.after == 0 && f.RetryAfter != 0 {
				t.Errorf("retry after %s, want about %s", f.RetryAfter, tt.after)
			}
			for _, w := range tt.words {
				if !strings.Contains(f.Message+" "+f.Fix, w) {
					t.Errorf("%q → %q does not say %q", f.Message, f.Fix, w)
				}
			}
			if strings.ContainsRune(f.Message, '\x1b') {
				t.Errorf("%q passes control characters on", f.Message)
			}
		})
	}
}

func TestFailedValidationsInWords(t *testing.T) {
	s := newSite(t, acmetest.Options{})
	s.ca.FailDNS("nowhere.example.com")
	s.ca.SetDNS("away.example.com", "127.0.0.99") // where nobody listens
	for host, words := range map[string]string{"nowhere.example.com": "nowhere.example.com", "away.example.com": "connect"} {
		f := s.fault(s.issuer(), host)
		if f.Scope != OfHost || !f.Validation || f.Fix == "" || !strings.Contains(f.Message, words) {
			t.Errorf("%s: %+v, want a failed validation of the host that says %q", host, f, words)
		}
		if _, err := s.store.Get(s.issuer().orderFile(host)); err == nil {
			t.Errorf("%s: the order that failed is still kept", host)
		}
	}
	// Others are not concerned.
	if _, err := s.issuer().Order(t.Context(), "fine.example.com", HTTP01); err != nil {
		t.Errorf("another host: %v", err)
	}
}

func TestUnreachableAuthoritiesInWords(t *testing.T) {
	s := newSite(t, acmetest.Options{})
	ln := listen(t)
	closed := "https://" + ln.Addr().String() + "/dir"
	ln.Close()
	for name, tt := range map[string]struct {
		change func(*Config)
		words  string
	}{
		"nobody listens": {func(c *Config) { c.Directory = closed }, "refused the connection"},
		"not trusted":    {func(c *Config) { c.CABundle = nil }, "--acme-ca-bundle"},
		"no such name":   {func(c *Config) { c.Directory = "https://acme.invalid/dir" }, "does not resolve"},
	} {
		f := s.fault(s.issuer(tt.change), "a.example.com")
		if f.Scope != OfAuthority || !strings.Contains(f.Message+" "+f.Fix, tt.words) {
			t.Errorf("%s: %+v, want one of the authority that says %q", name, f, tt.words)
		}
	}
}

func TestOrderEndsWithItsContext(t *testing.T) {
	s := newSite(t, acmetest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	s.ca.SetFault(func(kind string, n int) *acmetest.Fault {
		if kind == "order" {
			cancel()
			return &acmetest.Fault{Delay: time.Hour}
		}
		return nil
	})
	if _, err := s.issuer().Order(ctx, "a.example.com", HTTP01); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want that of the context", err)
	}
}

func TestWrongSettings(t *testing.T) {
	for i, tt := range []struct {
		c    Config
		word string
	}{
		{Config{Directory: "acme.example.com"}, "--acme-directory"},
		{Config{Directory: "http://acme.example.com/dir"}, "https"},
		{Config{CABundle: []byte("nothing")}, "--acme-ca-bundle"},
		{Config{Email: "nobody"}, "--acme-email"},
		{Config{EABKeyID: "kid"}, "--acme-eab-hmac"},
		{Config{EABHMAC: "aaaa"}, "--acme-eab-kid"},
		{Config{EABKeyID: "kid", EABHMAC: "not base64!"}, "--acme-eab-hmac"},
	} {
		if _, err := New(tt.c); err == nil || !strings.Contains(err.Error(), tt.word) {
			t.Errorf("%d: err = %v, want one that names %s", i, err, tt.word)
		}
	}
	i, err := New(Config{})
	if err != nil || i.Name() != "acme-v02.api.letsencrypt.org" {
		t.Errorf("without settings: %v, %v, want Let's Encrypt", fmt.Sprint(i), err)
	}
}
