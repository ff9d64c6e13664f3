package spec

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/label"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// app is a running container of its own with a host.
func app(i int) *Workload {
	name := fmt.Sprintf("app%05d", i)
	return &Workload{
		ID: fmt.Sprintf("%064d", i), Name: name, Project: "project-" + name, Service: "web", Created: epoch, StartedAt: epoch, State: Running, Exposed: []int{8080},
		Networks: []Attachment{{Network: "net", Driver: "bridge", IPv4: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}},
		Labels: map[string]string{
			"fairlead.host": name + ".example.com", "fairlead.timeout.idle": "90s", "fairlead.header.response.X-A": "1",
			"com.docker.compose.project": "project-" + name, "com.docker.compose.service": "web",
		},
	}
}

func apps(n int) Snapshot {
	snap := Snapshot{Self: hostSelf()}
	for i := range n {
		snap.Workloads = append(snap.Workloads, app(i))
	}
	return snap
}

// randomSnapshot makes containers of few projects and services, whose labels
// depend on the service alone: one generation each, so that nothing of what a
// Parser remembers shows.
func randomSnapshot(r *rand.Rand, old Snapshot) Snapshot {
	values := []string{"a.ex", "b.ex, *.c.ex", "", "x:80", "/api", "off", "true", "80", "~^a", "lan", "5s", "internal", "file:/a.pem", "serve", "/site", "/static/:/site, /:/app", "archive", "10%"}
	keys := []string{"host", "path", "port", "allow", "alow", "enable", "timeout.idle", "route.api.path", "route.api.host", "redirect-from", "url", "pool", "network", "respond", "share", "tls", "tls.client-ca", "route.api.tls", "http", "static", "root", "static.source", "route.api.static", "strip", "canary"}
	snap := Snapshot{Self: hostSelf()}
	if r.IntN(4) == 0 {
		snap.Self.Mounts = mounts("volume=v:/srv/v")
	}
	if r.IntN(4) == 0 {
		snap.Self = Self{ID: "self", Name: "proxy", Networks: []string{"elsewhere"}, Gateways: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 1})}}
	}
	for i := range 30 {
		project, service := i%5, i%3
		if r.IntN(3) == 0 {
			continue
		}
		seeded := rand.New(rand.NewPCG(uint64(project), uint64(service)))
		labels := map[string]string{}
		for range seeded.IntN(8) {
			labels["fairlead."+keys[seeded.IntN(len(keys))]] = values[seeded.IntN(len(values))]
		}
		w := app(i)
		w.Labels, w.State = labels, State(r.IntN(len(stateNames)))
		w.Service = fmt.Sprint("s", service)
		if r.IntN(3) == 0 {
			w.Mounts = mounts("volume=v:/app", "bind=/srv:/site/x")
		}
		if w.Project = fmt.Sprint("p", project); project == 0 {
			w.Project, w.Source = "", Source(service%3)
		}
		for _, o := range old.Workloads {
			if reflect.DeepEqual(o, w) {
				w = o // as discovery does it
			}
		}
		snap.Workloads = append(snap.Workloads, w)
	}
	slices.SortFunc(snap.Workloads, func(a, b *Workload) int { return strings.Compare(a.ID, b.ID) })
	if snap.Control = old.Control; r.IntN(3) > 0 {
		snap.Control = randomControl(r)
	}
	return snap
}

// randomControl orders something of randomSnapshot's containers and routes, there
// or not; nil for nothing.
func randomControl(r *rand.Rand) *Control {
	c := &Control{Drained: map[string]Order{}, Maintenance: map[string]Order{}}
	for range r.IntN(4) {
		o := Order{Since: epoch}
		if r.IntN(2) == 0 {
			o.Until = epoch.Add(time.Duration(1+r.IntN(2)) * time.Hour)
		}
		c.Drained[app(r.IntN(30)).ID] = o
		c.Maintenance[fmt.Sprintf("p%d/s%d%s", r.IntN(5), r.IntN(3), []string{"", ".api"}[r.IntN(2)])] = o
	}
	if len(c.Drained) == 0 {
		return nil
	}
	return c
}

