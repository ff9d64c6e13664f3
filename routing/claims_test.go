package routing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// later moves the clock and compiles.
func (w *world) later(d time.Duration) *Table {
	w.t.Helper()
	w.now = w.now.Add(d)
	return w.turn()
}

// restart begins anew with what is on disk, as the next process does.
func (w *world) restart() {
	w.t.Helper()
	w.live.Swap(Compile(w.live.Table(), spec.Spec{}, &Claims{}, w.env, w.now)) // gives everything back
	w.live, w.parser = &Live{}, newParser()
	w.claims = &Claims{Grace: w.claims.Grace, Share: w.claims.Share, File: w.claims.File}
	if _, err := w.claims.Load(w.now); err != nil {
		w.t.Fatal(err)
	}
	w.turn()
}

func held(t *testing.T) *world {
	w := newWorld(t)
	w.serveApps()
	w.claims.File = filepath.Join(t.TempDir(), "claims.json")
	w.read("holder web@shop\n\thost: app.ex\n\tpath: /api\n\thold: 0\n")
	w.turn()
	return w
}

// Each of these wants what shop holds. None gets it: not at once, not after a
// redeploy of the holder, not after a restart of the proxy (docs/threats.md 35).
var takeovers = map[string]string{
	"the same match":             "host: app.ex\n\tpath: /api",
	"a longer path":              "host: app.ex\n\tpath: /api/v1",
	"the root":                   "host: app.ex",
	"an exact path":              "host: app.ex\n\tpath: =/api",
	"an expression":              "host: app.ex\n\tpath: ~/api.*",
	"a method":                   "host: app.ex\n\tpath: /api\n\tmatch.method: GET",
	"a priority":                 "host: app.ex\n\tpath: /api\n\tpriority: 1000",
	"the pool's name":            "host: app.ex\n\tpath: /api\n\tpool: web",
	"a wildcard over it":         "host: *.ex",
	"an expression over it":      "host: ~app\\.ex",
	"a catch-all":                "host: *",
	"a share of its own":         "host: app.ex\n\tpath: /api\n\tshare: any",
	"another spelling":           "host: APP.ex.\n\tpath: /%61pi",
	"a redirect to its own":      "host: evil.ex\n\tredirect-from: app.ex",
	"a refused route of its own": "host: app.ex\n\tallow: nonsense",
}

func TestATakeoverIsRefused(t *testing.T) {
	for name, labels := range takeovers {
		t.Run(name, func(t *testing.T) {
			w := held(t)
			stands := func(when string) {
				t.Helper()
				t.Log(when)
				w.wants("GET app.ex/api => 200 shop/web /api\nGET app.ex/api/v1 => 200 shop/web /api/v1\nGET app.ex/ => 404 no-route")
			}
			w.read("thief web@evil\n\t" + labels + "\n")
			w.turn()
			stands("at once")
			w.change("holder", func(c *spec.Workload) { c.ID, c.Created = strings.Repeat("9", 64), w.now })
			w.turn()
			stands("after the holder's redeploy")
			w.restart()
			stands("after a restart")

			w.remove("holder")
			w.later(time.Second)
			w.wants("GET app.ex/api => 404 no-route\nGET app.ex/ => 404 no-route")
			w.restart()
			w.wants("GET app.ex/api => 404 no-route")
			w.later(9 * time.Minute)
			w.wants("GET app.ex/api => 404 no-route")
		})
	}
}

func TestARefusedClaimIsShown(t *testing.T) {
	w := held(t)
	w.read("thief web@evil\n\thost: app.ex\n\tpath: /api/v1\n")
	table := w.turn()
	if got, want := table.problemLines(), "conflict evil/web app.ex/api/v1\n"; got != want {
		t.Errorf("problems %q, want %q", got, want)
	}
	if len(table.Appeared) != 1 || !strings.Contains(table.Appeared[0].String(), "another owner, shop, holds app.ex/api/v1") {
		t.Errorf("logged %v, want who holds it", table.Appeared)
	}
	v := table.View()
	if r := v.Routes[0]; r.ID != "evil/web" || r.State != "refused" || !r.Matches[0].Refused || r.Matches[0].Holder != "shop" {
		t.Errorf("it is shown as %+v, want refused, held by shop", r)
	}
	e := explained(table, &Query{Host: "app.ex", Path: "/other"})
	if e.OK || !strings.HasPrefix(e.Answer, "404") || len(e.Problems) != 1 {
		t.Errorf("explained as %+v, want 404 with the conflict", e)
	}
}

