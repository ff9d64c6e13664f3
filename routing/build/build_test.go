package build

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/spec"
)

type state struct{ closed int }

func (s *state) Close() error { s.closed++; return nil }

func builds(k *Keeper, routes ...*spec.Route) (all []*Build) {
	for _, r := range routes {
		all = append(all, &Build{Kind: "kind", Route: r, Keeper: k})
	}
	return all
}

func TestKeepSharesByKindScopeAndKey(t *testing.T) {
	shop := &spec.Route{ID: "web", Owner: "shop", Pool: "shop/web:80", Matches: []spec.HostPath{{Host: spec.Host{Text: "a.ex"}}}}
	same := &spec.Route{ID: "web", Owner: "blog", Pool: "shop/web:80", Matches: []spec.HostPath{{Host: spec.Host{Text: "a.ex"}}}}
	bare, bare2 := &spec.Route{ID: "x", Owner: "shop"}, &spec.Route{ID: "y", Owner: "shop"}
	tests := []struct {
		name   string
		a, b   *spec.Route
		scope  Scope
		shared bool
	}{
		{"a route with itself", shop, shop, Route, true},
		{"routes of two owners with one id", shop, same, Route, false},
		{"routes to one pool", shop, same, Pool, true},
		{"routes without a pool", bare, bare2, Pool, false},
		{"routes of one host", shop, same, Host, true},
		{"routes without a host", bare, bare2, Host, false},
		{"the whole process", shop, bare, Global, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &Keeper{}
			b := builds(k, tt.a, tt.b)
			fresh := func() *state { return &state{} }
			one, two := Keep(b[0], tt.scope, "", fresh), Keep(b[1], tt.scope, "", fresh)
			if (one == two) != tt.shared {
				t.Errorf("shared: %v, want %v", one == two, tt.shared)
			}
			if other := Keep(b[0], tt.scope, "other", fresh); other == one {
				t.Error("another key has the same state")
			}
			b[0].Kind = "another"
			if other := Keep(b[0], tt.scope, "", fresh); other == one {
				t.Error("another kind has the same state")
			}
			b[0].Release()
			if closed := one.closed == 1; closed == tt.shared {
				t.Errorf("closed after the first release: %v, want %v", closed, !tt.shared)
			}
			b[0].Release()
			b[1].Release()
			if one.closed != 1 || two.closed != 1 || k.Len() != 0 {
				t.Errorf("closed %d and %d times, %d are kept; want once each, none", one.closed, two.closed, k.Len())
			}
		})
	}
}

func TestWhatCannotBeMadeIsNotKept(t *testing.T) {
	k := &Keeper{}
	b := builds(k, &spec.Route{ID: "web"})[0]
	if _, err := TryKeep(b, Route, "", func() (*state, error) { return nil, errors.New("no") }); err == nil || k.Len() != 0 {
		t.Fatalf("error %v, %d kept; want an error, and none", err, k.Len())
	}
	s, err := TryKeep(b, Route, "", func() (*state, error) {
		return Keep(b, Global, "inner", func() *state { return &state{} }), nil // may keep something itself
	})
	if err != nil || k.Len() != 2 {
		t.Fatalf("error %v, %d kept; want 2", err, k.Len())
	}
	if b.Release(); s.closed == 0 || k.Len() != 0 {
		t.Errorf("closed %d times, %d kept; want none kept", s.closed, k.Len())
	}
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for name, text := range map[string]string{filepath.Join(dir, "token"): "s3cret", outside: "no", filepath.Join(dir, "large"): strings.Repeat("x", maxSecret+1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FAIRLEAD_SECRET_X", "from env")
	t.Setenv("OTHER", "no")
	b := &Build{SecretsDir: dir}
	for ref, want := range map[string]string{
		"file:" + dir + "/token": "s3cret", dir + "/token": "s3cret", "env:FAIRLEAD_SECRET_X": "from env",
		"file:" + outside: "", "file:" + dir + "/../" + filepath.Base(outside): "", "file:" + dir + "/link": "", "file:" + dir + "/large": "", "file:" + dir + "/pipe": "",
		"file:" + dir: "", "file:/etc/passwd": "", "file:token": "", "env:OTHER": "", "env:FAIRLEAD_SECRET_NONE": "", "": "",
	} {
		got, err := b.Secret(ref)
		if want == "" && err == nil || want != "" && string(got) != want {
			t.Errorf("%s: %.20q, error %v; want %q", ref, got, err, want)
		}
	}
}
