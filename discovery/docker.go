// Package discovery finds out what containers there are, where they have
// addresses and what they are doing, and hands that over as spec.Snapshots. It
// is the only package that talks to the Docker engine. Of Swarm services it sees
// the tasks on this engine; those on other nodes are not routed.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/fairlead/fairlead/spec"
)

// Docker watches one engine.
type Docker struct {
	cfg    Config
	timing Timing
	calls  calls
	clock  atomic.Uint64
	engine atomic.Pointer[engine]
	status status
	heard  chan answer // inspects made by Confirm
	confirms
}

// New validates the configuration. It opens no connection.
func New(c Config) (*Docker, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	d := &Docker{cfg: c, timing: c.Timing.withDefaults(spec.Remember), heard: make(chan answer, 64)}
	d.status.s.Host, d.status.s.Since = c.host(), time.Now()
	return d, nil
}

// Run watches the engine until ctx ends and returns nil then. It calls publish
// with each new state, never concurrently, first when a list and everything it
// gave rise to are complete. No error of the engine ends it: the last state
// stays, marked stale, and the engine is tried again.
func (d *Docker) Run(ctx context.Context, publish func(spec.Snapshot)) error {
	l := &loop{
		cfg: &d.cfg, timing: d.timing, log: d.cfg.Log, clock: &d.clock, status: &d.status, publish: publish, heard: d.heard,
		index: newIndex(), networks: map[string]netInfo{}, moved: true,
		dirty: map[string]bool{}, queued: map[string]bool{}, inflight: map[string]bool{}, first: map[string]bool{},
		selfIDs: d.cfg.ownIDs(), layer: d.cfg.ownLayer(),
	}
	fails, cause := 0, ""
	for {
		began := time.Now()
		listed, err := d.once(ctx, l)
		d.status.lost()
		if ctx.Err() != nil {
			return nil
		}
		d.status.failed(err)
		if listed {
			fails, cause = 0, ""
			// Streams cut now and then are normal behind a socket proxy.
			d.cfg.Log.Info().Err(err).Msg("engine connection lost")
			if time.Since(began) > time.Second {
				continue
			}
		} else if cause != err.Error() {
			cause = err.Error()
			d.cfg.Log.Error().Err(err).Msg("engine unreachable")
		}
		fails++
		if !listed || fails > 1 {
			l.away(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff(d.timing, fails)):
		}
	}
}

// away marks what is known as out of date.
func (l *loop) away(err error) {
	if l.stale == "" {
		l.stale = staleText("engine unreachable", err)
	}
	if l.first == nil {
		l.flush()
	}
}

// once connects and stays until the connection is lost; listed reports whether
// it got as far as a list.
func (d *Docker) once(ctx context.Context, l *loop) (listed bool, err error) {
	e, err := connect(ctx, &d.cfg, d.timing, &d.calls)
	if err != nil {
		return false, fmt.Errorf("connect to the engine: %w", err)
	}
	defer e.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	since := d.greet(ctx, e, l)
	msgs, errs, err := e.events(ctx, since)
	if err != nil {
		return false, err
	}
	s := &stream{out: make(chan events.Message, maxQueued), done: make(chan struct{})}
	go s.read(ctx, msgs, errs)
	d.engine.Store(e)
	l.engine = e
	err = l.session(ctx, s.out, s.broken)
	cancel()
	<-s.done
	return l.listed, err
}

// greet reads the engine's clock and version. An engine that hides them is
// watched all the same: the list after the subscription finds what is missed.
func (d *Docker) greet(ctx context.Context, e *engine, l *loop) (since string) {
	info, err := e.info(ctx)
	now, terr := time.Parse(time.RFC3339Nano, info.SystemTime)
	l.services.manager = info.Swarm.ControlAvailable
	first := d.status.s.API == ""
	d.status.update(func(s *Status) {
		s.API = e.version
		if err == nil {
			s.Engine = info.ServerVersion
		}
		if !first {
			s.Reconnects++
		}
	})
	d.cfg.Log.Info().Str("engine", info.ServerVersion).Str("api", e.version).Msg("engine connected")
	if err != nil || terr != nil {
		d.cfg.Log.Debug().AnErr("err", errors.Join(err, terr)).Msg("engine clock unknown")
		return ""
	}
	l.offset = time.Until(now)
	return fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond())
}

// maxQueued is how many events wait while a snapshot is published. The engine
// drops events for a reader that is slow, so ours never is: beyond this the
// connection is given up and the next list tells.
const maxQueued = 16384

// stream reads events as fast as they come.
type stream struct {
	out  chan events.Message // closed at the end
	done chan struct{}
	err  error // why it ended
}

func (s *stream) read(ctx context.Context, msgs <-chan events.Message, errs <-chan error) {
	defer close(s.done)
	defer close(s.out)
	for {
		select {
		case m := <-msgs:
			select {
			case s.out <- m:
			default:
				s.err = errors.New("event queue overflowed, listing instead")
				return
			}
		case s.err = <-errs:
			if s.err == nil || errors.Is(s.err, io.EOF) {
				s.err = errors.New("event stream was cut")
			}
			return
		case <-ctx.Done():
			s.err = ctx.Err()
			return
		}
	}
}

// broken says why the stream ended; for use once out is closed.
func (s *stream) broken() error { return fmt.Errorf("watch events: %w", s.err) }

// Status is a copy of what is known now.
func (d *Docker) Status() Status {
	var out Status
	d.status.update(func(s *Status) { out = *s })
	out.Calls = d.calls.counts()
	return out
}
