package backend

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/fairlead/fairlead/internal/conntest"
)

// BenchmarkTunnel sends frames of a size from the app to the client.
func BenchmarkTunnel(b *testing.B) {
	for _, bench := range []struct {
		name  string
		frame []byte
	}{
		{"64B", frame(0x82, 62)},
		{"16KiB", frame(0x82, 16380)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			begin := make(chan int, 1)
			e := newEdge(b, rawApp(b, func(c net.Conn, r *bufio.Reader) {
				conntest.ReadHead(r)
				io.WriteString(c, switched)
				w := bufio.NewWriterSize(c, 32<<10)
				for range <-begin {
					w.Write(bench.frame)
				}
				w.Flush()
			}))
			c, r := e.dial(b)
			io.WriteString(c, handshake)
			if _, err := conntest.ReadHead(r); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(bench.frame)))
			b.ResetTimer()
			begin <- b.N
			if n, err := io.Copy(io.Discard, r); n != int64(b.N*len(bench.frame)) || err != nil {
				b.Fatalf("got %d bytes of %d, %v", n, b.N*len(bench.frame), err)
			}
		})
	}
}

// BenchmarkTunnelEcho has one small message at a time go both ways.
func BenchmarkTunnelEcho(b *testing.B) {
	e := newEdge(b, rawApp(b, func(c net.Conn, r *bufio.Reader) {
		conntest.ReadHead(r)
		io.WriteString(c, switched)
		io.Copy(c, r)
	}))
	c, r := e.dial(b)
	io.WriteString(c, handshake)
	if _, err := conntest.ReadHead(r); err != nil {
		b.Fatal(err)
	}
	message := masked(0x82, 58)
	b.ReportAllocs()
	for b.Loop() {
		c.Write(message)
		if _, err := io.ReadFull(r, message); err != nil {
			b.Fatal(err)
		}
	}
}
