package files

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// own writes m as name.pem and name.key and returns its policy, checked.
func (r *room) own(name string, m *made) spec.TLSPolicy {
	r.t.Helper()
	r.put(name+".pem", m.crt())
	r.put(name+".key", m.pkcs8(r.t))
	p := r.pair(name+".pem", name+".key")
	r.mustCheck(p)
	return p
}

func TestCovering(t *testing.T) {
	now := time.Now()
	r := newRoom(t, nil)
	var hosts []spec.TLSHost
	for name, m := range map[string]maker{
		"exact":    {names: []string{"a.ex", "Upper.Ex", "dot.ex."}, until: now.Add(time.Hour)},
		"wild":     {names: []string{"*.ex"}, until: now.Add(48 * time.Hour)},
		"longer":   {names: []string{"*.ex", "*.long.ex"}, until: now.Add(72 * time.Hour)},
		"twin-a":   {names: []string{"twin.ex"}, until: now.Add(24 * time.Hour).Truncate(time.Second)},
		"twin-b":   {names: []string{"twin.ex"}, until: now.Add(24 * time.Hour).Truncate(time.Second)},
		"expired":  {names: []string{"old.long.ex"}, from: now.Add(-2 * time.Hour), until: now.Add(-time.Hour)},
		"early":    {names: []string{"a.ex"}, from: now.Add(time.Hour), until: now.Add(999 * time.Hour)},
		"address":  {ips: []string{"10.0.0.1", "fd00::1"}},
		"lookup":   {names: []string{"10.0.0.9", "*.0.0.9"}}, // a name that looks like an address is none
		"cn":       {cn: "cn.test"},
		"odd":      {names: []string{"f*.odd.test", "*.*.odd.test", "*"}},
		"internal": {names: []string{"localhost", "*.localhost"}},
	} {
		hosts = append(hosts, spec.TLSHost{Host: spec.Host{Kind: spec.AnyHost}, Policy: r.own(name, m.make(t))})
	}
	notLive := r.own("not-live", forHost(t, "not-live.test"))
	r.Use(hosts)
	for _, tt := range []struct{ host, want string }{
		{"a.ex", "exact"},
		{"upper.ex", "exact"},
		{"dot.ex", "exact"},
		{"b.ex", "longer"},
		{"*.ex", "longer"},
		{"ex", ""},
		{"x.b.ex", ""},
		{"*.b.ex", ""},
		{"*.a.ex", ""},
		{"twin.ex", "twin-a"},
		{"old.long.ex", "longer"},
		{"10.0.0.1", "address"},
		{"fd00::1", "address"},
		{"10.0.0.2", ""},
		{"10.0.0.9", ""},
		{"11.0.0.9", ""},
		{"cn.test", ""},
		{"foo.odd.test", ""},
		{"a.b.odd.test", ""},
		{"localhost", "internal"},
		{"app.localhost", "internal"},
		{"not-live.test", ""},
		{"*", ""},
		{"~.*", ""},
	} {
		got, want := r.Covering(host(t, tt.host)), r.Certificate(r.pair(tt.want+".pem", tt.want+".key"))
		if got != want {
			names := "none"
			if got != nil {
				names = fmt.Sprint(got.Leaf.DNSNames, got.Leaf.NotAfter)
			}
			t.Errorf("%s: got %s, want that of %q", tt.host, names, tt.want)
		}
	}
	if r.Certificate(notLive) == nil {
		t.Error("what was checked and is not live yet is not served")
	}
	r.clock.Store(int64(2 * time.Hour))
	if got := r.Covering(host(t, "a.ex")); got != r.Certificate(r.pair("early.pem", "early.key")) {
		t.Error("after two hours a.ex is not covered by the certificate that is valid by then")
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	r := newRoom(t, nil)
	p := r.own("a", forHost(t, "a.ex", "*.ex"))
	ca := maker{cn: "clients", ca: true}.make(t)
	r.put("ca.pem", ca.crt())
	r.mustCheck(spec.TLSPolicy{ClientCA: r.ref("ca.pem")})
	r.use(p, "a.ex")
	ref, exact, wild := r.ref("ca.pem"), host(t, "a.ex"), host(t, "b.ex")
	for name, lookup := range map[string]func() bool{
		"Certificate": func() bool { return r.Certificate(p) != nil },
		"Clients":     func() bool { return r.Clients(ref) != nil },
		"exact":       func() bool { return r.Covering(exact) != nil },
		"wildcard":    func() bool { return r.Covering(wild) != nil },
	} {
		if !lookup() {
			t.Errorf("%s found nothing", name)
		}
		if n := testing.AllocsPerRun(100, func() { lookup() }); n != 0 {
			t.Errorf("%s: got %v allocations, want none", name, n)
		}
	}
}

func TestWhatNobodyNamesIsForgotten(t *testing.T) {
	r := newRoom(t, nil)
	live, next := r.own("live", forHost(t, "live.ex")), r.own("next", forHost(t, "next.ex"))
	for range unused { // calls about tables from before the one that names next
		r.use(live, "live.ex")
		if r.Certificate(next) == nil {
			t.Fatal("what was checked was forgotten before the table that names it could be live")
		}
	}
	r.Use(append(named(t, live, "live.ex"), named(t, next, "next.ex")...))
	if r.Covering(host(t, "next.ex")) == nil {
		t.Error("what is live does not cover its host")
	}
	r.use(live, "live.ex")
	if r.Covering(host(t, "next.ex")) != nil {
		t.Error("what is not live any more still covers")
	}
	r.use(live, "live.ex")
	if r.Certificate(next) != nil {
		t.Error("what nobody names is still held")
	}
	if got := len(r.items); got != 1 {
		t.Errorf("got %d items, want the live one", got)
	}
	// Another route speaks for the host now, and nobody checked its policy again.
	r.use(next, "next.ex")
	if r.Certificate(next) == nil {
		t.Error("what is live is not read")
	}
}

// many makes a room with n certificates in use, and their hosts.
func many(t testing.TB, n int) (*room, []spec.TLSHost) {
	t.Helper()
	r := newRoom(t, nil)
	key := newECKey(t)
	m := &made{key: key}
	r.put("shared.key", m.pkcs8(t))
	var hosts []spec.TLSHost
	for i := range n {
		name := fmt.Sprintf("host%d.ex", i)
		m := maker{cn: name, names: []string{name, "*." + name}, key: key}.make(t)
		r.put(name+".pem", m.crt())
		p := r.pair(name+".pem", "shared.key")
		r.mustCheck(p)
		hosts = append(hosts, spec.TLSHost{Host: host(t, name), Policy: p})
	}
	r.Use(hosts)
	return r, hosts
}

func TestManyCertificatesFitInMemory(t *testing.T) {
	const n = 5000
	before := heap()
	r, hosts := many(t, n)
	each := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes for each of %d certificates", each, n)
	if each > 16<<10 {
		t.Errorf("got %d bytes for each of %d certificates, want at most 16 KiB", each, n)
	}
	for _, h := range hosts {
		if got := r.Covering(h.Host); got == nil || got != r.Certificate(h.Policy) {
			t.Fatalf("%s: got %p, want its own certificate", h.Host, got)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkCovering(b *testing.B) {
	r, _ := many(b, 5000)
	for name, text := range map[string]string{"exact": "host4321.ex", "wildcard": "a.host4321.ex", "none": "elsewhere.ex"} {
		h := host(b, text)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Covering(h)
			}
		})
	}
}

// BenchmarkReload is what one look at 5,000 certificates costs, of which none
// changed.
func BenchmarkReload(b *testing.B) {
	r, _ := many(b, 5000)
	w := r.watch()
	defer w.close()
	for b.Loop() {
		r.reload(w)
	}
}

func BenchmarkUse(b *testing.B) {
	r, hosts := many(b, 5000)
	for b.Loop() {
		r.Use(hosts)
	}
}
