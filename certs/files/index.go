package files

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// An index finds certificates by the names they are for: alternative names alone,
// never the common name (RFC 6125, 6.4.4). Once published it never changes.
type index struct {
	exact     map[string][]*tls.Certificate // by name or address, as the Host of a request has it
	wildcards map[string][]*tls.Certificate // by what follows "*."
}

// add puts cert behind those that were added before.
func (ix *index) add(cert *tls.Certificate) {
	for _, name := range cert.Leaf.DNSNames {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		suffix, wild := strings.CutPrefix(name, "*.")
		switch {
		case numeric(suffix): // an address is not covered by a name that looks like it
		case wild:
			ix.wildcards[suffix] = append(ix.wildcards[suffix], cert)
		default:
			ix.exact[name] = append(ix.exact[name], cert)
		}
	}
	for _, ip := range cert.Leaf.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			host := hostOf(addr)
			ix.exact[host] = append(ix.exact[host], cert)
		}
	}
}

// numeric reports whether name ends as an IPv4 address does; no domain does.
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}

// hostOf returns addr as the Host of a request has it.
func hostOf(addr netip.Addr) string {
	if addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}

// find returns the first certificate for host that will do, by its exact name if
// there is one, and nil if there is none.
func (ix *index) find(host spec.Host, will func(*tls.Certificate) bool) *tls.Certificate {
	switch host.Kind {
	case spec.ExactHost:
		if cert := first(ix.exact[host.Text], will); cert != nil {
			return cert
		}
		_, suffix, _ := strings.Cut(host.Text, ".")
		return first(ix.wildcards[suffix], will)
	case spec.WildcardHost:
		return first(ix.wildcards[host.Text], will)
	}
	return nil // no certificate is for an expression
}

func first(of []*tls.Certificate, will func(*tls.Certificate) bool) *tls.Certificate {
	for _, cert := range of {
		if will(cert) {
			return cert
		}
	}
	return nil
}

func valid(cert *x509.Certificate, now time.Time) bool {
	return !now.Before(cert.NotBefore) && !now.After(cert.NotAfter)
}
