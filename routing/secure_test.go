package routing

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/spec"
)

// fakeCertificates know a client's certificate by its issuer, which is the
// reference that tls.client-ca names.
type fakeCertificates struct {
	broken   string // what it ends in cannot be read
	standing spec.Standing
}

func (f *fakeCertificates) Check(policy spec.TLSPolicy) error {
	for _, ref := range []string{policy.Cert, policy.Key, policy.ClientCA} {
		if f.broken != "" && strings.HasSuffix(ref, f.broken) {
			return errors.New("read " + ref + ": no such file")
		}
	}
	return nil
}

func (f *fakeCertificates) Admits(policy spec.TLSPolicy, conn *tls.ConnectionState) bool {
	if policy.MinVersion == "1.3" && conn.Version < tls.VersionTLS13 {
		return false
	}
	return policy.ClientCA == "" || len(conn.PeerCertificates) > 0 && conn.PeerCertificates[0].Issuer.CommonName == policy.ClientCA
}

func (f *fakeCertificates) Standing(string, *spec.TLSHost) spec.Standing { return f.standing }

// handshake is a connection by TLS 1.3 for the name sni, with a certificate that
// clientCA signed, "" for none.
func handshake(sni, clientCA string) *tls.ConnectionState {
	conn := &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: sni}
	if clientCA != "" {
		conn.PeerCertificates = []*x509.Certificate{{Issuer: pkix.Name{CommonName: clientCA}}}
	}
	return conn
}

// secure is a world with certificates, whose HTTPS entry point clients reach by
// port, "" for none.
func secure(t testing.TB, port string) (*world, *fakeCertificates) {
	w, certs := newWorld(t), &fakeCertificates{}
	w.serveApps()
	w.env.Certificates = certs
	w.env.HTTPSPort = func(_ string, listen []string) string {
		if listen != nil && !slices.Contains(listen, "https") {
			return ""
		}
		return port
	}
	return w, certs
}

const askingHosts = `
open web@open
	host: open.ex, open2.ex
mtls web@mtls
	host: mtls.ex, mtls2.ex, *.wild.ex, 192.0.2.7
	tls.client-ca: file:/a.pem
other web@other
	host: other.ex
	tls.client-ca: file:/b.pem
new web@new
	host: new.ex
	tls.min-version: 1.3
local web@local
	host: local.test
	tls: internal
`

// THREATS 23 and 25: whatever a handshake was for, a request is served only on a
// connection like those its host asks for.
func TestEveryHandshakeWithEveryHost(t *testing.T) {
	w, _ := secure(t, "443")
	w.read(askingHosts)
	w.turn()
	type asks struct{ ca, version string }
	hosts := map[string]asks{
		"open.ex": {}, "open2.ex": {}, "local.test": {}, "mtls.ex": {ca: "file:/a.pem"}, "mtls2.ex": {ca: "file:/a.pem"}, "x.wild.ex": {ca: "file:/a.pem"},
		"other.ex": {ca: "file:/b.pem"}, "new.ex": {version: "1.3"},
	}
	names := map[string]asks{"unknown.ex": {}, "": {}, "a..b": {}}
	for host, a := range hosts {
		names[host], names[strings.ToUpper(host)] = a, a
	}
	n := 0
	for host, asked := range hosts {
		for sni, promised := range names {
			for _, client := range []string{"", "file:/a.pem", "file:/b.pem"} {
				for _, version := range []string{"1.3", "1.2"} {
					for _, proto := range []string{"1", "2"} {
						n++
						line := fmt.Sprintf("GET %s/x sni=%s client=%s proto=%s", host, sni, client, proto)
						if version == "1.2" {
							line += " tls=1.2"
						}
						good := asked == promised && (asked.ca == "" || asked.ca == client) && (asked.version == "" || asked.version == version)
						w.judge(line, good, proto)
					}
				}
			}
		}
	}
	if n != 8*19*3*2*2 {
		t.Errorf("asked %d times, want %d", n, 8*19*3*2*2)
	}
}

