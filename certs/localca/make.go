package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"time"
)

const (
	organization = "Fairlead"
	maxName      = 64 // of a common name (RFC 5280, A.1: ub-common-name)
	dayBack      = 24 * time.Hour
)

// StopGap returns a self-signed certificate without a name, shown where there is
// none yet or the name is not known: a handshake never fails for want of one. It
// is good from a day before now to ten years after, so that a wrong clock does
// not matter.
func StopGap(now time.Time) (*tls.Certificate, error) {
	return makeCertificate(&x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "fairlead stop-gap"}, NotBefore: now.Add(-dayBack), NotAfter: now.Add(rootLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, nil, nil)
}

// makeCertificate makes a key and a certificate by template, signed by parent or
// by itself for nil.
func makeCertificate(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parsed}, nil
}

// newSerial returns 128 random bits (RFC 5280, 4.1.2.2, allows 20 octets).
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // does not fail since Go 1.24
	return new(big.Int).SetBytes(b[:])
}

// shortened is the first n bytes of name, without half a character.
func shortened(name string, n int) string {
	return strings.ToValidUTF8(name[:min(len(name), n)], "")
}
