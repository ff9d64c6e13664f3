// Package acme orders certificates from an authority that speaks ACME (RFC 8555):
// one order for one host at a time, by HTTP-01 or TLS-ALPN-01 (RFC 8737). When to
// order is not its business.
package acme

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/certs/storage"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"
)

const (
	// LetsEncrypt is the directory that is used unless another is named.
	LetsEncrypt = acme.LetsEncryptURL
	// ALPNProto is the protocol that authorities offer, alone, for TLS-ALPN-01
	// (RFC 8737, 6.2).
	ALPNProto = acme.ALPNProto
)

// Config is what an Issuer needs.
type Config struct {
	Directory         string // URL of the authority's directory; "" is Let's Encrypt
	CABundle          []byte // PEM of the authorities that may vouch for the directory's own host; nil means the system's
	Email             string // given to the authority, "" for none
	EABKeyID, EABHMAC string // external account binding (RFC 8555, 7.3.4); HMAC is base64url; "" for none
	Store             *storage.Store
	Answers           *Answers
	Log               zerolog.Logger
	Timeout           time.Duration // of one order; 0 means 2 minutes
}

// A Challenge is how the authority checks that a host is ours.
type Challenge string

const (
	HTTP01    Challenge = "http-01"
	TLSALPN01 Challenge = "tls-alpn-01"
)

// An Issuer orders certificates from one authority, with one account. It is
// safe for concurrent use; one host is ordered for by one caller at a time.
type Issuer struct {
	cfg  Config
	name string // of the authority, for people
	dir  string // of the store
	http *http.Client
	eab  *acme.ExternalAccountBinding

	mu     sync.Mutex   // guards client, and is held while the account is made
	client *acme.Client // nil until the account is known
}

// New returns the Issuer for c. It speaks to nobody yet. Errors name the setting
// that is wrong.
func New(c Config) (*Issuer, error) {
	if c.Directory == "" {
		c.Directory = LetsEncrypt
	}
	if c.Timeout <= 0 {
		c.Timeout = 2 * time.Minute
	}
	u, err := url.Parse(c.Directory)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("--acme-directory %s: want an https URL, or off", c.Directory)
	}
	sum := sha256.Sum256([]byte(c.Directory))
	i := &Issuer{cfg: c, name: u.Hostname(), dir: "acme/" + safe(u.Hostname()) + "-" + hex.EncodeToString(sum[:4])}
	if i.http, err = httpClient(c.CABundle); err != nil {
		return nil, err
	}
	if c.Email != "" {
		if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
			return nil, fmt.Errorf("--acme-email %s: want an address such as admin@example.com", c.Email)
		}
	}
	i.eab, err = binding(c.EABKeyID, c.EABHMAC)
	return i, err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// safe is host as a name of a directory: an address may have colons.
func safe(host string) string { return strings.ReplaceAll(host, ":", "_") }

// httpClient returns a client that trusts bundle, and the system where it is nil.
func httpClient(bundle []byte) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 64 << 10
	t.MaxIdleConnsPerHost, t.IdleConnTimeout = 2, 15*time.Second
	if bundle != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(bundle) {
			return nil, errors.New("--acme-ca-bundle: the file holds no certificate in PEM")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: bounded{t}, Timeout: time.Minute}, nil
}

// binding reads the two halves of an external account binding.
func binding(kid, mac string) (*acme.ExternalAccountBinding, error) {
	switch {
	case kid == "" && mac == "":
		return nil, nil
	case kid == "" || mac == "":
		return nil, errors.New("an external account binding needs both --acme-eab-kid and --acme-eab-hmac")
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(mac, "="))
	if err != nil || len(key) == 0 {
		return nil, errors.New("--acme-eab-hmac: want base64url, as the authority shows it")
	}
	return &acme.ExternalAccountBinding{KID: kid, Key: key}, nil
}

// Name returns the authority's host, for logs and people.
func (i *Issuer) Name() string { return i.name }

// Dir returns the directory of the store that is this authority's alone.
func (i *Issuer) Dir() string { return i.dir }

// Idle closes connections to the authority that nothing needs now.
func (i *Issuer) Idle() { i.http.CloseIdleConnections() }