// judge checks that line is served or answered with 421.
func (w *world) judge(line string, good bool, proto string) {
	w.t.Helper()
	resp := w.ask(line)
	status, closes := 200, ""
	if !good {
		status = 421
		if proto == "1" {
			closes = "close"
		}
	}
	if resp.StatusCode != status || resp.Header.Get("Connection") != closes || (resp.Header.Get("X-Target") == "") == good {
		w.t.Errorf("%s: got %s and Connection %q, want %d and %q", line, outcome(resp), resp.Header.Get("Connection"), status, closes)
	}
	if !good && (resp.Header.Get("Cache-Control") != "no-store" || !strings.HasSuffix(resp.Header.Get("Test-Route"), " misdirected")) {
		w.t.Errorf("%s: got %s with Cache-Control %q, want the code misdirected and no-store", line, outcome(resp), resp.Header.Get("Cache-Control"))
	}
}

// Clients send no name with an address, so that none says nothing there.
func TestAddressesNeedNoNameInTheHandshake(t *testing.T) {
	w, _ := secure(t, "443")
	w.read(askingHosts)
	w.turn()
	w.wants(`
		GET 192.0.2.7/ sni= client=file:/a.pem => 200 mtls/web /
		GET 192.0.2.7/ sni=                    => 421 mtls/web misdirected
		GET 192.0.2.7/ sni=open.ex client=file:/a.pem => 421 mtls/web misdirected
		GET mtls.ex/ sni= client=file:/a.pem   => 421 mtls/web misdirected
	`)
}

// What a host has is not told to those who may not see it, and what it has not
// neither.
func TestPathsOfAHostAreNotToldToWhoMayNotSeeIt(t *testing.T) {
	w, _ := secure(t, "")
	w.read("a web@shop\n\thost: app.ex/here, app.ex/b\n\ttls.client-ca: file:/a.pem\n\troute.in.host: app.ex/b/in\n\tstrip: true\n")
	w.turn()
	for _, path := range []string{"here", "nothing", "b%2fin", "..%2f", ""} {
		w.wants(fmt.Sprintf("GET app.ex/%s sni=x.ex client=file:/a.pem => %s\n", path, map[bool]string{true: "421 shop/web misdirected", false: "421 misdirected"}[path == "here"]))
		w.wants(fmt.Sprintf("GET app.ex/%s => %s\n", path, map[bool]string{true: "403 shop/web https-only", false: "403 https-only"}[path == "here"]))
	}
	w.wants(`
		GET app.ex/nothing sni=app.ex client=file:/a.pem => 404 no-route
		GET app.ex/b%2fin sni=app.ex client=file:/a.pem  => 400 two-readings
		GET none.ex/ sni=x.ex                            => 404 no-route
		GET none.ex/                                     => 404 no-route
	`)
}

// A connection outlives a change of labels: what was not asked in its handshake
// is asked of its next request.
func TestLabelsThatAppearWhileAConnectionLives(t *testing.T) {
	for _, proto := range []string{"1", "2"} {
		w, _ := secure(t, "443")
		w.read("web web@shop\n\thost: app.ex\n")
		request := "GET app.ex/ sni=app.ex proto=" + proto
		set := func(key, text string) {
			w.change("web", func(c *spec.Workload) { c.Labels["fairlead."+key] = text })
			w.turn()
		}
		w.turn()
		w.judge(request+" tls=1.2", true, proto)
		set("tls.min-version", "1.3")
		w.judge(request+" tls=1.2", false, proto)
		w.judge(request, true, proto)
		set("tls.client-ca", "file:/a.pem")
		w.judge(request, false, proto)
		w.judge(request+" client=file:/a.pem", true, proto)
		set("tls.client-ca", "file:/b.pem")
		w.judge(request+" client=file:/a.pem", false, proto)
		set("tls.client-ca", "off")
		w.judge(request+" client=file:/a.pem", true, proto)
		set("tls.min-version", "1.2")
		set("tls", "off")
		w.judge(request, false, proto)
	}
}

