package files

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/spec"
)

func TestKeysOfEveryKindAreServed(t *testing.T) {
	ec, rsaKey := newECKey(t), newRSAKey(t, 2048)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))
	parameters := block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	for _, tt := range []struct {
		name string
		key  crypto.Signer
		file []byte // nil is PKCS #8
	}{
		{"ECDSA, PKCS #8", ec, nil},
		{"ECDSA, SEC 1", ec, block("EC PRIVATE KEY", sec1)},
		{"ECDSA behind its parameters", ec, slices.Concat(parameters, block("EC PRIVATE KEY", sec1))},
		{"RSA, PKCS #8", rsaKey, nil},
		{"RSA, PKCS #1", rsaKey, pkcs1},
		{"RSA with line ends of Windows", rsaKey, []byte(strings.ReplaceAll(string(pkcs1), "\n", "\r\n"))},
		{"RSA behind a byte order mark", rsaKey, append([]byte("\xef\xbb\xbf"), pkcs1...)},
		{"Ed25519", ed, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			m := maker{names: []string{"a.ex"}, key: tt.key}.make(t)
			if tt.file == nil {
				tt.file = m.pkcs8(t)
			}
			r.put("a.pem", m.crt())
			r.put("a.key", tt.file)
			p := r.pair("a.pem", "a.key")
			r.mustCheck(p)
			got := r.Certificate(p)
			if got == nil || got.Leaf == nil || !got.Leaf.Equal(m.cert) || len(got.Certificate) != 1 {
				t.Fatalf("got %+v, want the certificate with its leaf", got)
			}
			r.wantTroubles()
		})
	}
}

func TestOneFileMayHoldBoth(t *testing.T) {
	r := newRoom(t, nil)
	m := forHost(t, "a.ex")
	r.put("a.pem", m.pkcs8(t), m.crt())
	r.mustCheck(r.pair("a.pem", "a.pem"))
	r.wantTroubles()
}

