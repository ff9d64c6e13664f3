package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
	"golang.org/x/net/publicsuffix"
)

// localNames are the suffixes that no public authority vouches for and that are
// set aside for private use (RFC 6761, 6762, 8375; ICANN for .internal).
var localNames = []string{"home.arpa", "internal", "local", "localhost", "test"}

// localNets are the addresses that the internal authority may vouch for:
// private, loopback and unique local ones (RFC 1918, 4193).
var localNets = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7"),
}

// Authority is who vouches for a host where no file does.
type Authority uint8

const (
	NoAuthority       Authority = iota // nobody can: no certificate but the stop-gap
	InternalAuthority                  // our own
	PublicAuthority                    // an ACME authority
)

// Names say who may vouch for which names.
type Names struct {
	Domain   string   // of --domain: the internal authority may sign below it if a label says so
	Internal []string // of --internal-names, canonical: names for which it is used
	NoACME   bool     // no public authority is used
}

// Suffixes returns every name below which the internal authority may sign, in
// order. Its root is constrained to them, and to LocalNets.
func (n Names) Suffixes() []string {
	all := slices.Concat(localNames, n.Internal)
	if n.Domain != "" {
		all = append(all, n.Domain)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// LocalNets returns the networks whose addresses the internal authority may sign.
func LocalNets() []netip.Prefix { return slices.Clone(localNets) }

// MaySign reports whether the internal authority may sign host.
func (n Names) MaySign(host Host) bool {
	switch host.Kind {
	case ExactHost:
		if a, ok := hostAddr(host.Text); ok {
			return slices.ContainsFunc(localNets, func(p netip.Prefix) bool { return p.Contains(a) })
		}
	case WildcardHost:
	default:
		return false // no certificate is for an expression
	}
	return below(host.Text, localNames) || below(host.Text, n.Internal) || n.Domain != "" && below(host.Text, []string{n.Domain})
}

// Authority returns who vouches for host under a policy of mode.
func (n Names) Authority(host Host, mode string) Authority {
	switch {
	case mode == TLSOff || mode == TLSFile:
	case mode != TLSInternal && !n.NoACME && n.public(host):
		if host.Kind == ExactHost {
			return PublicAuthority
		}
		// Public wildcards need DNS-01. Below --domain too: nobody expects one of a
		// public name from us.
	case n.MaySign(host):
		return InternalAuthority
	}
	return NoAuthority
}

// public reports whether the names that host stands for are a public authority's.
func (n Names) public(host Host) bool {
	name := host.Text
	switch host.Kind {
	case ExactHost:
	case WildcardHost:
		name = "any." + name
	default:
		return false
	}
	return Public(name) && !below(host.Text, n.Internal)
}

// unsigned returns the problem of a route that wants the internal authority to
// sign hosts which it may not.
func (n Names) unsigned(hosts []Host) Problem {
	first := hosts[0]
	which := label.Shown(first.String())
	if more := len(hosts) - 1; more > 0 {
		which += fmt.Sprintf(" (and %d more)", more)
	}
	q := Problem{
		Code: "not-in-internal-ca", Kind: "tls", Value: TLSInternal,
		Message: "the internal authority may not sign " + which + ", only private addresses and names below " + strings.Join(n.Suffixes(), ", "),
	}
	_, addr := first.Addr()
	switch {
	case first.Kind == RegexpHost || first.Kind == AnyHost:
		q.Message, q.Fix = "no certificate can be made for the expression "+which, "name the hosts one by one"
	case addr:
		q.Fix = "use a name, or bring a certificate: file:CERT,KEY"
	case first.Kind == ExactHost && !n.NoACME && n.public(first):
		q.Fix = "remove the label, or set it to auto: an ACME authority vouches for public names"
	default:
		q.Fix = "start the proxy with --internal-names " + PrivateSuffix(first.Text)
	}
	return q
}

// PrivateSuffix returns what of name its owner has for himself: the last label of
// nas.lan, which is nobody's, and the registered domain of a public name.
func PrivateSuffix(name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if _, listed := publicsuffix.PublicSuffix(last); listed {
		return RegisteredDomain(name)
	}
	return last
}

// Public reports whether a public authority might vouch for name: a host name
// below a suffix under which names are registered (publicsuffix.org, the part of
// ICANN), and no address. It lists onion, which is not looked up in DNS (RFC 7686).
func Public(name string) bool {
	if _, addr := hostAddr(name); addr || strings.Contains(name, "_") || below(name, localNames) || strings.HasSuffix(name, ".onion") {
		return false
	}
	suffix, listed := publicsuffix.PublicSuffix(name)
	for !listed && strings.Contains(suffix, ".") { // a private entry, such as github.io, below a listed one
		_, suffix, _ = strings.Cut(suffix, ".")
		_, listed = publicsuffix.PublicSuffix(suffix)
	}
	return listed && name != suffix
}

// RegisteredDomain returns the domain under whose name an authority counts name,
// such as example.co.uk for www.example.co.uk; name itself where there is none,
// and of an address.
func RegisteredDomain(name string) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(name)
	if _, addr := hostAddr(name); addr || err != nil {
		return name
	}
	return d
}

// Addr returns the address that an exact host is.
func (h Host) Addr() (netip.Addr, bool) {
	if h.Kind != ExactHost {
		return netip.Addr{}, false
	}
	return hostAddr(h.Text)
}

func hostAddr(text string) (netip.Addr, bool) {
	if text == "" || !strings.Contains(text, ":") && (text[len(text)-1] < '0' || text[len(text)-1] > '9') {
		return netip.Addr{}, false // a name, for which ParseAddr would make an error every time
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return a, err == nil
}

// below reports whether name is one of suffixes, or below one.
func below(name string, suffixes []string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool {
		return name == s || strings.HasSuffix(name, s) && name[len(name)-len(s)-1] == '.'
	})
}
