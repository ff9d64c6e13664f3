package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// health decodes the options that labels "key=value" below health come to.
func health(t testing.TB, pairs ...string) label.Options {
	t.Helper()
	settings := map[string]label.Setting{}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		settings[key] = label.Setting{Key: key, Text: value, Label: "fairlead." + key}
	}
	opts, problems := label.NewSchema("fairlead", Kinds()...).Decode("web", settings)
	if len(problems) > 0 {
		t.Fatalf("labels %v: %v", pairs, problems)
	}
	return opts
}

func TestAContainerIsReadyWhenItsCheckPasses(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var asked atomic.Pointer[string]
		var healthy atomic.Bool
		var checks atomic.Int64
		a.run(at1, func(head string) string {
			if !strings.HasPrefix(head, "GET /healthz?full=1 ") {
				return answerOf(200, "app")
			}
			asked.Store(&head)
			checks.Add(1)
			if healthy.Load() {
				return answerOf(204, "")
			}
			return answerOf(500, "")
		})
		p := pool(health(t, "health.path=/healthz?full=1", "health.interval=10s"), endpoint4("web", at1))
		pass(2 * time.Second)
		if n := checks.Load(); n < 7 || n > 9 {
			t.Errorf("checked %d times in 2s, want one each 250ms", n)
		}
		if got := p.Endpoints()[0]; got.State != "starting" || !strings.Contains(got.Reason, "GET /healthz?full=1 as shop.example was answered 500") {
			t.Errorf("state %s, reason %q; want starting and what the check got", got.State, got.Reason)
		}
		held := askLater(p, 30*time.Second, "GET")
		pass(time.Second)
		healthy.Store(true)
		if o := <-held; o.body != "app" || o.took > 1300*time.Millisecond {
			t.Errorf("got %+v, want an answer as soon as the check passes", o)
		}
		head := *asked.Load()
		for _, field := range []string{"Host: shop.example\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: shop.example\r\n", "User-Agent: fairlead-health\r\n"} {
			if !strings.Contains(head, field) {
				t.Errorf("the check was\n%swithout %q", head, field)
			}
		}
		before := checks.Load()
		pass(time.Minute)
		if n := checks.Load() - before; n < 5 || n > 6 {
			t.Errorf("checked %d times in a minute, want one each 10s", n)
		}
	})
}

func TestUnhealthyIsUsedOnlyIfNobodyElseIsLeft(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var sick [2]atomic.Bool
		for i, addr := range []string{at1, at2} {
			a.run(addr, func(head string) string {
				if strings.HasPrefix(head, "GET /up ") && sick[i].Load() {
					return answerOf(503, "")
				}
				return answerOf(200, addr)
			})
		}
		p := pool(health(t, "health.path=/up", "health.interval=1s", "health.timeout=1s", "health.fall=2", "health.rise=3"), endpoint4("web-1", at1), endpoint4("web-2", at2))
		eventuallyReady(p)
		pass(5 * time.Second)
		answers := func() string {
			seen := map[string]bool{}
			for range 6 {
				o := ask(p, 0, "GET")
				seen[o.body] = true
			}
			return strings.Join([]string{map[bool]string{true: "1"}[seen[at1]], map[bool]string{true: "2"}[seen[at2]]}, "")
		}
		if got := answers(); got != "12" {
			t.Errorf("both healthy: %q answered, want both", got)
		}
		sick[0].Store(true)
		pass(time.Second)
		if got := states(p); got != "web-1=ready web-2=ready" {
			t.Errorf("after one failed check: %s, want both ready", got)
		}
		pass(time.Second)
		if got := answers(); got != "2" || states(p) != "web-1=unhealthy web-2=ready" {
			t.Errorf("after two: %q answered, %s; want only 2", got, states(p))
		}
		sick[1].Store(true)
		pass(3 * time.Second)
		if got := answers(); got != "12" || states(p) != "web-1=unhealthy web-2=unhealthy" {
			t.Errorf("both sick: %q answered, %s; want both, since nobody else is left", got, states(p))
		}
		sick[1].Store(false)
		pass(2 * time.Second)
		if states(p) != "web-1=unhealthy web-2=unhealthy" {
			t.Errorf("after two good checks of three: %s", states(p))
		}
		pass(time.Second)
		if got := answers(); got != "2" || states(p) != "web-1=unhealthy web-2=ready" {
			t.Errorf("after three: %q answered, %s; want only 2", got, states(p))
		}
	})
}

