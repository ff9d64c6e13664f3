package routing

import (
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/spec"
)

// lenient are what apps and the frameworks below them do to a path, one step at
// a time; an app may do several, in any order.
var lenient = []func(string) string{
	unescape,
	func(p string) string { return strings.ReplaceAll(p, `\`, "/") },
	func(p string) string { return strings.ReplaceAll(p, "//", "/") },
	func(p string) string {
		segments := strings.Split(p, "/")
		for i := range segments {
			segments[i] = strings.Split(segments[i], ";")[0]
		}
		return strings.Join(segments, "/")
	},
	func(p string) string {
		segments := strings.Split(p, "/")
		for i, s := range segments {
			if strings.Trim(s, ".") != "" {
				segments[i] = strings.TrimRight(s, ".")
			}
		}
		return strings.Join(segments, "/")
	},
}

// FuzzReadings holds that a path that is let through leads to the same route
// whatever the app makes of it.
func FuzzReadings(f *testing.F) {
	for _, path := range []string{
		"/", "/admin", "/public/..%2fadmin", "/%2fadmin", "/x/..;/admin", "/%5cadmin", "/%00", "/%252561dmin", "//admin", "/api../admin", "/api%2e%2e/admin",
		"/projects/group%2Frepo", "/%61dmin;x%2fy", "/gr%c3%bcn", "/grün", "/a%", "/...;/.", "/x;/;%2f%61dmin", "/\\admin;", "/%3b/admin", "", "*", "%", "/dir", "/dir;", "/%64ir",
	} {
		f.Add(path)
	}
	w := newWorld(f)
	w.read("root root@shop\n\thost: app.ex\nadmin admin@shop\n\thost: app.ex\n\tpath: /admin\napi api@shop\n\thost: app.ex\n\tpath: /api, /dir/\n" +
		"exact exact@shop\n\thost: app.ex\n\tpath: =/grün\nre re@shop\n\thost: other.ex\n\tpath: ~/adm.*\n")
	table := w.turn()
	f.Fuzz(func(t *testing.T, path string) {
		for _, host := range []string{"app.ex", "other.ex"} {
			got := table.Match(&Query{Host: host, Path: path}, nil)
			if got.TwoReadings {
				continue
			}
			for _, form := range readAs(path) {
				if got.route == nil && form == path {
					continue
				}
				if res := table.match(&Query{Host: host, Path: form}, nil); res.route != got.route {
					t.Fatalf("%s%q is let through to %q, and may be read as %q, which is %q's", host, path, got.id(), form, res.id())
				}
			}
		}
	})
}

// readAs returns what apps may make of path with up to two decodings, as the
// patterns spell it.
func readAs(path string) (forms []string) {
	type reading struct {
		path    string
		decoded int
	}
	all := []reading{{path: path}}
	for i := 0; i < len(all) && len(all) < 500; i++ {
		for how, change := range lenient {
			next := reading{change(all[i].path), all[i].decoded}
			if how == 0 {
				next.decoded++
			}
			if next.decoded <= decodings && !slices.ContainsFunc(all, func(r reading) bool { return r.path == next.path && r.decoded <= next.decoded }) {
				all = append(all, next)
			}
		}
	}
	for _, r := range all {
		forms = append(forms, canonical(r.path))
	}
	return forms
}

// FuzzTLSPolicy holds that a handshake gets the policy of the host whose route
// the request behind it gets, and that nothing else has one.
func FuzzTLSPolicy(f *testing.F) {
	for _, host := range []string{"app.ex", "a.wild.ex", "x.y.wild.ex", "", ".", "wild.ex", "~app.ex", "reg1.ex", "held.ex"} {
		f.Add(host)
	}
	w := newWorld(f)
	w.claims.put("held.ex", claim{Owner: "away", Since: w.now, Gone: w.now})
	w.read("app web@app\n\thost: app.ex\nwild web@wild\n\thost: *.wild.ex, *.ex/x\nre web@re\n\thost: ~reg[0-9]\\.ex\nanother web@re2\n\thost: ~r.*\\.ex\n")
	sp := w.parser.Parse(w.snapshot())
	for _, u := range sp.Units {
		for _, r := range u.Routes {
			r.TLS = spec.TLSPolicy{ClientCA: r.Owner}
		}
	}
	table := Compile(nil, sp, w.claims, w.env, w.now)
	f.Fuzz(func(t *testing.T, host string) {
		policy, known := table.TLSPolicy(host)
		for _, path := range []string{"/", "/x", "/y"} {
			got := table.Match(&Query{Host: host, Path: path}, nil)
			if got.route != nil && (!known || got.route.spec.TLS != policy) {
				t.Fatalf("%q%s goes to %s with the policy %v (known: %v)", host, path, got.id(), policy, known)
			}
		}
	})
}
