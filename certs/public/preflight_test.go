package public

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/certs/localca"
)

const shop = "shop.example.com"

// A visit is what a check asked for.
type visit struct{ addr, host, path, agent string }

// A check is a Checker, and the machines that it finds under the name it asks
// about.
type check struct {
	*Checker
	testing.TB
	plain, secure string // ports

	mu     sync.Mutex // guards visits
	visits []visit
}

// newCheck returns a check for a name that has addrs.
func newCheck(t testing.TB, addrs ...string) *check {
	var found []netip.Addr
	for _, a := range addrs {
		found = append(found, netip.MustParseAddr(a))
	}
	c := &check{TB: t, Checker: &Checker{Answers: &acme.Answers{}}}
	c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return found, nil }
	return c
}

// listen opens one port on addrs, and on an address that no test looks at, so
// that the port is closed on all others.
func listen(t testing.TB, addrs ...string) (all []net.Listener, port string) {
	t.Helper()
	var last error
	for range 100 {
		all, port, last = nil, "0", nil
		for _, addr := range append([]string{"127.0.0.1"}, addrs...) {
			ln, err := net.Listen("tcp", net.JoinHostPort(addr, port))
			if err != nil {
				last = err
				break
			}
			all = append(all, ln)
			_, port, _ = net.SplitHostPort(ln.Addr().String())
		}
		if last == nil {
			t.Cleanup(func() { closeAll(all) })
			return all[1:], port
		}
		closeAll(all)
	}
	t.Fatalf("no port is free on %v: %v", addrs, last)
	return nil, ""
}

func closeAll(all []net.Listener) {
	for _, ln := range all {
		ln.Close()
	}
}

// serve has requests that come by ln answered by h.
func (c *check) serve(ln net.Listener, h http.Handler) {
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, _, _ := net.SplitHostPort(ln.Addr().String())
		c.mu.Lock()
		c.visits = append(c.visits, visit{addr, r.Host, r.URL.Path, r.UserAgent()})
		c.mu.Unlock()
		h.ServeHTTP(w, r)
	})}
	ended := make(chan struct{})
	go func() { srv.Serve(ln); close(ended) }()
	c.Cleanup(func() { srv.Close(); <-ended })
}

func (c *check) seen() []visit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.visits)
}

// over80 lets authorities come by plain HTTP, at addrs to us and at other
// addresses to what is said there.
func (c *check) over80(addrs []string, others map[string]http.Handler) {
	c.Helper()
	c.Plain = true
	all := slices.Clone(addrs)
	for addr := range others {
		all = append(all, addr)
	}
	lns, port := listen(c, all...)
	c.plain, c.HTTPPort = port, port
	for i, ln := range lns {
		h, other := others[all[i]]
		if !other {
			h = http.HandlerFunc(c.us)
		}
		c.serve(ln, h)
	}
}

// us answers as the proxy does.
func (c *check) us(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.URL.Path, "/.well-known/acme-challenge/")
	body, ok := c.Answers.Token(r.Host, token)
	if !ok {
		http.NotFound(w, r)
		return
	}
	io.WriteString(w, body)
}

// over443 lets authorities come by TLS, at addr to whoever has config, which is us
// for nil. asked returns the protocols that we were offered.
func (c *check) over443(addr string, config *tls.Config) (asked func() []string) {
	c.Helper()
	c.TLS = true
	lns, port := listen(c, addr)
	c.secure, c.HTTPSPort = port, port
	var mu sync.Mutex
	var protos []string
	if config == nil {
		config = &tls.Config{NextProtos: []string{acme.ALPNProto}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			mu.Lock()
			defer mu.Unlock()
			protos = hello.SupportedProtos
			if cert := c.Answers.Certificate(hello.ServerName); cert != nil {
				return cert, nil
			}
			return nil, errors.New("nobody asked")
		}}
	}
	c.serve(tls.NewListener(lns[0], config), http.NotFoundHandler())
	return func() []string { mu.Lock(); defer mu.Unlock(); return protos }
}

// ask checks the name; the result has to be by, and a fault that begins with
// message and whose fix is fix. $80 and $443 in them are the ports.
func (c *check) ask(by acme.Challenge, message, fix string) {
	c.Helper()
	got, err := c.Check(context.Background(), shop)
	c.wants(got, err, by, message, fix)
}

