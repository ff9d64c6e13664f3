//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/bench/load"
	"github.com/fairlead/fairlead/bench/origin"
	"github.com/fairlead/fairlead/bench/proc"
)

// warmUp is how long the load runs before it is measured: connections are
// opened, buffers are grown.
const warmUp = time.Second

// A sample is one measurement of one proxy. What was not measured is 0.
type sample struct {
	Round   int    `json:"round"`
	Peer    string `json:"peer"`
	Variant string `json:"variant,omitempty"`

	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
	Error    string `json:"error,omitempty"`

	CPU       float64 `json:"cpu_us"` // per request: of the proxy, or of all processes where the scenario says so
	ProxyCPU  float64 `json:"proxy_cpu_us"`
	OriginCPU float64 `json:"origin_cpu_us"`
	LoadCPU   float64 `json:"load_cpu_us"`
	Rate      float64 `json:"requests_per_s"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	P999      float64 `json:"p999_us"`
	Syscalls  float64 `json:"syscalls,omitempty"`    // per request, in a run of its own
	SyscallBy string  `json:"syscalls_by,omitempty"` // what counted them
	Allocs    float64 `json:"allocs,omitempty"`      // objects per request
	Idle      float64 `json:"idle_kib,omitempty"`    // memory of one idle connection
}

// figure is what the scenario is about: what ratios are made of.
func (s *sample) figure(sc *scenario) float64 {
	if sc.memory != nil {
		return s.Idle
	}
	return s.CPU
}

// measure takes one sample of the proxy on b.
func (s *scenario) measure(ctx context.Context, b *bed, length time.Duration, syscalls bool) (sample, error) {
	if s.memory != nil {
		kib, err := s.memory(ctx, b)
		return sample{Idle: kib}, err
	}
	if _, err := s.drive(ctx, b, min(warmUp, length)); err != nil {
		return sample{}, err
	}
	allocs := b.mallocs(ctx)
	proxy, origin, err := b.cpu()
	if err != nil {
		return sample{}, err
	}
	o, err := s.drive(ctx, b, length)
	if err != nil {
		return sample{}, err
	}
	proxyAfter, originAfter, err := b.cpu()
	if err != nil {
		return sample{}, err
	}
	if err := b.checkLog(ctx, o.Requests, s.handshakes); err != nil {
		return sample{}, err
	}
	out := o.sample(proxyAfter-proxy, originAfter-origin)
	if s.both {
		out.CPU += out.OriginCPU + out.LoadCPU
	}
	if out.Requests > 0 && allocs > 0 {
		out.Allocs = float64(b.mallocs(ctx)-allocs) / float64(out.Requests)
	}
	if syscalls && !s.plain && out.Requests > 0 {
		out.Syscalls, out.SyscallBy, err = s.syscalls(ctx, b, min(warmUp, length))
	}
	return out, err
}

// sample divides what a run cost by what it did.
func (o outcome) sample(proxy, origin time.Duration) sample {
	out := sample{Requests: o.Requests, Errors: o.Errors, Error: o.Error}
	if o.Requests == 0 {
		out.Errors = max(out.Errors, 1)
		return out
	}
	per := func(d time.Duration) float64 { return micro(d) / float64(o.Requests) }
	out.ProxyCPU, out.OriginCPU, out.LoadCPU = per(proxy), per(origin), per(o.cost)
	out.CPU = out.ProxyCPU
	out.Rate = float64(o.Requests) / o.Elapsed.Seconds()
	out.P50, out.P99, out.P999 = micro(o.P50), micro(o.P99), micro(o.P999)
	return out
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// mallocs is how many objects the proxy has allocated, 0 if it cannot say.
func (b *bed) mallocs(ctx context.Context) uint64 {
	if b.peer.Mallocs == nil {
		return 0
	}
	n, err := b.peer.Mallocs(ctx, b.cfg)
	if err != nil {
		return 0
	}
	return n
}

// syscalls counts system calls per request in a run of its own: to be looked at
// costs time.
func (s *scenario) syscalls(ctx context.Context, b *bed, length time.Duration) (per float64, by string, err error) {
	count, err := proc.CountSyscalls(ctx, b.pids)
	if errors.Is(err, proc.ErrNoCounter) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	o, err := s.drive(ctx, b, length)
	n, counted := count.End()
	if err = errors.Join(err, counted); err != nil || o.Requests == 0 {
		return 0, "", err
	}
	return float64(n) / float64(o.Requests), count.By, nil
}

// Connections of the scenario idle.
const (
	idleN    = 2000
	idleWarm = 64
	// idleSettle is how long they are idle before memory is read: the proxy has
	// written its log and given back what it gives back at once.
	idleSettle = time.Second
)

func idlePlain(ctx context.Context, b *bed) (float64, error) {
	return b.idle(ctx, load.Idle{Addr: b.cfg.Plain})
}

func idleTLS(ctx context.Context, b *bed) (float64, error) {
	return b.idle(ctx, load.Idle{Addr: b.cfg.TLS, TLS: true})
}

// idle measures how much memory the proxy has more for each connection that has
// had an answer and does nothing since.
func (b *bed) idle(ctx context.Context, i load.Idle) (kib float64, err error) {
	i.Host, i.Path, i.Headers, i.Want = b.asked()[0], origin.Small, browser, origin.SmallN
	var before, after int64
	for _, step := range []struct {
		conns int
		pss   *int64
	}{{idleWarm, &before}, {idleN, &after}} {
		i.Conns = step.conns
		r, release, err := b.hold(ctx, i)
		if err != nil {
			return 0, err
		}
		if r.Errors > 0 {
			release()
			return 0, fmt.Errorf("%d errors on idle connections: %s", r.Errors, r.Error)
		}
		select {
		case <-time.After(idleSettle):
			*step.pss, err = proc.PSS(b.pids)
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		release()
		if err != nil {
			return 0, err
		}
	}
	return float64(after-before) / 1024 / (idleN - idleWarm), nil
}
