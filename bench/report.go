//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A report is what is written as JSON; the tables are made of it.
type report struct {
	Time      time.Time         `json:"time"`
	Machine   string            `json:"machine"`
	Kernel    string            `json:"kernel"`
	CPUs      int               `json:"processors"`
	Syscall   float64           `json:"syscall_ns"` // what the cheapest system call takes here
	Versions  map[string]string `json:"versions"`
	Rounds    int               `json:"rounds"`
	Seconds   float64           `json:"seconds"`
	Scenarios []section         `json:"scenarios"`

	ours, order []string // peers, ours first
}

// A section is one scenario.
type section struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Rows    []row    `json:"medians"`
	Samples []sample `json:"samples"`

	scenario *scenario
}

// A row is the median of each figure of one proxy.
type row struct {
	sample
	Low    float64 `json:"cpu_us_low"` // of all rounds
	High   float64 `json:"cpu_us_high"`
	Failed int     `json:"rounds_with_errors"`
}

func newReport(ctx context.Context, s *settings, m *machine) *report {
	var u unix.Utsname
	unix.Uname(&u)
	r := &report{
		Time: time.Now().UTC().Truncate(time.Second), Machine: processor(), Kernel: unix.ByteSliceToString(u.Release[:]),
		CPUs: runtime.NumCPU(), Syscall: syscallCost(), Versions: map[string]string{}, Rounds: s.rounds, Seconds: s.length.Seconds(),
	}
	for _, p := range s.all() {
		r.Versions[p.Name] = p.VersionText(ctx)
		r.order = append(r.order, p.Name)
	}
	for _, p := range s.ours {
		r.ours = append(r.ours, p.Name)
	}
	return r
}

// syscallCost is how long getppid takes, in nanoseconds. A proxy makes four to
// eight calls for a request, and machines differ by a factor of ten: it says why
// figures of one are not those of another.
func syscallCost() float64 {
	const n, rounds = 1000, 20
	var took []float64
	for range rounds {
		start := time.Now()
		for range n {
			unix.Getppid()
		}
		took = append(took, float64(time.Since(start))/n)
	}
	return median(took)
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// add puts the samples of a scenario together.
func (r *report) add(sc *scenario, samples []sample) {
	s := section{Name: sc.name, What: sc.what, Samples: samples, scenario: sc}
	for _, name := range r.order {
		for _, v := range append(sc.variants, variant{})[:max(len(sc.variants), 1)] {
			var of []sample
			for _, one := range samples {
				if one.Peer == name && one.Variant == v.name {
					of = append(of, one)
				}
			}
			if len(of) > 0 {
				s.Rows = append(s.Rows, medians(of))
			}
		}
	}
	r.Scenarios = append(r.Scenarios, s)
}

// medians puts the rounds of one proxy together. Rounds with errors count only
// if there is no other, and are counted.
func medians(of []sample) row {
	out := row{sample: sample{Peer: of[0].Peer, Variant: of[0].Variant}}
	var good []sample
	for _, one := range of {
		if one.Errors > 0 {
			out.Failed++
			out.Errors += one.Errors
			out.Error = cmp.Or(out.Error, one.Error)
			continue
		}
		good = append(good, one)
	}
	if len(good) == 0 {
		good = of
	}
	m := func(get func(*sample) float64) float64 {
		var values []float64
		for i := range good {
			if v := get(&good[i]); v != 0 {
				values = append(values, v)
			}
		}
		return median(values)
	}
	out.CPU, out.ProxyCPU = m(func(s *sample) float64 { return s.CPU }), m(func(s *sample) float64 { return s.ProxyCPU })
	out.OriginCPU, out.LoadCPU = m(func(s *sample) float64 { return s.OriginCPU }), m(func(s *sample) float64 { return s.LoadCPU })
	out.Rate, out.P50 = m(func(s *sample) float64 { return s.Rate }), m(func(s *sample) float64 { return s.P50 })
	out.P99, out.P999 = m(func(s *sample) float64 { return s.P99 }), m(func(s *sample) float64 { return s.P999 })
	out.Syscalls, out.Allocs = m(func(s *sample) float64 { return s.Syscalls }), m(func(s *sample) float64 { return s.Allocs })
	out.Idle = m(func(s *sample) float64 { return s.Idle })
	for _, one := range good {
		out.Requests += one.Requests
		out.SyscallBy = cmp.Or(out.SyscallBy, one.SyscallBy)
		if out.Low == 0 || one.CPU < out.Low {
			out.Low = one.CPU
		}
		out.High = max(out.High, one.CPU)
	}
	return out
}

// ratio is the median over the rounds of a's figure by b's in the same round: what
// the machine's neighbours do from one minute to the next is then in both. 0 if
// there is no round without errors in both.
func (s section) ratio(a, b row) float64 {
	var ratios []float64
	for _, x := range s.Samples {
		for _, y := range s.Samples {
			if x.of(a) && y.of(b) && x.Round == y.Round && y.figure(s.scenario) > 0 {
				ratios = append(ratios, x.figure(s.scenario)/y.figure(s.scenario))
			}
		}
	}
	return median(ratios)
}

// of reports whether s is a good one of a row.
func (s *sample) of(r row) bool { return s.Peer == r.Peer && s.Variant == r.Variant && s.Errors == 0 }

// median of no value is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Sorted(slices.Values(values))
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// write puts JSON and Markdown into dir.
func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	base := filepath.Join(dir, r.Time.Format("2006-01-02T150405"))
	if err := os.WriteFile(base+".json", append(b, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(base+".md", []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	fmt.Printf("\nwritten to %s.md and .json\n", base)
	return nil
}
