package upstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// connect checks that the port takes a connection.
func (c *healthCheck) connect(ctx context.Context) error {
	sock, err := c.transport.dial(ctx, c.network, c.addr)
	if err != nil {
		return errors.New(explain(err, c.transport.target.Load()))
	}
	return sock.Close()
}

// request returns a request as the route's clients would make it: with their
// Host and scheme, or frameworks that check both (Django's ALLOWED_HOSTS,
// Rails' hosts, redirects to HTTPS) answer 400 or 301 while all is well.
func (c *healthCheck) request(ctx context.Context, method, target string, body io.Reader) (*http.Request, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = "http", c.addr
	if c.transport.tls != nil {
		u.Scheme = "https"
	}
	if c.network == "unix" {
		u.Host = "localhost"
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	r.Host = c.host
	proto := "https"
	if c.plain {
		proto = "http"
	}
	r.Header.Set("X-Forwarded-Proto", proto)
	r.Header.Set("X-Forwarded-Host", c.host)
	r.Header.Set("User-Agent", "fairlead-health")
	return r, nil
}

// once is a client for one connection of protocols.
func (c *healthCheck) once(protocols *http.Protocols) *http.Transport {
	t := &http.Transport{
		Protocols: protocols, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHead,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return c.transport.dial(ctx, c.network, c.addr)
		},
	}
	if c.transport.tls != nil {
		t.TLSClientConfig = c.transport.tls.Clone()
		t.TLSClientConfig.NextProtos = nil // follow from protocols
		t.TLSClientConfig.ServerName = c.transport.serverName(&http.Request{Host: c.host})
	}
	return t
}

// askHTTP asks for the path.
func (c *healthCheck) askHTTP(ctx context.Context) error {
	r, err := c.request(ctx, http.MethodGet, c.Path, nil)
	if err != nil {
		return err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	resp, err := c.once(&protocols).RoundTrip(r)
	if err != nil {
		return errors.New(explain(err, c.transport.target.Load()))
	}
	resp.Body.Close()
	if !slices.ContainsFunc(c.Status, func(s statusRange) bool { return s.From <= resp.StatusCode && resp.StatusCode <= s.To }) {
		return fmt.Errorf("GET %s as %s was answered %d; if that is no fault of the app, see fairlead.health.path and fairlead.health.status", c.Path, c.host, resp.StatusCode)
	}
	return nil
}

// serving is the one good status of grpc.health.v1.HealthCheckResponse.
const serving = 1

// askGRPC calls grpc.health.v1.Health/Check for the server as a whole. Its
// request is an empty message, its answer one with a number in field 1
// (grpc/grpc-proto, health.proto), each behind a flag and a length of 4 bytes.
func (c *healthCheck) askGRPC(ctx context.Context) error {
	r, err := c.request(ctx, http.MethodPost, "/grpc.health.v1.Health/Check", bytes.NewReader(make([]byte, 5)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	var protocols http.Protocols
	protocols.SetHTTP2(c.transport.tls != nil)
	protocols.SetUnencryptedHTTP2(c.transport.tls == nil)
	client := c.once(&protocols)
	defer client.CloseIdleConnections()
	resp, err := client.RoundTrip(r)
	if err != nil {
		return errors.New(explain(err, c.transport.target.Load()))
	}
	defer resp.Body.Close()
	message, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("the answer to Health/Check broke off: %w", err)
	}
	status := resp.Trailer.Get("Grpc-Status")
	if status == "" {
		status = resp.Header.Get("Grpc-Status")
	}
	switch {
	case resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/grpc"):
		return fmt.Errorf("Health/Check was answered %d by something that is no gRPC server", resp.StatusCode)
	case status != "0":
		return fmt.Errorf("Health/Check was answered with gRPC status %s", status)
	case servingStatus(message) != serving:
		return errors.New("Health/Check says that it is not serving")
	}
	return nil
}

// servingStatus reads field 1 of the message in a frame, -1 if there is none.
func servingStatus(frame []byte) int {
	if len(frame) < 5 || frame[0] != 0 || int(binary.BigEndian.Uint32(frame[1:])) != len(frame)-5 {
		return -1
	}
	const field1 = 1 << 3 // varint
	message := frame[5:]
	if len(message) < 2 || message[0] != field1 {
		return -1
	}
	n, _ := binary.Uvarint(message[1:])
	return int(n)
}