const differingRoutes = `
a a@shop
	host: app.ex
	route.same.path: /same
b b@shop
	host: app.ex/mtls
	tls.client-ca: file:/a.pem
c c@shop
	host: app.ex/new
	tls.min-version: 1.3
d d@shop
	host: app.ex/off, app.ex/off2
	tls: off
x x@shop
	host: both.ex
	tls.client-ca: file:/a.pem
y y@shop
	host: both.ex/open
z z@shop
	host: both.ex/off
	tls: off
v v@shop
	host: both.ex/other
	tls.client-ca: file:/b.pem
u u@shop
	host: off.ex
	tls: off
q q@shop
	host: off.ex/redirect
	tls: auto
	http: redirect
r r@shop
	host: off.ex/mtls
	tls.client-ca: file:/a.pem
`

// A host has one policy: the oldest service's. Routes that ask for another are
// answered where both are met, and told so.
func TestRoutesOfOneHostThatDiffer(t *testing.T) {
	w, certs := secure(t, "443")
	certs.standing = spec.Trusted
	w.read(differingRoutes)
	table := w.turn()
	w.wants(`
		GET app.ex/ sni=app.ex tls=1.2             => 200 shop/a /
		GET app.ex/same sni=app.ex                 => 200 shop/a.same /same
		GET app.ex/mtls sni=app.ex                 => 421 shop/b misdirected
		GET app.ex/mtls                            => 308 shop/b https://app.ex/mtls
		GET app.ex/new sni=app.ex                  => 200 shop/c /new
		GET app.ex/new sni=app.ex tls=1.2          => 421 shop/c misdirected
		GET app.ex/off sni=app.ex                  => 421 shop/d misdirected
		GET app.ex/off                             => 200 shop/d /off
		GET both.ex/open sni=both.ex               => 421 shop/y misdirected
		GET both.ex/open sni=both.ex client=file:/a.pem => 200 shop/y /open
		GET both.ex/open                           => 308 shop/y https://both.ex/open
		GET both.ex/off sni=both.ex client=file:/a.pem  => 421 shop/z misdirected
		GET both.ex/off                            => 403 shop/z https-only
		GET both.ex/other sni=both.ex client=file:/a.pem => 421 shop/v misdirected
		GET both.ex/other sni=both.ex client=file:/b.pem => 421 shop/v misdirected
		GET off.ex/ sni=off.ex                     => 421 shop/u misdirected
		GET off.ex/                                => 200 shop/u /
		GET off.ex/redirect                        => 200 shop/q /redirect
		GET off.ex/redirect sni=off.ex             => 421 shop/q misdirected
		GET off.ex/mtls                            => 403 shop/r https-only
		GET off.ex/mtls sni=off.ex client=file:/a.pem => 421 shop/r misdirected
	`)
	var got []string
	for _, p := range table.Problems() {
		got = append(got, fmt.Sprintf("%s %s %s: %s", p.Code, p.Route, p.Value, p.Effect))
	}
	slices.Sort(got)
	want := []string{
		"tls-differs shop/b app.ex: route refused", "tls-differs shop/c app.ex: hint", "tls-differs shop/d app.ex: hint",
		"tls-differs shop/r off.ex: route refused", "tls-differs shop/v both.ex: route refused", "tls-differs shop/z both.ex: route refused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("problems:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A host is what its most specific pattern says, whichever pattern the route that
// answers has.
func TestTheMostSpecificPatternSaysWhatIsAsked(t *testing.T) {
	w, certs := secure(t, "443")
	certs.standing = spec.Trusted
	w.read("api api@shop\n\thost: a.ex/api\n\ttls.client-ca: file:/a.pem\nwild wild@shop\n\thost: *.ex\nany any@shop\n\thost: *\n\ttls.client-ca: file:/b.pem\n")
	w.turn()
	w.wants(`
		GET a.ex/ sni=a.ex                    => 421 shop/wild misdirected
		GET a.ex/ sni=b.ex client=file:/a.pem => 421 shop/wild misdirected
		GET a.ex/ sni=a.ex client=file:/a.pem => 200 shop/wild /
		GET a.ex/                             => 308 shop/wild https://a.ex/
		GET b.ex/ sni=c.ex                    => 200 shop/wild /
		GET b.ex/ sni=a.ex client=file:/a.pem => 421 shop/wild misdirected
		GET x.y.ex/ sni=unknown.y.ex          => 421 shop/any misdirected
		GET x.y.ex/ sni=unknown.y.ex client=file:/b.pem => 200 shop/any /
	`)
}

// Whoever shares a host with its holder has no say in it, however old.
func TestAnOlderGuestDoesNotSpeakForTheHost(t *testing.T) {
	w, _ := secure(t, "443")
	w.read("holder web@shop\n\thost: app.ex\n\tshare: any\n\ttls.client-ca: file:/a.pem\n")
	w.turn()
	w.read("guest web@blog\n\thost: app.ex/blog\n")
	w.turn()
	w.remove("holder")
	w.read("again web@shop\n\thost: app.ex\n\tshare: any\n\ttls.client-ca: file:/a.pem\n")
	w.turn()
	w.wants(`
		GET app.ex/blog sni=app.ex                    => 421 blog/web misdirected
		GET app.ex/blog sni=app.ex client=file:/a.pem => 200 blog/web /blog
	`)
}

// A route whose tls labels are wrong costs no other route of its host.
func TestWrongLabelsOfTLSDoNotSpeakForTheHost(t *testing.T) {
	w, _ := secure(t, "443")
	w.read("a a@shop\n\thost: app.ex\n\ttls.client-ca: /a.pem\nb b@shop\n\thost: app.ex/b\n\ttls.client-ca: file:/a.pem\n")
	table := w.turn()
	w.wants(`
		GET app.ex/ sni=app.ex client=file:/a.pem  => 503 shop/a route-refused
		GET app.ex/b sni=app.ex client=file:/a.pem => 200 shop/b /b
		GET app.ex/b sni=app.ex                    => 421 shop/b misdirected
	`)
	if got := table.problemLines(); got != "wrong-value shop/a /a.pem\n" {
		t.Errorf("problems:\n%swant the wrong label alone", got)
	}
	w.remove("b")
	w.turn()
	w.wants("GET app.ex/ sni=app.ex => 503 shop/a route-refused")
}

// THREATS 25: files that cannot be read refuse what needs them, and others serve.
func TestFilesOfTLSThatCannotBeRead(t *testing.T) {
	w, certs := secure(t, "443")
	certs.broken = ".gone"
	w.read(`
a a@shop
	host: a.ex
	tls.client-ca: file:/ca.gone
	route.open.host: open.ex
	route.open.tls.client-ca: off
b b@shop
	host: b.ex
	tls: file:/b.pem,/key.gone
c c@shop
	host: a.ex/c
`)
	table := w.turn()
	w.wants(`
		GET a.ex/ sni=a.ex client=file:/ca.gone  => 503 shop/a route-refused
		GET a.ex/ sni=open.ex                    => 503 shop/a route-refused
		GET a.ex/                                => 503 shop/a route-refused
		GET a.ex/c sni=a.ex                      => 421 shop/c misdirected
		GET b.ex/ sni=b.ex                       => 503 shop/b route-refused
		GET b.ex/                                => 503 shop/b route-refused
		GET open.ex/ sni=open.ex                 => 200 shop/a.open /
	`)
	refused := map[string]bool{}
	for _, h := range table.TLSHosts() {
		refused[h.Host.String()] = h.Refused
	}
	if want := "map[a.ex:false b.ex:true open.ex:false]"; fmt.Sprint(refused) != want {
		t.Errorf("hosts of which everything is refused: got %v, want %s", refused, want)
	}
	certs.broken = ""
	w.turn()
	w.wants(`
		GET a.ex/ sni=a.ex client=file:/ca.gone  => 200 shop/a /
		GET b.ex/ sni=b.ex                       => 200 shop/b /
	`)
}

// A trusted proxy in front may have spoken TLS with the client, and cannot vouch
// for the client's certificate.
func TestForwardedProtoOfTrustedProxies(t *testing.T) {
	w, certs := secure(t, "443")
	certs.standing = spec.Trusted
	w.read("a a@shop\n\thost: app.ex\n\troute.mtls.host: mtls.ex\n\troute.mtls.tls.client-ca: file:/a.pem\n\troute.refuse.host: refuse.ex\n\troute.refuse.http: refuse\n\troute.off.host: off.ex\n\troute.off.tls: off\n")
	w.turn()
	w.wants(`
		GET app.ex/ X-Forwarded-Proto=https                       => 308 shop/a https://app.ex/
		GET app.ex/ X-Forwarded-Proto=https from=` + trusted + `  => 200 shop/a /
		GET app.ex/ X-Forwarded-Proto=http from=` + trusted + `   => 308 shop/a https://app.ex/
		GET app.ex/ sni=app.ex X-Forwarded-Proto=http from=` + trusted + ` => 200 shop/a /
		GET refuse.ex/ X-Forwarded-Proto=https                    => 403 shop/a.refuse https-only
		GET refuse.ex/ X-Forwarded-Proto=https from=` + trusted + ` => 200 shop/a.refuse /
		GET off.ex/ X-Forwarded-Proto=https from=` + trusted + `  => 200 shop/a.off /
		GET mtls.ex/ X-Forwarded-Proto=https                      => 308 shop/a.mtls https://mtls.ex/
		GET mtls.ex/ X-Forwarded-Proto=https from=` + trusted + ` => 421 shop/a.mtls misdirected
	`)
}

// A refused route says that it is refused, and nothing of how to reach it.
func TestRefusedRoutesAreNotRedirected(t *testing.T) {
	w, certs := secure(t, "443")
	certs.standing = spec.Trusted
	w.read("web web@shop\n\thost: a.ex\n\tallow: x\n\ttls.client-ca: file:/a.pem\n\troute.bad.host: b.ex\n\troute.bad.tls: atuo\n\troute.both.host: c.ex\n\troute.both.http: serve\n\troute.redir.host: d.ex\n\troute.redir.http: redirect\n")
	w.turn()
	for _, host := range []string{"a.ex", "b.ex", "c.ex", "d.ex"} {
		for _, rest := range []string{"", " sni=" + host, " sni=elsewhere.ex", " sni= proto=2", " X-Forwarded-Proto=https from=" + trusted} {
			if resp := w.ask("GET " + host + "/" + rest); resp.StatusCode != 503 {
				t.Errorf("%s%s: got %s, want 503", host, rest, outcome(resp))
			}
		}
	}
}

func TestTLSHostsOfATable(t *testing.T) {
	w, _ := secure(t, "443")
	w.read(`
web web@shop
	host: b.ex, a.ex
	redirect-from: www.ex
	tls.client-ca: file:/a.pem
	route.any.host: *
	route.any.tls: off
wild web@other
	host: *.ex, ~x.+
	alow: x
guest web@guest
	host: a.ex/guest
app
	enable: true
`)
	table := w.turn()
	var got []string
	for _, h := range table.TLSHosts() {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s of %s, %s: %s%s %v", h.Host, h.Route, h.Container, h.Policy.Mode, h.Policy.ClientCA, h.Refused)))
		if h.Host.Kind == spec.ExactHost {
			if one, known := table.TLSHost(h.Host.Text); !known || one != h {
				t.Errorf("%s: got %+v (known: %v), want %+v", h.Host, one, known, h)
			}
		}
	}
	want := []string{
		"a.ex of shop/web, web: file:/a.pem false", "app.localhost of app, app:  false", "b.ex of shop/web, web: file:/a.pem false", "www.ex of shop/web.~from, web: file:/a.pem false",
		"*.ex of other/web, wild:  true", "~x.+ of other/web, wild:  true", "* of shop/web.any, web: off false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if h, known := table.TLSHost("c.ex"); !known || h.Host.String() != "*.ex" {
		t.Errorf("c.ex falls under %v (known: %v), want *.ex", h.Host, known)
	}
}

func TestTheCheckOfTLSCostsNoAllocation(t *testing.T) {
	w, _ := secure(t, "443")
	w.read("web web@shop\n\thost: app.ex\n\trespond: 204\n\troute.mtls.host: mtls.ex\n\troute.mtls.respond: 204\n\troute.mtls.tls.client-ca: file:/a.pem\n\troute.mtls.tls.min-version: 1.3\n")
	w.turn()
	for _, host := range []string{"app.ex", "mtls.ex"} {
		rw, r := overTLS(host)
		if n := testing.AllocsPerRun(100, func() { w.live.ServeHTTP(rw, r) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", host, n)
		}
		if status := rw.(*exchange.Writer).Status; status != 204 {
			t.Errorf("%s: got %d, want 204: something else was measured", host, status)
		}
	}
}
