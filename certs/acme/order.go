package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/acme"
)

// A begun order is what is kept of one until its certificate is safe, so that a
// process that dies in the middle costs neither the order nor the certificate.
type begun struct {
	URL   string    `json:"url"` // "" while the authority has not answered
	Key   string    `json:"key"` // of the certificate, PEM
	Since time.Time `json:"since"`
	Lost  int       `json:"lost,omitempty"` // orders before it of which no answer is known
}

// lostPause is the wait after an order of which no answer is known: a process
// that is killed again and again orders no more often.
func lostPause(lost int) time.Duration {
	if lost == 1 {
		return 30 * time.Second // less than what follows a failure anyway
	}
	return 10 * time.Minute
}

// keepBegun is what authorities keep an order for (RFC 8555, 7.1.3: expires).
const keepBegun = 7 * 24 * time.Hour

// Order gets a certificate for host, with a fresh P-256 key, and returns both as
// PEM, key first. An order that an earlier process began and did not finish is
// taken up where it stands. The error is a *Fault, or ctx's.
//
// When the result is safe, or a failure that is Over was noted, the caller calls
// Done; until then the same order would be fetched again, or fail again. An order
// that was forgotten before its failure is noted would be followed by another at
// once if the process died in between.
func (i *Issuer) Order(ctx context.Context, host string, by Challenge) ([]byte, error) {
	timed, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	out, err := i.order(timed, host, by)
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	f := i.fault(host, err)
	f.Over = errors.As(err, new(*over))
	if f.Err != nil {
		i.cfg.Log.Debug().Err(f.Err).Str("host", host).Msg("order failed")
	}
	return nil, f
}

func (i *Issuer) order(ctx context.Context, host string, by Challenge) ([]byte, error) {
	client, err := i.account(ctx)
	if err != nil {
		return nil, err
	}
	b, o, err := i.takeUp(ctx, client, host)
	if err == nil && o == nil {
		b, o, err = i.begin(ctx, client, host, b)
	}
	if err != nil {
		return nil, err
	}
	key, err := parseKey([]byte(b.Key))
	if err != nil {
		return nil, &over{err}
	}
	if o.Status == acme.StatusPending {
		o, err = i.authorize(ctx, client, o, host, by)
	}
	var chain [][]byte
	if err == nil {
		chain, err = fetch(ctx, client, o, host, key)
	}
	if err != nil {
		if final(err) {
			err = &over{err}
		}
		return nil, err
	}
	return encode(host, []byte(b.Key), chain, key)
}

// over is an error behind which there is nothing left to take up.
type over struct{ error }

func (e *over) Unwrap() error { return e.error }

// final reports whether err is the authority's word that the order will never
// be valid. Whatever else went wrong, it can still be taken up.
func final(err error) bool {
	var refused *acme.Error
	var invalid *acme.OrderError
	var unproven *acme.AuthorizationError
	var fault *Fault
	switch {
	case errors.As(err, &invalid), errors.As(err, &unproven), errors.As(err, &fault):
		return true
	case errors.As(err, &refused):
		return refused.StatusCode >= 400 && refused.StatusCode < 500 && refused.StatusCode != http.StatusTooManyRequests
	}
	return false
}

func (i *Issuer) orderFile(host string) string { return i.dir + "/orders/" + host + ".json" }

// Done says that the order of host is not needed any more.
func (i *Issuer) Done(host string) { i.cfg.Store.Delete(i.orderFile(host)) }

var errBroken = errors.New("not an order")

// noted reads what was kept of an order for host.
func (i *Issuer) noted(host string) (b begun, err error) {
	data, err := i.cfg.Store.Get(i.orderFile(host))
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return begun{}, fmt.Errorf("%w: %w", errBroken, err)
	}
	return b, nil
}

// fresh reports whether the authority may still have b.
func (b *begun) fresh() bool { return time.Since(b.Since).Abs() <= keepBegun }

// Made reports whether an order for host was made already and can be taken up:
// Order makes no other then.
func (i *Issuer) Made(host string) bool {
	b, err := i.noted(host)
	return err == nil && b.URL != "" && b.fresh()
}

// takeUp returns the order for host that was begun before, nil if there is none
// that is of use. What was begun is returned in any case.
func (i *Issuer) takeUp(ctx context.Context, client *acme.Client, host string) (begun, *acme.Order, error) {
	b, err := i.noted(host)
	switch age := time.Since(b.Since); {
	case errors.Is(err, fs.ErrNotExist):
		return b, nil, nil
	case errors.Is(err, errBroken):
		i.cfg.Store.SetAside(i.orderFile(host), err)
		return begun{}, nil, nil
	case err != nil:
		return b, nil, err // it may be readable another time, and another order is the worse choice
	case !b.fresh():
		return begun{}, nil, nil
	case b.URL == "":
		if b.Lost++; age < lostPause(b.Lost) {
			return b, nil, &Fault{RetryAfter: lostPause(b.Lost) - age, Message: "whether " + i.name + " heard of the last order for " + host + " is not known, so the next one waits"}
		}
		return begun{Lost: b.Lost}, nil, nil
	}
	o, err := client.GetOrder(ctx, b.URL)
	if e := (*acme.Error)(nil); errors.As(err, &e) && e.StatusCode >= 400 && e.StatusCode < 500 && e.StatusCode != http.StatusTooManyRequests {
		return begun{}, nil, nil // it was forgotten there, or is another account's
	}
	if err != nil {
		return b, nil, err
	}
	if o.Status == acme.StatusInvalid {
		return begun{}, nil, &over{i.failedMeanwhile(host, o)}
	}
	return b, o, nil
}

