package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/internal/logtest"
	"github.com/fairlead/fairlead/internal/statefile"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/build"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

var someday = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// bookOf returns a book on file that was loaded, and its log.
func bookOf(t *testing.T, file string) (*orderBook, *logtest.Buffer) {
	t.Helper()
	log := &logtest.Buffer{}
	b := &orderBook{file: statefile.File(file), log: zerolog.New(log)}
	if aside, err := b.load(); aside != "" || err != nil {
		t.Fatalf("load = %q, %v", aside, err)
	}
	return b, log
}

// engineOf returns a list of running containers, one for each id.
func engineOf(ids ...string) *spec.Snapshot {
	s := &spec.Snapshot{}
	for _, id := range ids {
		s.Workloads = append(s.Workloads, &spec.Workload{ID: id, Name: "name of " + id, State: spec.Running})
	}
	return s
}

func TestOrdersOutliveTheProcess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "control.json")
	b, _ := bookOf(t, file)
	b.give(drains, "a", spec.Order{Since: someday})
	b.give(maintenances, "shop/web", spec.Order{Since: someday, Until: someday.Add(time.Hour)})
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v (%v), want 0600", info.Mode(), err)
	}
	again, _ := bookOf(t, file)
	now := again.current()
	if o, ok := now.Drained["a"]; len(now.Drained) != 1 || !ok || !o.Equal(spec.Order{Since: someday}) {
		t.Errorf("drained after a restart: %v, want a since %s", now.Drained, someday)
	}
	if o, ok := now.Maintenance["shop/web"]; len(now.Maintenance) != 1 || !ok || !o.Until.Equal(someday.Add(time.Hour)) {
		t.Errorf("under maintenance after a restart: %v, want shop/web for an hour", now.Maintenance)
	}
	if !again.take(drains, "a") || again.take(drains, "a") || again.take(maintenances, "a") {
		t.Error("an order can be taken back once, and only where it was given")
	}
	if err := again.save(); err != nil {
		t.Fatal(err)
	}
	third, _ := bookOf(t, file)
	if got := third.current(); len(got.Drained) != 0 || len(got.Maintenance) != 1 {
		t.Errorf("after the drain was taken back: %+v, want the maintenance alone", got)
	}
}

func TestAnOrderGivenAgain(t *testing.T) {
	t.Parallel()
	b, _ := bookOf(t, filepath.Join(t.TempDir(), "control.json"))
	first := spec.Order{Since: someday}
	if _, had := b.give(drains, "a", first); had {
		t.Error("the first order counts as given again")
	}
	was := b.current()
	if before, had := b.give(drains, "a", spec.Order{Since: someday.Add(time.Hour)}); !had || before != first || b.current() != was {
		t.Errorf("the same again: replaced %v, %v; want nothing changed", before, had)
	}
	longer := spec.Order{Since: someday.Add(time.Hour), Until: someday.Add(2 * time.Hour)}
	if before, had := b.give(drains, "a", longer); !had || before != first || b.current().Drained["a"] != longer {
		t.Errorf("another end: replaced %v, %v, and is %v; want it replaced", before, had, b.current().Drained["a"])
	}
	if was.Drained["a"] != first {
		t.Error("orders that were handed out have changed")
	}
}

