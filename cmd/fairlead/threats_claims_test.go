package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// takeovers are the ways in which another project may try to get requests of
// app.test, which the project shop holds with its service web.
var takeovers = map[string]dockertest.Container{
	"same match":      inProject(labelled("evil", "host=app.test"), "evil", "web2"),
	"longer path":     inProject(labelled("evil", "host=app.test", "path=/longer"), "evil", "x"),
	"host with path":  inProject(labelled("evil", "host=app.test/longer"), "evil", "x"),
	"exact path":      inProject(labelled("evil", "host=app.test", "path==/longer"), "evil", "x"),
	"regex path":      inProject(labelled("evil", "host=app.test", "path=~.*"), "evil", "x"),
	"method":          inProject(labelled("evil", "host=app.test", "match.method=POST"), "evil", "x"),
	"header":          inProject(labelled("evil", "host=app.test", "match.header.User-Agent=~.*"), "evil", "x"),
	"priority":        inProject(labelled("evil", "host=app.test", "priority=1000"), "evil", "x"),
	"canary":          inProject(labelled("evil", "host=app.test", "canary=99%"), "evil", "x"),
	"pool":            inProject(labelled("evil", "host=app.test", "pool=web"), "evil", "x"),
	"shared pool":     inProject(labelled("evil", "host=app.test", "pool=@web"), "evil", "x"),
	"wildcard":        inProject(labelled("evil", "host=*.test", "priority=1000"), "evil", "x"),
	"regex":           inProject(labelled("evil", "host=~app\\.test", "priority=1000"), "evil", "x"),
	"any":             inProject(labelled("evil", "host=*", "priority=1000"), "evil", "x"),
	"forged service":  inProject(labelled("evil", "host=app.test"), "evil", "web"),
	"no project":      labelled("evil", "host=app.test"),
	"named route":     labelled("evil", "route.web.host=app.test", "route.web.path=/longer"),
	"redirect-from":   inProject(labelled("evil", "host=evil.test", "redirect-from=app.test"), "evil", "x"),
	"redirect":        inProject(labelled("evil", "host=app.test", "path=/longer", "redirect=https://evil.test/"), "evil", "x"),
	"respond":         inProject(labelled("evil", "host=app.test", "respond=200 evil /"), "evil", "x"),
	"shares itself":   inProject(labelled("evil", "host=app.test", "share=any"), "evil", "x"),
	"upper case":      inProject(labelled("evil", "host=APP.TEST."), "evil", "x"),
	"trailing dot":    inProject(labelled("evil", "host=app.test."), "evil", "x"),
	"enable":          inProject(labelled("evil", "enable=true"), "evil", "app"), // app.test with --domain test
	"list of hosts":   inProject(labelled("evil", "host=other.test, app.test"), "evil", "x"),
	"path of refused": inProject(labelled("evil", "host=app.test", "path=~["), "evil", "x"),
}

// holds fails the test if a request for app.test is answered by somebody else
// than the holder, or not as want says.
func (p *proxy) holds(when string, want int) {
	p.Helper()
	for _, method := range []string{"GET", "POST"} {
		for _, target := range []string{"/", "/longer", "/longer/x"} {
			r := p.raw(request(method, "app.test", target, "Content-Length: 0"))
			if r.status != want || want == 200 && !strings.HasPrefix(r.body, "holder ") {
				p.Errorf("%s: %s %s: %v, want %d and the holder's answer", when, method, target, r, want)
			}
		}
	}
}

func TestThreat35AHeldHostIsNotTakenOver(t *testing.T) {
	t.Parallel()
	for name, evil := range takeovers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			holder := inProject(labelled("holder", "host=app.test"), "shop", "web")
			a, id := w.run(holder, nil)
			data := w.dir + "/data"
			flags := []string{"--data-dir", data, "--domain", "test"}
			p := w.start(flags...)
			p.await("app.test", 200, "holder ")
			p.holds("before", 200)
			w.run(evil, nil)
			mark, _ := w.run(labelled("mark", "host=mark.test"), nil) // comes after evil, so evil is in the table too
			p.await("mark.test", 200, mark.name)
			p.holds("beside", 200)

			wide := name == "wildcard" || name == "regex" || name == "any" // holds its own pattern and loses to the exact host
			if !wide && name != "enable" && name != "path of refused" {
				eventually(t, "a conflict of evil is shown and logged", func() bool {
					return strings.Contains(p.view().problem("conflict"), "evil") && len(p.lines("conflict", "evil")) > 0
				})
			}

			a.close()
			w.engine.Remove(id)
			eventually(t, "the holder is gone", func() bool { return p.get("app.test", "/").status == 503 })
			p.holds("while the holder is away", 503)
			a, id = w.run(holder, nil)
			p.await("app.test", 200, "holder ")
			p.holds("after its redeploy", 200)

			p.stop()
			a.close()
			w.engine.Remove(id)
			p = w.start(flags...)
			p.await("mark.test", 200, "mark ")
			if r := p.get("app.test", "/longer"); strings.Contains(r.body, "evil") || r.status/100 == 3 {
				t.Errorf("restarted while the holder is away: %v, want nothing of evil", r)
			}
			w.run(holder, nil)
			p.await("app.test", 200, "holder ")
			p.holds("after a restart of the proxy", 200)
		})
	}
}

func TestThreat35WithoutALedgerTheOldestHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(labelled("z-first", "host=app.test"), nil)
	within(t, 3*time.Second, "a new second, for lists know no less", func() bool { return time.Now().Nanosecond() < 2e8 })
	w.run(labelled("a-second", "host=app.test"), nil)
	for range 3 {
		p := w.start()
		p.await("app.test", 200, "z-first ")
		if got := p.view().problem("conflict"); !strings.Contains(got, "a-second") {
			t.Errorf("problem %q, want a conflict of a-second", got)
		}
		p.stop()
	}
}

func TestClaimGraceFreesTheHostOfAVanishedOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, id := w.run(labelled("first", "host=app.test"), nil)
	p := w.start("--claim-grace", "400ms")
	p.await("app.test", 200, "first ")
	w.run(labelled("second", "host=app.test"), nil)
	p.awaitProblem("conflict")
	a.close()
	w.engine.Remove(id)
	eventually(t, "the first is gone", func() bool { return p.get("app.test", "/").status != 200 })
	p.await("app.test", 200, "second ")
	eventually(t, "the conflict is over", func() bool { return p.view().problem("conflict") == "" })
}

func TestClaimOfAStoppedContainerLastsBeyondTheGrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, id := w.run(labelled("first", "host=app.test"), nil)
	p := w.start("--claim-grace", "50ms")
	p.await("app.test", 200, "first ")
	w.run(labelled("second", "host=app.test"), nil)
	p.awaitProblem("conflict")
	a.close()
	w.engine.Stop(id)
	p.await("app.test", 503, "")
	deadline := time.Now().Add(300 * time.Millisecond)
	eventually(t, "time passes", func() bool {
		if r := p.get("app.test", "/"); r.status != 503 {
			t.Fatalf("got %v, want 503: its owner is stopped, not gone", r)
		}
		return time.Now().After(deadline)
	})
}

func TestShareLetsOthersAddPathsAndTakeNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ holder, flags []string }{
		"share project":    {[]string{"host=app.test", "share=guest"}, nil},
		"share any":        {[]string{"host=app.test", "share=any"}, nil},
		"share-host":       {[]string{"host=app.test"}, []string{"--share-host", "app.test"}},
		"share-host all":   {[]string{"host=app.test"}, []string{"--share-host", "*"}},
		"share-host other": {[]string{"host=app.test", "share=guest"}, []string{"--share-host", "x.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.run(inProject(labelled("holder", tt.holder...), "shop", "web"), nil)
			w.run(inProject(labelled("api", "host=app.test", "path=/api"), "shop", "api"), nil)
			p := w.start(tt.flags...)
			p.await("app.test", 200, "holder ")
			w.run(inProject(labelled("guest", "host=app.test", "path=/blog"), "guest", "blog"), nil)
			w.run(inProject(labelled("greedy", "host=app.test", "path=/api/v2"), "guest", "greedy"), nil)
			w.run(inProject(labelled("all", "host=app.test"), "guest", "all"), nil)
			eventually(t, "the guest's path is routed", func() bool {
				return p.get("app.test", "/blog").status == 200 && strings.HasPrefix(p.get("app.test", "/blog").body, "guest ")
			})
			p.awaitProblem("conflict")
			for target, want := range map[string]string{"/": "holder ", "/api": "api ", "/api/v2": "api ", "/api/v2/x": "api ", "/blogs": "holder ", "/blog/x": "guest "} {
				eventually(t, fmt.Sprintf("%s answered by %s", target, want), func() bool { return strings.HasPrefix(p.get("app.test", target).body, want) })
			}
			for _, c := range []string{"greedy", "all"} {
				eventually(t, c+" is refused", func() bool { return len(p.lines("conflict", `"container":"`+c+`"`)) > 0 })
			}
		})
	}
}