// TestParserForgetsWhatWasBefore: after any snapshots the last one alone counts,
// and what did not change keeps its pointer.
func TestParserForgetsWhatWasBefore(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := NewParser(testConfig())
		var snap Snapshot
		var before Spec
		for range 12 {
			if r.IntN(5) > 0 {
				snap = randomSnapshot(r, snap)
			}
			got := p.Parse(snap)
			want := NewParser(testConfig()).Parse(snap)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: got\n%s\nwant, as from a new parser,\n%s", seed, show(got), show(want))
			}
			for _, u := range got.Units {
				for _, o := range before.Units {
					if o.Owner == u.Owner && o != u && reflect.DeepEqual(o, u) {
						t.Fatalf("seed %d: unit %s did not change and has another pointer", seed, u.Owner)
					}
				}
			}
			before = got
		}
	}
}

func TestParserForgetsContainersThatLeft(t *testing.T) {
	p := NewParser(testConfig())
	snap := apps(50)
	p.Parse(snap)
	for _, w := range snap.Workloads {
		p.Ready(w.ID, w.StartedAt)
	}
	p.Ready("never-seen", epoch)
	p.Ready("", epoch)
	if len(p.ready) != 50 {
		t.Errorf("got %d containers noted as ready, want the 50 that are there", len(p.ready))
	}
	p.Parse(Snapshot{Self: Self{ID: "moved at the same time"}})
	if n := len(p.ready) + len(p.members) + len(p.holds) + len(p.units) + len(p.dirty); n != 0 {
		t.Errorf("got %d things kept of containers that left: %+v", n, p)
	}
}

func TestOnlyTheOwnerOfAChangeIsReadAgain(t *testing.T) {
	p := NewParser(testConfig())
	snap := apps(20)
	before := p.Parse(snap)
	next := Snapshot{Self: snap.Self, Workloads: slices.Clone(snap.Workloads)}
	changed := *snap.Workloads[7]
	changed.State = Draining
	next.Workloads[7] = &changed
	after := p.Parse(next)
	for i := range before.Units {
		if same := before.Units[i] == after.Units[i]; same != (i != 7) {
			t.Errorf("unit %d: got the same pointer %v, want %v", i, same, i != 7)
		}
	}
	if before.Units[7].Pools[0].Endpoints[0].State != Running {
		t.Error("the unit handed out before was changed")
	}
}

func TestGatewaysOfTheHostDoNotHaveEverythingReadAgain(t *testing.T) {
	p := NewParser(testConfig())
	snap := apps(3)
	before := p.Parse(snap)
	snap.Self.Gateways = []netip.Addr{netip.AddrFrom4([4]byte{172, 18, 0, 1})}
	kept := p.members["project-app00001"][snap.Workloads[1].ID]
	if after := p.Parse(snap); !slices.Equal(before.Units, after.Units) || p.members["project-app00001"][snap.Workloads[1].ID] != kept {
		t.Error("containers were read again because a bridge came or went")
	}
}

// What lies on a mount that nobody has told of yet must not be taken for content
// of the image, and copied.
func TestFilesWaitUntilMountsAreKnown(t *testing.T) {
	snap := apps(1)
	snap.Workloads[0].Labels["fairlead.static"] = "/media/:/media"
	for _, tt := range []struct {
		unknown bool
		want    AreaKind
	}{{true, Unshared}, {false, Archived}} {
		snap.Workloads[0].MountsUnknown = tt.unknown
		u := NewParser(testConfig()).Parse(snap).Units[0]
		f := u.Routes[1].Files
		if f.Areas[0].Kind != tt.want || tt.unknown && len(f.Runs) > 0 || len(u.Problems) > 0 {
			t.Errorf("unknown %v: got %+v and %v, want %s and no problem", tt.unknown, f, u.Problems, tt.want)
		}
	}
}

func TestMountsOfTheProxyDecideWhereFilesAreRead(t *testing.T) {
	p := NewParser(testConfig())
	snap := apps(3)
	snap.Workloads[1].Mounts = mounts("volume=v:/media")
	snap.Workloads[1].Labels["fairlead.static"] = "/media/:/media"
	before := p.Parse(snap)
	snap.Self.Mounts = mounts("volume=v:/srv/v")
	after := p.Parse(snap)
	for i, u := range after.Units {
		if same := u == before.Units[i]; same != (i != 1) {
			t.Errorf("unit %d: got the same pointer %v, want %v", i, same, i != 1)
		}
	}
	if a := after.Units[1].Routes[1].Files.Areas[0]; a.Kind != Live || a.Path() != "/srv/v" {
		t.Errorf("got %+v, want it live at /srv/v", a)
	}
	kept := p.members["project-app00001"][snap.Workloads[1].ID]
	snap.Self.Mounts = mounts("volume=v:/srv/v")
	if p.Parse(snap); p.members["project-app00001"][snap.Workloads[1].ID] != kept {
		t.Error("containers were read again though the mounts are the same")
	}
}

