package enginetest

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/server"
)

// maxFuzzed is how many bytes are worth the comparison. Limits of more are in
// the byte cases.
const maxFuzzed = 64 << 10

// Fuzz sends the same bytes to both engines and compares what handlers saw and
// what came back. ours may refuse what ref accepts if a rule of stricter says
// why, and accept what ref refuses if one of looser does; what both accept they
// must read alike. The bytes come to ours in two pieces, cut at the second
// argument.
//
// go test -fuzz needs -fuzzminimizetime 10x with it (scripts/fuzz.sh): what
// goroutines cover is not the same twice, so nothing gets smaller for long.
func Fuzz(f *testing.F, ref, ours Make) {
	a, b := newSide(f, ref), newSide(f, ours)
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		if len(in) > maxFuzzed {
			return
		}
		hold(&trial{T: t}, a, b, string(in), min(int(cut), len(in)))
	})
}

// hold sends in to both sides, to ours in two pieces.
func hold(t *trial, ref, ours *side, in string, cut int) {
	t.Helper()
	want, got := ref.ask(t, in, 0), ours.ask(t, in, cut)
	if err := compare(in, want, got); err != nil {
		t.Errorf("%v\nbytes: %q\nreference: %s\nours:      %s", err, in, want, got)
	}
}

// Seeds are bytes to begin with: the byte cases that are not long, and requests
// with all there can be in them.
func Seeds() map[string][]byte {
	seeds := make(map[string][]byte)
	for _, rq := range requests {
		if len(rq.in) <= 4<<10 {
			seeds[rq.name] = []byte(rq.in)
		}
	}
	for _, s := range sightings {
		seeds["sighting "+s.name] = []byte(s.in + last)
	}
	for i, in := range inPieces {
		seeds[fmt.Sprintf("in pieces %d", i)] = []byte(in + in + last)
	}
	seeds["all kinds"] = []byte(strings.Join(inPieces, "") + last)
	return seeds
}

// side is one of two engines that are compared.
type side struct {
	engine server.Engine
	rec    recorder
}

func newSide(t testing.TB, mk Make) *side {
	s := new(side)
	s.engine = mk(Config{Handler: &s.rec, MinBodyRate: -1, ErrorLog: func(string) {}})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.engine.Shutdown(ctx); err != nil {
			t.Errorf("shut down at the end: %v", err)
		}
	})
	return s
}

// An outcome is what became of some bytes.
type outcome struct {
	seen     []sighting
	statuses []string // of final answers
}

func (o outcome) String() string { return fmt.Sprintf("answered %q, saw %+v", o.statuses, o.seen) }

// whole returns the number of requests that were read to their ends.
func (o outcome) whole() int {
	for i, s := range o.seen {
		if s.Broken {
			return i
		}
	}
	return len(o.seen)
}

// ask sends in on a connection of its own, in two pieces if 0 < cut < len(in).
func (s *side) ask(t *trial, in string, cut int) outcome {
	t.Helper()
	c := t.connect(s.engine)
	defer c.Close()
	io.WriteString(c, in[:cut]) // fails where the engine has seen enough
	c.drained()
	sent := beside(func() { io.WriteString(c, in[cut:]); c.CloseWrite() })
	raw := c.Rest()
	<-sent
	o := outcome{seen: s.rec.take()}
	for _, status := range strings.Fields(codes(raw)) {
		if status[0] != '1' {
			o.statuses = append(o.statuses, status)
		}
	}
	return o
}

// compare returns what is wrong with got, which is ours, beside want.
func compare(in string, want, got outcome) error {
	for i := range min(len(want.seen), len(got.seen)) {
		if err := sameRequest(want.seen[i], got.seen[i]); err != nil {
			return fmt.Errorf("request %d: %w", i+1, err)
		}
	}
	n := min(want.whole(), got.whole())
	for i := range n {
		if i >= len(got.statuses) || got.statuses[i] != "200" {
			return fmt.Errorf("request %d was served, and the answers are %q", i+1, got.statuses)
		}
	}
	var rules []rule
	pieces := split(in)
	switch {
	case got.whole() < want.whole():
		rules = stricter
	case got.whole() > want.whole(), len(got.seen) > len(want.seen): // or a body that is broken, of a head that was refused
		rules = looser
	default:
		return sameEnd(want, got, n < len(pieces))
	}
	at := piece{}
	if n < len(pieces) {
		at = pieces[n]
	}
	if name := explain(rules, at); name == "" {
		return fmt.Errorf("the reference reads %d requests of %d, ours %d of %d, and no rule says why", want.whole(), len(want.seen), got.whole(), len(got.seen))
	}
	return nil
}

// sameRequest compares one request. Of a broken body one may have seen more than
// the other.
func sameRequest(want, got sighting) error {
	if want.Broken || got.Broken {
		if !strings.HasPrefix(want.Body, got.Body) && !strings.HasPrefix(got.Body, want.Body) {
			return fmt.Errorf("bodies %q and %q", want.Body, got.Body)
		}
		want.Body, got.Body, want.Trailer, got.Trailer, want.Broken, got.Broken = "", "", nil, nil, false, false
	}
	if got.Header["Cache-Control"] == nil && slices.Equal(want.Header["Cache-Control"], []string{"no-cache"}) && want.Header.Get("Pragma") == "no-cache" {
		delete(want.Header, "Cache-Control") // which net/http makes of Pragma, and nobody sent
	}
	w, g := reflect.ValueOf(want), reflect.ValueOf(got)
	for i := range w.NumField() {
		if a, b := w.Field(i).Interface(), g.Field(i).Interface(); !reflect.DeepEqual(a, b) {
			return fmt.Errorf("%s is %q, and %q with ours", w.Type().Field(i).Name, fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b))
		}
	}
	return nil
}

// sameEnd compares what came behind requests that both have read; more is
// whether there were bytes behind them. Which status refuses is the engine's
// choice, and so is whether half a request is refused or was none, and whether a
// handler sees a body that is broken.
func sameEnd(want, got outcome, more bool) error {
	n := got.whole()
	refusals := got.statuses[n:]
	switch {
	case len(refusals) > 1, len(refusals) == 1 && refusals[0] < "400":
		return fmt.Errorf("behind %d requests came %q", n, refusals)
	case len(refusals) == 1 && !more:
		return fmt.Errorf("ours refuses with %s what nobody sent", refusals[0])
	}
	return nil
}
