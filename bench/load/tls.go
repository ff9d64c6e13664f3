//go:build linux

package load

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A Handshake is a run of TLS 1.3 handshakes, each on a connection of its own
// and none resumed. Certificates are not verified: that would be the client's
// cost, and takes away from how many it can ask for.
type Handshake struct {
	Addr    netip.AddrPort
	Host    string
	Workers int
	For     time.Duration
}

// Run shakes hands until For is over; every worker does at least once.
func (h Handshake) Run() (Result, error) {
	var r Result
	var took Histogram
	var mu sync.Mutex // guards r and took
	var workers sync.WaitGroup
	start := time.Now()
	for range h.Workers {
		workers.Go(func() {
			for ended := false; !ended; ended = time.Since(start) >= h.For {
				begun := time.Now()
				conn, err := dialTLS(h.Addr, h.Host)
				if err == nil {
					conn.Close()
				}
				mu.Lock()
				if err != nil {
					r.fail(1, err)
				} else {
					r.Requests++
					took.Record(time.Since(begun))
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	r.Elapsed = time.Since(start)
	r.P50, r.P99, r.P999 = took.Quantile(.5), took.Quantile(.99), took.Quantile(.999)
	return r, nil
}

func dialTLS(addr netip.AddrPort, host string) (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr.String(), &tls.Config{
		ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
	})
}

// Idle opens connections that then do nothing.
type Idle struct {
	Addr    netip.AddrPort
	TLS     bool
	Host    string
	Path    string
	Headers []string
	Conns   int
	Want    int64 // length of the body of the one answer each gets
}

// Open opens the connections, asks once on each, and returns with all of them
// open. release closes them; it is never nil.
func (i Idle) Open() (r Result, release func(), err error) {
	var conns []net.Conn
	release = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	start := time.Now()
	request := Request("GET", i.Host, i.Path, i.Headers, nil)
	for range i.Conns {
		c, err := i.dial()
		if err != nil {
			return r, release, fmt.Errorf("after %d idle connections: %w", len(conns), err)
		}
		conns = append(conns, c)
		if err := ask(c, request, i.Want); err != nil {
			r.fail(1, err)
			continue
		}
		r.Requests++
	}
	r.Elapsed = time.Since(start)
	return r, release, nil
}

func (i Idle) dial() (net.Conn, error) {
	if i.TLS {
		return dialTLS(i.Addr, i.Host)
	}
	return net.DialTimeout("tcp", i.Addr.String(), patience)
}

// ask sends a request and reads its answer.
func ask(c net.Conn, request []byte, want int64) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write(request); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || n != want) {
		err = fmt.Errorf("status %d and %d bytes, want 200 and %d", res.StatusCode, n, want)
	}
	return err
}
