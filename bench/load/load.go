//go:build linux

// Package load asks a proxy, checks every answer, and says how long answers
// took. What it cannot do well enough is left to wrk and h2load, whose output it
// reads.
package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairlead/fairlead/bench/wire"
	"golang.org/x/sys/unix"
)

// A Plan is one run of requests over plain HTTP/1.1.
type Plan struct {
	Addr  netip.AddrPort
	Conns int
	Send  [][]byte // the requests, in turn
	Want  int64    // length of the body of every answer, in bytes

	// Rate is requests a second. They are due at fixed times whether or not
	// those before were answered, and latency counts from when one was due: a
	// proxy that stalls is charged for all that had to wait. 0 sends on each
	// connection as soon as it was answered.
	Rate  int
	For   time.Duration // how long requests are sent; 0 with Count
	Count int           // how many requests are sent; 0 with For
}

// A Result is what came of a run.
type Result struct {
	Requests uint64        `json:"requests"` // answered as wanted
	Errors   uint64        `json:"errors"`   // all others
	Error    string        `json:"error,omitempty"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	P50      time.Duration `json:"p50_ns,omitempty"`
	P99      time.Duration `json:"p99_ns,omitempty"`
	P999     time.Duration `json:"p999_ns,omitempty"`
}

// fail notes an error; the first one is kept as text.
func (r *Result) fail(n uint64, err error) {
	r.Errors += n
	if r.Error == "" {
		r.Error = err.Error()
	}
}

// patience is how long an answer may take; what takes longer has failed.
const patience = 5 * time.Second

var errLate = errors.New("no answer within " + patience.String())

// A run is a Plan under way, on one thread.
type run struct {
	Plan
	Result
	poll  *wire.Poll
	timer int // of Rate
	conns map[int]*conn
	free  []*conn // without a request, in the order they became so
	buf   []byte
	took  Histogram

	start    time.Time
	sent     int       // requests that were due so far, and sent
	flight   int       // of them not answered yet
	progress time.Time // when the last answer came
}

// Run does what p says. The error is one of setting up; what goes wrong with a
// request is in the Result.
func (p Plan) Run() (Result, error) {
	r := &run{Plan: p, conns: map[int]*conn{}, buf: make([]byte, 256<<10), timer: -1}
	var err error
	if r.poll, err = wire.NewPoll(); err != nil {
		return r.Result, err
	}
	defer r.close()
	for range p.Conns {
		if err := r.dial(); err != nil {
			return r.Result, err
		}
	}
	if p.Rate > 0 {
		if err := r.tick(); err != nil {
			return r.Result, err
		}
	}
	r.start = time.Now()
	r.progress = r.start
	err = r.loop()
	r.Elapsed = time.Since(r.start)
	r.P50, r.P99, r.P999 = r.took.Quantile(.5), r.took.Quantile(.99), r.took.Quantile(.999)
	return r.Result, err
}

func (r *run) close() {
	for fd := range r.conns {
		unix.Close(fd)
	}
	if r.timer >= 0 {
		unix.Close(r.timer)
	}
	r.poll.Close()
}

// tick starts the timer of the rate: epoll alone counts in milliseconds, in
// which several requests would be due at once.
func (r *run) tick() error {
	var err error
	if r.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	each := unix.NsecToTimespec(int64(r.interval()))
	if err := unix.TimerfdSettime(r.timer, 0, &unix.ItimerSpec{Interval: each, Value: each}, nil); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	return r.poll.Add(r.timer, unix.EPOLLIN)
}

func (r *run) interval() time.Duration { return time.Second / time.Duration(r.Rate) }

// due returns how many requests should have been sent by now.
func (r *run) due(now time.Time) int {
	n := r.Count
	if r.Count == 0 && now.Sub(r.start) >= r.For {
		if r.Rate == 0 {
			return r.sent
		}
		n = int(r.For / r.interval())
	} else if r.Count == 0 {
		n = int(^uint(0) >> 1)
	}
	if r.Rate > 0 {
		n = min(n, int(now.Sub(r.start)/r.interval()))
	}
	return n
}

// over reports whether nothing more is to be sent.
func (r *run) over(now time.Time) bool {
	if r.Count > 0 {
		return r.sent >= r.Count
	}
	return now.Sub(r.start) >= r.For && r.sent >= r.due(now)
}

func (r *run) loop() error {
	events := make([]unix.EpollEvent, 256)
	for {
		now := time.Now()
		for due := r.due(now); r.sent < due && len(r.free) > 0; {
			c := r.free[0]
			r.free = r.free[1:]
			r.send(c, now)
		}
		switch {
		case r.over(now) && r.flight == 0:
			return nil
		case r.flight > 0 && now.Sub(r.progress) > patience:
			r.fail(uint64(r.flight), errLate)
			return nil
		case len(r.conns) == 0:
			return errors.New("no connection is left")
		}
		if r.flight == 0 {
			r.progress = now
		}
		due, err := r.poll.Wait(events, 100)
		if err != nil {
			return err
		}
		for _, e := range due {
			if int(e.Fd) == r.timer {
				unix.Read(r.timer, r.buf[:8])
			} else if c := r.conns[int(e.Fd)]; c != nil {
				r.step(c)
			}
		}
	}
}