// failedMeanwhile words an order that came to nothing while no process waited for
// it. Authorities count it as any other.
func (i *Issuer) failedMeanwhile(host string, o *acme.Order) *Fault {
	f := &Fault{Message: i.name + " gave up the order for " + host + " while the proxy did not run"}
	if o.Error != nil {
		f = i.refused(host, o.Error)
	}
	f.Scope, f.Validation = OfHost, true
	return f
}

// begin orders anew. What is needed to take the order up is kept before the
// authority hears of it, and again when it has answered.
func (i *Issuer) begin(ctx context.Context, client *acme.Client, host string, before begun) (begun, *acme.Order, error) {
	_, key, err := newKey()
	if err != nil {
		return before, nil, err
	}
	b := begun{Key: string(key), Since: time.Now(), Lost: before.Lost}
	i.note(host, b)
	o, err := client.AuthorizeOrder(ctx, acme.DomainIDs(host))
	if err != nil {
		if e := (*acme.Error)(nil); errors.As(err, &e) { // it answered: nothing was lost
			err = &over{err}
		}
		return b, nil, err
	}
	b.URL, b.Lost = o.URI, 0
	i.note(host, b)
	return b, o, nil
}

// note keeps what was begun. What cannot be saved is in memory, and the store has
// said so.
func (i *Issuer) note(host string, b begun) {
	data, err := json.Marshal(b)
	if err == nil {
		i.cfg.Store.Put(i.orderFile(host), data)
	}
}

// authorize proves that host is ours and returns the order, ready.
func (i *Issuer) authorize(ctx context.Context, client *acme.Client, o *acme.Order, host string, by Challenge) (*acme.Order, error) {
	for _, url := range o.AuthzURLs {
		z, err := client.GetAuthorization(ctx, url)
		if err != nil {
			return nil, err
		}
		if z.Status != acme.StatusPending {
			continue
		}
		if err := i.prove(ctx, client, z, host, by); err != nil {
			if final(err) {
				i.abandon(ctx, client, url)
			}
			return nil, err
		}
	}
	return client.WaitOrder(ctx, o.URI)
}

// prove fulfils one challenge of z. One that the authority has already been told
// to check, by a process before this one, is only waited for.
func (i *Issuer) prove(ctx context.Context, client *acme.Client, z *acme.Authorization, host string, by Challenge) error {
	n := slices.IndexFunc(z.Challenges, func(c *acme.Challenge) bool { return c.Type == string(by) })
	if n < 0 {
		return &Fault{Message: fmt.Sprintf("%s offers no challenge of type %s for %s", i.name, by, host), Fix: "open the other port (80 for http-01, 443 for tls-alpn-01)"}
	}
	c := z.Challenges[n]
	if by == TLSALPN01 {
		cert, err := client.TLSALPN01ChallengeCert(c.Token, host)
		if err != nil {
			return err
		}
		defer i.cfg.Answers.PutCertificate(host, &cert)()
	} else {
		body, err := client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			return err
		}
		defer i.cfg.Answers.PutToken(host, c.Token, body)()
	}
	if c.Status == acme.StatusPending {
		// Where the answer was lost the authority may be on its way all the same.
		if _, err := client.Accept(ctx, c); err != nil && final(err) {
			return err
		}
	}
	_, err := client.WaitAuthorization(ctx, z.URI)
	return err
}

// abandon tells the authority that it need not wait: pending authorizations have
// a limit of their own.
func (i *Issuer) abandon(ctx context.Context, client *acme.Client, url string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if z, err := client.GetAuthorization(ctx, url); err == nil && z.Status == acme.StatusPending {
		client.RevokeAuthorization(ctx, url) // a courtesy
	}
}

// fetch finalizes o where that is still to do, and returns the chain.
func fetch(ctx context.Context, client *acme.Client, o *acme.Order, host string, key *ecdsa.PrivateKey) ([][]byte, error) {
	if o.Status == acme.StatusProcessing {
		var err error
		if o, err = client.WaitOrder(ctx, o.URI); err != nil {
			return nil, err
		}
	}
	if o.Status == acme.StatusValid {
		return client.FetchCert(ctx, o.CertURL, true)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: commonName(host)}, DNSNames: []string{host},
	}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := client.CreateCertFromOrder(ctx, o, csr, true)
	return chain, err
}

// commonName is host, or nothing where it is too long for one (RFC 5280, A.1).
func commonName(host string) string {
	if len(host) > 64 {
		return ""
	}
	return host
}

// encode checks that chain is what was ordered. Its dates are not judged: it is
// our clock that may be wrong.
func encode(host string, key []byte, chain [][]byte, private *ecdsa.PrivateKey) ([]byte, error) {
	var out bytes.Buffer
	out.Write(key)
	for n, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", n+1, err)
		}
		if n == 0 {
			if err := c.VerifyHostname(host); err != nil {
				return nil, err
			}
			if !private.PublicKey.Equal(c.PublicKey) {
				return nil, errors.New("the certificate is for another key")
			}
		}
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	if len(chain) == 0 {
		return nil, errors.New("an empty chain")
	}
	return out.Bytes(), nil
}
