package spec

import (
	"net/netip"
	"strings"

	"github.com/fairlead/fairlead/label"
	"golang.org/x/net/idna"
)

// HostKind says how a Host is compared, most specific first.
type HostKind uint8

const (
	ExactHost    HostKind = iota
	WildcardHost          // one label in front of Text
	RegexpHost
	AnyHost
)

// A Host is a pattern for the host of a request.
type Host struct {
	Kind HostKind
	Text string // exact: canonical name or address; wildcard: what follows "*."; regexp: the expression; "" for any
}

// String returns h as a label writes it.
func (h Host) String() string {
	switch h.Kind {
	case WildcardHost:
		return "*." + h.Text
	case RegexpHost:
		return "~" + h.Text
	case AnyHost:
		return "*"
	}
	return h.Text
}

// hostOption is one item of the label: a host, and a path where it names one.
type hostOption struct {
	Host Host
	Path *Path
}

type hostOptions struct{ Items []hostOption }

var _ = register(label.Declare(label.Kind{
	Name: "host", Section: label.SectionMatch, Slot: label.Match, Inherit: label.Own, FailClosed: true,
	Doc: "The hosts a route answers for.",
}, nil, label.Def[hostOptions]{
	Value:   label.List(func(o *hostOptions) *[]hostOption { return &o.Items }, parseHostItem),
	Doc:     "Hosts: `app.example.com`, `*.example.com` (one level), `~regex` (of the whole host), `*` (any). `example.com/api` is short for host and path.",
	Example: "app.example.com, *.app.example.com", Nginx: "server_name",
}))

func parseHostItem(text string) (hostOption, error) {
	if re, ok := strings.CutPrefix(text, "~"); ok {
		err := label.CheckRegexp(re)
		if strings.ToLower(re) != re && !strings.HasPrefix(re, "(?i)") {
			re = "(?i)" + re // hosts have no case
		}
		return hostOption{Host: Host{RegexpHost, re}}, err
	}
	if strings.Contains(text, "://") {
		_, host, _ := strings.Cut(text, "://")
		return hostOption{}, &label.ValueError{Msg: "is a URL: write the host alone", Suggest: strings.TrimSuffix(host, "/")}
	}
	name, path, hasPath := strings.Cut(text, "/")
	h, err := ParseHostPattern(name)
	if err != nil && strings.ContainsAny(text, `^$()|[]{}\+?`) && isRegexp(text) {
		return hostOption{}, &label.ValueError{Msg: "is not a host name: a regular expression begins with ~", Suggest: "~" + text}
	}
	if err != nil {
		return hostOption{}, err
	}
	if !hasPath {
		return hostOption{Host: h}, nil
	}
	if h.Kind == AnyHost {
		return hostOption{}, &label.ValueError{Msg: "has a path behind *: write it in path"}
	}
	p, err := parsePath("/" + path)
	return hostOption{Host: h, Path: &p}, err
}

// isRegexp reports whether text would do as an expression, were there a ~ in
// front of it.
func isRegexp(text string) bool {
	_, err := label.Whole(text)
	return err == nil
}

// ParseHostPattern reads an exact host, *.suffix or *. Names are folded to
// lower case and punycode (RFC 5891); a trailing dot is dropped. Addresses are
// written as in the Host of a request, IPv6 in brackets.
func ParseHostPattern(text string) (Host, error) {
	if text == "*" {
		return Host{Kind: AnyHost}, nil
	}
	literal := text
	if inner, ok := strings.CutPrefix(text, "["); ok {
		literal = strings.TrimSuffix(inner, "]")
	}
	if a, err := netip.ParseAddr(literal); err == nil && a.Is6() {
		if a.Zone() != "" || literal != text && !strings.HasSuffix(text, "]") {
			return Host{}, &label.ValueError{Msg: "is not a host name"}
		}
		return Host{Text: "[" + a.String() + "]"}, nil
	}
	suffix, wild := strings.CutPrefix(text, "*.")
	name, err := canonicalName(suffix)
	switch {
	case err != nil:
		return Host{}, err
	case wild:
		return Host{WildcardHost, name}, nil
	}
	return Host{ExactHost, name}, nil
}

// lookup maps names as the reading of a request's Host does (package exchange):
// as browsers do (UTS 46), underscores allowed.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

func canonicalName(text string) (string, error) {
	wrong := func(msg string) (string, error) { return "", &label.ValueError{Msg: msg} }
	switch {
	case len(text) > 4*maxName:
		return wrong("is not a host name") // before it is mapped: that costs
	case strings.ContainsRune(text, ':'):
		host, _, _ := strings.Cut(text, ":")
		if end := strings.IndexByte(text, ']'); strings.HasPrefix(text, "[") {
			host = text[:end+1]
		}
		return "", &label.ValueError{Msg: "has a port: a route answers on every listener, or on those its label listen names", Suggest: host}
	case strings.ContainsRune(text, '*'):
		return wrong("has a * elsewhere than as the whole first label: write *.example.com or a ~regex")
	}
	name := text
	if strings.IndexFunc(name, func(r rune) bool { return r > 0x7f }) >= 0 {
		ascii, err := lookup.ToASCII(name)
		if err != nil {
			return wrong("is not a host name")
		}
		name = ascii
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "" || len(name) > maxName {
		return wrong("is not a host name")
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || len(part) > maxLabel || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return wrong("is not a host name")
		}
	}
	return name, nil
}

// Limits of DNS (RFC 1035, 2.3.4), in bytes.
const (
	maxName  = 253
	maxLabel = 63
)
