package discovery

import (
	"bytes"
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types/events"
	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/internal/dockertest"
	"github.com/fairlead/fairlead/spec"
)

// newLoop is a loop without an engine, for what needs none.
func newLoop(c *Config) *loop {
	l := &loop{
		cfg: c, timing: c.Timing.withDefaults(spec.Remember), log: zerolog.Nop(), clock: new(atomic.Uint64), status: &status{},
		index: newIndex(), networks: map[string]netInfo{}, moved: true,
		dirty: map[string]bool{}, queued: map[string]bool{}, inflight: map[string]bool{},
		publish: func(spec.Snapshot) {}, listed: true,
	}
	return l
}

// Whatever an engine, or what calls itself one, sends: nothing panics, nothing
// is asked, and a snapshot is consistent.
func FuzzEvents(f *testing.F) {
	for _, name := range []string{"signals", "compose", "networks"} {
		entries, err := dockertest.Recording(name)
		if err != nil {
			f.Fatal(err)
		}
		var all []byte
		for _, e := range entries {
			if e.Event != nil && len(all) < 8<<10 {
				all = append(append(all, e.Event...), '\n')
			}
		}
		f.Add(all)
	}
	f.Add([]byte(`{"Type":"container","Action":"kill","Actor":{"ID":"a","Attributes":{"signal":"TERM"}}}`))
	f.Add([]byte(`{"Type":"network","Action":"disconnect","Actor":{"ID":"n","Attributes":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLoop(&Config{})
		dec := json.NewDecoder(bytes.NewReader(b))
		for {
			var m events.Message
			if dec.Decode(&m) != nil {
				break
			}
			l.take(m)
		}
		s := l.snapshot()
		for i, x := range s.Workloads {
			if x.ID == "" || i > 0 && s.Workloads[i-1].ID >= x.ID {
				t.Fatalf("workload %d of %d has id %q", i, len(s.Workloads), x.ID)
			}
			if x.State == spec.Draining && x.Networks != nil {
				t.Fatalf("an address out of nothing: %+v", x)
			}
		}
		again := l.snapshot()
		if !same(s, again) {
			t.Fatal("two snapshots of one state differ")
		}
	})
}
