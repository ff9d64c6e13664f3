package server

import "net/http"

// bounded refuses heads with too many fields, which net/http bounds by their
// bytes alone.
type bounded struct {
	next   http.Handler
	fields int
}

func (b *bounded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := 1 // Host, which net/http has taken out
	for _, values := range r.Header {
		n += len(values)
	}
	if n <= b.fields {
		b.next.ServeHTTP(w, r)
		return
	}
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	http.Error(w, http.StatusText(http.StatusRequestHeaderFieldsTooLarge), http.StatusRequestHeaderFieldsTooLarge)
}