// Each content of the certificate's and the key's file, and what is said of it.
func TestWhatCannotBeServedIsSaidWhy(t *testing.T) {
	a, b := forHost(t, "a.ex"), maker{cn: "b's own", names: []string{"b.ex"}}.make(t)
	key := a.pkcs8(t)
	nameless := maker{names: []string{"b.ex", "c.ex", "d.ex", "e.ex"}}.make(t)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small := maker{names: []string{"a.ex"}, key: smallKey(t)}.make(t)
	odd := maker{names: []string{"a.ex"}, key: p224}.make(t)
	legacy := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte{1}})
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      []string // parts of it; CERT and KEY are the paths
	}{
		{"no certificate file", nil, key, []string{"CERT does not exist in the proxy", "mount it", "DIR"}},
		{"no key file", a.crt(), nil, []string{"KEY does not exist in the proxy", "mount it", "DIR"}},
		{"empty", []byte(" \n"), key, []string{"CERT is empty"}},
		{"key is empty", a.crt(), []byte{}, []string{"KEY is empty"}},
		{"text", []byte("changeme"), key, []string{"CERT holds nothing in PEM", "-----BEGIN"}},
		{"DER", a.cert.Raw, key, []string{"CERT is binary, not PEM", "openssl x509 -inform der"}},
		{"no certificate in it", block("CERTIFICATE REQUEST", []byte{1}), key, []string{"CERT holds no certificate", "CERTIFICATE REQUEST"}},
		{"swapped", key, a.crt(), []string{"CERT holds a key where the certificate is wanted", "file:CERT,KEY"}},
		{"key instead of certificate", key, key, []string{"CERT holds a key where the certificate is wanted"}},
		{"certificate instead of key", a.crt(), a.crt(), []string{"KEY holds a certificate and no key", "file:CERT,KEY"}},
		{"OpenSSH's certificate for a key", a.crt(), block("DH PARAMETERS", []byte{1}), []string{"KEY holds no key", "DH PARAMETERS"}},
		{"encrypted, PKCS #8", a.crt(), block("ENCRYPTED PRIVATE KEY", []byte{1}), []string{"the key in KEY is encrypted", "openssl pkey -in KEY"}},
		{"encrypted, PKCS #1", a.crt(), legacy, []string{"the key in KEY is encrypted"}},
		{"OpenSSH's key", a.crt(), block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1")), []string{"the key in KEY cannot be used"}},
		{"another certificate's key", b.crt(), key, []string{"KEY is not the key of CERT, which is for b's own"}},
		{"another certificate's key, without a common name", nameless.crt(), key, []string{"which is for b.ex, c.ex, d.ex and 1 more"}},
		{"damaged certificate", slices.Concat(a.crt(), block("CERTIFICATE", a.cert.Raw[:40])), key, []string{"certificate 2 in CERT is broken"}},
		{"cut off in the chain", slices.Concat(a.crt(), b.crt()[:100]), key, []string{"CERT is damaged", "only 1 of its 2 blocks"}},
		{"a chain that is too long", []byte(strings.Repeat(string(a.crt()), 11)), key, []string{"CERT holds 11 certificates, more than 10"}},
		{"a key that is too long", a.crt(), block("PRIVATE KEY", make([]byte, 17<<10)), []string{"the key in KEY has 17408 bytes, more than 16384"}},
		{"RSA with 9000 bits", hugeCertificate(t), key, []string{"certificate 1 in CERT has an RSA key of 9000 bits, more than 8192"}},
		{"RSA with 512 bits", small.crt(), small.pkcs8(t), []string{"the key in KEY is RSA with 512 bits", "nothing can be signed"}},
		{"a curve that TLS has not", odd.crt(), odd.pkcs8(t), []string{"the key in KEY is of a kind that TLS does not use"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			for name, content := range map[string][]byte{"a.pem": tt.cert, "a.key": tt.key} {
				if content != nil {
					r.put(name, content)
				}
			}
			p := r.pair("a.pem", "a.key")
			err := r.Check(p)
			if err == nil {
				t.Fatal("Check = nil, want an error")
			}
			for _, want := range tt.want {
				want = strings.NewReplacer("file:CERT,KEY", "file:CERT,KEY", "CERTIFICATE", "CERTIFICATE", // as they are
					"CERT", filepath.Join(r.dir, "a.pem"), "KEY", filepath.Join(r.dir, "a.key"), "DIR", r.dir).Replace(want)
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Check = %q, want %q in it", err, want)
				}
			}
			if got := r.Certificate(p); got != nil {
				t.Errorf("got a certificate for %v, want none", got.Leaf.DNSNames)
			}
			if got := r.Troubles(); len(got) != 1 || !strings.HasPrefix(err.Error(), got[0].Message) || got[0].Fix == "" {
				t.Errorf("got troubles %+v, want what Check says, with a fix", got)
			}
		})
	}
}

// smallKey is one that today's Go neither makes nor signs with unless told to.
func smallKey(t *testing.T) *rsa.PrivateKey {
	t.Setenv("GODEBUG", "rsa1024min=0")
	return newRSAKey(t, 512)
}

// hugeCertificate is for a key that takes long to verify with.
func hugeCertificate(t *testing.T) []byte {
	t.Helper()
	public := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8999, 1), E: 65537}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, public, newECKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