func TestAClaimIsFreeAfterTheGrace(t *testing.T) {
	w := held(t)
	w.read("heir web@evil\n\thost: app.ex\n")
	w.turn()
	w.change("holder", func(c *spec.Workload) { c.State = spec.Gone })
	w.turn()
	gone := w.now
	w.later(10*time.Minute - time.Second)
	w.wants("GET app.ex/api => 503 shop/web no-endpoint\nGET app.ex/ => 404 no-route")
	if p := w.live.Table().Problems(); len(p) != 1 || !strings.Contains(p[0].Message, "free at "+gone.Add(10*time.Minute).Format(time.RFC3339)) {
		t.Errorf("problems %v, want one that says when the host is free", p)
	}
	if due, next := w.claims.Due(w.now); len(due) != 0 || !next.Equal(gone.Add(10*time.Minute)) {
		t.Errorf("due %v, next %v; want nothing, and to be asked at %v", due, next, gone.Add(10*time.Minute))
	}
	w.later(time.Second)
	w.wants("GET app.ex/ => 200 evil/web /\nGET app.ex/api => 200 evil/web /api")
	w.change("holder", func(c *spec.Workload) { c.State = spec.Running })
	w.turn()
	w.wants("GET app.ex/api => 200 evil/web /api")
	if due, next := w.claims.Due(w.now); len(due) != 0 || !next.IsZero() {
		t.Errorf("due %v, next %v; want nothing: everybody is there", due, next)
	}
}

func TestAVanishedOwnerTakesNoClaim(t *testing.T) {
	w := held(t)
	w.change("holder", func(c *spec.Workload) { c.State = spec.Gone })
	w.turn()
	w.later(time.Hour)
	w.wants("GET app.ex/api => 503 shop/web no-endpoint")
	w.read("heir web@evil\n\thost: app.ex\n")
	w.turn()
	w.wants("GET app.ex/ => 200 evil/web /\nGET app.ex/api => 200 evil/web /api")
}

func TestAnOwnerThatReturnsInTimeKeepsItsHost(t *testing.T) {
	w := held(t)
	w.read("thief web@evil\n\thost: app.ex\n")
	w.remove("holder")
	w.turn()
	w.later(9 * time.Minute)
	w.restart()
	w.read("holder2 web@shop\n\thost: app.ex\n\tpath: /api\n")
	w.later(30 * time.Second)
	w.later(time.Hour)
	w.wants("GET app.ex/api => 200 shop/web /api\nGET app.ex/ => 404 no-route")
}

func TestARenamedContainerCarriesItsClaim(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("old\n\thost: app.ex\nthief\n\thost: app.ex\n")
	w.turn()
	w.change("old", func(c *spec.Workload) { c.Name = "new" })
	w.turn()
	w.wants("GET app.ex/ => 200 new /")
	w.change("thief", func(c *spec.Workload) { c.Name = "old" })
	w.turn()
	w.wants("GET app.ex/ => 200 new /")
}

func TestWithoutALedgerAgeDecides(t *testing.T) {
	w := newWorld(t)
	w.serveApps()
	w.read("b web@b\n\thost: app.ex\na web@a\n\thost: app.ex\n")
	w.turn()
	w.wants("GET app.ex/ => 200 b/web /")
}

func TestAForgedServiceStaysWithItsOwner(t *testing.T) {
	w := held(t)
	w.read("thief web@shop/web\n\thost: app.ex\n\tpath: /api\nplain web@\n\thost: app.ex\n\tpath: /api\n")
	w.turn()
	w.wants("GET app.ex/api => 200 shop/web /api")
	for _, r := range w.live.Table().View().Routes {
		if r.Owner != "shop" && r.State != "refused" {
			t.Errorf("%s of %s is %s, want refused", r.ID, r.Owner, r.State)
		}
	}
}

func TestShare(t *testing.T) {
	const blog = "blog web@blog\n\thost: app.ex\n\tpath: "
	tests := []struct {
		name, holder, guest string // labels of the holder, path of the guest
		admitted            bool
	}{
		{"not shared", "path: /api", "/blog", false},
		{"with another", "path: /api\n\tshare: wiki", "/blog", false},
		{"with it", "path: /api\n\tshare: wiki, blog", "/blog", true},
		{"with any", "path: /api\n\tshare: any", "/blog", true},
		{"beside the root", "share: any", "/blog", true},
		{"the same path", "path: /api\n\tshare: any", "/api", false},
		{"the same root", "share: any", "/", false},
		{"the front page", "share: any", "=/", false},
		{"a longer path", "path: /api\n\tshare: any", "/api/v1", false},
		{"an exact one below", "path: /api\n\tshare: any", "=/api/v1", false},
		{"a shorter path", "path: /api/v1\n\tshare: any", "/api", true},
		{"the root besides", "path: /api\n\tshare: any", "/", true},
		{"a directory's name", "path: /api/\n\tshare: any", "/api", false},
		{"over an expression", "path: ~/api/v\\d+\n\tshare: any", "/api", false},
		{"the root over an expression", "path: ~/api/v\\d+\n\tshare: any", "/", false},
		{"below an expression", "path: ~/api/v\\d+\n\tshare: any", "/api/v2/x", false},
		{"beside an expression", "path: ~/api/v\\d+\n\tshare: any", "/blog", true},
		{"an expression", "path: /api\n\tshare: any", "~/api/.*", true}, // asked after /api
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.serveApps()
			w.read("holder web@shop\n\thost: app.ex\n\t" + tt.holder + "\n" + blog + tt.guest + "\n")
			table := w.turn()
			if got := !strings.Contains(table.problemLines(), "conflict blog/web"); got != tt.admitted {
				t.Errorf("admitted: %v, want %v; problems: %s", got, tt.admitted, table.problemLines())
			}
			for _, path := range []string{"/api/v1", "/api/v2"} {
				if r := table.Match(&Query{Host: "app.ex", Path: path}, nil); tt.admitted && strings.Contains(tt.holder, "path: /api") && !strings.Contains(tt.holder, path) && strings.Contains(tt.holder, "/api/v1") {
					continue
				} else if tt.admitted && r.id() != "shop/web" {
					t.Errorf("%s goes to %q, want the holder", path, r.id())
				}
			}
		})
	}
}

