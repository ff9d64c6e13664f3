package dockertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is done to the model in the steps of a recording, with "a" for the
// recording's container.
var scripts = map[string]func(e *Engine){
	"start-stop": func(e *Engine) {
		a := e.Run(Container{Name: "a", Labels: map[string]string{"fairlead.host": "a.example.com"}})
		e.Stop(a)
		e.Start(a)
		e.Restart(a)
		e.Remove(a)
	},
	"pause": func(e *Engine) {
		a := e.Run(Container{Name: "a"})
		e.Pause(a)
		e.Unpause(a)
		e.Pause(a)
		e.Remove(a)
	},
	"rename": func(e *Engine) {
		a := e.Run(Container{Name: "a"})
		e.Rename(a, "b")
		e.Remove(a)
	},
	"networks": func(e *Engine) {
		e.AddNetwork(Network{Name: "n"})
		a := e.Run(Container{Name: "a"})
		e.Connect(a, "n")
		e.Disconnect(a, "bridge")
		e.Disconnect(a, "n")
		e.Connect(a, "n")
		b := e.Create(Container{Name: "b", Networks: []string{"n"}})
		e.Disconnect(b, "n")
		e.Connect(b, "n")
		e.Start(b)
		e.Remove(b)
		e.Remove(a)
	},
	"ignored-stop": func(e *Engine) {
		a := e.Run(Container{Name: "a"})
		e.Kill(a, 15)
		e.Kill(a, 15)
		e.Kill(a, 9)
		e.Die(a, 137)
		e.Stopped(a)
		e.Remove(a)
	},
	"crash-loop": func(e *Engine) {
		a := e.Run(Container{Name: "a", Restart: "on-failure"})
		for range 3 {
			e.Die(a, 3)
			e.Start(a)
		}
		e.Die(a, 3)
		e.Remove(a)
	},
}

// The model's events are those of a real engine, in its order and with its
// attributes.
func TestModelSendsTheEventsOfARealEngine(t *testing.T) {
	for name, do := range scripts {
		t.Run(name, func(t *testing.T) {
			entries, err := Recording(name)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, entry := range entries {
				if entry.Event != nil {
					want = append(want, words(t, entry.Event))
				}
			}
			e := New(t)
			do(e)
			var got []string
			for i := range e.history {
				m := &e.history[i]
				if m.Type == "network" && m.Attributes["container"] == "" {
					continue // recordings hold events of containers only
				}
				got = append(got, words(t, m.line()))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
}

// words are what of an event does not depend on when and where.
func words(t *testing.T, b []byte) string {
	t.Helper()
	var m struct {
		Type, Action string
		Actor        struct {
			ID         string
			Attributes map[string]string
		}
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	s := m.Type + " " + m.Action
	for _, k := range slices.Sorted(maps.Keys(m.Actor.Attributes)) {
		v := m.Actor.Attributes[k]
		switch {
		case k == "signal" || k == "exitCode" && (v == "137" || v == "3") || strings.HasPrefix(k, "fairlead."):
			s += " " + k + "=" + v
		default:
			s += " " + k
		}
	}
	return s
}

func TestAddressesAreHandedOn(t *testing.T) {
	e := New(t)
	a, b := e.Run(Container{Name: "a"}), e.Run(Container{Name: "b"})
	first := e.Addr(a, "bridge")
	e.Stop(a)
	if got := e.Addr(a, "bridge"); got.IsValid() {
		t.Errorf("a stopped container has %s", got)
	}
	c := e.Run(Container{Name: "c"})
	if got := e.Addr(c, "bridge"); got != first || e.Addr(b, "bridge") != first.Next() {
		t.Errorf("the next start got %s, want %s", got, first)
	}
}

func get(t *testing.T, e *Engine, method, path string) (int, string) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", e.Socket())
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://engine"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestFaults(t *testing.T) {
	e := New(t)
	id := e.Run(Container{Name: "web"})
	for _, tt := range []struct {
		name         string
		prepare      func()
		method, path string
		status       int
		body         string
	}{
		{"ping", func() {}, "GET", "/_ping", 200, "OK"},
		{"list", func() {}, "GET", "/v1.41/containers/json?all=1", 200, `"/web"`},
		{"inspect by name", func() {}, "GET", "/v1.41/containers/web/json", 200, id},
		{"inspect of nothing", func() {}, "GET", "/v1.41/containers/none/json", 404, "No such container"},
		{"too new", func() {}, "GET", "/v1.44/info", 400, "too new"},
		{"too old", func() {}, "GET", "/v1.11/info", 400, "too old"},
		{"unknown", func() {}, "GET", "/v1.41/secrets", 404, "page not found"},
		{"told to fail", func() { e.Fail(List, 503) }, "GET", "/v1.41/containers/json", 503, "told to fail"},
		{"told to fail for another", func() { e.FailFor(Inspect, "another", 500) }, "GET", "/v1.41/containers/" + id + "/json", 200, id},
		{"healed", func() { e.Fail(List, 0) }, "GET", "/v1.41/containers/json", 200, id},
		{"GET only", e.GetOnly, "HEAD", "/_ping", 403, ""},
		{"down", e.Down, "GET", "/_ping", 0, "connect"},
		{"up again", func() {
			if err := e.Up(); err != nil {
				t.Fatal(err)
			}
		}, "GET", "/v1.41/containers/json", 200, id},
	} {
		tt.prepare()
		if status, body := get(t, e, tt.method, tt.path); status != tt.status || !strings.Contains(body, tt.body) {
			t.Errorf("%s: got %d %q, want %d with %q", tt.name, status, body, tt.status, tt.body)
		}
	}
	if got, want := fmt.Sprint(e.Calls()[Call{"GET", List}], e.Count(Ping)), "4 2"; got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
}

func TestRecordingsAreComplete(t *testing.T) {
	for _, name := range Recordings() {
		entries, err := Recording(name)
		if err != nil {
			t.Fatal(err)
		}
		events := 0
		for _, e := range entries {
			if e.Event != nil {
				events++
			}
		}
		if len(entries) == 0 || entries[0].State == nil || entries[0].State.Networks == nil || events == 0 {
			t.Errorf("%s has no first state, no networks or no event", name)
		}
	}
}
