package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"github.com/fairlead/fairlead/certs/files"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
	"golang.org/x/crypto/acme"
)

// TLSConfig returns what entry points shake hands by. Everything in it is decided
// per handshake, so that it never has to be replaced.
func (c *Certificates) TLSConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: c.config}
}

// suites are those of TLS 1.2 that are still sound: forward secret and
// authenticated (RFC 9325, 4.2). Go orders them, and those of 1.3.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// demands are what a connection has to fulfil. Connections with different ones
// share neither a configuration nor a session (CVE-2025-23419).
type demands struct {
	minVersion string
	clients    *files.Clients // nil asks for no client certificate
}

// sessions are what connections with the same demands share.
type sessions struct {
	config *tls.Config
	keys   [][32]byte // of tickets, newest first
}

// Ticket keys are changed every ticketLife, and old ones accepted for two more:
// whoever steals one reads no more than a day and a half.
const (
	ticketLife = 12 * time.Hour
	ticketKeys = 3
)

// config is GetConfigForClient.
func (c *Certificates) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: hello.SupportedProtos, GetCertificate: c.challenge, SessionTicketsDisabled: true}, nil
	}
	host, _ := c.cfg.Lookup(nameOf(hello))
	d := demands{minVersion: host.Policy.MinVersion}
	if ref := host.Policy.ClientCA; ref != "" {
		// Without its authorities the host is refused; what is then said over this
		// connection is only that, and Admits lets nothing else pass.
		d.clients = c.files.Clients(ref)
	}
	if known, ok := c.current.Load(d); ok {
		return known.(*tls.Config), nil
	}
	return c.session(d), nil
}

// session returns the configuration for connections that d is asked of.
func (c *Certificates) session(d demands) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[d]; s != nil {
		return s.config
	}
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: c.certificate,
	}
	if d.minVersion == "1.3" {
		cfg.MinVersion = tls.VersionTLS13
	}
	if d.clients != nil {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, d.clients.Pool
	}
	s := &sessions{config: cfg}
	s.rotate()
	c.sessions[d] = s
	c.current.Store(d, cfg)
	return cfg
}

// rotate makes a new ticket key the current one.
func (s *sessions) rotate() {
	var key [32]byte
	rand.Read(key[:]) // does not fail since Go 1.24
	s.keys = append([][32]byte{key}, s.keys[:min(len(s.keys), ticketKeys-1)]...)
	s.config.SetSessionTicketKeys(s.keys)
}

// rotate changes the ticket keys until ctx ends.
func (c *Certificates) rotate(ctx context.Context) error {
	tick := time.NewTicker(ticketLife)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		c.mu.Lock()
		for _, s := range c.sessions {
			s.rotate()
		}
		c.mu.Unlock()
	}
}

// prune forgets configurations that no host asks for any more.
func (c *Certificates) prune(hosts []spec.TLSHost) {
	used := map[demands]bool{{}: true}
	for _, h := range hosts {
		d := demands{minVersion: h.Policy.MinVersion}
		if ref := h.Policy.ClientCA; ref != "" {
			d.clients = c.files.Clients(ref)
		}
		used[d] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range c.sessions {
		if !used[d] {
			c.current.Delete(d)
			delete(c.sessions, d)
		}
	}
}

// nameOf returns the host that a client asks for, "" if it says none that could
// be one. Clients send no name with an address: then it is the one they reached.
func nameOf(hello *tls.ClientHelloInfo) string {
	if hello.ServerName != "" {
		host, _, _ := exchange.ParseHost(hello.ServerName)
		return host
	}
	if hello.Conn == nil {
		return ""
	}
	addr, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return ""
	}
	if net.ParseIP(addr).To4() == nil {
		addr = "[" + addr + "]"
	}
	host, _, _ := exchange.ParseHost(addr)
	return host
}

// challenge is GetCertificate for an authority that checks whether a host is
// ours (RFC 8737).
func (c *Certificates) challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := c.answers.Certificate(nameOf(hello)); cert != nil {
		return cert, nil
	}
	return nil, errNoChallenge
}

// certificate is GetCertificate.
func (c *Certificates) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := nameOf(hello)
	host, known := c.cfg.Lookup(name)
	if !known {
		return c.stopGap, nil
	}
	if cert := c.choose(name, host); cert != nil {
		return cert, nil
	}
	return c.stopGap, nil
}

// choose returns the best certificate for name, which falls under host; nil if
// there is none.
func (c *Certificates) choose(name string, host spec.TLSHost) *tls.Certificate {
	switch host.Policy.Mode {
	case spec.TLSOff:
		return nil
	case spec.TLSFile:
		return c.files.Certificate(host.Policy)
	case spec.TLSAuto:
		if cert := c.files.Covering(spec.Host{Text: name}); cert != nil {
			return cert
		}
	}
	switch c.cfg.Names.Authority(host.Host, host.Policy.Mode) {
	case spec.PublicAuthority:
		return c.public.Certificate(host.Host.Text)
	case spec.InternalAuthority:
		if host.Host.Kind == spec.WildcardHost {
			cert, _ := c.local.Under(host.Host, name) // nil with an error
			return cert
		}
		cert, _ := c.local.Certificate(host.Host)
		return cert
	}
	return nil
}
