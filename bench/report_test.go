//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/bench/load"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(tt.in); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestASampleIsCostByRequests(t *testing.T) {
	o := outcome{load.Result{Requests: 1000, Elapsed: 2 * time.Second, P99: 3 * time.Millisecond}, 5 * time.Millisecond}
	s := o.sample(12*time.Millisecond, 3*time.Millisecond)
	if s.CPU != 12 || s.OriginCPU != 3 || s.LoadCPU != 5 || s.Rate != 500 || s.P99 != 3000 || s.Errors != 0 {
		t.Errorf("got %+v", s)
	}
	if s := (outcome{}).sample(time.Second, time.Second); s.Errors == 0 {
		t.Error("no request was answered: want an error")
	}
}

// made is a report of three rounds in which the machine became twice as slow
// with each, and one peer failed once.
func made() *report {
	r := &report{Rounds: 3, order: []string{"fairlead", "nginx"}, ours: []string{"fairlead"}, Versions: map[string]string{"nginx": "1.22"}}
	sc := &scenario{name: "small", what: "small answers"}
	r.add(sc, []sample{
		{Round: 1, Peer: "fairlead", Requests: 9, CPU: 10, Rate: 100, Allocs: 2},
		{Round: 1, Peer: "nginx", Requests: 9, CPU: 20, Rate: 100},
		{Round: 2, Peer: "nginx", Requests: 9, CPU: 40, Rate: 100},
		{Round: 2, Peer: "fairlead", Requests: 9, CPU: 20, Rate: 100, Allocs: 2},
		{Round: 3, Peer: "fairlead", Requests: 9, CPU: 44, Rate: 100, Allocs: 2},
		{Round: 3, Peer: "nginx", Requests: 9, CPU: 1, Errors: 4, Error: "status 502"},
	})
	return r
}

func TestRatiosComparePairsOfARound(t *testing.T) {
	s := made().Scenarios[0]
	if got := s.ratio(s.find("fairlead", ""), s.find("nginx", "")); got != .5 {
		t.Errorf("got %v, want 0.5 as in the two rounds without errors", got)
	}
	if got := s.ratio(s.find("fairlead", ""), s.find("traefik", "")); got != 0 {
		t.Errorf("with one that was not measured: got %v, want 0", got)
	}
}

func TestMediansLeaveOutRoundsWithErrorsAndSayHowMany(t *testing.T) {
	row := made().Scenarios[0].find("nginx", "")
	if row.CPU != 30 || row.Low != 20 || row.High != 40 || row.Failed != 1 || row.Errors != 4 {
		t.Errorf("got %+v", row)
	}
}

func TestTheTableMarksErrorsAndWhatWasNotMeasured(t *testing.T) {
	r := made()
	text := r.markdown()
	for _, want := range []string{
		"| fairlead | **20.00** | 10.00–44.00 | 1.00 | 100 | – | – | – | – | 2.0 |",
		"| nginx | **30.00** | 20.00–40.00 | 0.50 | 100 |",
		"**nginx: 4 errors in 1 of 3 rounds**: status 502",
		"| small | 20.0 | 30.0 (errors) |",
		"- nginx: 1.22",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report is without %q:\n%s", want, text)
		}
	}
}

func TestVariantsAndMemoryHaveTablesOfTheirOwn(t *testing.T) {
	r := &report{order: []string{"fairlead"}, ours: []string{"fairlead"}}
	r.add(&scenario{name: "routes", variants: []variant{{name: "ten"}, {name: "many"}}}, []sample{
		{Round: 1, Peer: "fairlead", Variant: "ten", CPU: 10}, {Round: 1, Peer: "fairlead", Variant: "many", CPU: 11},
	})
	r.add(&scenario{name: "idle", memory: idlePlain}, []sample{{Round: 1, Peer: "fairlead", Idle: 6.5}})
	text := r.markdown()
	for _, want := range []string{"fairlead, many ÷ ten: **1.100**", "| fairlead many | **11.00** |", "| fairlead | **6.5** | 1.00 |", "| idle | 6.5 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report is without %q:\n%s", want, text)
		}
	}
}

func TestResultsAreWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	if err := made().write(dir); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("got %v, %v: want one file", paths, err)
	}
	b, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(b, &back); err != nil || len(back.Scenarios) != 1 || len(back.Scenarios[0].Samples) != 6 {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestSettings(t *testing.T) {
	s, err := parse([]string{"-rounds", "1", "-seconds", "0.5", "-scenarios", "small, h2", "-peers", "nginx", "-ours", "fairlead,std"})
	if err != nil || s.rounds != 1 || s.length != 500*time.Millisecond || len(s.scenarios) != 2 || len(s.all()) != 3 {
		t.Fatalf("got %+v, %v", s, err)
	}
	if got := s.all()[1].Name; got != "fairlead-std" {
		t.Errorf("the second of ours is %s, want fairlead-std", got)
	}
	for _, bad := range [][]string{{"-rounds", "0"}, {"-scenarios", "smal"}, {"-peers", "x"}, {"-seconds", "0"}, {"more"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q: want an error", bad)
		}
	}
}

func TestTheWholeRunIsBounded(t *testing.T) {
	s, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.estimate(); got > 22*time.Minute {
		t.Errorf("the default run takes %s, want 22 minutes at most", got)
	}
}

func TestVariantsTakeTurns(t *testing.T) {
	all := []variant{{name: "a"}, {name: "b"}}
	var got string
	for round := range 3 {
		for _, v := range turned(all, round) {
			got += v.name
		}
	}
	if got != "abbaab" {
		t.Errorf("got the order %s, want abbaab", got)
	}
}

func TestTheSameHostsAreAskedForHoweverManyThereAre(t *testing.T) {
	b := &bed{}
	b.cfg.Hosts = hosts(10)
	if got := b.asked(); !slices.Equal(got, b.cfg.Hosts) {
		t.Errorf("of ten: %v", got)
	}
	b.cfg.Hosts = hosts(10_000)
	if got := b.asked(); len(got) != 10 || got[0] != "h0.bench.test" || got[9] != "h9000.bench.test" {
		t.Errorf("of 10,000: %v", got)
	}
}
