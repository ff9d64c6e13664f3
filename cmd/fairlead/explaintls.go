package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"time"
)

// sentTLS is what a handshake came to.
type sentTLS struct {
	Version  string    `json:"version"`
	Names    []string  `json:"names"` // of the certificate
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
	Distrust string    `json:"distrust,omitempty"` // why a client without roots of its own would not take it; "" if it would
}

func describeTLS(state tls.ConnectionState, name string) *sentTLS {
	leaf := state.PeerCertificates[0]
	d := &sentTLS{Version: tls.VersionName(state.Version), Names: leaf.DNSNames, Issuer: leaf.Issuer.CommonName, NotAfter: leaf.NotAfter}
	for _, ip := range leaf.IPAddresses {
		d.Names = append(d.Names, ip.String())
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Intermediates: between}); err != nil {
		d.Distrust = strings.TrimPrefix(err.Error(), "x509: ")
	}
	return d
}

func (d *sentTLS) String() string {
	text := d.Version + ", certificate of " + cmp.Or(strings.Join(d.Names, ", "), "no name") + " by " + d.Issuer + " until " + d.NotAfter.Local().Format(time.DateOnly)
	if d.Distrust != "" {
		text += "; not trusted: " + d.Distrust
	}
	return text
}
