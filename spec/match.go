package spec

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// Conditions are what else a request must fulfil. Each list given must have a
// match; all of them must.
type Conditions struct {
	Methods  []string
	Headers  []Compare // by canonical name
	Query    []Compare
	ClientIP []ClientRange
}

// A Compare is a name whose value must be Text, or match it as a regular
// expression of the whole value.
type Compare struct {
	Name, Text string
	Regexp     bool
}

// A ClientRange is a range of client addresses, as written or by a preset's
// name. A client hidden behind one of our own gateways is in none.
type ClientRange struct {
	Prefix netip.Prefix
	Preset string
}

// Count is how many conditions there are, for the order among routes.
func (c Conditions) Count() int {
	n := len(c.Headers) + len(c.Query)
	for _, given := range []bool{len(c.Methods) > 0, len(c.ClientIP) > 0} {
		if given {
			n++
		}
	}
	return n
}

var presets = map[string][]string{
	"private":  {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"},
	"loopback": {"127.0.0.0/8", "::1/128"},
}

var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110 5.6.2

var _ = register(label.Declare(label.Kind{
	Name: "match", Section: label.SectionMatch, Slot: label.Match, Inherit: label.Own, FailClosed: true,
	Doc: "Further conditions of a route.",
}, nil,
	label.Def[Conditions]{
		Name: "method", Value: label.List(func(c *Conditions) *[]string { return &c.Methods }, parseMethod),
		Doc: "Only these methods.", Example: "GET, HEAD",
	},
	label.Def[Conditions]{
		Name: "header.*", Value: compare(func(c *Conditions) *[]Compare { return &c.Headers }), Key: "X-Beta",
		Doc: "Only requests with this header, its value equal to the text or matched whole by `~regex`.", Example: "~yes|on",
	},
	label.Def[Conditions]{
		Name: "query.*", Value: compare(func(c *Conditions) *[]Compare { return &c.Query }), Key: "version",
		Doc: "Only requests with this query parameter, compared likewise.", Example: "2",
	},
	label.Def[Conditions]{
		Name: "client-ip", Value: label.List(func(c *Conditions) *[]ClientRange { return &c.ClientIP }, parseClientRange),
		Doc: "Only clients from these addresses and networks, or `private`, `loopback`. Clients hidden behind a published port match none.", Example: "192.168.1.0/24, loopback",
	},
))

func parseMethod(text string) (string, error) {
	if !token.MatchString(text) {
		return "", &label.ValueError{Msg: "is not a method"}
	}
	if up := strings.ToUpper(text); up != text {
		return "", &label.ValueError{Msg: "methods are written in capitals", Suggest: up}
	}
	return text, nil
}

func compare(f func(*Conditions) *[]Compare) label.Value[Conditions] {
	// Off: a condition on the value "off" or "false" is one like any other. Read
	// as "no condition" it would widen the route.
	return label.Value[Conditions]{Type: "text or ~regex", Off: true, Set: func(c *Conditions, name, text string) error {
		if len(name) > 256 || strings.ContainsAny(name, "\n \t") {
			return &label.ValueError{Msg: "is not the name of a header or parameter"}
		}
		if strings.Contains(text, "\n") {
			return &label.ValueError{Msg: "is more than one line"}
		}
		re, isRe := strings.CutPrefix(text, "~")
		var hint error
		if isRe {
			hint = label.CheckRegexp(re)
			if _, ok := hint.(*label.Hint); hint != nil && !ok {
				return hint
			}
		}
		list := f(c)
		*list = append(*list, Compare{Name: name, Text: re, Regexp: isRe})
		return hint
	}}
}

func parseClientRange(text string) (ClientRange, error) {
	if _, ok := presets[text]; ok {
		return ClientRange{Preset: text}, nil
	}
	p, err := label.ParsePrefix(text)
	return ClientRange{Prefix: p}, err
}

// Prefixes returns the networks of r.
func (r ClientRange) Prefixes() []netip.Prefix {
	if r.Preset == "" {
		return []netip.Prefix{r.Prefix}
	}
	var out []netip.Prefix
	for _, text := range presets[r.Preset] {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}