func TestOrdersEnd(t *testing.T) {
	t.Parallel()
	hour := spec.Order{Since: someday, Until: someday.Add(time.Hour)}
	gone := engineOf("a")
	gone.Workloads[0].State = spec.Gone
	stale := engineOf("b")
	stale.Stale = "the engine is away"
	for name, tt := range map[string]struct {
		after    time.Duration
		engine   *spec.Snapshot
		drained  int
		maintain int
		log      string // "" for none
	}{
		"not yet":                       {time.Hour - 1, engineOf("a", "b"), 1, 1, ""},
		"both at their time":            {time.Hour, engineOf("a"), 0, 0, `"container":"name of a","message":"drain expired"`},
		"the route too":                 {2 * time.Hour, engineOf("a"), 0, 0, `"route":"shop/web","message":"maintenance expired"`},
		"removed, remembered":           {time.Minute, gone, 0, 1, `"container":"name of a","message":"drain ended, its container was removed"`},
		"removed, forgotten":            {time.Minute, engineOf("b"), 0, 1, `"container":"a","message":"drain ended, its container was removed"`},
		"not known while engine's away": {time.Minute, stale, 1, 1, ""},
		"expired while engine's away":   {time.Hour, stale, 0, 0, `"container":"a","message":"drain expired"`},
	} {
		b, log := bookOf(t, filepath.Join(t.TempDir(), "control.json"))
		b.give(drains, "a", hour)
		b.give(maintenances, "shop/web", hour)
		before := b.current()
		got := b.end(someday.Add(tt.after), tt.engine)
		if len(got.Drained) != tt.drained || len(got.Maintenance) != tt.maintain || got != b.current() {
			t.Errorf("%s: got %+v, want %d drained and %d under maintenance", name, got, tt.drained, tt.maintain)
		}
		if same := got == before; same != (tt.log == "") {
			t.Errorf("%s: the same pointer: %v", name, same)
		}
		if tt.log == "" && log.String() != "" || !strings.Contains(log.String(), tt.log) {
			t.Errorf("%s: logged %q, want %q", name, log.String(), tt.log)
		}
		if again := b.end(someday.Add(tt.after), tt.engine); again != got {
			t.Errorf("%s: it changes again with nothing new", name)
		}
	}
}

func TestWhenTheNextOrderEnds(t *testing.T) {
	t.Parallel()
	b, _ := bookOf(t, filepath.Join(t.TempDir(), "control.json"))
	b.give(drains, "a", spec.Order{Since: someday})
	if got := b.due(); !got.IsZero() {
		t.Errorf("due at %v with an order that does not end", got)
	}
	for _, hours := range []int{3, 1, 2} {
		o := spec.Order{Since: someday, Until: someday.Add(time.Duration(hours) * time.Hour)}
		b.give(drains, string(rune('a'+hours)), o)
		b.give(maintenances, string(rune('a'+hours)), o)
	}
	if got, want := b.due(), someday.Add(time.Hour); !got.Equal(want) {
		t.Errorf("due at %v, want %v", got, want)
	}
}

// Two processes are on one directory while one replaces the other: what the old
// one forgets must not be written over what the new one was told.
func TestOnlyCommandsAreWrittenDown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "control.json")
	old, _ := bookOf(t, file)
	old.give(drains, "a", spec.Order{Since: someday, Until: someday.Add(time.Hour)})
	if err := old.save(); err != nil {
		t.Fatal(err)
	}
	successor, _ := bookOf(t, file)
	successor.give(drains, "b", spec.Order{Since: someday})
	if err := successor.save(); err != nil {
		t.Fatal(err)
	}
	old.end(someday.Add(time.Hour), engineOf("a", "b"))
	third, _ := bookOf(t, file)
	if len(third.current().Drained) != 2 {
		t.Errorf("the file has %v, want what the successor wrote", third.current().Drained)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := successor.save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a book that did not change was written again")
	}
}

func TestABookThatCannotBeSavedIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	b, _ := bookOf(t, filepath.Join(dir, "control.json"))
	b.give(drains, "a", spec.Order{Since: someday})
	if err := b.save(); err == nil {
		t.Fatal("saved into a directory that is not there")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	if again, _ := bookOf(t, filepath.Join(dir, "control.json")); len(again.current().Drained) != 1 {
		t.Errorf("got %v, want what could not be saved at first", again.current())
	}
}

func TestAnUnreadableBookIsSetAside(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", "[]", `{"drained": []}`, `{"drained": {"a": {"since": "yesterday"}}}`, "\x00"} {
		file := filepath.Join(t.TempDir(), "control.json")
		write(t, file, text)
		b := &orderBook{file: statefile.File(file), log: zerolog.Nop()}
		aside, err := b.load()
		if kept, _ := os.ReadFile(aside); err == nil || string(kept) != text {
			t.Errorf("%q: set aside %q with %q, error %v", text, aside, kept, err)
		}
		if got := b.current(); len(got.Drained)+len(got.Maintenance) != 0 {
			t.Errorf("%q: begins with %+v, want nothing", text, got)
		}
		b.give(drains, "a", spec.Order{Since: someday})
		if err := b.save(); err != nil {
			t.Errorf("%q: saved: %v", text, err)
		}
	}
}

