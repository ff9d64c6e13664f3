package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"
)

// account returns a client whose account the authority knows.
func (i *Issuer) account(ctx context.Context) (*acme.Client, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.client != nil {
		return i.client, nil
	}
	key, err := i.accountKey()
	if err != nil {
		return nil, err
	}
	client := &acme.Client{Key: key, DirectoryURL: i.cfg.Directory, HTTPClient: i.http, UserAgent: "fairlead", RetryBackoff: backoff}
	dir, err := client.Discover(ctx)
	if err != nil {
		return nil, i.ofDirectory(err)
	}
	if dir.OrderURL == "" || dir.NonceURL == "" {
		return nil, &Fault{Scope: OfAuthority, Message: i.cfg.Directory + " is no ACME directory", Fix: "check --acme-directory"}
	}
	a := &acme.Account{ExternalAccountBinding: i.eab}
	if i.cfg.Email != "" {
		a.Contact = []string{"mailto:" + i.cfg.Email}
	}
	if _, err := client.Register(ctx, a, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, i.ofAccount(err)
	}
	i.client = client
	return client, nil
}

// forget makes the next order find the account anew.
func (i *Issuer) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.client = nil
}

// accountKey returns the stored key of the account, or a new one.
func (i *Issuer) accountKey() (crypto.Signer, error) {
	name := i.dir + "/account.key"
	data, err := i.cfg.Store.Get(name)
	if err == nil {
		if key, err := parseKey(data); err == nil {
			return key, nil
		} else {
			i.cfg.Store.SetAside(name, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err // it may be readable another time, and a second account would be of no use
	}
	key, encoded, err := newKey()
	if err != nil {
		return nil, err
	}
	i.cfg.Store.Put(name, encoded) // what cannot be saved is in memory, and the store has said so
	return key, nil
}

// newKey returns a P-256 key, and it in PEM.
func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM in it")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// quickRetries is how often a request is tried again at once. Whatever takes
// longer is for whoever decides when to order.
const quickRetries = 2

// backoff is how long the client waits before it tries a request again; 0 means
// not at all. A limit that was reached is none of these cases.
func backoff(n int, _ *http.Request, res *http.Response) time.Duration {
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
		return 0
	case res.StatusCode == http.StatusBadRequest: // a bad nonce (RFC 8555, 6.5): costs nothing, and may repeat itself
		if n > 10 {
			return 0
		}
		return time.Millisecond
	case n > quickRetries:
		return 0
	}
	return time.Duration(n) * time.Second
}

// bounded limits the answers of an authority: nothing it has to say is large.
type bounded struct{ http.RoundTripper }

const maxAnswer = 1 << 20 // bytes

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

// CloseIdleConnections is found by http.Client.
func (b bounded) CloseIdleConnections() {
	b.RoundTripper.(*http.Transport).CloseIdleConnections()
}
