package exchange

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	tests := []struct {
		in, host, port string
		ok             bool
	}{
		{"example.com", "example.com", "", true},
		{"example.com:8080", "example.com", "8080", true},
		{"EXAMPLE.Com", "example.com", "", true},
		{"example.com.", "example.com", "", true},
		{"Example.COM.:443", "example.com", "443", true},
		{"example.com:", "example.com", "", true},
		{"example.com:0080", "example.com", "80", true},
		{"example.com:0", "example.com", "0", true},
		{"example.com:65535", "example.com", "65535", true},
		{"my_app", "my_app", "", true},
		{"localhost", "localhost", "", true},
		{"127.0.0.1:80", "127.0.0.1", "80", true},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", "", true},
		{"bücher.example", "xn--bcher-kva.example", "", true},
		{"BÜCHER.example:81", "xn--bcher-kva.example", "81", true},
		{"bücher。example", "xn--bcher-kva.example", "", true},
		{"[::1]", "[::1]", "", true},
		{"[::1]:80", "[::1]", "80", true},
		{"[2001:DB8:0:0::1]:80", "[2001:db8::1]", "80", true},
		{label63 + ".example", label63 + ".example", "", true},
		{strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 126) + "a", "", true},

		{in: ""},
		{in: "."},
		{in: ".."},
		{in: ":80"},
		{in: ".example.com"},
		{in: "a..b"},
		{in: "a.."},
		{in: "a,b"},
		{in: "a@b"},
		{in: "user:pass@b"},
		{in: "[::1"},
		{in: "[::1]a"},
		{in: "[::1]:a"},
		{in: "[fe80::1%eth0]"},
		{in: "[fe80::1%25eth0]"},
		{in: "[127.0.0.1]"},
		{in: "[v1.x]"},
		{in: "[]"},
		{in: "::1"},
		{in: "a:abc"},
		{in: "a:80:80"},
		{in: "a:-1"},
		{in: "a:+1"},
		{in: "a:65536"},
		{in: "a:000080"},
		{in: "a b"},
		{in: " a"},
		{in: "a\t"},
		{in: "a\x00"},
		{in: "a\x7f"},
		{in: "a%2eb"},
		{in: "a/b"},
		{in: "a\\b"},
		{in: "a?b"},
		{in: "a#b"},
		{in: "*.example.com"},
		{in: "~example"},
		{in: "a;b"},
		{in: "a'b"},
		{in: "℀.example"}, // maps to a/c
		{in: "a\xff"},
		{in: "a\u202eb.example"},
		{in: label63 + "a.example"},
		{in: strings.Repeat("a.", 127) + "a"},
		{in: strings.Repeat("ä", 2000)},
	}
	for _, tt := range tests {
		host, port, ok := ParseHost(tt.in)
		if host != tt.host || port != tt.port || ok != tt.ok {
			t.Errorf("ParseHost(%.80q) = %q, %q, %v, want %q, %q, %v", tt.in, host, port, ok, tt.host, tt.port, tt.ok)
		}
	}
}

// THREATS 19: every spelling of a host is one host.
func TestHostSpellingsAreOneHost(t *testing.T) {
	for n := range 10_000 {
		want := fmt.Sprintf("app-%d.example.com", n)
		for _, in := range []string{want, strings.ToUpper(want), want + ".", want + ":80", strings.ToUpper(want) + ".:8443"} {
			if got, _, ok := ParseHost(in); !ok || got != want {
				t.Fatalf("ParseHost(%q) = %q, %v, want %q", in, got, ok, want)
			}
		}
	}
}

func TestParseHostAllocatesNothingForCanonicalHosts(t *testing.T) {
	for _, in := range []string{"app.example.com", "app.example.com:8080", "[2001:db8::1]:443"} {
		if got := testing.AllocsPerRun(100, func() { ParseHost(in) }); got != 0 {
			t.Errorf("ParseHost(%q) allocates %v times, want 0", in, got)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"example.com", "EXAMPLE.com.:80", "[::1]:80", "bücher.example", "a,b", "℀", "a..b", "[::ffff:1.2.3.4]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, port, ok := ParseHost(in)
		if !ok {
			if host != "" || port != "" {
				t.Fatalf("ParseHost(%q) = %q, %q with ok false", in, host, port)
			}
			return
		}
		if strings.ContainsAny(host, "@,/\\?#%*~ \t\r\n") || host != strings.ToLower(host) || strings.HasSuffix(host, ".") || host == "" {
			t.Fatalf("ParseHost(%q) = host %q", in, host)
		}
		for i := range len(host) {
			if host[i] <= ' ' || host[i] >= 0x7f {
				t.Fatalf("ParseHost(%q) = host %q", in, host)
			}
		}
		again, port2, ok := ParseHost(join(host, port))
		if !ok || again != host || port2 != port {
			t.Fatalf("ParseHost(%q) = %q, %q, but its own form gives %q, %q, %v", in, host, port, again, port2, ok)
		}
	})
}

func BenchmarkParseHost(b *testing.B) {
	for _, in := range []string{"app.example.com", "APP.example.com:8080", "[2001:db8::1]", "bücher.example"} {
		b.Run(in, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseHost(in)
			}
		})
	}
}