// An order ends at its time with nothing else to wake anybody.
func TestTheWatchEndsAnOrderAtItsTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		book, log := bookOf(t, filepath.Join(dir, "control.json"))
		w := quietWatch(book)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		defer running.Wait()
		defer cancel()
		w.fromEngine(spec.Snapshot{Self: spec.Self{HostNet: true, Bridges: true}, Workloads: []*spec.Workload{{
			ID: "a", Name: "web", State: spec.Running, Exposed: []int{80}, Labels: map[string]string{"fairlead.host": "app.test"},
			Networks: []spec.Attachment{{Network: "net", Driver: "bridge", IPv4: netip.MustParseAddr("10.0.0.2")}},
		}}})
		order := spec.Order{Since: time.Now(), Until: time.Now().Add(time.Hour)}
		book.give(drains, "a", order)
		book.give(maintenances, "web", order)
		if err := w.turned(ctx); err != nil {
			t.Fatal(err)
		}
		shown := func() string {
			r := w.live.Table().View().Routes[0]
			return r.State + " " + r.Endpoints[0].State
		}
		if got := shown(); got != "maintenance drained" {
			t.Errorf("at once: %s, want maintenance drained", got)
		}
		<-time.After(time.Hour - time.Second)
		synctest.Wait()
		if got := shown(); got != "maintenance drained" {
			t.Errorf("a second before the end: %s, want maintenance drained", got)
		}
		<-time.After(time.Second)
		synctest.Wait()
		if got := shown(); got != "serving ready" {
			t.Errorf("at the end: %s, want serving ready; logged %s", got, log.String())
		}
	})
}

// An order that was over before the containers could be read waits for them: it
// does not have the watch turn in circles.
func TestAnOrderThatIsOverWaitsForTheFirstTable(t *testing.T) {
	t.Parallel()
	book, _ := bookOf(t, filepath.Join(t.TempDir(), "control.json"))
	book.give(drains, "a", spec.Order{Since: time.Now().Add(-time.Hour), Until: time.Now().Add(-time.Minute)})
	if w := quietWatch(book); w.due() != nil {
		t.Error("something is due before the first table")
	}
}

// quietWatch returns a watch whose endpoints are ready without being dialled.
func quietWatch(book *orderBook) *watch {
	w := &watch{
		parser: spec.NewParser(spec.Config{Schema: routing.Schema("fairlead"), Entries: []string{"http"}}),
		claims: &routing.Claims{}, orders: book, live: &routing.Live{}, log: zerolog.Nop(),
		wake: make(chan struct{}, 1), first: make(chan struct{}), routes: &spec.Snapshot{},
	}
	w.env = &routing.Env{
		Build: build.Build{Prefix: "fairlead", Now: time.Now, Keeper: &build.Keeper{}},
		NewPool: func(key string, _ spec.UpstreamTLS, _ *build.Build) (*upstream.Pool, error) {
			return upstream.New(upstream.Config{Key: key})
		},
	}
	return w
}

// Who waits for a turn and is cancelled does not keep it.
func TestWaitingForATurnEnds(t *testing.T) {
	t.Parallel()
	w := quietWatch(&orderBook{}) // which does not run
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.turned(ctx); err == nil {
		t.Error("turned = nil without a turn")
	}
}

// A process that takes over has read the book before commands reach it.
func TestABookIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "control.json")
	mine, _ := bookOf(t, file)
	before, _ := bookOf(t, file)
	before.give(drains, "id-1", spec.Order{Since: time.Unix(1, 0)})
	if err := before.save(); err != nil {
		t.Fatal(err)
	}
	if err := mine.loadAgain(); err != nil || len(mine.current().Drained) != 1 {
		t.Errorf("got %+v, %v; want the order that was given to the other process", mine.current(), err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mine.loadAgain(); err == nil || len(mine.current().Drained) != 1 {
		t.Errorf("got %+v, %v; want an error, and the orders as they were", mine.current(), err)
	}
}