// A wrong path must not keep a site away for ever.
func TestACheckThatNeverPassesIsAVisibleStateInTheEnd(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.run(at1, func(head string) string {
			if strings.HasPrefix(head, "GET /wrong ") {
				return answerOf(404, "")
			}
			return answerOf(200, "app")
		})
		p := pool(health(t, "health.path=/wrong"), endpoint4("web", at1))
		pass(10 * time.Second)
		if got := states(p); got != "web=starting" {
			t.Errorf("after 10s: %s, want starting", got)
		}
		o := ask(p, 30*time.Second, "GET")
		got := p.Endpoints()[0]
		if o.body != "app" || o.took > 6*time.Second || got.State != "unhealthy" || !strings.Contains(got.Reason, "answered 404") {
			t.Errorf("got %+v in state %s (%s); want it used as unhealthy after 15s", o, got.State, got.Reason)
		}
	})
}

func TestHealthcheckOfTheImage(t *testing.T) {
	docker := func(h spec.Health) spec.Endpoint { e := endpoint4("web", at1); e.Health = h; return e }
	for _, tt := range []struct {
		name    string
		options []string
		health  spec.Health
		want    string
		answers bool
	}{
		{"starting is the last resort", nil, spec.HealthStarting, "web=starting", true},
		{"unhealthy too", nil, spec.Unhealthy, "web=unhealthy", true},
		{"healthy", nil, spec.Healthy, "web=ready", true},
		{"off ignores it", []string{"health=off"}, spec.Unhealthy, "web=ready", true},
		{"a check by label takes its place", []string{"health=tcp"}, spec.HealthStarting, "web=ready", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
				a.name(at1, "web")
				p := pool(health(t, tt.options...), docker(tt.health))
				pass(time.Second)
				if o := ask(p, 30*time.Second, "GET"); states(p) != tt.want || o.body != "web" || o.held != 0 {
					t.Errorf("%s and %+v; want %s and an answer at once", states(p), o, tt.want)
				}
			})
		})
	}
	t.Run("ready ones come first", func(t *testing.T) {
		inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
			a.name(at1, "waits")
			a.name(at2, "ready")
			p := pool(nil, docker(spec.HealthStarting), endpoint4("other", at2))
			pass(time.Second)
			for range 4 {
				if o := ask(p, 0, "GET"); o.body != "ready" {
					t.Errorf("%s answered while the other is ready", o.body)
				}
			}
			p.set(docker(spec.Healthy), endpoint4("other", at2))
			if got := states(p); got != "web=ready other=ready" {
				t.Errorf("once healthy: %s, want both ready", got)
			}
		})
	})
}

func TestTCPCheckFindsAContainerThatStoppedListening(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "web")
		p := pool(health(t, "health=tcp", "health.interval=2s", "health.fall=1"), endpoint4("web", at1))
		pass(time.Second)
		a.kill(at1)
		pass(3 * time.Second)
		if got := p.Endpoints()[0]; got.State != "unhealthy" || !strings.Contains(got.Reason, "connection refused") {
			t.Errorf("state %s (%s), want unhealthy for a refused connection", got.State, got.Reason)
		}
	})
}

func TestACheckHasATimeAndAPort(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "web")
		block := make(chan struct{})
		a.run("10.1.1.1:9000", func(string) string { <-block; return "" })
		p := pool(health(t, "health.path=/", "health.port=9000", "health.timeout=700ms", "health.fall=1", "health.interval=1s"), endpoint4("web", at1))
		pass(1500 * time.Millisecond)
		if got := p.Endpoints()[0]; !strings.Contains(got.Reason, "no answer in 700ms") {
			t.Errorf("state %s (%s), want that the check at port 9000 got no answer", got.State, got.Reason)
		}
		close(block)
	})
}