// TestReadyIsOfOneRun: what is heard late of an earlier run says nothing of the
// files of this one, and takes nothing back.
func TestReadyIsOfOneRun(t *testing.T) {
	p := NewParser(testConfig())
	snap := apps(1)
	snap.Workloads[0].Labels["fairlead.root"] = "/site"
	p.Parse(snap)
	for _, step := range []struct {
		started time.Time
		want    bool
	}{{epoch.Add(-time.Minute), false}, {epoch, true}, {epoch.Add(-time.Minute), true}, {epoch, true}} {
		p.Ready(snap.Workloads[0].ID, step.started)
		if got := p.Parse(snap).Units[0].Routes[0].Files.Runs[0].Ready; got != step.want {
			t.Errorf("after ready in the run of %s: got %v, want %v", step.started, got, step.want)
		}
	}
	next := *snap.Workloads[0]
	next.StartedAt = epoch.Add(time.Minute)
	p.Ready(next.ID, next.StartedAt) // it may be heard before the run is seen
	if p.Parse(snap).Units[0].Routes[0].Files.Runs[0].Ready {
		t.Error("got the run before the one that is ready counted as ready")
	}
	if r := p.Parse(Snapshot{Self: snap.Self, Workloads: []*Workload{&next}}).Units[0].Routes[0].Files.Runs[0]; !r.Ready || !r.StartedAt.Equal(next.StartedAt) {
		t.Errorf("got %+v, want the new run ready", r)
	}
}

func TestItemsTimesHostsAreBounded(t *testing.T) {
	var hosts, items []string
	for i := range 40 {
		hosts = append(hosts, fmt.Sprintf("h%d.ex", i))
		items = append(items, fmt.Sprintf("/p%d/:/p%d", i, i))
	}
	for _, tt := range []struct{ hosts, items, routes int }{{40, 25, 26}, {40, 26, 1}, {1, 32, 33}, {1, 33, 1}} {
		w := app(1)
		w.Labels = map[string]string{"fairlead.host": strings.Join(hosts[:tt.hosts], ","), "fairlead.static": strings.Join(items[:tt.items], ",")}
		u := NewParser(testConfig()).Parse(Snapshot{Self: hostSelf(), Workloads: []*Workload{w}}).Units[0]
		bad := slices.ContainsFunc(u.Problems, func(q Problem) bool { return q.Code == "out-of-range" && q.Effect == label.Ignored })
		if len(u.Routes) != tt.routes || bad != (tt.routes == 1) || u.Routes[0].Refused != nil {
			t.Errorf("%d hosts, %d items: got %d routes and %v, want %d routes", tt.hosts, tt.items, len(u.Routes), u.Problems, tt.routes)
		}
	}
}

func TestOrderOfLabelsDoesNotMatter(t *testing.T) {
	labels := map[string]string{}
	for i := range 12 {
		labels[fmt.Sprintf("fairlead.route.r%d.host", i)] = fmt.Sprintf("r%d.ex, x:80", i)
		labels[fmt.Sprintf("fairlead.route.r%d.alow", i)] = "x"
		labels[fmt.Sprintf("Fairlead.route.r%d.path", i)] = "/"
		labels[fmt.Sprintf("fairlead.unknown%d", i)] = "x"
	}
	want := ""
	for range 30 {
		w := app(1)
		w.Labels = maps.Clone(labels)
		got := show(NewParser(testConfig()).Parse(Snapshot{Self: hostSelf(), Workloads: []*Workload{w}}))
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("got\n%s\nthen\n%s", want, got)
		}
	}
}

