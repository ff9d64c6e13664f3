package enginetest

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A sighting is a request as a handler saw it, in memory of its own: engines
// use theirs again.
type sighting struct {
	Method, Target, Host, Proto string
	URL                         url.URL // without User
	User                        string
	Length                      int64 // ContentLength
	Codings                     []string
	Close                       bool
	Header                      http.Header
	Announced                   []string // the names in Trailer before the body was read
	Body                        string
	Broken                      bool        // the body ended with an error
	Trailer                     http.Header // behind the body; nil with Broken
}

// see reads r to the end of its body.
func see(r *http.Request) sighting {
	s := sighting{
		Method: strings.Clone(r.Method), Target: strings.Clone(r.RequestURI), Host: strings.Clone(r.Host), Proto: strings.Clone(r.Proto),
		URL: cloneURL(r.URL), User: strings.Clone(r.URL.User.String()), Length: r.ContentLength, Codings: cloneStrings(r.TransferEncoding), Close: r.Close, Header: cloneHeader(r.Header),
	}
	for name := range r.Trailer {
		s.Announced = append(s.Announced, strings.Clone(name))
	}
	slices.Sort(s.Announced)
	body, err := io.ReadAll(r.Body)
	s.Body, s.Broken = string(body), err != nil
	if !s.Broken {
		s.Trailer = cloneHeader(r.Trailer)
	}
	return s
}

func cloneURL(u *url.URL) url.URL {
	return url.URL{
		Scheme: strings.Clone(u.Scheme), Opaque: strings.Clone(u.Opaque), Host: strings.Clone(u.Host), Path: strings.Clone(u.Path), RawPath: strings.Clone(u.RawPath),
		OmitHost: u.OmitHost, ForceQuery: u.ForceQuery, RawQuery: strings.Clone(u.RawQuery), Fragment: strings.Clone(u.Fragment), RawFragment: strings.Clone(u.RawFragment),
	}
}

// cloneHeader and cloneStrings make nothing of what is empty.
func cloneHeader(h http.Header) http.Header {
	if len(h) == 0 {
		return nil
	}
	c := make(http.Header, len(h))
	for name, values := range h {
		c[strings.Clone(name)] = cloneStrings(values)
	}
	return c
}

func cloneStrings(values []string) []string {
	var c []string
	for _, v := range values {
		c = append(c, strings.Clone(v))
	}
	return c
}

// A recorder is a handler that notes what it sees.
type recorder struct {
	mu   sync.Mutex
	seen []sighting // guarded by mu
}

// ServeHTTP notes r before it answers it: who has the answer finds the sighting.
func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := see(r)
	rec.mu.Lock()
	rec.seen = append(rec.seen, s)
	rec.mu.Unlock()
	if s.Broken {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	io.WriteString(w, "seen")
}

// take returns what was seen since the last take.
func (rec *recorder) take() []sighting {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	seen := rec.seen
	rec.seen = nil
	return seen
}
