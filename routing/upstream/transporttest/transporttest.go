// Package transporttest is the contract of HTTP/1.1 transports: what a request
// becomes on the wire, bytes that come back, and what must be made of them. The
// one of net/http is the reference.
package transporttest

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Limits are how long an endpoint may take; 0 is for ever.
type Limits struct {
	Response time.Duration // to begin its answer when it has the request
	Idle     time.Duration // between bytes of its answer
}

// A Transport is what is tested.
type Transport struct {
	http.RoundTripper
	// Informed is RoundTrip that has inform called for every 1xx answer before the
	// final one.
	Informed func(r *http.Request, inform func(status int, h http.Header)) (*http.Response, error)
}

// Make makes a transport for one test. All its requests are for the origin at
// addr, whatever host they name.
type Make func(t *testing.T, addr string, l Limits) Transport

// Run runs the suite. lax names the cases in which the transport is known to do
// something else.
func Run(t *testing.T, mk Make, lax ...string) {
	t.Run("answers", func(t *testing.T) { runAnswers(t, mk, lax) })
	for _, b := range behaviours {
		if !slices.Contains(lax, b.name) {
			t.Run(b.name, func(t *testing.T) { b.run(t, mk) })
		}
	}
}

// Hello is an answer that leaves nothing to be desired.
const Hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://shop.example"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil && r.ContentLength == 0 {
		r.ContentLength = -1
	}
	return r
}

// result is what came of one request.
type result struct {
	status int
	length int64
	body   string
	err    error // of RoundTrip
	cut    error // of the body
}

// do sends r, and reads and closes what comes.
func do(tr http.RoundTripper, r *http.Request) (got result) {
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return result{err: err}
	}
	got.status, got.length = resp.StatusCode, resp.ContentLength
	b, err := io.ReadAll(resp.Body)
	got.body, got.cut = string(b), err
	resp.Body.Close()
	return got
}

func get(t *testing.T, tr http.RoundTripper, path string) result {
	t.Helper()
	return do(tr, request(t, "GET", path, nil))
}

// within waits for something that happens beside the test.
func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatalf("never: %s", what)
	}
}

// patience is how long that may take: long, for a machine that is busy, and never
// waited for when all is well.
const patience = 20 * time.Second

// unsized hides how long a body is.
func unsized(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }
