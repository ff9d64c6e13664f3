package exchange

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// Only the connection that the proxy opened itself is watched, and only its first
// request.
func TestProbesWatchOneConnection(t *testing.T) {
	var probes Probes
	p := NewProbe()
	own := netip.MustParseAddrPort("[::ffff:127.0.0.1]:40000")
	end := probes.Watch(own, p)
	status := http.StatusTeapot
	arrival := &Arrival{Probe: probes.Of, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := Of(r)
		x.Route, x.Code, x.Cause = "shop/web", "some-code", errors.New("some cause")
		if x.Probe != nil {
			x.Probe.Begin(Attempt{Container: "web"})
			x.Probe.Note(func(a *Attempt) { a.Kept = true })
		}
		w.WriteHeader(status)
	})}
	ask := func(from string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = from
		// Nothing that a client could send makes a probe.
		r.Header.Set("X-Forwarded-For", "127.0.0.1:40000")
		arrival.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, from := range []string{"127.0.0.1:40001", "192.0.2.1:40000", "nonsense", ""} {
		ask(from)
	}
	if n := len(p.Attempts()); n != 0 || p.Outcome() != (Outline{}) {
		t.Fatalf("%d attempts and %+v of requests of others", n, p.Outcome())
	}
	ask("127.0.0.1:40000")
	select {
	case <-p.Ended():
	default:
		t.Fatal("it has not ended with its request")
	}
	o := p.Outcome()
	if a := p.Attempts(); len(a) != 1 || a[0].Container != "web" || !a[0].Kept || o.Status != http.StatusTeapot || o.Route != "shop/web" || o.Code != "some-code" || o.Cause == nil || o.ID == "" {
		t.Errorf("attempts %+v, outcome %+v", a, o)
	}
	status = http.StatusOK
	ask("127.0.0.1:40000")
	if got := p.Outcome().Status; got != http.StatusTeapot {
		t.Errorf("another request of the connection made it %d", got)
	}
	if probes.Len() != 1 {
		t.Errorf("%d probes, want 1", probes.Len())
	}
	end()
	if probes.Len() != 0 || probes.Of(own) != nil {
		t.Error("it is watched after its end")
	}
}

// A probe tells of an exchange that was cut, too.
func TestProbesTellOfPanics(t *testing.T) {
	p := NewProbe()
	arrival := &Arrival{Probe: func(netip.AddrPort) *Probe { return p }, Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		Of(r).Code = "answer-cut"
		panic(http.ErrAbortHandler)
	})}
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the panic did not get through")
			}
		}()
		arrival.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	<-p.Ended()
	if got := p.Outcome().Code; got != "answer-cut" {
		t.Errorf("code %q, want answer-cut", got)
	}
}
