package exchange

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
)

// Arrival is the first handler of an entry point. It begins the Exchange,
// finds out who asks, refuses requests that two parties could read as two
// different ones, and makes r say only what is known: hop-by-hop fields that
// Connection names, forwarding and identity fields of untrusted peers and
// aliases of them are gone, ours are set.
//
// Behind it r.Host is a host as ParseHost returns it, with the port the client
// named; RequestURI is in origin-form, and nothing but a Connection of
// close, keep-alive, te and upgrade options is left.
type Arrival struct {
	// Trusted are the peers whose forwarding and identity fields are believed.
	Trusted []netip.Prefix
	// Gateways returns the gateways of our own networks, behind which
	// published ports hide clients. It is called by every request, so it must
	// not block. nil means there are none.
	Gateways func() []netip.Addr
	// Entry and EntryPort name the entry point, for the label listen.
	Entry, EntryPort string
	HTTPS            bool // the entry point speaks TLS
	// CloseChunked ends the connection behind each chunked request of HTTP/1. It
	// is for net/http, which serves such a request even if it had a Content-Length,
	// and does not say so: what stands behind it may be meant as its body
	// (RFC 9112, 6.1).
	CloseChunked bool
	// Leaving, if set, reports whether answers are to be the last of their
	// connections: HTTP/1 says so, and of HTTP/2 net/http makes a GOAWAY, behind
	// which the streams there are go on. It is called by every request, so it
	// must not block.
	Leaving func() bool
	// Answered, if set, is told of each request that Arrival answered itself,
	// after the answer: the access log is behind Arrival and would miss them.
	Answered func(*http.Request)
	// Probe, if set, returns the probe for what comes from an address, nil for none,
	// as a rule. It is called by every request, so it must not block.
	Probe func(from netip.AddrPort) *Probe
	Next  http.Handler
}

var _ http.Handler = (*Arrival)(nil)

// Answers of Arrival itself. Close: whatever follows a request that was not
// understood is not understood either.
var (
	badHost    = Refusal{Status: http.StatusBadRequest, Code: "bad-host", Message: "The host of this request is not valid.", Close: true}
	badTarget  = Refusal{Status: http.StatusBadRequest, Code: "bad-target", Message: "The address of this request is not valid.", Close: true}
	badVersion = Refusal{Status: http.StatusHTTPVersionNotSupported, Code: "bad-version", Message: "This version of HTTP is not spoken here.", Close: true}
	noConnect  = Refusal{Status: http.StatusMethodNotAllowed, Code: "connect-refused", Message: "This is no forward proxy.", Close: true}
)

const allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

func (a *Arrival) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, w, r := Begin(w, r)
	x.Entry, x.EntryPort = a.Entry, a.EntryPort
	last := a.CloseChunked && r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 || a.Leaving != nil && a.Leaving()
	if last {
		x.OnHeader(sayLast)
	}
	peer := a.meet(x, r)
	if x.Probe != nil {
		defer x.Probe.end(x)
	}
	switch refusal := a.read(x, r); {
	case refusal != nil:
		a.refuse(x, w, r, *refusal)
	case r.RequestURI == "*": // about this server, not about an app behind it (RFC 9110, 9.3.7)
		w.Header().Set("Allow", allowed)
		w.WriteHeader(http.StatusNoContent)
		a.answered(r)
	default:
		a.tidy(x, r, peer)
		a.Next.ServeHTTP(w, r)
		if last {
			x.Response.head() // an engine's own would not say close
		}
	}
	x.end()
}

// sayLast makes an answer the last of its connection. An upgraded one has no
// more answers.
func sayLast(status int, h http.Header) {
	if status != http.StatusSwitchingProtocols {
		h.Set("Connection", "close")
	}
}

func (a *Arrival) refuse(x *Exchange, w http.ResponseWriter, r *http.Request, f Refusal) {
	if f.Status == http.StatusMethodNotAllowed {
		x.OnHeader(func(_ int, h http.Header) { h.Set("Allow", allowed) })
	}
	Refuse(w, r, f)
	a.answered(r)
}

