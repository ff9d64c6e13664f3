package enginetest

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net"
	"net/http"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/server"
)

// ProxyLike has the handlers of the suite use an engine as the proxy does: the
// first request of a Keeper is kept, heads are lent to a Borrower, and bodies and
// everything else reach the engine through a wrapper of its writer. The contract
// is the same. An engine that is neither is used through the wrapper alone.
func ProxyLike(mk Make) Make {
	return func(c Config) server.Engine {
		next := c.Handler
		c.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lw := &lendingWriter{inner: w, own: make(http.Header)}
			next.ServeHTTP(lw, keep(r))
			lw.end()
		})
		return mk(c)
	}
}

// keptContext is the context of a request that was offered to its Keeper.
type keptContext struct{ context.Context }

func keep(r *http.Request) *http.Request {
	ctx := r.Context()
	if _, ok := ctx.(*keptContext); ok {
		return r // the engine made a new request of the one it kept
	}
	r = r.WithContext(&keptContext{ctx})
	if k, ok := ctx.(exchange.Keeper); ok {
		k.Keep(r)
	}
	return r
}

// lendingWriter collects a header of its own, as of an answer that comes from
// somewhere else, and lends it for the head. As soon as the head is written it
// is used for something else.
type lendingWriter struct {
	inner    http.ResponseWriter
	own      http.Header
	began    bool // the head was written
	hijacked bool
}

func (w *lendingWriter) Header() http.Header {
	if w.began {
		return w.inner.Header()
	}
	return w.own
}

func (w *lendingWriter) WriteHeader(status int) {
	if w.began || w.hijacked {
		w.inner.WriteHeader(status)
		return
	}
	final := status >= 200 || status == http.StatusSwitchingProtocols
	lent := maps.Clone(w.own)
	if b, ok := w.inner.(exchange.Borrower); !ok || !b.Lend(lent) {
		clear(w.inner.Header())
		maps.Copy(w.inner.Header(), lent)
	}
	w.inner.WriteHeader(status)
	w.began = final
	for name := range lent {
		lent[name] = []string{"used for something else"}
	}
}

func (w *lendingWriter) head() {
	if !w.began {
		w.WriteHeader(http.StatusOK)
	}
}

// end writes the head of an answer without a body.
func (w *lendingWriter) end() {
	if !w.hijacked {
		w.head()
	}
}

func (w *lendingWriter) Write(p []byte) (int, error) {
	w.head()
	return w.inner.Write(p)
}

func (w *lendingWriter) ReadFrom(src io.Reader) (int64, error) {
	w.head()
	return w.inner.(io.ReaderFrom).ReadFrom(src)
}

func (w *lendingWriter) Flush() { w.FlushError() }

func (w *lendingWriter) FlushError() error {
	w.head()
	return http.NewResponseController(w.inner).Flush()
}

func (w *lendingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.inner).Hijack()
	w.hijacked = w.hijacked || err == nil
	return conn, rw, err
}

func (w *lendingWriter) Unwrap() http.ResponseWriter { return w.inner }
