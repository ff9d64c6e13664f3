package h1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// A goroutine that reads the body when its handler returns is ended, and reads
// nothing of the next request, however late it comes.
func TestABodyIsItsRequestsAlone(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		var readers sync.WaitGroup
		reading := make(chan bool, 1)
		errs := make(chan error, 4)
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				return
			}
			body := r.Body
			readers.Go(func() {
				p := make([]byte, 10)
				io.ReadFull(body, p[:1])
				reading <- true
				_, err := body.Read(p)
				errs <- err
				_, err = body.Read(p)
				errs <- err
			})
			<-reading
		})
		c := dial(t, e, how)
		c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
		if res, _ := c.Answer("GET"); res.StatusCode != 200 {
			t.Errorf("got %d", res.StatusCode)
		}
		c.Rest()
		readers.Wait()
		first, second := <-errs, <-errs
		if !errors.Is(first, os.ErrDeadlineExceeded) && !errors.Is(first, http.ErrBodyReadAfterClose) || !errors.Is(second, http.ErrBodyReadAfterClose) {
			t.Errorf("got %v, then %v", first, second)
		}
	})
}

// What a handler leaves of a body is read off if it is there or comes soon; else
// the connection ends with an answer that arrives.
func TestTheRestOfABody(t *testing.T) {
	for _, tt := range []struct {
		name, head, body string
		kept             bool
	}{
		{"that is there", "Content-Length: 100", strings.Repeat("a", 100), true},
		{"in chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", true},
		{"of some size", "Content-Length: 100000", strings.Repeat("a", 100000), true},
		{"that is too large", "Content-Length: 1000000", strings.Repeat("a", 1000000), false},
		{"that does not come", "Content-Length: 100", "", false},
		{"that is malformed", "Transfer-Encoding: chunked", "x\r\n", false},
		{"that is waited for", "Content-Length: 100\r\nExpect: 100-continue", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, how link) {
				e := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
				c := dial(t, e, how)
				sent := make(chan bool)
				go func() {
					defer close(sent)
					io.WriteString(c, "POST /post HTTP/1.1\r\nHost: x\r\n"+tt.head+"\r\n\r\n"+tt.body)
					if tt.kept {
						io.WriteString(c, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
					}
				}()
				if res, got := c.Answer("GET"); got != "/post" || res.Close == tt.kept {
					t.Errorf("got %q, close %v", got, res.Close)
				}
				if tt.kept {
					if _, got := c.Answer("GET"); got != "/next" {
						t.Errorf("got %q behind it", got)
					}
				} else {
					c.Rest()
				}
				<-sent
			})
		})
	}
}

// 100 Continue is said when the handler reads, and never behind the answer.
func TestContinueIsNotSaidBehindTheAnswer(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			got, _ := io.ReadAll(r.Body)
			w.Write(got)
		})
		c := dial(t, e, how)
		c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
		if got := c.Rest(); strings.Contains(got, "100 Continue") || !strings.Contains(got, "Connection: close") || !strings.Contains(got, "hello") {
			t.Errorf("got %q", got)
		}
	})
}

func TestABodyThatWasClosedIsNotRead(t *testing.T) {
	each(t, func(t *testing.T, how link) {
		e := start(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				return
			}
			r.Body.Close()
			if _, err := r.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
				t.Errorf("got %v", err)
			}
		})
		c := dial(t, e, how)
		c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + get)
		c.Answer("GET")
		c.Answer("GET")
	})
}
