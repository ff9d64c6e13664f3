package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/fairlead/fairlead/spec"
)

// Why a container could not be confirmed. Any other error means that the engine
// answered, but not the question; treat it like ErrSlow.
var (
	ErrGone = errors.New("no such container")                 // its addresses may be another's by now
	ErrAway = errors.New("the engine refuses connections")    // nobody can hand out addresses: they stay valid
	ErrSlow = errors.New("the engine did not answer in time") // nothing is known
)

// confirms are the confirmations under way, by container.
type confirms struct {
	mu      sync.Mutex // guards waiting
	waiting map[string]*confirm
}

type confirm struct {
	done chan struct{} // closed when c and err are set
	c    spec.Confirmation
	err  error
}

// Confirm asks the engine for the present state of a container. Callers that
// ask for the same one at the same time share one inspect, which takes 250 ms
// at most. It may be called concurrently, and needs Run to have connected.
func (d *Docker) Confirm(ctx context.Context, id string) (spec.Confirmation, error) {
	d.mu.Lock()
	c := d.waiting[id]
	if c == nil {
		if d.waiting == nil {
			d.waiting = make(map[string]*confirm)
		}
		c = &confirm{done: make(chan struct{})}
		d.waiting[id] = c
		go d.confirm(id, c)
	}
	d.mu.Unlock()
	select {
	case <-c.done:
		return c.c, c.err
	case <-ctx.Done():
		return spec.Confirmation{}, ctx.Err()
	}
}

func (d *Docker) confirm(id string, c *confirm) {
	ctx, cancel := context.WithTimeout(context.Background(), d.timing.Confirm)
	defer cancel()
	c.c, c.err = d.ask(ctx, id)
	d.mu.Lock()
	delete(d.waiting, id)
	d.mu.Unlock()
	close(c.done)
}

func (d *Docker) ask(ctx context.Context, id string) (spec.Confirmation, error) {
	e := d.engine.Load()
	if e == nil {
		return spec.Confirmation{}, fmt.Errorf("confirm %s: not connected yet: %w", id, ErrSlow)
	}
	f, err := d.look(ctx, e, id)
	if err != nil {
		return spec.Confirmation{}, err
	}
	out := spec.Confirmation{Running: f.status == "running", StartedAt: f.started}
	home := f
	if ref := f.joins(); ref != "" {
		home, err = d.look(ctx, e, ref)
		switch {
		case errors.Is(err, ErrGone):
			return out, nil
		case err != nil:
			return spec.Confirmation{}, err
		case !home.run() || home.started.After(f.started):
			return out, nil
		}
	}
	if home.mode == "host" {
		out.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
		return out, nil
	}
	for _, p := range home.places {
		for _, a := range []netip.Addr{p.ip4, p.ip6} {
			if a.IsValid() {
				out.Addrs = append(out.Addrs, a)
			}
		}
	}
	return out, nil
}

// cause puts the error of a call about one container into our own words.
func (e *engine) cause(ctx context.Context, err error) error {
	switch {
	case cerrdefs.IsNotFound(err):
		return ErrGone
	case ctx.Err() != nil || isTimeout(err):
		return ErrSlow
	case e.dialed.refused():
		return ErrAway
	}
	return err
}

// look inspects one container and lets the loop know, which learns this way of
// what no event told.
func (d *Docker) look(ctx context.Context, e *engine, id string) (facts, error) {
	asOf := d.clock.Load()
	c, err := e.inspect(ctx, id)
	if err == nil || cerrdefs.IsNotFound(err) {
		select {
		case d.heard <- answer{id: id, asOf: asOf, inspect: c, err: err}:
		default: // the loop is busy; its next list tells as well
		}
	}
	if err != nil {
		return facts{}, fmt.Errorf("confirm %s: %w", id, e.cause(ctx, err))
	}
	f, ok := fromInspect(c)
	if !ok {
		return facts{}, fmt.Errorf("confirm %s: the answer is no container", id)
	}
	return f, nil
}
