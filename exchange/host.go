package exchange

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of DNS (RFC 1035, 2.3.4); no name beyond them can be resolved, so no
// client has a reason to send one.
const (
	maxName  = 253
	maxLabel = 63
)

// What a byte is within a host name. Underscores are no host names by RFC 952
// but are what compose makes of service names.
const (
	nameBad uint8 = 1 << iota
	nameUpper
	nameDot
	nameWide // not ASCII
)

var nameBytes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= 0x80:
			t[c] = nameWide
		case c >= 'A' && c <= 'Z':
			t[c] = nameUpper
		case c == '.':
			t[c] = nameDot
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			t[c] = nameBad
		}
	}
	return t
}()

// lookup maps names as browsers do (UTS 46, not transitional). What it maps to
// is checked again: some letters map to dots and slashes ("℀" to "a/c").
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

// ParseHost reads the authority of a request: a host and an optional port,
// without userinfo (RFC 9110, 4.2.4). The host comes back in the one form that
// is routed, compared and forwarded: lower case, punycode, no trailing dot, IPv6
// addresses in brackets and shortest form. The port comes back without leading
// zeros, "" if there is none. ok is false for whatever two parties could read
// differently: lists, percent signs, wildcards, empty labels.
//
// A host that is already in that form costs no allocation.
func ParseHost(hostport string) (host, port string, ok bool) {
	if strings.HasPrefix(hostport, "[") {
		return parseLiteral(hostport)
	}
	name := hostport
	if i := strings.IndexByte(hostport, ':'); i >= 0 {
		name = hostport[:i]
		if port, ok = parsePort(hostport[i+1:]); !ok {
			return "", "", false
		}
	}
	if host, ok = parseName(name); !ok {
		return "", "", false
	}
	return host, port, true
}

// parseLiteral reads "[v6]" and "[v6]:port". Zones mean something only to the
// machine that wrote them (RFC 6874), so they are refused.
func parseLiteral(s string) (host, port string, ok bool) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", "", false
	}
	if rest := s[end+1:]; rest != "" {
		if rest[0] != ':' {
			return "", "", false
		}
		if port, ok = parsePort(rest[1:]); !ok {
			return "", "", false
		}
	}
	addr, err := netip.ParseAddr(s[1:end])
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", "", false
	}
	var buf [64]byte
	b := append(addr.AppendTo(append(buf[:0], '[')), ']')
	if string(b) == s[:end+1] {
		return s[:end+1], port, true
	}
	return string(b), port, true
}

// parsePort reads the digits behind the colon. RFC 3986 allows none ("host:"),
// which is the same as no port.
func parsePort(s string) (port string, ok bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' || i == 5 {
			return "", false
		}
		n = n*10 + int(s[i]-'0')
	}
	if n > 65535 {
		return "", false
	}
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s, true
}

func parseName(s string) (string, bool) {
	if len(s) > maxName+1 {
		return "", false
	}
	seen := scanName(s)
	if seen&nameWide != 0 {
		mapped, err := lookup.ToASCII(s)
		if err != nil || !utf8.ValidString(s) {
			return "", false
		}
		s, seen = mapped, scanName(mapped)
	}
	if seen&(nameBad|nameWide) != 0 {
		return "", false
	}
	if seen&nameUpper != 0 {
		s = strings.ToLower(s)
	}
	s = strings.TrimSuffix(s, ".")
	return s, validLabels(s)
}

func scanName(s string) (seen uint8) {
	for i := 0; i < len(s); i++ {
		seen |= nameBytes[s[i]]
	}
	return seen
}

// validLabels reports whether s is labels of 1 to 63 bytes, at most 253 in all.
func validLabels(s string) bool {
	if len(s) > maxName {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		if s[i] != '.' {
			label++
			continue
		}
		if label == 0 || label > maxLabel {
			return false
		}
		label = 0
	}
	return label > 0 && label <= maxLabel
}
