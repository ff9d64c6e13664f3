package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs"
)

// root returns the internal authority's root, as the command ca prints it.
func (p *proxy) root() *x509.CertPool {
	p.Helper()
	out, err := command("ca", "--data-dir", p.settings.dataDir)
	if err != nil {
		p.Fatalf("ca: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(out)) {
		p.Fatalf("ca printed no certificate: %q", out)
	}
	return pool
}

// A tlsClient speaks to the HTTPS entry point of a proxy. A client of one entry
// in it may send requests for any host over the connection it has.
type tlsClient struct {
	*proxy
	sni    string // "" is the host of the first request
	config *tls.Config
	h2     bool
	client *http.Client
}

// over returns a client whose connections are made for sni.
func (p *proxy) over(sni string, h2 bool, config *tls.Config) *tlsClient {
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true}
	}
	c := &tlsClient{proxy: p, sni: sni, config: config.Clone(), h2: h2}
	c.config.ServerName = sni
	c.config.NextProtos = []string{"http/1.1"}
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	if h2 {
		c.config.NextProtos = []string{"h2"}
	}
	t := &http.Transport{
		Protocols: &protocols, TLSClientConfig: c.config, DisableCompression: true, MaxConnsPerHost: 1,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: c.config}
			return d.DialContext(ctx, "tcp", p.addrs["https"])
		},
	}
	c.client = &http.Client{Transport: t, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.Cleanup(t.CloseIdleConnections)
	return c
}

// ask sends a request for host, on the connection there is. net/http keeps
// connections by the URL's host, so that is the same for all.
func (c *tlsClient) ask(host, path string) (status int, body string, err error) {
	r, err := http.NewRequest(http.MethodGet, "https://one.invalid"+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	res, err := c.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && (res.ProtoMajor == 2) != c.h2 {
		c.Errorf("the answer came over %s", res.Proto)
	}
	return res.StatusCode, string(b), err
}

// verified fails unless host answers 200 over TLS with a certificate for it that
// roots vouch for.
func (p *proxy) verified(host string, roots *x509.CertPool) *x509.Certificate {
	p.Helper()
	c := p.over(host, true, &tls.Config{RootCAs: roots})
	var status int
	var body string
	var err error
	eventually(p, "the app of "+host+" was found listening", func() bool {
		status, body, err = c.ask(host, "/")
		return status != http.StatusServiceUnavailable
	})
	if err != nil || status != http.StatusOK {
		p.Fatalf("https://%s/: %d %q, %v; want 200, verified", host, status, body, err)
	}
	return p.shown(host)
}

// shown returns the certificate that a handshake for sni gets.
func (p *proxy) shown(sni string) *x509.Certificate {
	p.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", p.addrs["https"], &tls.Config{ServerName: sni, InsecureSkipVerify: true})
	if err != nil {
		p.Fatalf("handshake for %q: %v", sni, err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// certLine returns what the command certs says of host.
func (p *proxy) certLine(host string) certs.Line {
	p.Helper()
	var v certs.View
	if err := p.admin.Get(context.Background(), "certs", nil, &v); err != nil {
		p.Fatalf("certs: %v", err)
	}
	for _, l := range v.Lines {
		if l.Host == host {
			return l
		}
	}
	return certs.Line{}
}

// An issuer signs certificates for tests.
type issuer struct {
	testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t testing.TB, name string) *issuer {
	t.Helper()
	i := &issuer{TB: t}
	i.cert, i.key = i.make(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return i
}

func (i *issuer) make(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	i.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.Fatal(err)
	}
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	parent, signer := i.cert, i.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		i.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.Fatal(err)
	}
	return cert, key
}

// pool returns i as an authority to trust, pem the same as a file.
func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

func pemOf(certs ...*x509.Certificate) string {
	out := ""
	for _, c := range certs {
		out += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return out
}

func pemKey(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// server writes a certificate for names, and its key, into dir.
func (i *issuer) server(dir, file string, names ...string) *x509.Certificate {
	i.Helper()
	cert, key := i.make(&x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	replace(i, filepath.Join(dir, file+".key"), pemKey(i, key))
	replace(i, filepath.Join(dir, file+".pem"), pemOf(cert))
	return cert
}

// replace writes a file as an editor does: a new one takes its name.
func replace(t testing.TB, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// client returns a client certificate.
func (i *issuer) client(name string) tls.Certificate {
	i.Helper()
	cert, key := i.make(&x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}