func TestTheOperatorSharesAHost(t *testing.T) {
	w := held(t)
	w.claims.Share = func(host string) bool { return host == "app.ex" }
	w.read("blog web@blog\n\thost: app.ex\n\tpath: /blog\nthief web@evil\n\thost: app.ex\n\tpath: /api/x\n\tpriority: 9\n")
	w.turn()
	w.wants("GET app.ex/blog => 200 blog/web /blog\nGET app.ex/api/x => 200 shop/web /api/x\nGET app.ex/ => 404 no-route")
}

func TestTheHoldersPolicyOfTLSCounts(t *testing.T) {
	w := held(t)
	w.read("guest web@blog\n\thost: app.ex\n\tpath: /blog\n\tmatch.method: GET\nwild web@blog2\n\thost: *.ex\n")
	w.claims.Share = func(string) bool { return true }
	sp := w.parser.Parse(w.snapshot())
	for _, u := range sp.Units {
		for _, r := range u.Routes {
			r.TLS = spec.TLSPolicy{ClientCA: r.Owner}
		}
	}
	table := Compile(nil, sp, w.claims, w.env, w.now)
	for host, want := range map[string]string{"app.ex": "shop", "b.ex": "blog2"} {
		if got, known := table.TLSPolicy(host); !known || got.ClientCA != want {
			t.Errorf("policy of %s is %v (known: %v), want that of %s", host, got, known, want)
		}
	}
	if _, known := table.TLSPolicy("other.test"); known {
		t.Error("a host without a route is known")
	}
	w.remove("holder")
	w.remove("guest")
	if _, known := Compile(nil, w.parser.Parse(w.snapshot()), w.claims, w.env, w.now).TLSPolicy("app.ex"); known {
		t.Error("a host that is held and not served has the policy of another owner's wildcard")
	}
}

func TestALedgerThatCannotBeReadIsSetAside(t *testing.T) {
	file := filepath.Join(t.TempDir(), "claims.json")
	for _, text := range []string{"", "{", "[]", `{"a.ex": 1}`, "\x00\x01"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Claims{File: file}
		aside, err := c.Load(epoch)
		if err == nil || aside == "" {
			t.Fatalf("%q: set aside as %q, error %v; want both", text, aside, err)
		}
		if kept, err := os.ReadFile(aside); err != nil || string(kept) != text {
			t.Errorf("%q: set aside is %q (%v)", text, kept, err)
		}
		c.put("a.ex", claim{Owner: "shop", Since: epoch})
		if err := c.Save(); err != nil {
			t.Errorf("%q: saved: %v", text, err)
		}
	}
}

func TestALedgerWithLinesThatMeanNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "claims.json")
	cut := filepath.Join(dir, ".claims-123")
	text := `{"a.ex": {"owner": "shop", "gone": "2999-01-01T00:00:00Z"}, "A.ex": {"owner": "x"}, "~(": {"owner": "x"}, "b.ex": {}, "a b": {"owner": "x"}}`
	for name, text := range map[string]string{file: text, cut: "{"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Claims{File: file, Grace: time.Minute}
	if _, err := c.Load(epoch); err != nil {
		t.Fatal(err)
	}
	if len(c.held) != 1 || c.held["a.ex"].Owner != "shop" {
		t.Errorf("ledger %v, want a.ex alone", c.held)
	}
	if _, next := c.Due(epoch); !next.Equal(epoch.Add(time.Minute)) {
		t.Errorf("a clock that was set back: free at %v, want a minute from now", next)
	}
	if _, err := os.Stat(cut); err == nil {
		t.Error("the file of a save that was cut short is still there")
	}
}

func TestALedgerIsWrittenWholeOrNotAtAll(t *testing.T) {
	w := held(t)
	before, err := os.ReadFile(w.claims.File)
	if err != nil {
		t.Fatal(err)
	}
	w.turn()
	info, _ := os.Stat(w.claims.File)
	if w.claims.dirty || info.Mode().Perm() != 0o600 {
		t.Errorf("dirty: %v, mode %v; want saved, 0600", w.claims.dirty, info.Mode())
	}
	file := w.claims.File
	w.claims.File = filepath.Join(filepath.Dir(file), "no", "such", "directory")
	w.claims.put("b.ex", claim{Owner: "shop", Since: w.now})
	if err := w.claims.Save(); err == nil || !w.claims.dirty {
		t.Errorf("error %v, dirty %v; want an error, and to try again", err, w.claims.dirty)
	}
	w.claims.File = file
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("the ledger changed by a save that failed")
	}
}