func (a *Arrival) answered(r *http.Request) {
	if a.Answered != nil {
		a.Answered(r)
	}
}

// meet notes who is there and returns the peer as text, "" if it has no
// address.
func (a *Arrival) meet(x *Exchange, r *http.Request) (peer string) {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		x.Peer = plainAddr(ap.Addr())
		if x.Peer == ap.Addr() {
			peer = hostOf(r.RemoteAddr)
		} else {
			peer = x.Peer.String()
		}
		if a.Probe != nil {
			x.Probe = a.Probe(ap)
		}
	}
	x.Client, x.PeerTrusted = x.Peer, a.trusts(x.Peer)
	if x.PeerTrusted {
		x.Client = clientOf(x.Peer, r.Header["X-Forwarded-For"], a.trusts)
		if id := one(r.Header["X-Request-Id"]); validID(id) {
			x.ID, x.named = id, true
		}
	}
	if x.ID == "" {
		x.ID = newID()
	}
	x.ClientHidden = a.Gateways != nil && slices.Contains(a.Gateways(), x.Client)
	return peer
}

// hostOf cuts the port off addr, which netip could parse.
func hostOf(addr string) string {
	host := addr[:strings.LastIndexByte(addr, ':')]
	if host[0] == '[' {
		return host[1 : len(host)-1]
	}
	return host
}