// A doubt is settled once, not with every check.
func TestAWatchedContainerInDoubtIsConfirmedOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "web")
		e := endpoint4("web", at1)
		p := pool(health(t, "health.path=/", "health.interval=1s", "health.timeout=1s"), e)
		var confirmed atomic.Int64
		p.prober.Confirm = func(context.Context, string) (spec.Confirmation, error) {
			confirmed.Add(1)
			return spec.Confirmation{Running: true, StartedAt: e.StartedAt, Addrs: []netip.Addr{e.Addr.Addr()}}, nil
		}
		pass(2 * time.Second)
		a.kill(at1)
		ask(p, 0, "GET")
		a.name(at1, "web")
		pass(10 * time.Second)
		if n := confirmed.Load(); n != 1 || states(p) != "web=ready" {
			t.Errorf("the engine was asked %d times, %s; want once, and ready", n, states(p))
		}
	})
}

// Labels may change while the container stays: no request is lost over that.
func TestChecksBeginAndEndWithTheirLabels(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		var checks atomic.Int64
		a.run(at1, func(head string) string {
			if strings.HasPrefix(head, "GET /up ") {
				checks.Add(1)
			}
			return answerOf(200, "web")
		})
		e := endpoint4("web", at1)
		p := pool(nil, e)
		pass(time.Second)
		p.Set(spec.Pool{Key: p.key, Endpoints: []spec.Endpoint{e}, Options: health(t, "health.path=/up", "health.interval=1s", "health.timeout=1s")})
		p.Enter()
		pass(10 * time.Second)
		if n := checks.Load(); n < 9 || n > 12 || states(p) != "web=ready" {
			t.Errorf("%d checks in 10s, %s; want one a second, and ready", n, states(p))
		}
		p.Set(spec.Pool{Key: p.key, Endpoints: []spec.Endpoint{e}})
		p.Enter()
		before := checks.Load()
		pass(10 * time.Second)
		if n := checks.Load() - before; n > 1 || states(p) != "web=ready" {
			t.Errorf("%d checks after the label went, %s; want none, and ready", n, states(p))
		}
		p.Set(spec.Pool{Key: p.key, Endpoints: []spec.Endpoint{e}, Options: health(t, "health=tcp")})
		p.Enter()
		pass(10 * time.Second)
		if states(p) != "web=ready" {
			t.Errorf("checked again: %s", states(p))
		}
	})
}

func TestGRPCHealth(t *testing.T) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	frames := map[string][]byte{
		"serving":     {0, 0, 0, 0, 2, 8, 1},
		"not serving": {0, 0, 0, 0, 2, 8, 2},
		"empty":       {0, 0, 0, 0, 0},
		"garbage":     {1, 2, 3},
	}
	for _, tt := range []struct {
		name, message, status, kind string
		want                        string
	}{
		{"serving", "serving", "0", "application/grpc", ""},
		{"not serving", "not serving", "0", "application/grpc+proto", "not serving"},
		{"unknown", "empty", "0", "application/grpc", "not serving"},
		{"unimplemented", "empty", "12", "application/grpc", "gRPC status 12"},
		{"no gRPC", "serving", "0", "text/html", "no gRPC server"},
		{"garbage", "garbage", "0", "application/grpc", "not serving"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Protocols: &protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/grpc.health.v1.Health/Check" || r.Method != "POST" || r.Header.Get("Te") != "trailers" || r.Host != "shop.example" {
					http.Error(w, "asked "+r.Method+" "+r.URL.Path, 400)
					return
				}
				w.Header().Set("Content-Type", tt.kind)
				w.Header().Set("Trailer", "Grpc-Status")
				w.Write(frames[tt.message])
				w.Header().Set("Grpc-Status", tt.status)
			})}
			var serving sync.WaitGroup
			serving.Go(func() { s.Serve(l) })
			defer serving.Wait()
			defer s.Close()
			p := poolOf(t, Config{}, endpointAt("web", l))
			p.Set(spec.Pool{Key: p.key, Host: "shop.example", Options: health(t, "health=grpc"), Endpoints: []spec.Endpoint{endpointAt("web", l)}})
			p.Enter()
			err = p.all[0].healthCheck().run(t.Context())
			if got := errors.Is(err, nil); got != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A generation whose labels do not hold yet is looked after, and gets nothing.
