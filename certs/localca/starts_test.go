package localca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/storage"
	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

func TestTheRootStays(t *testing.T) {
	dir := t.TempDir()
	first := authority(t, dir).root
	for _, clock := range []time.Duration{0, year, -year, 8 * year, -5 * year} {
		s := start{clock: clock}
		if again := s.in(t, dir).root; !again.Equal(first) {
			t.Errorf("with a clock %s ahead it is another root", clock)
		}
		s.said(t, "", "")
	}
}

// Clocks that are far off make a new root, once each way, and never another key.
func TestClocksThatAreFarOff(t *testing.T) {
	dir := t.TempDir()
	first := authority(t, dir).root
	roots := map[string]bool{string(first.Raw): true}
	for range 3 {
		for _, clock := range []time.Duration{-40 * year, 0, 60 * year, 0, 9*year + 24*time.Hour} {
			s := start{clock: clock}
			a := s.in(t, dir)
			sameKey(t, a.root, first)
			wantTrust(t, a.root, a, "a.localhost")
			if now := a.cfg.Now(); now.Before(a.root.NotBefore) || a.root.NotAfter.Sub(now) < rootLate {
				t.Errorf("with a clock %s ahead the root holds from %s to %s", clock, a.root.NotBefore, a.root.NotAfter)
			}
			if n := len(roots); !roots[string(a.root.Raw)] {
				roots[string(a.root.Raw)] = true
				if n > 2 {
					t.Errorf("with a clock %s ahead a root was made, the %dth in all", clock, n+1)
				}
				s.said(t, "warn", "fairlead ca")
			}
		}
	}
	if len(roots) != 3 {
		t.Errorf("%d roots were made, want the first, one for each way", len(roots))
	}
}

// A machine without a clock of its own starts before it knows the time.
func TestTheFirstRootOfAWrongClock(t *testing.T) {
	for _, clock := range []time.Duration{-56 * year, -year, year, 30 * year} {
		s := start{clock: clock}
		a := s.in(t, t.TempDir())
		s.clock = 0
		cert := certificate(t, a, "a.localhost")
		if err := verify(a.root, cert, "a.localhost"); err != nil {
			t.Errorf("made with a clock %s ahead, once that is right: %v", clock, err)
		}
	}
}

// What clients have installed goes on vouching for what it vouched for.
func TestOtherNamesKeepTheKey(t *testing.T) {
	dir := t.TempDir()
	before := authority(t, dir)
	s := start{names: spec.Names{Domain: "home.lan", Internal: []string{"corp"}}}
	after := s.in(t, dir)
	s.said(t, "warn", "fairlead ca")
	if after.root.Equal(before.root) {
		t.Fatal("the root was not issued anew")
	}
	sameKey(t, after.root, before.root)
	for _, name := range []string{"a.localhost", "nas.local", "192.168.1.5"} {
		wantTrust(t, before.root, after, name)
		wantTrust(t, after.root, before, name)
		openssl(t, before.root, certificate(t, after, name), name, true)
	}
	for _, name := range []string{"web.home.lan", "corp"} {
		wantTrust(t, after.root, after, name)
		if err := verify(before.root, certificate(t, after, name), name); err == nil {
			t.Errorf("%s is trusted by the old root, which is not for it", name)
		}
	}
	if again := (&start{names: s.names}).in(t, dir).root; !again.Equal(after.root) {
		t.Error("the next start made another root")
	}
	narrow := authority(t, dir)
	sameKey(t, narrow.root, before.root)
	if _, err := narrow.Certificate(host(t, "corp")); err == nil {
		t.Error("a name that was taken away is signed")
	}
	if err := verify(narrow.root, certificate(t, after, "corp"), "corp"); err == nil {
		t.Error("the root is still for a name that was taken away")
	}
}

// Another machine, another version of Go, another tool may have made the root.
func TestARootOfOldKeepsItsNameAndKeyID(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "Fairlead internal CA elsewhere"}, SubjectKeyId: []byte{1, 2, 3}, NotBefore: time.Now().Add(-year), NotAfter: time.Now().Add(5 * year),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, PermittedDNSDomains: spec.Names{}.Suffixes(),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	old, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "ca"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), dir, rootFile)
	write(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), dir, keyFile)
	var s start
	a := s.in(t, dir)
	s.said(t, "warn", "fairlead ca")
	sameKey(t, a.root, old)
	if !a.root.PermittedDNSDomainsCritical || !a.root.MaxPathLenZero || len(a.root.PermittedIPRanges) != len(spec.LocalNets()) {
		t.Errorf("critical %v, no path %v, networks %v: want it constrained", a.root.PermittedDNSDomainsCritical, a.root.MaxPathLenZero, a.root.PermittedIPRanges)
	}
	for _, root := range []*x509.Certificate{old, a.root} {
		wantTrust(t, root, a, "a.localhost")
		openssl(t, root, certificate(t, a, "a.localhost"), "a.localhost", true)
	}
}

