package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/server"
	"github.com/fairlead/fairlead/spec"
)

// explain answers the command explain.
func (p *process) explain(t *routing.Table, r *http.Request) (any, error) {
	q, err := readEnquiry(r.URL.Query())
	if err != nil {
		return nil, admin.Status{Code: http.StatusBadRequest, Err: err}
	}
	e, err := p.rehearse(t, r, q)
	if err != nil || !q.open || q.secure || e.Status != http.StatusTemporaryRedirect && e.Status != http.StatusPermanentRedirect {
		return e, err
	}
	// As a browser would: the first step tells of the redirect.
	over := slices.IndexFunc(e.Steps, func(s routing.Step) bool { return s.Stage == "plain HTTP" && !strings.HasPrefix(s.Outcome, "served") })
	if over < 0 {
		return e, nil
	}
	q.secure, q.entry = true, ""
	if rest, ok := strings.CutPrefix(e.location, "https://"); ok {
		q.authority, _, _ = strings.Cut(rest, "/")
	}
	first := e.Steps[over]
	if e, err = p.rehearse(t, r, q); err == nil {
		e.Steps = slices.Insert(e.Steps, 0, first)
	}
	return e, err
}

// rehearse has the request q take its way through the handlers that serve, none of
// which does anything but decide.
func (p *process) rehearse(t *routing.Table, from *http.Request, q *enquiry) (*explanation, error) {
	point, err := p.entryFor(q)
	if err != nil {
		return nil, err
	}
	if point == nil {
		e := &explanation{URL: q.url()}
		e.Host, e.Path, e.Answer = q.name(), q.target, "nobody answers: no entry point speaks TLS (--https)"
		return e, nil
	}
	trusted, err := p.settings.trusted()
	if err != nil {
		return nil, err
	}
	e, told := &explanation{URL: q.url(), Entry: point.Name}, false
	next := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.Explanation, told = t.Rehearse(w, r), true
	}))
	if p.certs != nil && !point.TLS {
		next = p.certs.Tokens(next)
	}
	var x *exchange.Exchange
	arrival := p.arrivalAt(*point, trusted, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x = exchange.Of(r)
		next.ServeHTTP(w, r)
	}))
	probe := &exchange.Probe{Dry: true}
	arrival.Probe = func(netip.AddrPort) *exchange.Probe { return probe }
	w := &dropped{header: http.Header{}}
	arrival.ServeHTTP(w, q.request(from))
	e.location = w.header.Get("Location")
	out := probe.Outcome()
	switch {
	case x == nil:
		e.Host, e.Path, e.Status = q.name(), q.target, w.status
		e.Answer = fmt.Sprintf("%d: %s", w.status, w.message())
		step := routing.Step{Stage: "request", Outcome: "refused (" + out.Code + ")"}
		if out.Cause != nil {
			step.Outcome += ": " + out.Cause.Error()
		}
		e.Steps = []routing.Step{step}
		return e, nil
	case !told:
		e.Host, e.Path, e.Status, e.OK = x.Host, q.target, w.status, true
		e.Answer = fmt.Sprintf("%d: the token of a certificate that is being ordered", w.status)
	}
	e.Steps = slices.Insert(e.Steps, 0, clientStep(x, point, q))
	if e.Route == nil && e.Status == http.StatusNotFound {
		e.Near = append(e.Near, p.unheard(t, x.Host)...)
	}
	if p.certs != nil {
		if line, known := p.certs.Line(x.Host); known {
			e.Steps = append(e.Steps, routing.Step{Stage: "certificate", Outcome: line.String()})
		}
	}
	return e, nil
}

// unheard says which containers ask for host and are not routed: switched off, or
// made for one command.
func (p *process) unheard(t *routing.Table, host string) (out []string) {
	snap, _ := p.watch.known()
	for _, v := range t.Verdicts() {
		w := snap.Workload(v.ID)
		if w == nil || v.Code == "routed" || !asksFor(w, p.settings.labelPrefix, host) {
			continue
		}
		out = append(out, w.Name+" asks for this host and is not routed ("+v.Code+"): fairlead explain --container "+w.Name)
	}
	return out
}

