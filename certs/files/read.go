package files

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fairlead/fairlead/label"
)

// maxBits bounds RSA, with which time grows fast; clients refuse more
// (CVE-2023-29409). Config.Secret bounds the files.
const maxBits = 8192

// A print tells contents apart.
type print [sha256.Size]byte

// A reading is what files held when they were read one after the other.
type reading struct {
	raw   [2][]byte // of the certificate and of the key, or of the authorities
	err   *Fault    // why one could not be read
	print print
}

// read reads n, whatever it is good for.
func (f *Files) read(n files) (r reading) {
	refs := []string{n.cert, n.key}
	switch {
	case n.clients != "":
		refs = []string{n.clients}
	case n.cert == "" || n.key == "":
		r.err = &Fault{"a certificate and its key belong together, and one of them is not named", "write both: file:CERT,KEY"}
		return r
	}
	sum := sha256.New()
	for i, ref := range refs {
		raw, err := f.cfg.Secret(ref)
		if err != nil {
			fault := f.unreadable(ref, err)
			r.err = cmp.Or(r.err, fault)
			raw = []byte("!" + fault.Error())
		}
		r.raw[i] = raw
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(raw))))
		sum.Write(raw)
	}
	sum.Sum(r.print[:0])
	return r
}

// path returns what ref names, for people.
func path(ref string) string {
	if name, file := strings.CutPrefix(ref, "file:"); file {
		return label.Shown(filepath.Clean(name))
	}
	return label.Shown(ref)
}

// unreadable words why ref cannot be read.
func (f *Files) unreadable(ref string, err error) *Fault {
	name, file := strings.CutPrefix(ref, "file:")
	if !file {
		return &Fault{label.Shown(err.Error()), "set it for the proxy, in PEM"}
	}
	dir := filepath.Clean(f.cfg.Dir)
	below, outside := filepath.Rel(dir, filepath.Clean(name))
	switch {
	case outside != nil || !filepath.IsLocal(below):
		return &Fault{path(ref) + " is not below " + dir, "move it there, or start the proxy with another --secrets-dir: labels may name no other files"}
	case !(plan{}).add(dir, name):
		return &Fault{path(ref) + " is a link that leads out of " + dir, "mount the directory that holds both the link and what it leads to, or copy the file"}
	case errors.Is(err, fs.ErrNotExist):
		return &Fault{path(ref) + " does not exist in the proxy", "mount it there, below " + dir + " (secrets or volumes of the proxy's compose file)"}
	case errors.Is(err, fs.ErrPermission):
		uid := os.Geteuid()
		return &Fault{
			fmt.Sprintf("%s cannot be read by the proxy, which runs as user %d", path(ref), uid),
			fmt.Sprintf("chown it to %d on the host (chmod 0400 is enough then), or let user: in the proxy's compose file be its owner; the directories above it need chmod a+x", uid),
		}
	case errors.Is(err, syscall.EISDIR):
		return &Fault{path(ref) + " is a directory", "name a file; if a mount should be one, its source does not exist on the host, and the engine made a directory of that name"}
	}
	return &Fault{path(ref) + " cannot be read: " + label.Shown(err.Error()), "correct that; it is tried again by itself"}
}

// contents are the blocks of a PEM file.
type contents struct {
	path   string
	certs  [][]byte // DER
	keys   []*pem.Block
	others []string // what else there is
}

var bom = []byte("\xef\xbb\xbf") // editors on Windows write one

// open decodes the file that ref names. One with a block that cannot be decoded is
// refused as a whole: package pem passes over it, and a chain or a list of
// authorities would be shorter than it was written.
func open(ref string, raw []byte) (*contents, *Fault) {
	c, raw := &contents{path: path(ref)}, bytes.TrimPrefix(raw, bom)
	begun := bytes.Count(raw, []byte("-----BEGIN "))
	switch {
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, &Fault{c.path + " is empty", `write it as PEM: from "-----BEGIN" to "-----END"`}
	case begun == 0 && bytes.IndexByte(raw, 0) >= 0:
		return nil, &Fault{c.path + " is binary, not PEM", "convert it: openssl x509 -inform der for DER, openssl pkcs12 -nodes for .p12 and .pfx"}
	case begun == 0:
		return nil, &Fault{c.path + " holds nothing in PEM", `write it as PEM: from "-----BEGIN" to "-----END"`}
	}
	decoded := 0
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		decoded++
		switch {
		case block.Type == "CERTIFICATE":
			c.certs = append(c.certs, block.Bytes)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			c.keys = append(c.keys, block)
		default:
			c.others = append(c.others, label.Shown(block.Type))
		}
	}
	if decoded != begun {
		return nil, &Fault{fmt.Sprintf("%s is damaged: only %d of its %d blocks can be read", c.path, decoded, begun), `write the file again, each block from "-----BEGIN" to "-----END"`}
	}
	return c, nil
}

// but says what there is instead of what is wanted.
func (c *contents) but() string {
	if len(c.others) == 0 {
		return " in PEM"
	}
	return ", but " + list(c.others)
}

// chain reads the certificates, in the order of the file.
func (c *contents) chain(limit int) ([]*x509.Certificate, *Fault) {
	if len(c.certs) > limit {
		return nil, &Fault{fmt.Sprintf("%s holds %d certificates, more than %d", c.path, len(c.certs), limit), "leave out those that are not needed"}
	}
	var chain []*x509.Certificate
	for i, der := range c.certs {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, &Fault{fmt.Sprintf("certificate %d in %s is broken: %s", i+1, c.path, label.Shown(err.Error())), "write the file again"}
		}
		if bits := bitsOf(cert.PublicKey); bits > maxBits {
			return nil, &Fault{fmt.Sprintf("certificate %d in %s has an RSA key of %d bits, more than %d", i+1, c.path, bits, maxBits), newKey}
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// bitsOf returns the size of an RSA key, 0 for others.
func bitsOf(key crypto.PublicKey) int {
	if k, ok := key.(*rsa.PublicKey); ok {
		return k.N.BitLen()
	}
	return 0
}

// shown is how many of a list a message names.
const shown = 3

// list joins the first of all.
func list[T any](all []T) string {
	var b strings.Builder
	for i, one := range all[:min(len(all), shown)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(label.Shown(fmt.Sprint(one)))
	}
	if more := len(all) - shown; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}
