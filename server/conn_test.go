package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/internal/conntest"
)

// connected returns a guest's connection with nobody behind it, and its client.
func connected(t testing.TB, limits Limits) (c *tcpConn, client *net.TCPConn, gs *guests) {
	t.Helper()
	client, near := conntest.Pipe(t)
	gs = &guests{}
	g, ok := gs.admit(near, &limits, nil)
	if !ok {
		t.Fatal("the connection was not let in")
	}
	t.Cleanup(func() { g.Close() })
	return g.(*tcpConn), client, gs
}

func TestWritesOfSeveralGoroutinesStayTogether(t *testing.T) {
	c, client, _ := connected(t, Limits{})
	const each, rounds = 3*piece + 1, 8
	var writers sync.WaitGroup
	for _, letter := range []byte("ab") {
		writers.Go(func() {
			for range rounds {
				if n, err := c.Write(bytes.Repeat([]byte{letter}, each)); n != each || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
			}
		})
	}
	got := make([]byte, each)
	for range 2 * rounds {
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(got, got[:1]); n != each {
			t.Fatalf("%d bytes of one write and %d of another among them", n, each-n)
		}
	}
	writers.Wait()
}

func TestReadsOfSeveralGoroutinesShareWhatComes(t *testing.T) {
	c, client, _ := connected(t, Limits{})
	const size = 1 << 20
	sums := make(chan int, 3)
	for range cap(sums) {
		go func() {
			n, err := io.Copy(io.Discard, struct{ io.Reader }{c})
			if err != nil {
				t.Error(err)
			}
			sums <- int(n)
		}()
	}
	client.Write(make([]byte, size))
	client.CloseWrite()
	if got := <-sums + <-sums + <-sums; got != size {
		t.Errorf("%d bytes were read, want %d", got, size)
	}
}

// fill writes until the socket takes no more.
func fill(c *tcpConn) error {
	for {
		if _, err := c.Write(make([]byte, piece)); err != nil {
			return err
		}
	}
}

func TestDeadlinesAndCloseEndWhatWaits(t *testing.T) {
	read := func(c *tcpConn) error { _, err := c.Read(make([]byte, 1)); return err }
	past := time.Unix(1, 0)
	tests := []struct {
		name string
		wait func(*tcpConn) error
		end  func(*tcpConn)
		op   string
		want error
	}{
		{"read, deadline", read, func(c *tcpConn) { c.SetReadDeadline(past) }, "read", os.ErrDeadlineExceeded},
		{"read, both deadlines", read, func(c *tcpConn) { c.SetDeadline(past) }, "read", os.ErrDeadlineExceeded},
		{"read, close", read, func(c *tcpConn) { c.Close() }, "read", net.ErrClosed},
		{"write, deadline", fill, func(c *tcpConn) { c.SetWriteDeadline(past) }, "write", os.ErrDeadlineExceeded},
		{"write, both deadlines", fill, func(c *tcpConn) { c.SetDeadline(past) }, "write", os.ErrDeadlineExceeded},
		{"write, close", fill, func(c *tcpConn) { c.Close() }, "write", net.ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, gs := connected(t, Limits{})
			ended := make(chan error, 2)
			go func() { ended <- tt.wait(c) }()
			if tt.op == "write" {
				until(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.moved != 0 })
			}
			tt.end(c)
			err := <-ended
			if of, ok := errors.AsType[*net.OpError](err); !ok || of.Op != tt.op || of.Addr == nil || !errors.Is(err, tt.want) {
				t.Errorf("got %#v, want %s: %v", err, tt.op, tt.want)
			}
			if n := gs.stalled.Load(); n != 0 {
				t.Errorf("%d clients counted as stalled", n)
			}
		})
	}
}

// A deadline for a piece that was accepted in time is not one for later pieces.
func TestDeadlineOfAnEarlierPieceHarmsNoLaterOne(t *testing.T) {
	c, client, gs := connected(t, Limits{})
	c.TCPConn.SetWriteDeadline(time.Unix(1, 0)) // as extend would have, long ago
	if _, err := c.Write([]byte("late")); err != nil {
		t.Fatalf("write: %v", err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "late" {
		t.Errorf("the client got %q, %v", got, err)
	}
	if n := gs.stalled.Load(); n != 0 {
		t.Errorf("%d clients counted as stalled", n)
	}
}

func TestClientThatStalledGetsNoMore(t *testing.T) {
	c, client, gs := connected(t, Limits{Stall: 20 * time.Millisecond})
	if err := fill(c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a client that does not read: %v", err)
	}
	go io.Copy(io.Discard, client)
	if n, err := c.Write([]byte("more")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d more, %v", n, err)
	}
	if n := gs.stalled.Load(); n != 1 {
		t.Errorf("%d clients counted as stalled, want 1", n)
	}
	c.SetWriteDeadline(time.Now().Add(patience)) // whoever wants to all the same
	if _, err := c.Write([]byte("more")); err != nil {
		t.Errorf("under a deadline of one's own: %v", err)
	}
}

func TestErrorsOfTheSocketAreNets(t *testing.T) {
	c, client, _ := connected(t, Limits{})
	client.SetLinger(0) // a reset
	client.Close()
	_, err := c.Read(make([]byte, 1))
	if of, ok := errors.AsType[*net.OpError](err); !ok || of.Op != "read" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read after a reset: %#v", err)
	}
	_, err = c.Write([]byte("x"))
	if of, ok := errors.AsType[*net.OpError](err); !ok || of.Op != "write" || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write after a reset: %#v", err)
	}
}

func TestEmptyReadsAndWritesAreNothing(t *testing.T) {
	c, _, _ := connected(t, Limits{})
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("read: %d, %v", n, err)
	}
	if n, err := c.Write(nil); n != 0 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	c.Close()
	if _, err := c.Write(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
}

// What a request's bytes cost on their way in and out, beside net's own.
func BenchmarkConn(b *testing.B) {
	c, client, _ := connected(b, Limits{})
	client.SetDeadline(time.Time{})
	for name, conn := range map[string]net.Conn{"guest": c, "net": c.TCPConn} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 128)
			b.ReportAllocs()
			for b.Loop() {
				client.Write(buf)
				conn.Read(buf)
				conn.Write(buf)
				client.Read(buf)
			}
		})
	}
}
