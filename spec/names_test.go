package spec

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func pattern(t *testing.T, text string) Host {
	t.Helper()
	if re, ok := strings.CutPrefix(text, "~"); ok {
		return Host{RegexpHost, re}
	}
	h, err := ParseHostPattern(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return h
}

func TestPublicNames(t *testing.T) {
	for name, want := range map[string]bool{
		"example.com": true, "a.b.example.com": true, "example.co.uk": true, "xn--bcher-kva.example.com": true, "xn--e1afmkfd.xn--p1ai": true,
		"user.github.io": true, "github.io": true, "x.eu-west-1.compute.amazonaws.com": true, "a.example.arpa": true,
		"com": false, "co.uk": false, "xn--p1ai": false,
		"localhost": false, "a.localhost": false, "nas.local": false, "db.internal": false, "box.home.arpa": false, "home.arpa": false, "a.test": false,
		"nas": false, "nas.lan": false, "fritz.box": true, "a.invalid": false, "a.example": false, "abc.onion": false,
		"my_app.example.com": false,
		"10.0.0.1":           false, "8.8.8.8": false, "[::1]": false, "[2001:db8::1]": false, "1.2.3": false,
		"": false,
	} {
		if got := Public(name); got != want {
			t.Errorf("%q is public: got %v, want %v", name, got, want)
		}
	}
}

func TestRegisteredDomain(t *testing.T) {
	for name, want := range map[string]string{
		"example.com": "example.com", "a.b.example.com": "example.com", "www.example.co.uk": "example.co.uk", "co.uk": "co.uk", "com": "com",
		"a.user.github.io": "user.github.io", "nas.lan": "nas.lan", "a.nas.lan": "nas.lan", "nas": "nas", "localhost": "localhost",
		"10.0.0.1": "10.0.0.1", "[2001:db8::1]": "[2001:db8::1]",
	} {
		if got := RegisteredDomain(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestWhatTheInternalAuthorityMaySign(t *testing.T) {
	plain := Names{Domain: "localhost"}
	lan := Names{Domain: "localhost", Internal: []string{"lan", "intra.example.com"}}
	below := Names{Domain: "example.com"}
	for _, tt := range []struct {
		names Names
		may   string
		mayNo string
	}{
		{plain,
			"localhost a.localhost a.b.localhost *.localhost nas.local *.local db.internal box.home.arpa a.test my_app.local 127.0.0.1 127.8.8.8 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 [::1] [fd00::1] [fc00::1]",
			"nas nas.lan *.lan notlocalhost a.notlocal arpa example.com *.example.com com 8.8.8.8 172.32.0.1 169.254.1.1 100.64.0.1 0.0.0.0 [2001:db8::1] [fe80::1] [::ffff:10.0.0.1] * ~.*\\.local ~localhost"},
		{lan, "lan nas.lan *.lan a.b.lan intra.example.com a.intra.example.com *.intra.example.com", "example.com b.example.com xintra.example.com *.example.com nas 8.8.8.8"},
		{below, "example.com a.example.com *.example.com localhost", "example.org badexample.com"},
		{Names{}, "localhost a.test", "nas example.com"},
	} {
		for want, list := range map[bool]string{true: tt.may, false: tt.mayNo} {
			for text := range strings.FieldsSeq(list) {
				if got := tt.names.MaySign(pattern(t, text)); got != want {
					t.Errorf("%+v may sign %s: got %v, want %v", tt.names, text, got, want)
				}
			}
		}
	}
}

// TestSuffixesAndNetsAreWhatMayBeSigned: the root is constrained to them.
func TestSuffixesAndNetsAreWhatMayBeSigned(t *testing.T) {
	n := Names{Domain: "home.lan", Internal: []string{"test", "corp"}}
	if got, want := n.Suffixes(), []string{"corp", "home.arpa", "home.lan", "internal", "local", "localhost", "test"}; !slices.Equal(got, want) {
		t.Errorf("got suffixes %v, want %v", got, want)
	}
	for _, s := range n.Suffixes() {
		for _, h := range []Host{{Text: s}, {Text: "a." + s}, {WildcardHost, s}} {
			if !n.MaySign(h) {
				t.Errorf("%s is below %s, and may not be signed", h, s)
			}
		}
	}
	for _, p := range LocalNets() {
		text := p.Addr().String()
		if h := pattern(t, text); !n.MaySign(h) {
			t.Errorf("%s is in %s, and may not be signed", h, p)
		}
	}
	LocalNets()[0] = netip.MustParsePrefix("0.0.0.0/0")
	if n.MaySign(Host{Text: "8.8.8.8"}) {
		t.Error("who asked for the networks could change them")
	}
}

func TestWhoVouchesForAHost(t *testing.T) {
	const none, internal, public = NoAuthority, InternalAuthority, PublicAuthority
	std, off := Names{Domain: "localhost"}, Names{Domain: "localhost", NoACME: true}
	lan, com := Names{Domain: "home.lan"}, Names{Domain: "example.com"}
	given, comOff := Names{Domain: "localhost", Internal: []string{"example.com", "lan"}}, Names{Domain: "example.com", NoACME: true}
	for _, tt := range []struct {
		names      Names
		host, mode string
		want       Authority
	}{
		{std, "www.example.com", TLSAuto, public},
		{std, "user.github.io", TLSAuto, public},
		{std, "example.co.uk", TLSAuto, public},
		{std, "co.uk", TLSAuto, none},
		{std, "localhost", TLSAuto, internal},
		{std, "a.localhost", TLSAuto, internal},
		{std, "*.localhost", TLSAuto, internal},
		{std, "192.168.1.1", TLSAuto, internal},
		{std, "8.8.8.8", TLSAuto, none},
		{std, "nas", TLSAuto, none},
		{std, "nas.lan", TLSAuto, none},
		{std, "abc.onion", TLSAuto, none},
		{std, "my_app.example.com", TLSAuto, none},
		{std, "*.example.com", TLSAuto, none},
		{std, "*", TLSAuto, none},
		{std, "~.*", TLSAuto, none},
		{std, "www.example.com", TLSInternal, none},
		{std, "nas.local", TLSInternal, internal},
		{std, "*", TLSInternal, none},
		{std, "www.example.com", TLSOff, none},
		{std, "nas.local", TLSOff, none},
		{std, "www.example.com", TLSFile, none},
		{std, "nas.local", TLSFile, none},
		{off, "www.example.com", TLSAuto, none},
		{off, "nas.local", TLSAuto, internal},
		{lan, "web.home.lan", TLSAuto, internal},
		{lan, "*.home.lan", TLSAuto, internal},
		{com, "web.example.com", TLSAuto, public},
		{com, "web.example.com", TLSInternal, internal},
		{com, "*.example.com", TLSAuto, none},
		{com, "*.example.com", TLSInternal, internal},
		{comOff, "web.example.com", TLSAuto, internal},
		{comOff, "*.example.com", TLSAuto, internal},
		{comOff, "web.example.org", TLSAuto, none},
		{given, "web.example.com", TLSAuto, internal},
		{given, "*.example.com", TLSAuto, internal},
		{given, "web.example.org", TLSAuto, public},
		{given, "nas.lan", TLSAuto, internal},
	} {
		if got := tt.names.Authority(pattern(t, tt.host), tt.mode); got != tt.want {
			t.Errorf("%s with tls=%q and %+v: got authority %d, want %d", tt.host, tt.mode, tt.names, got, tt.want)
		}
	}
}
