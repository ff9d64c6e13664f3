//go:build linux

package origin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs an origin until the end of the test and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	o, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return o.Addr().String()
}

func TestAnswers(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	addr := serve(t)
	for _, tt := range []struct {
		method, path   string
		body           []byte
		status, length int
	}{
		{"GET", Small, nil, 200, SmallN},
		{"GET", Big, nil, 200, BigN},
		{"GET", Big + "?again", nil, 404, 0},
		{"POST", Sink, make([]byte, 64<<10), 200, SinkN},
		{"POST", Sink, make([]byte, 3<<20), 200, SinkN},
		{"GET", Small, nil, 200, SmallN},
	} {
		req, err := http.NewRequest(tt.method, "http://"+addr+tt.path, bytes.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", tt.method, tt.path, err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != tt.status || int(n) != tt.length || err != nil {
			t.Errorf("%s %s: status %d, %d bytes, %v: want %d and %d", tt.method, tt.path, res.StatusCode, n, err, tt.status, tt.length)
		}
	}
}

// A head may come in any pieces, and the next one in the same read.
func TestHeadsInPiecesAndTogether(t *testing.T) {
	conn, err := net.Dial("tcp", serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	one := "POST " + Sink + " HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"
	two := "GET " + Echo + " HTTP/1.1\r\nHost: b.test\r\nX-Marked: yes\r\n\r\n"
	send := func(pieces ...string) {
		for _, piece := range pieces {
			if _, err := io.WriteString(conn, piece); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(body string) {
		t.Helper()
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if string(got) != body || err != nil {
			t.Errorf("got %q, %v: want %q", got, err, body)
		}
	}
	send(strings.Split(one+two, "")...)
	want("ok")
	want(two)
	send(one+two+one[:10], one[10:])
	want("ok")
	want(two)
	want("ok")
}

func TestAHeadWithoutEndIsRefused(t *testing.T) {
	conn, err := net.Dial("tcp", serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nX: %s", strings.Repeat("x", 2*bufSize))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v: want a closed connection", n, err)
	}
}
