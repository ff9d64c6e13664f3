package h1

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Who keeps what he was given finds poison in it.
func TestWhatIsKeptIsPoisoned(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		var kept *http.Request
		var header http.Header
		var values []string
		var late http.ResponseWriter
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			kept, header, values, late = r, r.Header, r.Header["Accept"], w
		})
		c := dial(t, e, how)
		c.Send(browser)
		c.Answer("GET")
		waitFor(t, "it to be idle", func() bool { return idles(e) == 1 })
		if values[0] != poisoned || header.Get("Accept") != "" {
			t.Errorf("the header is %v, a value %q", header, values)
		}
		if kept.Header != nil || kept.Host != poisoned || kept.URL.Path != poisoned {
			t.Errorf("the request says %v, %q", kept.Header, kept.Host)
		}
		defer func() {
			if recover() == nil {
				t.Error("a late write did not panic")
			}
		}()
		late.Write([]byte("x"))
	})
}

// Requests that somebody may have kept are not used again.
func TestWhatMayBeKeptIsNotUsedAgain(t *testing.T) {
	const large = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789"
	each(t, func(t *testing.T, how link) {
		for _, tt := range []struct {
			name  string
			send  string
			do    func(w http.ResponseWriter, r *http.Request)
			again bool
		}{
			{"nothing special", get, func(w http.ResponseWriter, r *http.Request) {}, true},
			{"a body that was read", large, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, true},
			{"a body that was not read", large, func(w http.ResponseWriter, r *http.Request) {}, false},
			{"Done was asked for", get, func(w http.ResponseWriter, r *http.Request) { r.Context().Done() }, false},
			{"a context was made", get, func(w http.ResponseWriter, r *http.Request) {
				_, cancel := context.WithCancel(r.Context())
				cancel()
			}, false},
		} {
			var first *http.Request
			var used []bool
			e := start(t, func(w http.ResponseWriter, r *http.Request) {
				used = append(used, r == first)
				first = r
				tt.do(w, r)
			})
			c := dial(t, e, how)
			c.Send(strings.Repeat(tt.send, 2)) // so that no other takes the desk meanwhile
			c.Answer("GET")
			c.Answer("GET")
			if used[1] != tt.again {
				t.Errorf("%s: the request was used again: %v, want %v", tt.name, used[1], tt.again)
			}
		}
	})
}

// A Keeper's request is the next one, with its context and nothing else of it.
func TestAKeptRequestIsFilledAnew(t *testing.T) {
	type key struct{ link }
	each(t, func(t *testing.T, how link) {
		var kept *http.Request
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(key{how}) == nil {
				k := r.Context().(interface{ Keep(*http.Request) })
				r = r.WithContext(context.WithValue(r.Context(), key{how}, "ours"))
				k.Keep(r)
				kept = r
			}
			if r.Form != nil || r.Pattern != "" || r.Header.Get("X-Set") != "" || r.Host != "x" || r.PathValue("name") != "" {
				t.Errorf("left over: form %v, pattern %q, header %v, host %q", r.Form, r.Pattern, r.Header, r.Host)
			}
			io.WriteString(w, r.URL.Path)
			if r == kept {
				io.WriteString(w, " kept")
			}
			r.ParseForm()
			r.SetPathValue("name", "value")
			r.Pattern, r.Host = "/pattern", "changed"
			r.Method = http.MethodHead // must not matter to the answer
			r.Header.Set("X-Set", "1")
		})
		c := dial(t, e, how)
		c.Send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
		for _, want := range []string{"/1 kept", "/2 kept", "/3 kept"} {
			if _, got := c.Answer("GET"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}