func (c *check) wants(got acme.Challenge, err error, by acme.Challenge, message, fix string) {
	c.Helper()
	ports := strings.NewReplacer("$80", c.plain, "$443", c.secure)
	message, fix = ports.Replace(message), ports.Replace(fix)
	if message == "" {
		if err != nil || got != by {
			c.Errorf("Check = %q, %v; want %q", got, err, by)
		}
		return
	}
	fault, ok := errors.AsType[*acme.Fault](err)
	if !ok {
		c.Errorf("Check = %q, %v; want a fault: %s", got, err, message)
		return
	}
	if !strings.HasPrefix(fault.Message, message) {
		c.Errorf("the fault says\n%s\nwant it to begin with\n%s", fault.Message, message)
	}
	if fault.Fix != fix {
		c.Errorf("%s\nthe fix is\n%s\nwant\n%s", fault.Message, fault.Fix, fix)
	}
	if fault.Scope != acme.OfHost || fault.Validation {
		c.Errorf("the fault is %+v, want it to be of the host, and no failed validation", fault)
	}
}

const (
	strange80  = "shop.example.com resolves to 127.0.0.2, where something else than this proxy answers port $80 "
	forward80  = "forward port $80 of 127.0.0.2 to this machine, and open it in the firewall"
	resolve80  = "let shop.example.com resolve to this machine, or forward port $80 of that address to it"
	resolve443 = "let shop.example.com resolve to this machine, or forward port $443 of that address to it"
)

func TestCheckNamesThatDoNotResolve(t *testing.T) {
	t.Parallel()
	const noRecord = "create an A or AAAA record of shop.example.com that leads to this machine"
	for name, tt := range map[string]struct {
		err          error
		message, fix string
	}{
		"no such name":  {&net.DNSError{Err: "no such host", Name: shop, IsNotFound: true}, "shop.example.com does not resolve to any address", noRecord},
		"no records":    {nil, "shop.example.com does not resolve to any address", noRecord},
		"a broken zone": {&net.DNSError{Err: "server misbehaving", Name: shop, Server: "192.0.2.1:53", IsTemporary: true}, "shop.example.com could not be resolved: lookup shop.example.com on 192.0.2.1:53: server misbehaving", "check the DNS of this machine"},
		"no DNS at all": {&net.DNSError{Err: "i/o timeout", Name: shop, IsTimeout: true}, "shop.example.com could not be resolved: lookup shop.example.com: i/o timeout", "check the DNS of this machine"},
		"foreign words": {errors.New("nope\nERROR \x1b[31mfoe"), "shop.example.com could not be resolved: nope ERROR \uFFFD[31mfoe", "check the DNS of this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCheck(t)
			c.Plain, c.TLS = true, true
			c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
				if host != shop {
					t.Errorf("%q was looked up, want %q", host, shop)
				}
				return nil, tt.err
			}
			by, err := c.Check(context.Background(), shop)
			c.wants(by, err, "", tt.message, tt.fix)
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("the fault %v does not hold the resolver's error %v", err, tt.err)
			}
		})
	}
}

func TestCheckOurOwnAnswerOnEveryAddress(t *testing.T) {
	t.Parallel()
	addrs := []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}
	c := newCheck(t, addrs...)
	c.over80(addrs, nil)
	c.ask(acme.HTTP01, "", "")
	visits := c.seen()
	if len(visits) != len(addrs) {
		t.Fatalf("there were %d requests, want one to each of %v: %+v", len(visits), addrs, visits)
	}
	for i, v := range visits {
		token, ok := strings.CutPrefix(v.path, "/.well-known/acme-challenge/")
		if v.addr != addrs[i] || v.host != shop || !ok || len(token) < 20 || v.agent != "fairlead pre-flight" {
			t.Errorf("request %d was %+v, want one to %s for a token of %s, by fairlead pre-flight", i, v, addrs[i], shop)
		}
		if _, still := c.Answers.Token(shop, token); still {
			t.Errorf("the token %s is still answered after the check", token)
		}
		if i > 0 && v.path == visits[0].path {
			t.Errorf("the token %s was asked for twice, want another one for each address", token)
		}
	}
}

