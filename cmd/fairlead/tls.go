package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"github.com/fairlead/fairlead/certs"
	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/spec"
)

// noACME is the value of --acme-directory that uses no public authority.
const noACME = "off"

// names says who may vouch for which hosts.
func (s *settings) names() spec.Names {
	return spec.Names{Domain: s.domain, Internal: s.internalNames, NoACME: s.acmeDirectory == noACME}
}

// wireCertificates sets up what entry points with TLS need. Without one there
// are no certificates.
func (p *process) wireCertificates(points []server.EntryPoint) error {
	open := func(tls bool) bool {
		return slices.ContainsFunc(points, func(e server.EntryPoint) bool { return e.TLS == tls })
	}
	if !open(true) {
		return nil
	}
	s := p.settings
	authority := acme.Config{Directory: s.acmeDirectory, Email: s.acmeEmail, EABKeyID: s.acmeEABKeyID, EABHMAC: s.acmeEABHMAC}
	if s.acmeCABundle != "" {
		bundle, err := os.ReadFile(s.acmeCABundle)
		if err != nil {
			return fmt.Errorf("--acme-ca-bundle: %w", err)
		}
		authority.CABundle = bundle
	}
	live := p.watch.live
	var err error
	p.certs, err = certs.New(certs.Config{
		DataDir: s.dataDir, Secret: p.watch.env.Build.Secret, SecretsDir: s.secretsDir, Names: s.names(), ACME: authority,
		HTTPOpen: open(false), HTTPSOpen: true, Reached: p.reached, Changed: func() { p.watch.tell(func() {}) }, Log: p.log,
		Lookup: func(name string) (spec.TLSHost, bool) {
			if t := live.Table(); t != nil {
				return t.TLSHost(name)
			}
			return spec.TLSHost{}, false
		},
		Hosts: func() []spec.TLSHost {
			if t := live.Table(); t != nil {
				return t.TLSHosts()
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	p.watch.env.Certificates = p.certs
	p.watch.env.HTTPSPort = p.httpsPort
	p.watch.swapped = p.certs.Update
	return nil
}

// httpsPort returns the port by which clients reach the HTTPS entry point for
// what came in by the plain one called entry: the one of the same name, else the
// first, of those that listen names (all for nil).
func (p *process) httpsPort(entry string, listen []string) string {
	var found *server.EntryPoint
	for i := range p.points {
		e := &p.points[i]
		named := listen == nil || slices.Contains(listen, e.Name) || slices.Contains(listen, portOf(e.Addr))
		if e.TLS && named && (found == nil || e.Name == entry && found.Name != entry) {
			found = e
		}
	}
	switch {
	case found == nil:
		return ""
	case p.settings.httpsPort != 0:
		return strconv.Itoa(p.settings.httpsPort)
	}
	inside := portOf(found.Addr)
	if published := p.watch.published.Load(); published != nil {
		for _, pub := range *published {
			if strconv.Itoa(pub.Container) == inside {
				return strconv.Itoa(int(pub.Host.Port()))
			}
		}
	}
	return inside
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// byProtocol returns the engine for what a handshake agreed on, nil for the
// entry point's own.
func byProtocol(_ server.EntryPoint, protocol string) server.Engine {
	if protocol == acme.ALPNProto { // an authority has seen what it came for
		return server.Hangup{}
	}
	return nil
}

// tlsConfig returns what the entry points shake hands by, nil without TLS.
func (p *process) tlsConfig() *tls.Config {
	if p.certs == nil {
		return nil
	}
	return p.certs.TLSConfig()
}
