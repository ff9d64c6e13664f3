package routing

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/middleware"
	"github.com/fairlead/fairlead/spec"
)

// get sends one request through the live table and returns its status.
func (w *world) get(url string) int {
	rec := httptest.NewRecorder()
	(&exchange.Arrival{Next: w.live}).ServeHTTP(rec, httptest.NewRequest("GET", url, nil))
	return rec.Code
}

func made(t *testing.T) *counter {
	t.Helper()
	select {
	case c := <-counters:
		return c
	default:
		t.Fatal("no counter was made")
		return nil
	}
}

func madeNone(t *testing.T) {
	t.Helper()
	select {
	case <-counters:
		t.Fatal("a counter was made anew")
	default:
	}
}

func TestStateSurvivesAHundredSwapsUnderLoad(t *testing.T) { synctest.Test(t, swapUnderLoad) }

func swapUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.read("web web@shop\n\thost: app.ex\n\trespond: 200 hello\n\ttest-counter: route\n")
	w.turn()
	c := made(t)
	l := w.load(4)
	for i := range 100 {
		// The route itself changes each time, and so do others.
		w.change("web", func(s *spec.Workload) { s.Labels["fairlead.header.response.X-Turn"] = fmt.Sprint(i) })
		w.read(fmt.Sprintf("other%d\n\thost: other%d.ex\n\trespond: 204\n", i%3, i))
		before := l.sent.Load()
		w.turn()
		for l.sent.Load() == before && !t.Failed() {
			runtime.Gosched()
		}
	}
	close(l.stop)
	l.clients.Wait()
	if got, want := c.requests.Load(), l.sent.Load(); got != want || got < 100 {
		t.Errorf("counted %d of %d requests over 100 swaps", got, want)
	}
	madeNone(t)
	if c.closed.Load() != 0 {
		t.Error("the counter was closed while its route lives")
	}
	w.retireAll()
	pass(time.Second)
	synctest.Wait()
	if c.closed.Load() != 1 || w.env.Build.Keeper.Len() != 0 {
		t.Errorf("once the route is gone the counter was closed %d times and %d states are kept, want 1 and none", c.closed.Load(), w.env.Build.Keeper.Len())
	}
}

// A load is clients that ask as fast as they can.
type load struct {
	stop    chan struct{}
	sent    atomic.Int64
	clients sync.WaitGroup
}

func (w *world) load(clients int) *load {
	l := &load{stop: make(chan struct{})}
	for range clients {
		l.clients.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if status := w.get("http://app.ex/"); status != 200 {
					w.t.Errorf("answered %d in the middle of a swap, want 200", status)
					return
				}
				l.sent.Add(1)
			}
		})
	}
	return l
}

// pass lets time pass, which costs none.
func pass(d time.Duration) { <-time.After(d) }

func TestScopesOfWhatIsKept(t *testing.T) {
	for scope, want := range map[string]int{"route": 4, "pool": 3, "host": 2, "all": 1} {
		t.Run(scope, func(t *testing.T) {
			w := newWorld(t)
			line := "\n\ttest-counter: " + scope + "\n"
			w.read("a a@shop\n\thost: a.ex" + line + "b b@shop\n\thost: a.ex/b\n\tpool: a" + line +
				"c c@shop\n\thost: b.ex/c\n\trespond: 204" + line + "d d@shop\n\thost: b.ex/d\n\trespond: 204" + line)
			w.turn()
			var all []*counter
			for range want {
				all = append(all, made(t))
			}
			madeNone(t)
			w.change("d", func(s *spec.Workload) { s.Labels["fairlead.respond"] = "200 x" })
			w.turn()
			madeNone(t)
			w.retireAll()
			for _, c := range all {
				if c.closed.Load() != 1 {
					t.Errorf("a counter was closed %d times, want once", c.closed.Load())
				}
			}
		})
	}
}

func TestRoutesOfTwoOwnersWithOneIDKeepApart(t *testing.T) {
	w := newWorld(t)
	w.read("a web@shop\n\thost: a.ex\n\trespond: 204\n\ttest-counter: route\nshop/web\n\thost: b.ex\n\trespond: 204\n\ttest-counter: route\n")
	w.turn()
	a, b := made(t), made(t)
	w.get("http://a.ex/")
	if a.requests.Load()+b.requests.Load() != 1 {
		t.Error("both counted the request of one")
	}
	w.retireAll()
}

// slow is a middleware whose requests wait until they are let go.
var slow = struct{ entered, leave chan struct{} }{make(chan struct{}), make(chan struct{})}

