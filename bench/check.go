//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/fairlead/fairlead/bench/origin"
	"github.com/fairlead/fairlead/bench/peers"
	"github.com/fairlead/fairlead/bench/proc"
)

var errGone = errors.New("the proxy ended")

// check waits for the proxy to answer, and then holds it to the work that all
// are to do: a proxy that leaves a part of it out would look fast.
func (b *bed) check(ctx context.Context) error {
	var last error
	err := proc.Until(ctx, lookEvery, func() bool {
		select {
		case <-b.gone:
			last = errGone
			return true
		default:
			last = b.checkHosts(ctx)
			return last == nil
		}
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return last
}

// checkHosts asks the first and the last host, in plain and over TLS.
func (b *bed) checkHosts(ctx context.Context) error {
	hosts := b.cfg.Hosts
	schemes := []string{"http", "https"}
	if !b.cfg.TLS.IsValid() {
		schemes = schemes[:1]
	}
	for _, host := range []string{hosts[0], hosts[len(hosts)-1]} {
		for _, scheme := range schemes {
			if err := b.checkForwarding(ctx, scheme, host); err != nil {
				return fmt.Errorf("%s://%s: %w", scheme, host, err)
			}
		}
	}
	if b.peer.ServesFiles {
		if err := b.checkFiles(ctx); err != nil {
			return err
		}
	}
	if b.peer.Metrics != "" {
		if _, err := peers.Get(ctx, http.DefaultClient, "http://"+b.cfg.Admin.String()+b.peer.Metrics); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}

// leastLine is shorter than a line of any access log: each has address, time,
// host or path, status and bytes.
const leastLine = 50

// checkLog holds the proxy to its access log, which may be written a little late.
func (b *bed) checkLog(ctx context.Context, requests uint64, handshakes bool) error {
	if !b.cfg.AccessLog || handshakes {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, logTime, proc.ErrStuck)
	defer cancel()
	var size int64
	err := proc.Until(ctx, lookEvery, func() bool {
		if st, err := os.Stat(b.cfg.LogFile()); err == nil {
			size = st.Size()
		}
		return size >= int64(requests)*leastLine
	})
	if err != nil {
		return fmt.Errorf("the access log has %d bytes after %d requests: %w", size, requests, err)
	}
	return nil
}

func (b *bed) checkForwarding(ctx context.Context, scheme, host string) error {
	client, err := b.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	small, err := peers.Get(ctx, client, scheme+"://"+host+origin.Small)
	if err != nil {
		return err
	}
	if len(small) != origin.SmallN {
		return fmt.Errorf("%d bytes, want %d", len(small), origin.SmallN)
	}
	head, err := peers.Get(ctx, client, scheme+"://"+host+origin.Echo)
	if err != nil {
		return err
	}
	got := strings.ToLower(string(head))
	for _, line := range []string{
		"host: " + host, "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: " + scheme,
		"x-forwarded-host: " + host, "x-real-ip: 127.0.0.1",
	} {
		if !strings.Contains(got, "\r\n"+line+"\r\n") {
			return fmt.Errorf("the origin did not get %q, but %q", line, head)
		}
	}
	return nil
}

// client reaches every host at the proxy, and trusts the authority alone that
// signs for it.
func (b *bed) client() (*http.Client, error) {
	pool := x509.NewCertPool()
	if b.cfg.TLS.IsValid() {
		root := b.cfg.CA
		if b.peer.Root != nil {
			root = b.peer.Root(b.cfg)
		}
		pem, err := os.ReadFile(root)
		if err != nil {
			return nil, err
		}
		pool.AppendCertsFromPEM(pem)
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := b.cfg.Plain
		if strings.HasSuffix(addr, ":443") {
			to = b.cfg.TLS
		}
		return new(net.Dialer).DialContext(ctx, network, to.String())
	}
	return &http.Client{
		Transport: &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it redirects")
		},
	}, nil
}
