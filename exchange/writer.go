package exchange

import (
	"io"
	"maps"
	"net/http"
)

// Writer is the one ResponseWriter wrapper of the project. It notes status and
// bytes for the log and lets middlewares change the answer's header at the
// moment it is written, so that what an app sets and what a route sets meet in
// one place. Bodies still reach the engine's ReadFrom through it.
type Writer struct {
	inner  http.ResponseWriter
	hooks  []func(status int, h http.Header)
	Status int   // 0 until the head was written; 101 after an upgrade
	Bytes  int64 // of the body
}

var (
	_ http.ResponseWriter = (*Writer)(nil)
	_ io.ReaderFrom       = (*Writer)(nil)
)

// OnHeader has f called when the final head is written, before it goes out.
// Hooks run last added first: the innermost middleware sees the app's header.
func (x *Exchange) OnHeader(f func(status int, h http.Header)) {
	x.Response.hooks = append(x.Response.hooks, f)
}

// Header returns the header map of the engine's writer.
func (w *Writer) Header() http.Header { return w.inner.Header() }

// A Borrower is an engine's writer that writes a head from a header that is lent
// to it. Lend makes h what Header returns until WriteHeader has returned, which
// reads it for the last time; it reports false, and does nothing, once the writer's
// own header has fields or the head is out.
type Borrower interface {
	Lend(h http.Header) bool
}

// Lend lends h, the header of an answer, to the engine for the next WriteHeader,
// which spares copying it. Where it reports false the caller copies.
func (w *Writer) Lend(h http.Header) bool {
	b, ok := w.inner.(Borrower)
	return ok && b.Lend(h)
}

// Inform sends an answer of 1xx with the fields of h, which it may change. What is
// in Header for the final answer stays, and is sent with it only.
func (w *Writer) Inform(status int, h http.Header) {
	if w.Lend(h) {
		w.inner.WriteHeader(status)
		return
	}
	own := w.inner.Header()
	final := maps.Clone(own)
	maps.Copy(own, h)
	w.inner.WriteHeader(status)
	clear(own)
	maps.Copy(own, final)
}

// WriteHeader writes the head. 1xx answers other than 101 pass without hooks
// and leave the final answer open.
func (w *Writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.inner.WriteHeader(status)
		return
	}
	if w.Status == 0 {
		w.runHooks(status)
	}
	w.inner.WriteHeader(status)
}

// head writes the head of an answer that needs no other.
func (w *Writer) head() {
	if w.Status == 0 {
		w.WriteHeader(http.StatusOK)
	}
}

// Switched notes a connection taken over by Hijack: hooks run on h, which the
// caller writes itself.
func (w *Writer) Switched(h http.Header) { w.run(http.StatusSwitchingProtocols, h) }

func (w *Writer) runHooks(status int) { w.run(status, w.inner.Header()) }

func (w *Writer) run(status int, h http.Header) {
	w.Status = status
	for i := len(w.hooks) - 1; i >= 0; i-- {
		w.hooks[i](status, h)
	}
}

func (w *Writer) Write(p []byte) (int, error) {
	w.head()
	n, err := w.inner.Write(p)
	w.Bytes += int64(n)
	return n, err
}

// ReadFrom hands src to the engine, which may use sendfile or its own buffers.
func (w *Writer) ReadFrom(src io.Reader) (int64, error) {
	w.head()
	n, err := io.Copy(w.inner, src)
	w.Bytes += n
	return n, err
}

// FlushError sends what was written so far, the head included. It is here and
// not left to Unwrap because an engine that is flushed first writes a head that
// no hook has seen.
func (w *Writer) FlushError() error {
	w.head()
	return http.NewResponseController(w.inner).Flush()
}

// Unwrap lets http.ResponseController reach the engine: Hijack, deadlines.
func (w *Writer) Unwrap() http.ResponseWriter { return w.inner }
