package enginetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/internal/conntest"
	"github.com/fairlead/fairlead/server"
)

// dial serves h by an engine of its own and returns a client of it.
func (t *trial) dial(h http.HandlerFunc, change ...func(*Config)) *client {
	t.Helper()
	return t.connect(t.engine(h, change...))
}

// connect returns a client with a connection that e serves.
func (t *trial) connect(e server.Engine) *client {
	t.Helper()
	c := t.pipe()
	c.engine = e
	e.ServeConn(c.served)
	return c
}

// begin is connect for a client that has sent in before it is served: however
// busy the machine is, no timeout of the engine comes first.
func (t *trial) begin(e server.Engine, in string) *client {
	t.Helper()
	c := t.pipe()
	c.engine = e
	c.Send(in)
	e.ServeConn(c.served)
	return c
}

// client is one connection to an engine.
type client struct {
	*conntest.Client
	t      *trial
	engine server.Engine
	tcp    *net.TCPConn // below the client's stream
	served net.Conn     // the engine's end
	far    *net.TCPConn // below served
	drips  bool         // what TLS makes of what is sent leaves byte by byte
}

// A wire is the client's end below TLS.
type wire struct {
	*net.TCPConn
	c *client
}

func (w wire) Write(p []byte) (n int, err error) {
	if !w.c.drips {
		return w.TCPConn.Write(p)
	}
	for ; n < len(p) && err == nil; n++ {
		w.c.drained()
		_, err = w.TCPConn.Write(p[n : n+1])
	}
	return n, err
}

// pipe returns a connection nobody serves yet; over TLS, handshakes are made.
func (t *trial) pipe() *client {
	t.Helper()
	near, far := conntest.Pipe(t)
	c := &client{t: t, tcp: near, served: server.Wrap(far), far: far}
	stream := conntest.Stream(near)
	if t.tls {
		stream = c.secure()
	}
	c.Client = conntest.NewClient(t, stream)
	return c
}

// secure makes the handshake on both ends, and returns the client's.
func (c *client) secure() conntest.Stream {
	c.t.Helper()
	ours := tls.Client(wire{c.tcp, c}, &tls.Config{ServerName: "app.test", NextProtos: []string{"http/1.1"}, InsecureSkipVerify: true})
	theirs := tls.Server(c.served, serverTLS())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shaken := beside(func() { ours.HandshakeContext(ctx) })
	if err := theirs.HandshakeContext(ctx); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	<-shaken
	c.served = theirs
	return ours
}

// serverTLS has a certificate that was made for this run.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"app.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

var statusLine = regexp.MustCompile(`HTTP/1\.[01] (\d{3}) `)

// codes returns the statuses of the answers in raw, whose bodies must not look
// like answers.
func codes(raw string) string {
	var got []string
	for _, m := range statusLine.FindAllStringSubmatch(raw, -1) {
		got = append(got, m[1])
	}
	return strings.Join(got, " ")
}