func TestBrokenRootsAreReplaced(t *testing.T) {
	other := t.TempDir()
	authority(t, other)
	for name, tt := range map[string]struct {
		file    string
		data    func(was []byte) []byte // nil takes the file away
		level   string
		sameKey bool
		aside   int // files
	}{
		"no root":               {rootFile, func([]byte) []byte { return nil }, "warn", true, 0},
		"empty root":            {rootFile, func([]byte) []byte { return []byte{} }, "warn", true, 1},
		"garbage for root":      {rootFile, func([]byte) []byte { return []byte("x") }, "error", true, 1},
		"garbage in root":       {rootFile, func([]byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}) }, "error", true, 1},
		"half a root":           {rootFile, func(was []byte) []byte { return was[:len(was)/2] }, "error", true, 1},
		"a bit of it":           {rootFile, flip, "error", true, 1},
		"another's root":        {rootFile, func([]byte) []byte { return read(t, other, rootFile) }, "error", true, 1},
		"a leaf":                {rootFile, func(was []byte) []byte { return selfSigned(t, read(t, other, keyFile)) }, "error", true, 1},
		"no key":                {keyFile, func([]byte) []byte { return nil }, "error", false, 1},
		"empty key":             {keyFile, func([]byte) []byte { return []byte{} }, "error", false, 2},
		"garbage for key":       {keyFile, func([]byte) []byte { return []byte("x") }, "error", false, 2},
		"garbage in key":        {keyFile, func([]byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}) }, "error", false, 2},
		"another's key":         {keyFile, func([]byte) []byte { return read(t, other, keyFile) }, "error", false, 1},
		"a key of another kind": {keyFile, func([]byte) []byte { return ed25519Key(t) }, "error", false, 2},
		"root as key":           {keyFile, func([]byte) []byte { return read(t, other, rootFile) }, "error", false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := authority(t, dir)
			spoilt := tt.data(read(t, dir, tt.file))
			if spoilt != nil {
				write(t, spoilt, dir, tt.file)
			} else if err := os.Remove(filepath.Join(dir, tt.file)); err != nil {
				t.Fatal(err)
			}
			var s start
			a := s.in(t, dir)
			s.said(t, tt.level, "fairlead ca")
			wantTrust(t, a.root, a, "a.localhost")
			if got := a.key.Equal(before.key); got != tt.sameKey {
				t.Errorf("the key stayed: %v, want %v", got, tt.sameKey)
			}
			if err := verify(before.root, certificate(t, a, "b.localhost"), "b.localhost"); (err == nil) != tt.sameKey {
				t.Errorf("clients of the old root: %v, want them to trust the new: %v", err, tt.sameKey)
			}
			if aside, _ := filepath.Glob(filepath.Join(dir, "ca", "*.broken-*")); len(aside) != tt.aside {
				t.Errorf("set aside are %q, want %d files", aside, tt.aside)
			}
			var next start
			if again := next.in(t, dir); !again.root.Equal(a.root) {
				t.Error("the next start made another root")
			}
			next.said(t, "", "")
		})
	}
}

// flip changes one bit of the signature.
func flip(was []byte) []byte {
	block, _ := pem.Decode(was)
	block.Bytes[len(block.Bytes)-1] ^= 1
	return pem.EncodeToMemory(block)
}

func ed25519Key(t *testing.T) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// selfSigned is a certificate of key that is no authority.
func selfSigned(t *testing.T, file []byte) []byte {
	t.Helper()
	key, err := parseKey(file)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: newSerial(), NotBefore: time.Now(), NotAfter: time.Now().Add(year), BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// What cannot be read may be sound: it is neither set aside nor written over.
func TestUnreadableRootsAreLeftAlone(t *testing.T) {
	for _, file := range []string{keyFile, rootFile} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			before := authority(t, dir)
			key, root := read(t, dir, keyFile), read(t, dir, rootFile)
			away := filepath.Join(t.TempDir(), "away")
			path := filepath.Join(dir, file)
			if err := os.Rename(path, away); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil { // nobody can read that, root included
				t.Fatal(err)
			}
			var s start
			a := s.in(t, dir)
			s.said(t, "error", "make the file readable")
			wantTrust(t, a.root, a, "a.localhost")
			if err := verify(before.root, certificate(t, a, "b.localhost"), "b.localhost"); (err == nil) != (file == rootFile) {
				t.Errorf("clients of the old root: %v, want them to trust what its key signs", err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatalf("it was not left alone: %v", err)
			}
			if err := os.Rename(away, path); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, dir, keyFile), key) || !bytes.Equal(read(t, dir, rootFile), root) {
				t.Error("the files changed")
			}
			if again := authority(t, dir).root; !again.Equal(before.root) {
				t.Error("once it can be read again it is another root")
			}
		})
	}
}

func TestWithoutADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tls")
	write(t, nil, file)
	store := storage.Open(file, zerolog.Nop())
	var roots [][]byte
	for range 2 {
		a, err := New(Config{Store: store, Log: zerolog.Nop()})
		if err != nil {
			t.Fatalf("New: %v, want it to go on in memory", err)
		}
		wantTrust(t, a.root, a, "a.localhost")
		roots = append(roots, a.Root())
	}
	if !bytes.Equal(roots[0], roots[1]) || store.Trouble() == "" {
		t.Errorf("the root stayed in memory: %v, trouble %q: want both", bytes.Equal(roots[0], roots[1]), store.Trouble())
	}
}

func TestProcessesThatStartTogetherHaveOneRoot(t *testing.T) {
	dir := t.TempDir()
	roots := make([][]byte, 8)
	var group sync.WaitGroup
	for i := range roots {
		group.Go(func() {
			a, err := New(Config{Store: storage.Open(dir, zerolog.Nop()), Log: zerolog.Nop()})
			if err != nil {
				t.Errorf("New: %v", err)
				return
			}
			roots[i] = a.Root()
		})
	}
	group.Wait()
	for i, root := range roots {
		if !bytes.Equal(root, roots[0]) {
			t.Errorf("process %d has another root than process 0", i)
		}
	}
}