var _ = middleware.Register(middleware.Kind[struct{ On bool }]{
	Kind: label.Kind{Name: "test-slow", Section: label.SectionPolicy, Order: middleware.OrderRewrite, Doc: "Waits."},
	Labels: []label.Def[struct{ On bool }]{{
		Value: label.Bool(func(o *struct{ On bool }) *bool { return &o.On }), Doc: "Waits.", Example: "true",
	}},
	Build: func(_ *build.Build, _ struct{ On bool }, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			slow.entered <- struct{}{}
			<-slow.leave
			next.ServeHTTP(w, r)
		}), nil
	},
})

// overtaken has a request in progress whose route is gone.
func overtaken(t *testing.T) (w *world, c *counter, ended chan int) {
	slow.entered, slow.leave = make(chan struct{}), make(chan struct{})
	w = newWorld(t)
	w.read("web web@shop\n\thost: app.ex\n\trespond: 200 hello\n\ttest-counter: route\n\ttest-slow: true\n")
	w.turn()
	c, ended = made(t), make(chan int, 1)
	go func() { ended <- w.get("http://app.ex/") }()
	<-slow.entered
	w.retireAll()
	return w, c, ended
}

func TestWhatARunningRequestUsesIsNotRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, ended := overtaken(t)
		pass(30 * time.Second)
		w.turn()
		if c.closed.Load() != 0 {
			t.Fatal("state was given back under a request that uses it")
		}
		if status := w.get("http://app.ex/"); status != 404 {
			t.Errorf("the next request got %d, want 404", status)
		}
		close(slow.leave)
		if status := <-ended; status != 200 {
			t.Errorf("the request ended with %d, want 200", status)
		}
		pass(retireEvery)
		synctest.Wait()
		if c.closed.Load() != 1 {
			t.Errorf("state was given back %d times after the last request, want once", c.closed.Load())
		}
	})
}

func TestALongRequestDoesNotKeepStateForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, ended := overtaken(t)
		pass(time.Minute + retireEvery)
		synctest.Wait()
		if c.closed.Load() != 1 {
			t.Error("state was not given back after the grace")
		}
		close(slow.leave)
		if status := <-ended; status != 200 {
			t.Errorf("the request ended with %d, want 200", status)
		}
	})
}

func TestStateThatReturnsInTimeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, ended := overtaken(t)
		w.read("web web@shop\n\thost: app.ex\n\trespond: 200 hello\n\ttest-counter: route\n")
		w.turn()
		madeNone(t)
		close(slow.leave)
		<-ended
		pass(time.Second)
		synctest.Wait()
		if c.closed.Load() != 0 {
			t.Error("the state of a route that came back was closed with its former self")
		}
		w.get("http://app.ex/")
		if got := c.requests.Load(); got != 2 {
			t.Errorf("counted %d requests, want 2", got)
		}
		w.retireAll()
		pass(time.Second)
		synctest.Wait()
		if c.closed.Load() != 1 {
			t.Errorf("closed %d times in the end, want once", c.closed.Load())
		}
	})
}

func TestAReplacedTableIsLetGoWithItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, ended := overtaken(t)
		for range 50 {
			w.turn()
		}
		if n := len(w.live.older); n > 2 {
			t.Errorf("%d replaced tables are watched, want the one in use and the last", n)
		}
		close(slow.leave)
		<-ended
		pass(time.Second)
		w.turn()
		if n := len(w.live.older); n > 1 {
			t.Errorf("%d replaced tables are watched after their requests ended, want the last", n)
		}
	})
}

func TestAnswersOfTheProxyItself(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		setup                string
		url                  string
		status               int
		retry, close, saying string
	}{
		{"", "http://app.ex/", 503, "1", "", "has not read the list of containers yet"},
		{"web web@shop exited\n\thost: app.ex\n", "http://app.ex/", 503, "5", "", "request "},
		{"", "http://other.ex/", 404, "", "", "No route has the host other.ex."},
		{"web web@shop exited\n\thost: app.ex/api\n", "http://app.ex/", 404, "", "", "No route of app.ex has this path."},
		{"", "http://app.ex/x%00", 400, "", "close", "two ways"},
		{"web web@shop exited\n\thost: app.ex\n\tallow: x\n", "http://app.ex/", 503, "", "", "one of its labels is wrong"},
	}
	for _, tt := range tests {
		if w.read(tt.setup); len(w.running) > 0 {
			w.turn()
		}
		rec := httptest.NewRecorder()
		(&exchange.Arrival{Next: w.live}).ServeHTTP(rec, httptest.NewRequest("GET", tt.url, nil))
		resp := rec.Result()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != tt.status || resp.Header.Get("Retry-After") != tt.retry || resp.Header.Get("Connection") != tt.close || !strings.Contains(string(body), tt.saying) {
			t.Errorf("%s: %d %v\n%s\nwant %d, Retry-After %q, Connection %q, saying %q", tt.url, resp.StatusCode, resp.Header, body, tt.status, tt.retry, tt.close, tt.saying)
		}
	}
	w.retireAll()
}