// asksFor reports whether a label of w names host, be it with a path.
func asksFor(w *spec.Workload, prefix, host string) bool {
	for name, text := range w.Labels {
		if key, ours := strings.CutPrefix(name, prefix+"."); !ours || key != "host" && !strings.HasSuffix(key, ".host") {
			continue
		}
		for _, item := range label.SplitList(text) {
			if item, _, _ = strings.Cut(item, "/"); strings.EqualFold(item, host) {
				return true
			}
		}
	}
	return false
}

// entryFor returns the entry point that q comes in by: the one it names, that of its
// port, or the first that speaks what it wants; nil if none does.
func (p *process) entryFor(q *enquiry) (*server.EntryPoint, error) {
	var names []string
	var fit *server.EntryPoint
	_, port, _ := exchange.ParseHost(q.authority)
	for i := range p.points {
		e := &p.points[i]
		names = append(names, e.Name)
		switch {
		case q.entry != "":
			if e.Name == q.entry {
				q.secure = e.TLS
				return e, nil
			}
		case e.TLS != q.secure:
		case fit == nil, port != "" && portOf(e.Addr) == port && portOf(fit.Addr) != port:
			fit = e
		}
	}
	if q.entry != "" {
		return nil, admin.Status{Code: http.StatusBadRequest, Err: fmt.Errorf("entry %q: want one of %s", q.entry, strings.Join(names, ", "))}
	}
	if fit == nil && q.open && !q.secure {
		q.secure = true
		return p.entryFor(q)
	}
	return fit, nil
}

// request returns q as an engine would pass it on.
func (q *enquiry) request(from *http.Request) *http.Request {
	path, query, _ := strings.Cut(q.target, "?")
	r := &http.Request{
		Method: q.method, Host: q.authority, RequestURI: q.target, URL: &url.URL{Path: path, RawQuery: query},
		Header: q.header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody,
		RemoteAddr: netip.AddrPortFrom(q.from, 0).String(),
	}
	if q.length > 0 {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), q.length // a rehearsal reads none of it
	}
	if q.secure {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, ServerName: q.name(), HandshakeComplete: true}
	}
	return r.WithContext(from.Context())
}

// clientStep says who asks.
func clientStep(x *exchange.Exchange, e *server.EntryPoint, q *enquiry) routing.Step {
	by := " by entry point " + e.Name + " (port " + portOf(e.Addr) + ")"
	switch {
	case x.ClientHidden:
		return routing.Step{Stage: "client", Outcome: x.Client.String() + by + ": the gateway of a network, behind which a published port hides the client's address"}
	case x.PeerTrusted && x.Client != x.Peer:
		return routing.Step{Stage: "client", Outcome: x.Client.String() + by + ", as the trusted proxy " + x.Peer.String() + " says"}
	case x.PeerTrusted:
		return routing.Step{Stage: "client", Outcome: x.Peer.String() + by + ", a trusted proxy: its X-Forwarded fields are believed"}
	}
	return routing.Step{Stage: "client", Outcome: x.Peer.String() + by + cmp.Or(claims(q.header), "")}
}

// claims says what becomes of what only a trusted proxy is believed.
func claims(h http.Header) string {
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" {
			return ", which is no trusted proxy: its " + name + " is not believed (--trusted-proxies)"
		}
	}
	return ""
}

// dropped is the writer of an answer that nobody gets.
type dropped struct {
	header http.Header
	status int
	text   []byte // of a page of the proxy's own
}

// message returns what such a page says.
func (w *dropped) message() string {
	_, rest, _ := strings.Cut(string(w.text), "\n")
	message, _, _ := strings.Cut(rest, "\n")
	return cmp.Or(message, http.StatusText(w.status))
}

func (w *dropped) Header() http.Header { return w.header }

func (w *dropped) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	const page = 1 << 10
	w.text = append(w.text, p[:min(len(p), page-len(w.text))]...)
	return len(p), nil
}

func (w *dropped) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}
