package upstream

import (
	"time"

	"github.com/fairlead/fairlead/label"
)

type (
	maxFailsOptions    struct{ N int }
	failTimeoutOptions struct{ For time.Duration }
)

var (
	defaultMaxFails    = maxFailsOptions{3}
	defaultFailTimeout = failTimeoutOptions{10 * time.Second}
)

var _ = register(label.Kind{
	Name: "max-fails", Level: label.PerPool,
	Doc: "Failures that take a container out for a while.",
}, nil, label.Def[maxFailsOptions]{
	Value:   label.Int(func(o *maxFailsOptions) *int { return &o.N }, 0, 1000),
	Default: "3", Doc: "How many requests may fail within `fail-timeout` (no answer, a broken one, 502, 503, 504) before the container gets none for that time, 0 to 1000; 0 takes none out. The last container of a pool is never taken out. A refused connection takes a container out at once, until its port answers.", Example: "1", Nginx: "server max_fails=",
})

var _ = register(label.Kind{
	Name: "fail-timeout", Level: label.PerPool,
	Doc: "How long that is.",
}, nil, label.Def[failTimeoutOptions]{
	Value:   label.Duration(func(o *failTimeoutOptions) *time.Duration { return &o.For }, time.Second, time.Hour),
	Default: "10s", Doc: "The time in which `max-fails` failures count, and for which they take the container out: 1s to 1h.", Example: "30s", Nginx: "server fail_timeout=",
})

// strikes are the failures of requests that tell against an endpoint.
type strikes struct {
	n      int
	since  time.Time // of the first that counts
	until  time.Time // it is out
	reason string
	back   *time.Timer
}

// out returns why the endpoint is out at now, "" if it is not.
func (s *strikes) out(now time.Time) string {
	if now.Before(s.until) {
		return s.reason
	}
	return ""
}

func (s *strikes) clear() {
	if s.back != nil {
		s.back.Stop()
	}
	*s = strikes{}
}

// strike notes that a request to e failed, and takes e out if that was one too
// many. Success costs nothing: only failures are counted.
func (e *endpoint) strike(reason string) {
	e.note(reason)
	p := e.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	most, window := option(p.options, "max-fails", defaultMaxFails).N, option(p.options, "fail-timeout", defaultFailTimeout).For
	if most == 0 || !e.listening {
		return
	}
	s, now := &e.strikes, time.Now()
	if now.Sub(s.since) > window {
		s.n, s.since = 0, now
	}
	if s.n++; s.n < most {
		return
	}
	s.n, s.until, s.reason = 0, now.Add(window), "requests to it failed: "+reason
	s.back = time.AfterFunc(window, e.comeBack)
	e.settle()
	p.publish()
}

// comeBack lets e take requests again.
func (e *endpoint) comeBack() {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	e.settle()
	e.pool.publish()
}