func TestCheckWhatIsInTheWayOfPort80(t *testing.T) {
	t.Parallel()
	// right is what the proxy would have said.
	right := func(path string) string { return strings.TrimPrefix(path, "/.well-known/acme-challenge/") }
	for name, tt := range map[string]struct {
		answer       func(w http.ResponseWriter, r *http.Request) // nil: nobody listens
		message, fix string
	}{
		"nobody listens": {nil, "shop.example.com resolves to 127.0.0.2, whose port $80 refuses connections", forward80},
		"another server": {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, strange80 + "(status 404)", resolve80},
		"one with a name": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", "nginx/1.27")
			w.WriteHeader(403)
		}, strange80 + "(status 403, Server: nginx/1.27)", resolve80},
		"a page for all":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<h1>Welcome</h1>") }, strange80 + "(status 200)", resolve80},
		"an empty page":      {func(http.ResponseWriter, *http.Request) {}, strange80 + "(status 200)", resolve80},
		"the token and more": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, right(r.URL.Path)+"<hr>") }, strange80 + "(status 200)", resolve80},
		"the token, and 404": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, right(r.URL.Path))
		}, strange80 + "(status 404)", resolve80},
		"a page without end": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}, strange80 + "(status 200)", resolve80},
		"a broken answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "shop.example.com resolves to 127.0.0.2, whose port $80 cannot be reached: ", forward80},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCheck(t, "127.0.0.2")
			others := map[string]http.Handler{}
			if tt.answer != nil {
				others["127.0.0.2"] = http.HandlerFunc(tt.answer)
			}
			c.over80(nil, others)
			c.ask("", tt.message, tt.fix)
		})
	}
}

// What comes of a redirect says nothing about port 80, even if it leads to us.
func TestCheckFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	c := newCheck(t, "127.0.0.2")
	c.over80(nil, map[string]http.Handler{"127.0.0.2": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, "http://"+net.JoinHostPort("127.0.0.2", c.plain)+r.URL.Path+"?again", http.StatusMovedPermanently)
			return
		}
		c.us(w, r)
	})})
	c.ask("", strange80+"(status 301)", resolve80)
	if n := len(c.seen()); n != 1 {
		t.Errorf("there were %d requests, want only the one that was redirected", n)
	}
}

// An authority may come to any address of a name, so all have to lead here.
func TestCheckAMixOfAddresses(t *testing.T) {
	t.Parallel()
	other := map[string]http.Handler{"127.0.0.4": http.NotFoundHandler()}
	const (
		closed  = "shop.example.com resolves to 127.0.0.3, whose port $80 refuses connections"
		strange = "shop.example.com resolves to 127.0.0.4, where something else than this proxy answers port $80 (status 404)"
		v6      = "shop.example.com resolves to ::1, whose port $80 "
	)
	for name, tt := range map[string]struct {
		addrs        []string
		message, fix string
	}{
		"closed behind good":   {[]string{"127.0.0.2", "127.0.0.3"}, closed, "forward port $80 of 127.0.0.3 to this machine, and open it in the firewall"},
		"closed before good":   {[]string{"127.0.0.3", "127.0.0.2"}, closed, "forward port $80 of 127.0.0.3 to this machine, and open it in the firewall"},
		"another's":            {[]string{"127.0.0.2", "127.0.0.4"}, strange, resolve80},
		"the first that fails": {[]string{"127.0.0.4", "127.0.0.2", "127.0.0.3"}, strange, resolve80},
		"IPv6 leads elsewhere": {[]string{"127.0.0.2", "::1"}, v6, "remove the AAAA record of shop.example.com, or let IPv6 lead to this machine as IPv4 does"},
		"nothing leads here":   {[]string{"::1", "127.0.0.3"}, v6, "forward port $80 of ::1 to this machine, and open it in the firewall"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCheck(t, tt.addrs...)
			c.over80([]string{"127.0.0.2"}, other)
			c.ask("", tt.message, tt.fix)
		})
	}
}

// A name with a thousand addresses does not keep us busy.
func TestCheckAsksEightAddressesAtMost(t *testing.T) {
	t.Parallel()
	good := []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9"}
	c := newCheck(t, append(slices.Clone(good), "127.0.0.10", "127.0.0.11")...)
	c.over80(good, nil)
	c.ask(acme.HTTP01, "", "")
	if n := len(c.seen()); n != len(good) {
		t.Errorf("%d addresses were asked, want %d", n, len(good))
	}
}

