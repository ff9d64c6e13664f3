package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"time"
)

// connect opens a connection, TLS included, while the client waits and the
// endpoint stays.
func (t *transport) connect(call *call, name string) (*conn, error) {
	t.mu.Lock()
	left := t.left
	if t.leave == nil {
		t.mu.Unlock()
		return nil, errLeft
	}
	t.mu.Unlock()

	ctx, cancel := until(call.r.Context(), earlier(after(call.limits.Connect), call.limit))
	defer cancel()
	defer context.AfterFunc(left, cancel)()

	c, err := t.handshake(ctx, name)
	if err == nil {
		if err = t.adopt(c, call, left); err == nil {
			return c, nil
		}
		c.sock.Close()
	}
	return nil, t.connectError(err, call, left)
}

func (t *transport) handshake(ctx context.Context, name string) (*conn, error) {
	sock, err := t.dial(ctx, t.network, t.addr)
	if err != nil {
		return nil, err
	}
	c := newConn(t, sock)
	if t.tls == nil {
		return c, nil
	}
	cfg := t.tls
	if cfg.ServerName != name {
		cfg = cfg.Clone()
		cfg.ServerName = name
	}
	secure := tls.Client(c.nc, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		sock.Close()
		return nil, err
	}
	c.nc, c.secure, c.name = secure, true, name
	return c, nil
}

// adopt notes c unless the endpoint left while it was dialled.
func (t *transport) adopt(c *conn, call *call, left context.Context) error {
	at := now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left != left || t.leave == nil {
		return errLeft
	}
	t.conns[c] = struct{}{}
	t.begin(c, call, at)
	return nil
}

// connectError says what err of a dial means: the client left, the endpoint
// left, it took too long, or it failed.
func (t *transport) connectError(err error, call *call, left context.Context) error {
	timedOut := errors.Is(err, context.DeadlineExceeded) || isTimeout(err)
	switch {
	case call.r.Context().Err() != nil:
		return context.Cause(call.r.Context())
	case left.Err() != nil || errors.Is(err, errLeft):
		return errLeft
	case timedOut && call.expired():
		return t.timeout(Requesting)
	case timedOut:
		return t.timeout(Connecting)
	}
	return &ConnectError{Container: t.container(), Endpoint: t.addr, Reason: explain(err, t.target.Load()), Err: err}
}

// isTimeout reports whether err is a deadline that passed.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// until is context.WithDeadline where zero means none.
func until(ctx context.Context, t time.Time) (context.Context, context.CancelFunc) {
	if t.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, t)
}

// after returns the moment d from now, or zero for no limit.
func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// earlier returns the earlier of two deadlines, of which zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
