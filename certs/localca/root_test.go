package localca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openssl checks cert by another implementation, by the letter of RFC 5280, where
// there is one. crypto/x509 has checked it in any case.
func openssl(t *testing.T, root *x509.Certificate, cert *tls.Certificate, name string, want bool) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		return
	}
	dir := t.TempDir()
	for file, der := range map[string][]byte{"root.pem": root.Raw, "leaf.pem": cert.Certificate[0]} {
		write(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), dir, file)
	}
	by := "-verify_hostname"
	if net.ParseIP(name) != nil {
		by = "-verify_ip"
	}
	out, err := exec.Command(program, "verify", "-x509_strict", "-purpose", "sslserver", by, name, "-CAfile", filepath.Join(dir, "root.pem"), filepath.Join(dir, "leaf.pem")).CombinedOutput()
	if (err == nil) != want {
		t.Errorf("openssl trusts %s: %v, want %v:\n%s", name, err == nil, want, out)
	}
}

func TestTheRoot(t *testing.T) {
	var s start
	a := s.in(t, t.TempDir())
	s.said(t, "info", "fairlead ca")
	if !bytes.Equal(a.root.RawSubject, a.root.RawIssuer) || !a.root.IsCA || a.root.MaxPathLen != 0 || a.root.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || !a.root.PermittedDNSDomainsCritical {
		t.Errorf("issuer %s, authority %v, path %d, usage %b, critical %v", a.root.Issuer, a.root.IsCA, a.root.MaxPathLen, a.root.KeyUsage, a.root.PermittedDNSDomainsCritical)
	}
	if life := time.Until(a.root.NotAfter).Round(time.Hour); life != rootLife {
		t.Errorf("it holds for %s, want %s", life, rootLife)
	}
	name := a.root.Subject.CommonName
	machine, _ := os.Hostname()
	if !strings.HasPrefix(name, "Fairlead internal CA ") || !strings.Contains(name, shortened(machine, 20)) || len(name) > maxName {
		t.Errorf("it is called %q, want it to name the machine %s in %d bytes", name, machine, maxName)
	}
	if other := authority(t, t.TempDir()).root.Subject.CommonName; other == name {
		t.Errorf("another root is called %q too", other)
	}
}

func TestNamesAreShortenedWithinCharacters(t *testing.T) {
	for _, tt := range []struct{ name, want string }{{"abc", "abc"}, {"abcd", "abcd"}, {"abcde", "abcd"}, {"abcü", "abc"}, {"a\xffb", "ab"}, {"", ""}} {
		if got := shortened(tt.name, 4); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Whoever steals the root's key can sign what he likes, and nobody believes it.
func TestTheRootCannotVouchForOthers(t *testing.T) {
	a := authority(t, t.TempDir())
	forge := func(template x509.Certificate, parent *x509.Certificate, key *ecdsa.PrivateKey) *tls.Certificate {
		t.Helper()
		template.SerialNumber, template.Subject = newSerial(), pkix.Name{Organization: []string{"Evil"}}
		template.NotBefore, template.NotAfter = time.Now().Add(-leafBack), time.Now().Add(leafLife)
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		cert, err := makeCertificate(&template, parent, key)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	for _, name := range []string{"evil.example.com", "localhost.example.com", "notlocalhost", "com", "8.8.8.8", "172.32.0.1", "2001:db8::1", "fe80::1"} {
		template := x509.Certificate{DNSNames: []string{name}}
		if ip := net.ParseIP(name); ip != nil {
			template = x509.Certificate{IPAddresses: []net.IP{ip}}
		}
		cert := forge(template, a.root, a.key)
		if err := verify(a.root, cert, name); err == nil {
			t.Errorf("a certificate for %s is trusted", name)
		}
		openssl(t, a.root, cert, name, false)
	}
	below := forge(x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, a.root, a.key)
	cert := forge(x509.Certificate{DNSNames: []string{"a.localhost"}}, below.Leaf, below.PrivateKey.(*ecdsa.PrivateKey))
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(a.root)
	between.AddCert(below.Leaf)
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "a.localhost", Roots: roots, Intermediates: between}); err == nil {
		t.Error("an authority below the root is trusted, want a path of no length")
	}
}
