package balance

import (
	"net/http"
	"net/textproto"
)

var _ = register(method{
	name: "header-hash", arg: "header", doc: "takes the same one for the same value of that request header",
	picker: func(name string, turns *Turns) Picker {
		name = textproto.CanonicalMIMEHeaderKey(name)
		return &hashed{keyless: turns, key: func(r *http.Request) (uint64, bool) { return textKey(headerOf(r, name)) }}
	},
})

// headerOf returns the first value of a header by its canonical name, "" without.
func headerOf(r *http.Request, name string) string {
	if name == "Host" {
		return r.Host // net/http takes it out of the header
	}
	if v := r.Header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
