package discovery

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/internal/logtest"
	"github.com/fairlead/fairlead/spec"
)

func TestParseRoutes(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"flat", "pve: {host: pve.ex, url: https://192.168.1.10:8006, upstream-tls.verify: false}", "pve[f.host=pve.ex f.upstream-tls.verify=false f.url=https://192.168.1.10:8006]"},
		{"as written", "a: {x: off, y: 0600, z: 1e3, q: 'on', v: 1.10}", "a[f.q=on f.v=1.10 f.x=off f.y=0600 f.z=1e3]"},
		{"null", "a: {x: ~, y: null, z: , w: ''}", "a[f.w= f.x= f.y= f.z=]"},
		{"list", "a: {host: [a.ex, b.ex], deny: [10.0.0.0/8]}", "a[f.deny=10.0.0.0/8 f.host=a.ex,b.ex]"},
		{"nested", "a: {auth: {basic: x, forward.url: y}}", "a[f.auth.basic=x f.auth.forward.url=y]"},
		{"mixed", "a: {auth.basic: x, auth: {realm: y}}", "a[f.auth.basic=x f.auth.realm=y]"},
		{"multi-line", "a:\n  rewrite: |\n    a -> b\n    c -> d\n", "a[f.rewrite=a -> b\nc -> d\n]"},
		{"alias", "a: &x {host: a.ex}\nb: *x", "a[f.host=a.ex] b[f.host=a.ex]"},
		{"sorted", "b: {}\na: {}", "a[] b[]"},
		{"empty", "", ""},
		{"only a comment", "# nothing yet\n", ""},
		{"null document", "~", ""},
	} {
		ws, err := parseRoutes("r.yaml", []byte(tt.in), "f")
		var got []string
		for _, w := range ws {
			var labels []string
			for _, k := range slices.Sorted(maps.Keys(w.Labels)) {
				labels = append(labels, k+"="+w.Labels[k])
			}
			got = append(got, w.Name+fmt.Sprint(labels))
			if w.ID != "routes:"+w.Name || w.Source != spec.FromRoutes || w.State != spec.Running {
				t.Errorf("%s: got %+v", tt.name, w)
			}
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, strings.Join(got, " "), err, tt.want)
		}
	}
}

func TestParseRoutesRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"duplicate route", "a: {x: 1}\nb: {}\na: {}", `r.yaml:3: "a" is already in line 1`},
		{"duplicate key", "a:\n  x: 1\n  x: 2", `r.yaml:3: "x" is already in line 2`},
		{"duplicate through nesting", "a:\n  x.y: 1\n  x: {y: 2}", `r.yaml:3: "y" is already in line 2`},
		{"list of routes", "- a\n- b", "r.yaml:1: want a map of route names"},
		{"route is text", "a: {}\nb: text", `r.yaml:2: route "b": want a map`},
		{"route is null", "b:", `r.yaml:1: route "b": want a map`},
		{"list of maps", "a:\n  x:\n    - {y: 1}", "r.yaml:3: want a list of plain values"},
		{"merge", "a: &x {h: 1}\nb:\n  <<: *x", "r.yaml:3: merge keys"},
		{"two documents", "a: {}\n---\nb: {}", "second document"},
		{"bad yaml", "a: {x: 1\nb: {", "r.yaml:"},
		{"key is a list", "a: {[x]: 1}", "r.yaml:1: want a name"},
	} {
		_, err := parseRoutes("r.yaml", []byte(tt.in), "f")
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", tt.name, err, tt.want)
		}
	}
}

func TestParseRoutesIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("r0: {x: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1}}\n")
	b.WriteString("bomb: &l0 {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1}\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "l%d: &l%d {", i, i)
		for j := range 10 {
			fmt.Fprintf(&b, "k%d: *l%d,", j, i-1)
		}
		b.WriteString("}\n")
	}
	if _, err := parseRoutes("r.yaml", []byte(b.String()), "f"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestRoutesFileFollowsTheFile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(t *testing.T, path, text string)
	}{
		{"written", func(t *testing.T, path, text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"renamed into place", func(t *testing.T, path, text string) {
			if err := os.WriteFile(path+".tmp", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".tmp", path); err != nil {
				t.Fatal(err)
			}
		}},
		{"a symlink that is swapped", func(t *testing.T, path, text string) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(dir, "f"), path+".lnk"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".lnk", path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "routes.yaml")
			tt.write(t, path, "a: {host: a.ex}\nb: {host: b.ex}")
			w, f := runFile(t, path)
			first := w.first()
			tt.write(t, path, "a: {host: a.ex}\nb: {host: c.ex}")
			s := w.until("the change", func(s spec.Snapshot) bool { return find(s, "b").Labels["fairlead.host"] == "c.ex" })
			if find(s, "a") != find(first, "a") {
				t.Error("an unchanged route has another pointer")
			}
			tt.write(t, path, "a: {host: a.ex}\na: {}")
			s = w.until("the error", stale)
			if len(s.Workloads) != 2 || !strings.Contains(s.Stale, "routes.yaml:2:") || !strings.Contains(f.Status().Error, "routes.yaml:2:") {
				t.Errorf("got %s and %+v, want the last good routes and the line", dump(s), f.Status())
			}
			if !strings.Contains(w.logs.String(), "routes.yaml:2:") {
				t.Errorf("the log does not name the line:\n%s", w.logs)
			}
			tt.write(t, path, "c: {host: a.ex}")
			w.until("the repair", func(s spec.Snapshot) bool { return fresh(s) && find(s, "c") != nil })
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if s := w.until("the error", stale); find(s, "c") == nil {
				t.Errorf("a removed file took its routes away: %s", dump(s))
			}
			tt.write(t, path, "c: {host: a.ex}")
			w.until("the repair", fresh)
		})
	}
}

func TestRoutesFileThatIsMissingAtTheStart(t *testing.T) {
	f := &RoutesFile{Path: filepath.Join(t.TempDir(), "routes.yaml")}
	err := f.Run(t.Context(), func(spec.Snapshot) { t.Error("published") })
	if err == nil || !strings.Contains(err.Error(), f.Path+" does not exist") {
		t.Errorf("Run = %v, want an error that names the file", err)
	}
}

func runFile(t *testing.T, path string) (*watch, *RoutesFile) {
	t.Helper()
	w := &watch{t: t, logs: &logtest.Buffer{}, changed: make(chan struct{})}
	f := &RoutesFile{Path: path, Log: zerolog.New(w.logs), Quiet: 10 * time.Millisecond}
	return w, w.follow(f)
}

// follow runs f until the test ends.
func (w *watch) follow(f *RoutesFile) *RoutesFile {
	t := w.t
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx, w.publish) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil when its context ends", err)
		}
	})
	return f
}

func TestRoutesFileIsReadAgainWhenTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routes.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a: {host: a.ex}")
	w := &watch{t: t, logs: &logtest.Buffer{}, changed: make(chan struct{})}
	again := make(chan struct{})
	w.follow(&RoutesFile{Path: path, Log: zerolog.New(w.logs), Quiet: time.Hour, Poll: time.Hour, Again: again})
	w.first()
	write("b: {host: a.ex}")
	again <- struct{}{}
	w.until("the change", func(s spec.Snapshot) bool { return find(s, "b") != nil })
}
