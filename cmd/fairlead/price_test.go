package main

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead/fairlead/internal/alloctest"
	"github.com/fairlead/fairlead/internal/servertest"
)

// frugal runs a container whose app answers without allocating, so that what is
// counted is the proxy's.
func frugal(w *world, labels ...string) {
	w.Helper()
	id := w.engine.Create(w.fill(labelled("frugal", labels...)))
	w.engine.Start(id)
	ln := w.bind(w.engine.Addr(id, "apps").String())
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + strings.Repeat("x", 128))
	var serving sync.WaitGroup
	var conns []net.Conn
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
			serving.Go(func() { repeat(c, answer) })
		}
		for _, c := range conns {
			c.Close()
		}
	})
	w.Cleanup(func() { ln.Close(); serving.Wait() })
}

// repeat sends answer for every read that ends a head.
func repeat(c net.Conn, answer []byte) {
	defer c.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) || bytes.HasSuffix(buf[:n], []byte("body")) {
			c.Write(answer)
		}
	}
}

// The price of a request, with access log and counters on: three allocations,
// which are the texts of two heads and the request's id. A body adds itself.
func TestARequestCostsThreeAllocations(t *testing.T) {
	if servertest.Std() {
		return // it is our engine's price
	}
	poison = false
	defer func() { poison = true }()
	for name, tt := range map[string]struct {
		request string
		want    float64
	}{
		"GET":  {"GET /a?b HTTP/1.1\r\nHost: app.test\r\nUser-Agent: x\r\nAccept: */*\r\nAccept-Language: en\r\nAccept-Encoding: gzip\r\n\r\n", 3},
		"POST": {"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nbody", 5},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			frugal(w, "host=app.test")
			p := w.start("--log-level", "warn")
			p.await("app.test", 200, "x")
			c, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			in, out := []byte(tt.request), make([]byte, 4<<10)
			ask := func() {
				c.Write(in)
				for n := 0; !bytes.HasSuffix(out[:n], []byte("xxxx")); {
					m, err := c.Read(out[n:])
					if n += m; err != nil {
						t.Fatalf("%v after %q", err, out[:n])
					}
				}
			}
			ask()
			alloctest.AtMost(t, tt.want, 2000, ask)
		})
	}
}