func TestFilesThatCannotBeOpenedAreSaidWhy(t *testing.T) {
	outside := t.TempDir()
	for _, tt := range []struct {
		name string
		make func(r *room) spec.TLSPolicy
		want []string
	}{
		{"a directory, as the engine makes of a missing source", func(r *room) spec.TLSPolicy {
			if err := os.Mkdir(filepath.Join(r.dir, "a.pem"), 0o700); err != nil {
				t.Fatal(err)
			}
			return r.pair("a.pem", "a.key")
		}, []string{"a.pem is a directory", "its source does not exist"}},
		{"outside", func(r *room) spec.TLSPolicy {
			return spec.TLSPolicy{Mode: spec.TLSFile, Cert: "file:/etc/a.pem", Key: "file:/etc/a.key"}
		}, []string{"/etc/a.pem is not below", "--secrets-dir"}},
		{"a link that leads out, absolute", func(r *room) spec.TLSPolicy {
			r.swap("a.pem", filepath.Join(outside, "x.pem"))
			return r.pair("a.pem", "a.key")
		}, []string{"a.pem is a link that leads out of", "mount the directory that holds both"}},
		{"a link that leads out, as certbot's without its archive", func(r *room) spec.TLSPolicy {
			r.put("live/a.key")
			r.swap("live/a.pem", "../../archive/a.pem")
			return r.pair("live/a.pem", "live/a.key")
		}, []string{"a.pem is a link that leads out of"}},
		{"a link to itself", func(r *room) spec.TLSPolicy {
			r.swap("a.pem", "a.pem")
			return r.pair("a.pem", "a.key")
		}, []string{"a.pem is a link"}},
		{"no variable", func(r *room) spec.TLSPolicy {
			return spec.TLSPolicy{ClientCA: "env:FAIRLEAD_SECRET_NONE"}
		}, []string{"FAIRLEAD_SECRET_NONE is not set", "set it"}},
		{"no key named", func(r *room) spec.TLSPolicy {
			return spec.TLSPolicy{Mode: spec.TLSFile, Cert: r.ref("a.pem")}
		}, []string{"a certificate and its key", "file:CERT,KEY"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			p := tt.make(r)
			err := r.Check(p)
			if err == nil {
				t.Fatal("Check = nil, want an error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Check = %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestAFileThatMayNotBeReadSaysWhoMust(t *testing.T) {
	r := newRoom(t, func(c *Config) {
		c.Secret = func(ref string) ([]byte, error) {
			return nil, fmt.Errorf("open secret: %w", &fs.PathError{Op: "openat", Path: "a.pem", Err: fs.ErrPermission})
		}
	})
	err := r.Check(r.pair("a.pem", "a.key"))
	for _, want := range []string{"a.pem", fmt.Sprintf("runs as user %d", os.Geteuid()), fmt.Sprintf("chown it to %d", os.Geteuid()), "chmod", "user:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check = %v, want %q in it", err, want)
		}
	}
}

func TestPolicyThatNamesNoFileIsFine(t *testing.T) {
	r := newRoom(t, func(c *Config) {
		c.Secret = func(ref string) ([]byte, error) { t.Errorf("%s was read", ref); return nil, fs.ErrNotExist }
	})
	for _, mode := range []string{spec.TLSAuto, spec.TLSInternal, spec.TLSOff} {
		if err := r.Check(spec.TLSPolicy{Mode: mode, MinVersion: "1.3"}); err != nil {
			t.Errorf("Check of mode %q = %v, want nil", mode, err)
		}
	}
}

func TestWhatIsWrongAndServedAllTheSame(t *testing.T) {
	root := maker{cn: "root", ca: true}.make(t)
	middle := maker{cn: "middle", ca: true, by: root}.make(t)
	leaf := maker{cn: "a.ex", names: []string{"a.ex"}, by: middle}.make(t)
	stranger := forHost(t, "stranger.ex")
	twin := maker{cn: "middle", ca: true}.make(t) // of the same name, and not who signed
	const wrong = "wrong order; they are sent in the right one"
	for _, tt := range []struct {
		name string
		file []*made
		want []*made
		says []string
	}{
		{"in order", []*made{leaf, middle, root}, []*made{leaf, middle, root}, nil},
		{"alone", []*made{leaf}, []*made{leaf}, nil},
		{"a link is missing", []*made{leaf, root}, []*made{leaf, root}, nil},
		{"reversed", []*made{root, middle, leaf}, []*made{leaf, middle, root}, []string{wrong}},
		{"root before middle", []*made{leaf, root, middle}, []*made{leaf, middle, root}, []string{wrong}},
		{"leaf last", []*made{middle, root, leaf}, []*made{leaf, middle, root}, []string{wrong}},
		{"a stranger at the end", []*made{leaf, middle, stranger}, []*made{leaf, middle, stranger}, nil},
		{"a stranger first", []*made{stranger, leaf, middle}, []*made{leaf, middle, stranger}, []string{wrong}},
		{"an authority of the same name", []*made{leaf, twin, middle}, []*made{leaf, middle, twin}, []string{wrong}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			var file []byte
			for _, m := range tt.file {
				file = append(file, m.crt()...)
			}
			r.put("a.pem", file)
			r.put("a.key", leaf.pkcs8(t))
			p := r.pair("a.pem", "a.key")
			r.mustCheck(p)
			got := r.Certificate(p)
			var want [][]byte
			for _, m := range tt.want {
				want = append(want, m.cert.Raw)
			}
			if !slices.EqualFunc(got.Certificate, want, slices.Equal) || !got.Leaf.Equal(leaf.cert) {
				t.Errorf("got a chain of %d for %v, want %d, in the order of their signatures", len(got.Certificate), got.Leaf.Subject, len(want))
			}
			r.wantTroubles(tt.says...)
		})
	}
}

func TestACertificateOutOfItsTimeIsServedAndSaid(t *testing.T) {
	for _, tt := range []struct {
		name        string
		from, until time.Duration
		want        string
	}{
		{"expired", -48 * time.Hour, -24 * time.Hour, "expired on "},
		{"too early", 24 * time.Hour, 48 * time.Hour, "is not valid before "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			now := time.Now()
			m := maker{names: []string{"a.ex"}, from: now.Add(tt.from), until: now.Add(tt.until)}.make(t)
			r.put("a.pem", m.crt())
			r.put("a.key", m.pkcs8(t))
			p := r.pair("a.pem", "a.key")
			r.mustCheck(p)
			if got := r.Certificate(p); got == nil || !got.Leaf.Equal(m.cert) {
				t.Errorf("got %+v, want it served all the same", got)
			}
			date := m.cert.NotAfter
			if tt.from > 0 {
				date = m.cert.NotBefore
			}
			r.wantTroubles(tt.want + date.UTC().Format("2006-01-02 15:04 UTC"))
			r.use(p, "a.ex")
			if got := r.Covering(host(t, "a.ex")); got != nil {
				t.Error("it covers other routes, which have better ways")
			}
		})
	}
}

func TestWeakKeysAreSaid(t *testing.T) {
	r := newRoom(t, nil)
	m := maker{names: []string{"a.ex"}, key: newRSAKey(t, 1024)}.make(t)
	r.put("a.pem", m.crt())
	r.put("a.key", m.pkcs8(t))
	r.mustCheck(r.pair("a.pem", "a.key"))
	r.wantTroubles("RSA key of 1024 bits, and clients refuse less than 2048")
}

func TestHostsThatTheCertificateIsNotForAreSaid(t *testing.T) {
	for _, tt := range []struct {
		name  string
		m     maker
		hosts []string
		want  []string
	}{
		{"named", maker{names: []string{"a.ex", "*.b.ex"}}, []string{"a.ex", "x.b.ex", "*.b.ex"}, nil},
		{"by the common name alone", maker{cn: "a.ex"}, []string{"a.ex"}, []string{"is not for a.ex, but for no host at all"}},
		{"another", maker{names: []string{"b.ex", "c.ex", "d.ex", "e.ex", "f.ex"}}, []string{"a.ex"}, []string{"is not for a.ex, but for b.ex, c.ex, d.ex and 2 more"}},
		{"one of two", maker{names: []string{"a.ex"}}, []string{"a.ex", "www.a.ex"}, []string{"is not for www.a.ex, but for a.ex"}},
		{"two levels below a wildcard", maker{names: []string{"*.ex"}}, []string{"x.a.ex"}, []string{"is not for x.a.ex, but for *.ex"}},
		{"a wildcard by a name below it", maker{names: []string{"x.a.ex"}}, []string{"*.a.ex"}, []string{"is not for *.a.ex"}},
		{"addresses", maker{ips: []string{"10.0.0.1", "fd00::1"}}, []string{"10.0.0.1", "fd00::1"}, nil},
		{"another address", maker{ips: []string{"10.0.0.1"}}, []string{"10.0.0.2"}, []string{"is not for 10.0.0.2, but for 10.0.0.1"}},
		{"expressions", maker{names: []string{"a.ex"}}, []string{"*", "~.*"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			m := tt.m.make(t)
			r.put("a.pem", m.crt())
			r.put("a.key", m.pkcs8(t))
			p := r.pair("a.pem", "a.key")
			r.mustCheck(p)
			r.wantTroubles()
			r.use(p, tt.hosts...)
			r.wantTroubles(tt.want...)
		})
	}
}

// What stands in a file is shown again: it must not forge a line of the log.
func TestForeignWordsAreShownWithinBounds(t *testing.T) {
	r := newRoom(t, nil)
	m := maker{cn: "x\n\x1b[31m" + strings.Repeat("y", 500)}.make(t)
	r.put("a.pem", m.crt())
	r.put("a.key", forHost(t, "a.ex").pkcs8(t))
	err := r.Check(r.pair("a.pem", "a.key"))
	if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1000 {
		t.Errorf("Check = %q, want it without control characters and bounded", err)
	}
}