func (a *Arrival) trusts(addr netip.Addr) bool {
	for _, p := range a.Trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// read checks target and host and sets r.Host, r.RequestURI, x.Host, x.Scheme
// and x.Port.
func (a *Arrival) read(x *Exchange, r *http.Request) *Refusal {
	x.Scheme = "http"
	if a.HTTPS {
		x.Scheme = "https"
	}
	if r.Method == http.MethodConnect {
		return &noConnect
	}
	if r.ProtoMajor == 1 && r.ProtoMinor > 1 { // net/http lets it through
		return &badVersion
	}
	if err := readTarget(r); err != nil {
		return because(badTarget, err)
	}
	if hosts, kept := r.Header["Host"]; kept { // net/http takes it out itself
		if len(hosts) != 1 {
			return because(badHost, fmt.Errorf("%d Host fields", len(hosts)))
		}
		delete(r.Header, "Host")
	}
	x.Port = defaultPort(x.Scheme)
	if r.Host == "" && !r.ProtoAtLeast(1, 1) {
		return nil
	}
	host, port, ok := ParseHost(r.Host)
	if !ok {
		name := r.Host[strings.LastIndexByte(r.Host, '@')+1:]
		if name != r.Host {
			return because(badHost, fmt.Errorf("host %.80q: user names do not belong there", name))
		}
		return because(badHost, fmt.Errorf("host %.80q: %s", name, hostFault(name)))
	}
	x.Host = host
	if port != "" {
		x.Port = port
	}
	if !spells(r.Host, host, port) {
		r.Host = join(host, port)
	}
	return nil
}

func because(f Refusal, err error) *Refusal {
	f.Err = err
	return &f
}

// spells reports whether s is join(host, port), without joining them.
func spells(s, host, port string) bool {
	if port == "" {
		return s == host
	}
	return len(s) == len(host)+1+len(port) && s[len(host)] == ':' && s[:len(host)] == host && s[len(host)+1:] == port
}

func join(host, port string) string {
	if port == "" {
		return host
	}
	return host + ":" + port
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// readTarget checks the request target and brings it into origin-form. The
// authority of an absolute-form target overrides the Host field (RFC 9112,
// 3.2.2). A fragment is never sent by a client that means well: access rules
// read "/a#/admin" in one way and apps in another (CVE-2023-45539).
func readTarget(r *http.Request) error {
	target := r.RequestURI
	for i := 0; i < len(target); i++ {
		if c := target[i]; c <= ' ' || c == '#' || c == 0x7f {
			return fmt.Errorf("byte %#02x in target", c)
		}
	}
	switch {
	case strings.HasPrefix(target, "/"):
		return nil
	case target == "*":
		if r.Method != http.MethodOptions {
			return errors.New("target * without OPTIONS")
		}
		return nil
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return errors.New("target neither a path nor a URL of http")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	r.Host, r.RequestURI = rest[:end], rest[end:]
	if r.Host == "" {
		return errors.New("no host in the target")
	}
	if !strings.HasPrefix(r.RequestURI, "/") {
		r.RequestURI = "/" + r.RequestURI
		if r.RequestURI == "/" && r.Method == http.MethodOptions {
			r.RequestURI = "*" // RFC 9112, 3.2.4
		}
	}
	if r.URL != nil {
		u := *r.URL // the engine's own stays as it was
		u.Scheme, u.Host, u.User = "", "", nil
		if u.Path == "" {
			u.Path = r.RequestURI[:1]
		}
		r.URL = &u
	}
	return nil
}

// tidy makes the fields of r say what is known of it, and nothing else.
func (a *Arrival) tidy(x *Exchange, r *http.Request, peer string) {
	h := r.Header
	host := r.Host
	if x.PeerTrusted {
		if chain := strings.Join(h["X-Forwarded-For"], ", "); chain != "" {
			peer = chain + ", " + peer
		}
		if h["X-Forwarded-Host"] != nil || h["X-Forwarded-Proto"] != nil || h["X-Forwarded-Port"] != nil {
			host = believe(x, h, host)
		}
	}
	dropNominated(h)
	scrub(h, x.PeerTrusted)

	set := func(i int, name, value string) {
		if value != "" {
			x.forwarded[i] = value
			h[name] = x.forwarded[i : i+1 : i+1]
		}
	}
	set(0, "X-Forwarded-For", peer)
	set(1, "X-Forwarded-Proto", x.Scheme)
	set(2, "X-Forwarded-Host", host)
	set(3, "X-Forwarded-Port", x.Port)
	set(4, "X-Real-Ip", realIP(x, peer))
	set(5, "X-Request-Id", x.ID)
}

func realIP(x *Exchange, peer string) string {
	if x.Client == x.Peer && !x.PeerTrusted || !x.Client.IsValid() {
		return peer
	}
	return x.Client.String()
}

// believe takes scheme, host and port as the client used them from a trusted
// peer, and returns that host as the client wrote it. Of a list the first entry
// counts, which the proxy nearest to the client wrote.
func believe(x *Exchange, h http.Header, host string) string {
	proto := first(h["X-Forwarded-Proto"])
	switch {
	case strings.EqualFold(proto, "https"), strings.EqualFold(proto, "wss"):
		x.Scheme = "https"
	case strings.EqualFold(proto, "http"), strings.EqualFold(proto, "ws"):
		x.Scheme = "http"
	}
	if name, port, ok := ParseHost(first(h["X-Forwarded-Host"])); ok {
		host = join(name, port)
	}
	if _, port, _ := ParseHost(host); port != "" {
		x.Port = port
	} else {
		x.Port = defaultPort(x.Scheme)
	}
	if port, ok := parsePort(first(h["X-Forwarded-Port"])); ok && port != "" {
		x.Port = port
	}
	return host
}

// first returns the first entry of a field that may be a list.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	entry, _, _ := strings.Cut(values[0], ",")
	return textproto.TrimString(entry)
}

// one returns the value of a field that must not be a list.
func one(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// validID reports whether a trusted peer's request id can go into headers,
// logs and pages as it is: 1 to 128 bytes without blanks, quotes and brackets.
func validID(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if foldBytes[c] == '-' && strings.IndexByte("-._~+/=:@", c) < 0 {
			return false
		}
	}
	return true
}

// newID returns 26 random characters: 128 bits of the runtime's ChaCha8
// generator, which needs neither a system call nor a lock.
func newID() string {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's base32: no i, l, o, u
	var id [26]byte
	for half := 0; half < len(id); half += 13 {
		n := rand.Uint64()
		for i := range 13 {
			id[half+i] = digits[n&31]
			n >>= 5
		}
	}
	return string(id[:])
}