func TestStandbyGetsNothingUntilItsLabelsHold(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, a *apps, pool func(label.Options, ...spec.Endpoint) *Pool) {
		a.name(at1, "old")
		a.name(at2, "new")
		var announced atomic.Int64
		young := endpoint4("new", at2)
		young.Standby = true
		p := pool(nil, endpoint4("old", at1))
		p.prober.OnReady = func(e spec.Endpoint) {
			if e.Container == "new" {
				announced.Add(1)
			}
		}
		p.set(endpoint4("old", at1), young)
		pass(time.Second)
		if announced.Load() != 1 || states(p) != "new=starting old=ready" && states(p) != "old=ready new=starting" {
			t.Errorf("announced %d times, %s; want once, and still starting", announced.Load(), states(p))
		}
		for range 4 {
			if o := ask(p, 0, "GET"); o.body != "old" {
				t.Errorf("%q answered, want old", o.body)
			}
		}
		p.set(in(spec.Draining, endpoint4("old", at1)), young)
		if o := ask(p, 0, "GET"); o.err == nil {
			t.Errorf("%q answered before its labels hold", o.body)
		}
		young.Standby = false
		p.stage(young)
		if o := ask(p, 0, "GET"); o.err == nil {
			t.Errorf("%q answered before the table with its labels is live", o.body)
		}
		p.Enter()
		if o := ask(p, 0, "GET"); o.body != "new" || states(p) != "new=ready" {
			t.Errorf("got %+v, %s; want an answer of new at once", o, states(p))
		}
	})
}

func TestHealthLabels(t *testing.T) {
	schema := label.NewSchema("fairlead", Kinds()...)
	for _, tt := range []struct {
		labels, code string
	}{
		{"health=on", "wrong-value"},
		{"health=htp", "wrong-value"},
		{"health.path=healthz", "wrong-value"},
		{"health.path=/a b", "wrong-value"},
		{"health.status=200-100", "wrong-value"},
		{"health.status=99", "wrong-value"},
		{"health.interval=1ms", "out-of-range"},
		{"health.interval=5", "wrong-value"},
		{"health.fall=0", "out-of-range"},
		{"health.port=70000", "out-of-range"},
		{"health.host=*.example.com", "wrong-value"},
		{"health=tcp health.path=/", "exclusive"},
		{"health.path=/ health.interval=1s health.timeout=2s", "exclusive"},
		{"weight=-1", "out-of-range"},
		{"weight=1001", "out-of-range"},
		{"max-conns=many", "wrong-value"},
		{"slow-start=2h", "out-of-range"},
		{"max-fails=-1", "out-of-range"},
		{"fail-timeout=0", "out-of-range"},
		{"keepalive=100000", "out-of-range"},
		{"balance=fastest", "wrong-value"},
		{"sticky=a b", "wrong-value"},
		{"backup=maybe", "wrong-value"},
		{"down=2", "wrong-value"},
	} {
		settings := map[string]label.Setting{}
		for pair := range strings.SplitSeq(tt.labels, " ") {
			key, value, _ := strings.Cut(pair, "=")
			if key == "b" {
				continue
			}
			settings[key] = label.Setting{Key: key, Text: strings.ReplaceAll(value, "+", " "), Label: key}
		}
		if tt.labels == "health.path=/a b" || tt.labels == "sticky=a b" {
			key, value, _ := strings.Cut(tt.labels, "=")
			settings = map[string]label.Setting{key: {Key: key, Text: value, Label: key}}
		}
		_, problems := schema.Decode("web", settings)
		if len(problems) != 1 || problems[0].Code != tt.code || problems[0].Effect != label.Ignored {
			t.Errorf("%s: got %v, want one problem %s that costs the label", tt.labels, problems, tt.code)
		}
	}
}
