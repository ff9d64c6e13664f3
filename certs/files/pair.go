package files

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

const (
	maxChain = 10       // certificates in one file
	maxKey   = 16 << 10 // bytes of DER; RSA with maxBits has 4,700
	minBits  = 1024     // of RSA; Go signs with no smaller key
	oldBits  = 2048     // of RSA; browsers accept no smaller key (CA/Browser Forum, Baseline Requirements 6.1.5)
)

const newKey = "have a certificate made for a new key (openssl ecparam -name prime256v1 -genkey -noout)"

// pairOf reads a chain and its key. The hints are what is wrong with it though it
// is served.
func pairOf(n files, certPEM, keyPEM []byte) (pair *tls.Certificate, hints []*Fault, fault *Fault) {
	in, fault := open(n.cert, certPEM)
	if fault != nil {
		return nil, nil, fault
	}
	switch {
	case len(in.certs) > 0:
	case len(in.keys) > 0:
		return nil, nil, &Fault{in.path + " holds a key where the certificate is wanted", "write file:CERT,KEY in this order"}
	default:
		return nil, nil, &Fault{in.path + " holds no certificate" + in.but(), `write it as PEM: it begins with "-----BEGIN CERTIFICATE-----"`}
	}
	chain, fault := in.chain(maxChain)
	if fault != nil {
		return nil, nil, fault
	}
	key, fault := keyOf(n.key, keyPEM)
	if fault != nil {
		return nil, nil, fault
	}
	ordered := order(chain, key)
	if ordered == nil {
		return nil, nil, &Fault{fmt.Sprintf("%s is not the key of %s, which is for %s", path(n.key), in.path, nameOf(chain[0])), "write the key that the certificate was made with"}
	}
	pair = &tls.Certificate{PrivateKey: key, Leaf: ordered[0]}
	for _, c := range ordered {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	if !slices.Equal(ordered, chain) {
		hints = append(hints, &Fault{"the certificates in " + in.path + " are in the wrong order; they are sent in the right one", "write the host's certificate first, then the one that signed it, and so on"})
	}
	if bits := bitsOf(pair.Leaf.PublicKey); bits > 0 && bits < oldBits {
		hints = append(hints, &Fault{fmt.Sprintf("the certificate in %s has an RSA key of %d bits, and clients refuse less than %d", in.path, bits, oldBits), newKey})
	}
	return pair, hints, nil
}

// order returns the certificate of key, behind it those that signed it, directly
// or not, and then what does not belong there, as it was: somebody put it there.
// nil if none is of key.
func order(chain []*x509.Certificate, key crypto.Signer) []*x509.Certificate {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return ok && public.Equal(c.PublicKey) })
	if i < 0 {
		return nil
	}
	out := []*x509.Certificate{chain[i]}
	add := func(which func(*x509.Certificate) bool) {
		for _, c := range chain {
			if !slices.Contains(out, c) && which(c) {
				out = append(out, c)
			}
		}
	}
	for at := 0; at < len(out); at++ { // several may have signed the same: authorities sign each other's
		add(func(c *x509.Certificate) bool { return signed(c, out[at]) })
	}
	add(func(*x509.Certificate) bool { return true })
	return out
}

// signed reports whether child was signed by parent's key.
func signed(parent, child *x509.Certificate) bool {
	if !bytes.Equal(parent.RawSubject, child.RawIssuer) || bytes.Equal(parent.Raw, child.Raw) {
		return false
	}
	err := parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
	var old x509.InsecureAlgorithmError // of SHA-1, which Go does not check: the name has to do
	return err == nil || errors.As(err, &old)
}

// nameOf returns whom c is for.
func nameOf(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return label.Shown(c.Subject.CommonName)
	}
	return hostsOf(c)
}

// hostsOf lists the hosts that c is for.
func hostsOf(c *x509.Certificate) string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no host at all"
	}
	return list(all)
}

// keyOf reads the first private key of a file.
func keyOf(ref string, raw []byte) (crypto.Signer, *Fault) {
	in, fault := open(ref, raw)
	switch {
	case fault != nil:
		return nil, fault
	case len(in.keys) > 0:
	case len(in.certs) > 0:
		return nil, &Fault{in.path + " holds a certificate and no key", "write file:CERT,KEY in this order"}
	default:
		return nil, &Fault{in.path + " holds no key" + in.but(), `write it as PEM: it begins with "-----BEGIN PRIVATE KEY-----"`}
	}
	block := in.keys[0]
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, &Fault{"the key in " + in.path + " is encrypted", "remove its password (openssl pkey -in " + in.path + " -out KEY)"}
	case len(block.Bytes) > maxKey:
		return nil, &Fault{fmt.Sprintf("the key in %s has %d bytes, more than %d", in.path, len(block.Bytes), maxKey), newKey}
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return nil, &Fault{"the key in " + in.path + " cannot be used: " + label.Shown(err.Error()), "write an ECDSA, RSA or Ed25519 key as PEM (openssl pkey writes one)"}
	}
	return in.signer(key)
}

func parseKey(der []byte) (any, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParsePKCS8PrivateKey(der)
}

// signer returns key if handshakes can be signed with it.
func (c *contents) signer(key any) (crypto.Signer, *Fault) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if bits := bitsOf(k.Public()); bits < minBits {
			return nil, &Fault{fmt.Sprintf("the key in %s is RSA with %d bits, with which nothing can be signed any more", c.path, bits), newKey}
		}
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P224() { // of which no signature of TLS is
			return k, nil
		}
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, &Fault{"the key in " + c.path + " is of a kind that TLS does not use", newKey}
}
