package certs

import (
	"crypto/tls"
	"time"

	"github.com/fairlead/fairlead/certs/public"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// A View is everything about certificates as commands show it.
type View struct {
	Authority string `json:"authority"` // of public names
	Lines     []Line `json:"certificates"`
	Trouble   string `json:"trouble,omitempty"` // of the data directory
}

// A Line is one host of the live table.
type Line struct {
	Host     string    `json:"host"`
	Route    string    `json:"route"`
	Source   string    `json:"source"` // "file", "acme", "internal", "off", "none"
	State    string    `json:"state"`  // "valid", "waiting", "ordering", "failed", "expired", "unused", "off", "refused", "none"
	NotAfter time.Time `json:"not_after,omitzero"`
	Next     time.Time `json:"next,omitzero"` // when something is tried next
	Error    string    `json:"error,omitempty"`
	Fix      string    `json:"fix,omitempty"`

	container string
	code      string // of the problem that it is, "" for none
}

// View returns what there is, in the order of the table's hosts.
func (c *Certificates) View() View {
	return View{Authority: c.authority, Lines: c.linesOf(c.cfg.Hosts()), Trouble: c.store.Trouble()}
}

// Line returns what there is for name, and whether any host of the live table is
// its own.
func (c *Certificates) Line(name string) (Line, bool) {
	host, known := c.cfg.Lookup(name)
	if !known {
		return Line{}, false
	}
	return c.linesOf([]spec.TLSHost{host})[0], true
}

// String says in a line what there is, for people.
func (l Line) String() string {
	from := map[string]string{"file": "a file", "acme": "an ACME authority", "internal": "the internal authority", "off": "HTTPS is off", "none": "the stop-gap, which no client trusts"}[l.Source]
	text := "from " + from + ", " + l.State
	switch {
	case l.Source == "off" || l.Source == "none":
		text = from
	case !l.NotAfter.IsZero():
		text += " until " + l.NotAfter.Local().Format(time.DateOnly)
	case l.State == "unused":
		text = "from " + from + ", at the first handshake"
	}
	if l.Error != "" {
		text += "; " + l.Error
	}
	if l.Fix != "" {
		text += ": " + l.Fix
	}
	return text
}

// Problems returns what of it whoever wrote the labels should know.
func (c *Certificates) Problems() []spec.Problem {
	var all []spec.Problem
	for _, l := range c.linesOf(c.cfg.Hosts()) {
		if l.code != "" {
			all = append(all, spec.Problem{
				Code: l.code, Container: l.container, Route: l.Route, Value: l.Host, Message: l.Error, Fix: l.Fix, Effect: label.Hinted,
			})
		}
	}
	return all
}

func (c *Certificates) linesOf(hosts []spec.TLSHost) []Line {
	states := map[string]public.State{}
	for _, s := range c.public.States() {
		states[s.Host] = s
	}
	lines := make([]Line, 0, len(hosts))
	for _, h := range hosts {
		l := Line{Host: h.Host.String(), Route: h.Route, container: h.Container}
		switch {
		case h.Policy.Mode == spec.TLSOff:
			l.Source, l.State = "off", "off"
		case h.Policy.Mode == spec.TLSFile:
			l.file(c.files.Certificate(h.Policy), c.cfg.Now())
		case h.Refused:
			l.Source, l.State = "none", "refused"
			l.Error, l.Fix = "every route of the host is refused, so nothing is ordered for it", "see fairlead routes"
		default:
			c.find(&l, h, states)
		}
		c.trouble(&l, h.Policy)
		lines = append(lines, l)
	}
	return lines
}

// find fills l in for a host without a file of its own.
func (c *Certificates) find(l *Line, h spec.TLSHost, states map[string]public.State) {
	if h.Policy.Mode == spec.TLSAuto {
		if cert := c.files.Covering(h.Host); cert != nil {
			l.file(cert, c.cfg.Now())
			return
		}
	}
	switch c.cfg.Names.Authority(h.Host, h.Policy.Mode) {
	case spec.PublicAuthority:
		l.Source, l.State = "acme", "waiting"
		if s, known := states[h.Host.Text]; known {
			l.State, l.NotAfter, l.Next, l.Error, l.Fix = s.State, s.NotAfter, s.Next, s.Error, s.Fix
		}
		if l.Error != "" {
			l.code = "no-certificate"
		}
	case spec.InternalAuthority:
		l.Source, l.State = "internal", "unused"
		if cert := c.local.Issued(h.Host); cert != nil {
			l.State, l.NotAfter = "valid", cert.Leaf.NotAfter
		}
	default:
		l.Source, l.State, l.code = "none", "none", "no-certificate"
		l.Error, l.Fix = c.nobody(h.Host)
	}
}

// nobody says why nobody vouches for host.
func (c *Certificates) nobody(host spec.Host) (why, fix string) {
	const bring = "bring a certificate (the label tls: file:CERT,KEY)"
	switch {
	case host.Kind == spec.RegexpHost || host.Kind == spec.AnyHost:
		return "no certificate is given for an expression, so a stop-gap is shown that no client trusts", "name the hosts one by one, or " + bring
	case host.Kind == spec.WildcardHost && spec.Public("any."+host.Text):
		return "an ACME authority gives certificates for wildcards only by DNS-01, which is not built yet, so a stop-gap is shown that no client trusts", "name the hosts one by one, or " + bring
	case spec.Public(host.Text):
		return "no public authority is used (--acme-directory off), and the internal one does not sign public names", bring + ", or --internal-names " + spec.RegisteredDomain(host.Text)
	}
	if _, addr := host.Addr(); addr {
		return "neither a public authority nor the internal one vouches for a public address, so a stop-gap is shown that no client trusts", "use a name, or " + bring
	}
	return "no public authority vouches for such a name, and the internal one only for localhost, local, internal, home.arpa, test and the names it is given", "--internal-names " + spec.PrivateSuffix(host.Text) + ", or " + bring
}

func (l *Line) file(cert *tls.Certificate, now time.Time) {
	l.Source, l.State = "file", "none"
	if cert == nil {
		return
	}
	l.State, l.NotAfter = "valid", cert.Leaf.NotAfter
	if now.After(l.NotAfter) {
		l.State = "expired"
	}
}

// trouble adds what is wrong with the files of policy.
func (c *Certificates) trouble(l *Line, policy spec.TLSPolicy) {
	for _, t := range c.files.Troubles() {
		pair := t.Policy.Cert != "" && t.Policy.Cert == policy.Cert && t.Policy.Key == policy.Key
		if pair || t.Policy.ClientCA != "" && t.Policy.ClientCA == policy.ClientCA {
			l.code, l.Error, l.Fix = "certificate-file", t.Message, t.Fix
			return // the first is the gravest
		}
	}
}
