package backend

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/http1"
)

// linger is how long one direction of a tunnel may be quiet once the other has
// ended.
const linger = 5 * time.Second

// stream is either end of a tunnel.
type stream interface {
	io.ReadWriteCloser
	CloseWrite() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

var (
	errProtocol = errors.New("it switched to another protocol than asked for")
	errQuiet    = errors.New("the tunnel was quiet for too long")
	errOver     = errors.New("the time for the whole exchange was up")
)

// tunnel passes bytes both ways after the endpoint agreed to the upgrade.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request, x *exchange.Exchange, resp *http.Response, asked string) {
	defer resp.Body.Close()
	up, ok := resp.Body.(stream)
	protocol := resp.Header["Upgrade"]
	if !ok || asked == "" || len(protocol) != 1 || !strings.EqualFold(protocol[0], asked) || !http1.HasToken(resp.Header["Connection"], "upgrade") {
		exchange.Refuse(w, r, exchange.Refusal{Status: http.StatusBadGateway, Code: "bad-answer", Message: "The service gave no valid answer.", Err: errProtocol})
		return
	}
	h := switchedHeader(w, resp, asked)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		exchange.Refuse(w, r, exchange.Refusal{Status: http.StatusInternalServerError, Code: "no-upgrade", Message: "The connection cannot be upgraded.", Err: err})
		return
	}
	defer client.Close()
	client.SetDeadline(time.Time{})
	x.Response.Switched(h)
	t := &pipes{idle: p.Timeouts.Idle}
	if d := p.Timeouts.Request; d > 0 {
		t.end = x.Start.Add(d)
	}
	t.touch()
	f := newFarewell(&halfCloser{client}, up)
	if err := t.begin(client, buffered, h, &f.endpoint); err != nil {
		x.Code, x.Cause = "client-gone", err
		return
	}
	f.attend(client, up)
	x.Cause = t.run(&f.client, &f.endpoint)
	if why := f.end(); why != nil {
		x.Code, x.Cause = "going-away", why
	}
	x.Response.Bytes = f.client.sent
	if c, ok := resp.Body.(interface{ Cause() error }); ok && x.Cause == nil {
		x.Cause = c.Cause()
	}
}

// switchedHeader returns the header of the 101 as the client gets it.
func switchedHeader(w http.ResponseWriter, resp *http.Response, protocol string) http.Header {
	stripFields(resp.Header)
	delete(resp.Header, "Content-Length")
	h := w.Header().Clone()
	if h == nil {
		h = make(http.Header)
	}
	merge(h, resp.Header)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{protocol}
	return h
}

// pipes are the two directions of a tunnel.
type pipes struct {
	idle time.Duration
	end  time.Time    // of the whole exchange, zero for none
	last atomic.Int64 // when a byte moved, either way, in Unix nanoseconds
	half atomic.Bool  // one direction ended
}

func (t *pipes) touch() { t.last.Store(time.Now().UnixNano()) }

// begin writes the 101 to the client, and to the endpoint what the client sent
// right behind its handshake.
func (t *pipes) begin(client net.Conn, buffered *bufio.ReadWriter, h http.Header, up stream) error {
	buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	h.Write(buffered)
	buffered.WriteString("\r\n")
	t.writeBy(client)
	if err := buffered.Flush(); err != nil {
		return err
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	if len(early) == 0 {
		return nil
	}
	t.writeBy(up)
	_, err := up.Write(early)
	return err
}

// run copies until both directions are done. It returns the error that ended
// the tunnel if neither side closed it.
func (t *pipes) run(client, up stream) error {
	var back sync.WaitGroup
	var upErr error
	back.Go(func() { upErr = t.pump(up, client) })
	err := t.pump(client, up)
	back.Wait()
	if err == nil {
		err = upErr
	}
	return err
}

// pump copies src to dst until src ends, then says so to dst. If either fails,
// both are closed, which ends the other direction too.
func (t *pipes) pump(dst, src stream) error {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	var moved time.Time
	for {
		moved = t.readBy(src, moved)
		n, err := src.Read(buf[:])
		if n > 0 {
			t.touch()
			t.writeBy(dst)
			if _, err := dst.Write(buf[:n]); err != nil {
				return t.fail(dst, src, err)
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && t.quiet() < t.limit() && !t.over():
			moved = time.Time{} // the other direction is alive
		case err == io.EOF:
			if !t.half.Swap(true) {
				src.SetReadDeadline(time.Time{})
				dst.SetReadDeadline(time.Now().Add(linger))
			}
			return dst.CloseWrite()
		default:
			return t.fail(dst, src, err)
		}
	}
}

func (t *pipes) fail(dst, src stream, err error) error {
	first := !t.half.Swap(true)
	dst.Close()
	src.Close()
	switch {
	case !first || errors.Is(err, net.ErrClosed):
		return nil // the other direction ended it, and knows why
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case t.over():
		return errOver
	}
	return errQuiet
}

// limit returns how long a tunnel may be quiet, 0 for ever.
func (t *pipes) limit() time.Duration {
	if t.half.Load() && (t.idle <= 0 || t.idle > linger) {
		return linger
	}
	return t.idle
}

func (t *pipes) quiet() time.Duration {
	return time.Duration(time.Now().UnixNano() - t.last.Load())
}

// readBy moves the deadline for reading src, at most once a second, and
// returns when it was moved last.
func (t *pipes) readBy(src stream, moved time.Time) time.Time {
	limit := t.limit()
	now := time.Now()
	switch step := min(limit/8, time.Second); {
	case limit <= 0 && moved.IsZero():
		src.SetReadDeadline(t.end)
	case limit <= 0 || now.Sub(moved) < step:
		return moved
	default:
		src.SetReadDeadline(t.noLater(now.Add(limit - t.quiet() + step)))
	}
	return now
}

func (t *pipes) writeBy(dst interface{ SetWriteDeadline(time.Time) error }) {
	if t.idle > 0 {
		dst.SetWriteDeadline(t.noLater(time.Now().Add(t.idle)))
	}
}

func (t *pipes) noLater(d time.Time) time.Time {
	if !t.end.IsZero() && t.end.Before(d) {
		return t.end
	}
	return d
}

// over reports whether the time for the whole exchange is up.
func (t *pipes) over() bool { return !t.end.IsZero() && !time.Now().Before(t.end) }

// halfCloser gives a client's connection CloseWrite, whatever it is.
type halfCloser struct{ net.Conn }

func (c *halfCloser) CloseWrite() error {
	if h, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return nil
}
