package files

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// maxAuthorities is how many certificates a file of authorities may hold.
const maxAuthorities = 500

// Clients are authorities of client certificates. A change of the file makes new
// Clients.
type Clients struct {
	Pool *x509.CertPool

	roots []*x509.Certificate // of Pool
	raw   map[string]struct{} // their DER
}

// clientsOf reads authorities of clients. A file without one is an error: an empty
// pool would mean the system's roots to some (CVE-2026-27586).
func clientsOf(ref string, raw []byte) (c *Clients, hints []*Fault, fault *Fault) {
	in, fault := open(ref, raw)
	switch {
	case fault != nil:
		return nil, nil, fault
	case len(in.certs) > 0:
	case len(in.keys) > 0:
		return nil, nil, &Fault{in.path + " holds a key where certificates of authorities are wanted", "name the file with the certificate that signs the clients', and keep its key elsewhere"}
	default:
		return nil, nil, &Fault{in.path + " holds no certificate" + in.but(), `write it as PEM: it begins with "-----BEGIN CERTIFICATE-----"`}
	}
	all, fault := in.chain(maxAuthorities)
	if fault != nil {
		return nil, nil, fault
	}
	c = &Clients{Pool: x509.NewCertPool(), raw: map[string]struct{}{}}
	var left []string
	for _, root := range all {
		if !root.IsCA {
			left = append(left, nameOf(root))
			continue
		}
		c.Pool.AddCert(root)
		c.roots = append(c.roots, root)
		c.raw[string(root.Raw)] = struct{}{}
	}
	if len(c.roots) == 0 {
		return nil, nil, &Fault{fmt.Sprintf("%s holds no certificate of an authority, only of %s", in.path, list(left)), "write the certificate that signs the clients' (CA:TRUE)"}
	}
	if len(left) > 0 {
		hints = append(hints, &Fault{fmt.Sprintf("%d of the certificates in %s are no authority and do not count: %s", len(left), in.path, list(left)), "remove them"})
	}
	return c, hints, nil
}

// Signed reports whether one of c signed the client's certificate of conn, which
// may have been verified by authorities that were in force before.
func (c *Clients) Signed(conn *tls.ConnectionState) bool {
	for _, chain := range conn.VerifiedChains {
		if len(chain) == 0 {
			continue
		}
		if _, ours := c.raw[string(chain[len(chain)-1].Raw)]; ours {
			return true
		}
	}
	return false
}

// age says which authorities let nobody in now.
func (c *Clients) age(name string, now time.Time) (all []*Fault) {
	for _, root := range c.roots {
		if late := lateness(root, now); late != "" && len(all) < shown {
			all = append(all, &Fault{fmt.Sprintf("the authority %s in %s %s, and lets nobody in", nameOf(root), name, late), "write the one that took its place"})
		}
	}
	return all
}

// lateness says since or until when c is not valid, "" if it is.
func lateness(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "expired on " + stamp(c.NotAfter)
	case now.Before(c.NotBefore):
		return "is not valid before " + stamp(c.NotBefore)
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