// A router that does not turn packets round (hairpin NAT) looks like a closed
// firewall from inside.
func TestCheckAnAddressThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	c := newCheck(t, "127.0.0.2")
	_, c.plain = listen(c, "127.0.0.2") // and nobody accepts
	c.Plain, c.HTTPPort = true, c.plain
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	by, err := c.Check(ctx, shop)
	c.wants(by, err, "", "shop.example.com resolves to 127.0.0.2, whose port $80 does not answer",
		forward80+"; if it is open and only this machine cannot reach its own public address (no hairpin NAT), run: fairlead certs retry shop.example.com")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the fault %v does not hold what ended the wait", err)
	}
}

func TestCheckTakesTLSWherePort80Fails(t *testing.T) {
	t.Parallel()
	stranger, err := localca.StopGap(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const (
		ours, others, strict, closed = "ours", "another's", "another's that speaks h2 alone", "closed"
		closed80                     = "shop.example.com resolves to 127.0.0.2, whose port $80 refuses connections"
		closed443                    = "shop.example.com resolves to 127.0.0.2, whose port $443 refuses connections"
		forward443                   = "forward port $443 of 127.0.0.2 to this machine, and open it in the firewall"
	)
	for name, tt := range map[string]struct {
		plain, tls   string // "" is no entry point
		by           acme.Challenge
		message, fix string
	}{
		"port 80 is closed":           {closed, ours, acme.TLSALPN01, "", ""},
		"port 80 is another's":        {others, ours, acme.TLSALPN01, "", ""},
		"both lead here":              {ours, ours, acme.HTTP01, "", ""},
		"port 443 does not matter":    {ours, closed, acme.HTTP01, "", ""},
		"no plain entry point":        {"", ours, acme.TLSALPN01, "", ""},
		"neither: port 80 is named":   {closed, closed, "", closed80, forward80},
		"without port 80: closed":     {"", closed, "", closed443, forward443},
		"without port 80: another's":  {"", others, "", "shop.example.com resolves to 127.0.0.2, where something else than this proxy answers port $443", resolve443},
		"without port 80: strict":     {"", strict, "", "shop.example.com resolves to 127.0.0.2, where something else than this proxy answers port $443", resolve443},
		"no TLS entry point: port 80": {closed, "", "", closed80, forward80},
		"no entry point at all":       {"", "", "", "no listener is open by which an authority could reach shop.example.com", "open --http or --https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCheck(t, "127.0.0.2")
			asked := func() []string { return []string{acme.ALPNProto} }
			switch tt.plain {
			case ours:
				c.over80([]string{"127.0.0.2"}, nil)
			case others:
				c.over80(nil, map[string]http.Handler{"127.0.0.2": http.NotFoundHandler()})
			case closed:
				c.over80(nil, nil)
			}
			switch tt.tls {
			case ours:
				asked = c.over443("127.0.0.2", nil)
			case others:
				c.over443("127.0.0.2", &tls.Config{Certificates: []tls.Certificate{*stranger}})
			case strict:
				c.over443("127.0.0.2", &tls.Config{Certificates: []tls.Certificate{*stranger}, NextProtos: []string{"h2"}})
			case closed:
				c.over443("127.0.0.3", nil)
			}
			c.ask(tt.by, tt.message, tt.fix)
			if tt.by == acme.TLSALPN01 && !slices.Equal(asked(), []string{acme.ALPNProto}) {
				t.Errorf("the handshake offered %q, want %s alone, as an authority does", asked(), acme.ALPNProto)
			}
			if c.Answers.Certificate(shop) != nil {
				t.Error("the certificate of the check is still shown after it")
			}
		})
	}
}

// Checks of two hosts at the same time do not answer for each other.
func TestCheckTheTokenOfAnotherHostIsNoAnswer(t *testing.T) {
	t.Parallel()
	c := newCheck(t, "127.0.0.2")
	c.over80(nil, map[string]http.Handler{"127.0.0.2": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "other.example.com"
		c.us(w, r)
	})})
	c.ask("", strange80+"(status 404)", resolve80)
}
