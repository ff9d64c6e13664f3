package acme

import (
	"crypto/tls"
	"sync"
)

// Answers are what authorities, and our own checks, ask our ports for. Its zero
// value is empty and ready. It is safe for concurrent use; reading does not
// block.
type Answers struct {
	tokens sync.Map // tokenKey → string
	certs  sync.Map // host → *tls.Certificate
}

type tokenKey struct{ host, token string }

// PutToken has the path /.well-known/acme-challenge/TOKEN of host answered with
// body until take is called.
func (a *Answers) PutToken(host, token, body string) (take func()) {
	k := tokenKey{host, token}
	a.tokens.Store(k, body)
	return func() { a.tokens.CompareAndDelete(k, body) }
}

// Token returns the answer for a token of host.
func (a *Answers) Token(host, token string) (body string, ok bool) {
	v, ok := a.tokens.Load(tokenKey{host, token})
	if !ok {
		return "", false
	}
	return v.(string), true
}

// PutCertificate has a handshake for host that offers only the protocol
// acme-tls/1 answered with cert until take is called.
func (a *Answers) PutCertificate(host string, cert *tls.Certificate) (take func()) {
	a.certs.Store(host, cert)
	return func() { a.certs.CompareAndDelete(host, cert) }
}

// Certificate returns that certificate, nil if there is none.
func (a *Answers) Certificate(host string) *tls.Certificate {
	if v, ok := a.certs.Load(host); ok {
		return v.(*tls.Certificate)
	}
	return nil
}
