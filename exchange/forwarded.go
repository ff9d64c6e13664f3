package exchange

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
)

// What becomes of a request field of a given name.
type duty uint8

const (
	free    duty = iota // none of our business
	ours                // we set it from what we know ourselves, whatever came
	vouched             // only a proxy in front of us can know it: kept from trusted peers alone
	framing             // the engine's and the forwarder's; its aliases are dropped
	never               // dropped, whoever sent it
)

// fields is the one table that decides which request fields pass. A name that
// ends in "*" stands for every name that begins so. Names are matched whatever
// their case; a name that is only alike when everything but letters and digits
// is read as "-" is an alias: CGI, WSGI and PHP cannot tell X_Forwarded_For,
// X.Forwarded.For and X-Forwarded-For apart (CVE-2026-52845, CVE-2026-39858),
// so aliases of what is named here are dropped, whoever sent them.
var fields = []struct {
	name string
	duty duty
}{
	{"X-Forwarded-For", ours},
	{"X-Forwarded-Proto", ours},
	{"X-Forwarded-Host", ours},
	{"X-Forwarded-Port", ours},
	{"X-Real-Ip", ours},
	{"X-Request-Id", ours},

	// Where a request comes from and what it was before.
	{"Forwarded", vouched},
	{"X-Forwarded", vouched},
	{"X-Forwarded-*", vouched}, // -Prefix (CVE-2024-52003), -Scheme, -Ssl, -Uri, -User, …
	{"X-Original-Url", vouched},
	{"X-Original-Uri", vouched},
	{"X-Original-Host", vouched},
	{"X-Original-Method", vouched},
	{"X-Original-Forwarded-*", vouched},
	{"X-Rewrite-Url", vouched},
	{"X-Host", vouched},
	{"X-Scheme", vouched},
	{"X-Url-Scheme", vouched},
	{"Front-End-Https", vouched},
	{"Client-Ip", vouched},
	{"X-Client-Ip", vouched},
	{"X-Cluster-Client-Ip", vouched},
	{"True-Client-Ip", vouched},
	{"Cf-Connecting-Ip*", vouched}, // also -Ipv6
	{"Cf-Pseudo-Ipv4", vouched},
	{"Fastly-Client-Ip", vouched},
	{"Fly-Client-Ip", vouched},
	{"X-Envoy-*", vouched},
	{"X-Accel-*", vouched},       // Rack::Sendfile obeys X-Accel-Mapping
	{"X-Sendfile-Type", vouched}, // CVE-2025-61780

	// Who the user is, as authenticating proxies say it.
	{"Remote-*", vouched}, // Authelia, tinyauth
	{"X-Remote-*", vouched},
	{"X-Auth-Request-*", vouched}, // oauth2-proxy
	{"X-Authentik-*", vouched},
	{"X-Webauth-*", vouched}, // Grafana
	{"X-Vouch-*", vouched},
	{"X-Pomerium-*", vouched},
	{"X-Goog-Authenticated-User-*", vouched},
	{"X-Ms-Client-Principal*", vouched},
	{"X-Amzn-Oidc-*", vouched},
	{"Cf-Access-*", vouched},
	{"Tailscale-*", vouched},
	{"Client-Cert", vouched}, // RFC 9440, 4
	{"Client-Cert-Chain", vouched},
	{"Ssl-Client-*", vouched},
	{"X-Ssl-Client-*", vouched},
	{"X-Client-Cert*", vouched},
	{"X-Client-Verify", vouched},
	{"X-Client-Dn", vouched},

	{"Host", framing},
	{"Connection", framing},
	{"Content-Length", framing},
	{"Transfer-Encoding", framing},
	{"Trailer", framing},
	{"Te", framing},
	{"Upgrade", framing},
	{"Keep-Alive", framing},
	{"Expect", framing},

	{"Proxy", never}, // becomes $HTTP_PROXY in CGI (CVE-2016-5385)
}

// fieldIndex is the table as it is looked up: by folded name.
type fieldIndex struct {
	exact    map[string]duty
	families []family
	// lengths has, for every first letter, a bit for each length at which a
	// name of the table or one of a family can be: most fields of most
	// requests are settled by it. Bit 63 stands for 63 and more.
	lengths [256]uint64
	longest int
}

type family struct {
	prefix string
	duty   duty
}

var index = newFieldIndex()

func newFieldIndex() *fieldIndex {
	x := &fieldIndex{exact: make(map[string]duty, len(fields))}
	for _, f := range fields {
		name := strings.ToLower(f.name)
		x.longest = max(x.longest, len(name))
		mask := uint64(1) << len(name)
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			x.families = append(x.families, family{prefix, f.duty})
			mask = ^uint64(0) << len(prefix)
		} else {
			x.exact[name] = f.duty
		}
		x.lengths[name[0]] |= mask
		x.lengths[name[0]&^0x20] |= mask
	}
	return x
}