// Pools get their endpoints when the table goes live, not before; one across
// owners gets those of all of them.
func TestPoolsAreSetWithTheSwap(t *testing.T) {
	w := newWorld(t)
	w.read("a web@one\n\thost: a.ex\n\tpool: @all\nb web@two\n\thost: b.ex\n\tpool: @all\n")
	next := Compile(nil, w.parser.Parse(w.snapshot()), w.claims, w.env, w.now)
	for _, r := range next.View().Routes {
		if len(r.Endpoints) != 0 {
			t.Errorf("%s has endpoints before the swap", r.ID)
		}
	}
	w.live.Swap(next)
	endpoints := func() (all []string) {
		for _, r := range w.live.Table().View().Routes {
			var names []string
			for _, e := range r.Endpoints {
				names = append(names, e.Container)
			}
			all = append(all, r.ID+":"+strings.Join(names, ","))
		}
		return all
	}
	if got, want := fmt.Sprint(endpoints()), "[one/web:a,b two/web:a,b]"; got != want {
		t.Errorf("endpoints %s, want %s", got, want)
	}
	w.remove("a")
	w.turn()
	if got, want := fmt.Sprint(endpoints()), "[two/web:b]"; got != want {
		t.Errorf("endpoints once one owner left %s, want %s", got, want)
	}
	w.retireAll()
	if n := w.env.Build.Keeper.Len(); n != 0 || len(w.live.Table().shared) != 0 {
		t.Errorf("%d states are kept and %d pools known across owners, want none", n, len(w.live.Table().shared))
	}
}

// What cannot be built is tried again with every table.
func TestAFileThatAppearsMakesTheRouteServe(t *testing.T) {
	w := newWorld(t)
	w.env.Build.SecretsDir = t.TempDir()
	ca := w.env.Build.SecretsDir + "/ca.pem"
	w.read("web web@shop\n\thost: app.ex\n\tscheme: https\n\tupstream-tls.ca: file:" + ca + "\n")
	if table := w.turn(); !strings.HasPrefix(table.problemLines(), "cannot-build shop/web") {
		t.Fatalf("problems %q, want cannot-build", table.problemLines())
	}
	if table := w.turn(); len(table.Appeared)+len(table.Cleared)+len(table.Changes) != 0 {
		t.Errorf("trying again was news: %v %v %v", table.Appeared, table.Cleared, table.Changes)
	}
	writeCA(t, ca)
	if table := w.turn(); table.problemLines() != "" || len(table.Cleared) != 1 {
		t.Errorf("problems %q, cleared %v; want none, and that one", table.problemLines(), table.Cleared)
	}
	w.retireAll()
	if n := w.env.Build.Keeper.Len(); n != 0 {
		t.Errorf("%d states are kept, want none", n)
	}
}

func TestChangesAreADiff(t *testing.T) {
	w := newWorld(t)
	w.read("web web@shop\n\thost: app.ex\n")
	diff := func() string {
		var b strings.Builder
		for _, c := range w.turn().Changes {
			fmt.Fprintln(&b, c.Sign, c.Route, c.Detail)
		}
		return b.String()
	}
	for _, step := range []struct {
		change func()
		want   string
	}{
		{func() {}, "+ shop/web app.ex → shop/web:80\n"},
		{func() {}, ""},
		{func() { w.change("web", func(c *spec.Workload) { c.StartedAt = w.now }) }, ""},
		{func() { w.change("web", func(c *spec.Workload) { c.Labels["fairlead.path"] = "/x" }) }, "~ shop/web app.ex/x → shop/web:80\n"},
		{func() { w.change("web", func(c *spec.Workload) { c.Labels["fairlead.allow"] = "x" }) }, "~ shop/web app.ex/x → refused\n"},
		{func() { w.read("api api@shop\n\thost: app.ex/api\n\trespond: 204\n"); w.remove("web") }, "+ shop/api app.ex/api → the proxy itself\n- shop/web app.ex/x → refused\n"},
	} {
		step.change()
		if got := diff(); got != step.want {
			t.Errorf("diff\n%swant\n%s", got, step.want)
		}
	}
	w.retireAll()
}