func TestProblemsOfOneContainerAreBounded(t *testing.T) {
	w := app(1)
	for i := range 20 {
		w.Labels[fmt.Sprintf("fairlead.route.r%d.path", i)] = "bad"
	}
	for i := range 150 {
		w.Labels[fmt.Sprintf("fairlead.zzzzz%d", i)] = "x"
	}
	problems := NewParser(testConfig()).Parse(Snapshot{Self: hostSelf(), Workloads: []*Workload{w}}).Problems()
	refused := 0
	for _, q := range problems {
		if q.Effect == label.Refused {
			refused++
		}
	}
	if len(problems) != maxProblems || refused != 20 {
		t.Errorf("got %d problems, %d of them refusals, want %d and 20", len(problems), refused, maxProblems)
	}
	if !slices.ContainsFunc(problems, func(q Problem) bool { return q.Code == "more-problems" }) {
		t.Error("it is not told that there are more")
	}
}

func TestHostsTimesPathsAreBounded(t *testing.T) {
	var hosts, paths []string
	for i := range 900 {
		hosts, paths = append(hosts, fmt.Sprintf("h%d.ex", i)), append(paths, fmt.Sprintf("/p%d", i))
	}
	w := app(1)
	w.Labels = map[string]string{"fairlead.host": strings.Join(hosts, ","), "fairlead.path": strings.Join(paths, ",")}
	r := NewParser(testConfig()).Parse(Snapshot{Self: hostSelf(), Workloads: []*Workload{w}}).Units[0].Routes[0]
	if len(r.Matches) != 900 || r.Refused == nil || r.Refused.Code != "out-of-range" {
		t.Errorf("got %d matches, refused by %v, want the 900 hosts answering 503", len(r.Matches), r.Refused)
	}
}

// TestLabelsReachNoOtherAddress: whatever a container's labels say, its
// endpoints are its own addresses (docs/threats.md 37).
func TestLabelsReachNoOtherAddress(t *testing.T) {
	for _, labels := range []map[string]string{
		{"url": "http://169.254.169.254"}, {"url": "http://127.0.0.1:2375", "route.x.path": "/x", "route.x.url": "unix:/var/run/docker.sock"},
		{"network": "host"}, {"network": "169.254.169.254"}, {"pool": "@other"}, {"pool": "../other"}, {"port": "2375"}, {"host-header": "127.0.0.1"},
		{"url": "http://10.9.9.9", "respond": "200 ok"}, {"socket": "/var/run/docker.sock"},
	} {
		w := app(1)
		w.Labels = map[string]string{"fairlead.host": "a.ex"}
		for key, text := range labels {
			w.Labels["fairlead."+key] = text
		}
		for _, u := range NewParser(testConfig()).Parse(Snapshot{Self: hostSelf(), Workloads: []*Workload{w}}).Units {
			for _, p := range u.Pools {
				for _, e := range p.Endpoints {
					if e.Addr.IsValid() && e.Addr.Addr() != w.Networks[0].IPv4 || e.Host != "" || e.Socket != "" || e.ID != w.ID {
						t.Errorf("%v: got endpoint %+v, want %v only", labels, e, w.Networks[0].IPv4)
					}
				}
			}
		}
	}
}

func TestSpecIsPlainData(t *testing.T) {
	a, b := NewParser(testConfig()).Parse(apps(5)), NewParser(testConfig()).Parse(apps(5))
	if !reflect.DeepEqual(a, b) {
		t.Error("two readings of the same differ")
	}
}

// BenchmarkParseOneChange is what one event costs among 10,000 containers.
func BenchmarkParseOneChange(b *testing.B) {
	p := NewParser(testConfig())
	snap := apps(10_000)
	p.Parse(snap)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w := *snap.Workloads[i%10_000]
		w.StartedAt = w.StartedAt.Add(time.Second)
		next := Snapshot{Self: snap.Self, Workloads: slices.Clone(snap.Workloads)}
		next.Workloads[i%10_000] = &w
		if s := p.Parse(next); len(s.Units) != 10_000 {
			b.Fatal(len(s.Units))
		}
		snap = next
	}
}

func BenchmarkParse10000(b *testing.B) {
	snap := apps(10_000)
	for b.Loop() {
		if s := NewParser(testConfig()).Parse(snap); len(s.Units) != 10_000 {
			b.Fatal(len(s.Units))
		}
	}
	b.StopTimer()
	before, after := runtime.MemStats{}, runtime.MemStats{}
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := NewParser(testConfig())
	p.Parse(snap)
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10_000, "B/container")
	runtime.KeepAlive(p)
}