// foldBytes maps letters to lower case and all but letters and digits to "-".
var foldBytes = func() (t [256]byte) {
	for c := range t {
		switch {
		case c >= 'A' && c <= 'Z':
			t[c] = byte(c) | 0x20
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			t[c] = byte(c)
		default:
			t[c] = '-'
		}
	}
	return t
}()

// dutyOf looks name up in the table. alias: name is another spelling of a name
// of the table, or of one of a family.
func dutyOf(name string) (d duty, alias bool) {
	if name == "" || index.lengths[name[0]]>>min(len(name), 63)&1 == 0 {
		return free, false
	}
	var buf [64]byte
	folded := buf[:min(len(name), len(buf))]
	for i := range folded {
		folded[i] = foldBytes[name[i]]
	}
	d, ok := index.exact[string(folded)]
	if !ok || len(name) > len(buf) {
		d = familyOf(folded)
	}
	if d == free {
		return free, false
	}
	for i := 0; i < len(name); i++ {
		if foldBytes[name[i]] == '-' && name[i] != '-' {
			return d, true
		}
	}
	return d, false
}

func familyOf(folded []byte) duty {
	for _, f := range index.families {
		if len(folded) >= len(f.prefix) && string(folded[:len(f.prefix)]) == f.prefix {
			return f.duty
		}
	}
	return free
}

// Reserved reports whether name says who asks, from where, or how the message
// is framed, in any spelling: what a client must not get past the proxy in
// another way, such as a trailer.
func Reserved(name string) bool {
	d, _ := dutyOf(name)
	return d != free
}

// scrub drops what r may not bring: our own fields, fields only a trusted peer
// can vouch for, their aliases, and Proxy.
func scrub(h http.Header, trusted bool) {
	for name := range h {
		d, alias := dutyOf(name)
		if d == free || d == framing && !alias || d == vouched && trusted && !alias {
			continue
		}
		delete(h, name)
	}
}

// dropNominated removes the fields that Connection names (RFC 9110, 7.6.1), and
// their names from Connection, so that nobody behind us removes them again.
// Fields we set or that frame the message are nobody's to nominate
// (CVE-2021-32813, CVE-2024-45410).
func dropNominated(h http.Header) {
	options := h["Connection"]
	if len(options) == 0 || len(options) == 1 && isPlainOption(options[0]) {
		return
	}
	var left []string
	for _, line := range options {
		for option := range strings.SplitSeq(line, ",") {
			option = textproto.TrimString(option)
			if option == "" {
				continue
			}
			if isPlainOption(option) {
				left = append(left, option)
				continue
			}
			if d, _ := dutyOf(option); d != ours && d != framing {
				delete(h, textproto.CanonicalMIMEHeaderKey(option))
			}
		}
	}
	if len(left) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(left, ", ")}
}

func isPlainOption(s string) bool {
	return strings.EqualFold(s, "keep-alive") || strings.EqualFold(s, "close") ||
		strings.EqualFold(s, "upgrade") || strings.EqualFold(s, "te")
}

// clientOf walks X-Forwarded-For from its end, the part nearest to us, as far
// as trusted proxies wrote it. The first address that is not trusted is the
// client. Something that is no address ends the walk at the last good one:
// whoever wrote it wrote what is left of it too.
func clientOf(peer netip.Addr, chain []string, trusted func(netip.Addr) bool) netip.Addr {
	client := peer
	for i := len(chain) - 1; i >= 0; i-- {
		rest, more := chain[i], true
		for more {
			entry := rest
			if cut := strings.LastIndexByte(rest, ','); cut >= 0 {
				rest, entry = rest[:cut], rest[cut+1:]
			} else {
				more = false
			}
			addr, ok := parseNode(textproto.TrimString(entry))
			if !ok {
				return client
			}
			client = addr
			if !trusted(addr) {
				return client
			}
		}
	}
	return client
}

// parseNode reads one entry of X-Forwarded-For: an address, with or without
// brackets and port, as different proxies write it.
func parseNode(s string) (netip.Addr, bool) {
	if len(s) > 64 {
		return netip.Addr{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return plainAddr(a), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return plainAddr(a.Addr()), true
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		if a, err := netip.ParseAddr(s[1 : len(s)-1]); err == nil && a.Is6() {
			return plainAddr(a), true
		}
	}
	return netip.Addr{}, false
}

// plainAddr is a as it is compared with prefixes: IPv4 within IPv6 as IPv4, no
// zone.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
