package exchange

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestDutyOf(t *testing.T) {
	tests := []struct {
		name  string
		duty  duty
		alias bool
	}{
		{"X-Forwarded-For", ours, false},
		{"x-forwarded-for", ours, false},
		{"X_Forwarded_For", ours, true},
		{"X.Forwarded-For", ours, true},
		{"X~Forwarded!For", ours, true},
		{"X_Real_IP", ours, true},
		{"X-Forwarded-Prefix", vouched, false},
		{"X_Forwarded_Whatever", vouched, true},
		{"X-Forwarded-" + strings.Repeat("a", 100), vouched, false},
		{"X-Forwarded-" + strings.Repeat("a", 100) + "_", vouched, true},
		{"Forwarded", vouched, false},
		{"Remote-User", vouched, false},
		{"Remote.User", vouched, true},
		{"remote_user", vouched, true},
		{"REMOTE_USER", vouched, true},
		{"CF-Connecting-IP", vouched, false},
		{"Cf-Connecting-Ipv6", vouched, false},
		{"Proxy", never, false},
		{"PROXY", never, false},
		{"Content_Length", framing, true},
		{"Transfer_Encoding", framing, true},
		{"Content-Length", framing, false},

		{"", free, false},
		{"X", free, false},
		{"Accept", free, false},
		{"Referer", free, false},
		{"Remote", free, false},
		{"X-Forwarde", free, false},
		{"X-Requested-With", free, false},
		{"X-Auth-Token", free, false},
		{"X_Custom_Field", free, false},
		{"Http_X_Forwarded_For", free, false},
		{"Proxy-Authorization", free, false},
		{"Content-Type", free, false},
	}
	for _, tt := range tests {
		if d, alias := dutyOf(tt.name); d != tt.duty || alias != tt.alias {
			t.Errorf("dutyOf(%q) = %v, %v, want %v, %v", tt.name, d, alias, tt.duty, tt.alias)
		}
	}
}

// Every row of the table is found by its own name, in any case and as an alias:
// an index that missed one would let it through.
func TestEveryRowOfTheTableIsFound(t *testing.T) {
	for _, f := range fields {
		name := strings.ReplaceAll(f.name, "*", "Thing")
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if d, alias := dutyOf(spelling); d != f.duty || alias {
				t.Errorf("dutyOf(%q) = %v, %v, want %v, false", spelling, d, alias, f.duty)
			}
		}
		for _, odd := range []string{"_", "."} {
			if alias := strings.ReplaceAll(name, "-", odd); alias != name {
				if d, isAlias := dutyOf(alias); d != f.duty || !isAlias {
					t.Errorf("dutyOf(%q) = %v, %v, want %v, true", alias, d, isAlias, f.duty)
				}
			}
		}
		if !Reserved(name) {
			t.Errorf("Reserved(%q) = false", name)
		}
	}
}

func TestClientOf(t *testing.T) {
	trusted := func(a netip.Addr) bool {
		return netip.MustParsePrefix("10.0.0.0/8").Contains(a) || netip.MustParsePrefix("fd00::/8").Contains(a)
	}
	tests := []struct {
		name  string
		chain []string
		want  string
	}{
		{"no chain", nil, "10.0.0.1"},
		{"one client", []string{"203.0.113.9"}, "203.0.113.9"},
		{"right-most untrusted", []string{"1.1.1.1, 203.0.113.9, 10.0.0.7"}, "203.0.113.9"},
		{"several lines", []string{"1.1.1.1", "203.0.113.9", "10.0.0.7"}, "203.0.113.9"},
		{"all trusted", []string{"10.0.0.9,10.0.0.8"}, "10.0.0.9"},
		{"port", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"brackets", []string{"[2001:db8::9]"}, "2001:db8::9"},
		{"brackets and port", []string{"[2001:db8::9]:4711, [fd00::1]:80"}, "2001:db8::9"},
		{"plain v6", []string{"2001:db8::9"}, "2001:db8::9"},
		{"v4 in v6", []string{"::ffff:203.0.113.9, ::ffff:10.0.0.3"}, "203.0.113.9"},
		{"zone", []string{"2001:db8::9, fd00::1%eth0"}, "2001:db8::9"},
		{"garbage on top", []string{"203.0.113.9, garbage"}, "10.0.0.1"},
		{"garbage below a trusted one", []string{"203.0.113.9, garbage, 10.0.0.3"}, "10.0.0.3"},
		{"unknown", []string{"unknown, 10.0.0.3"}, "10.0.0.3"},
		{"empty", []string{""}, "10.0.0.1"},
		{"empty entry", []string{"203.0.113.9, , 10.0.0.3"}, "10.0.0.3"},
		{"bracketed v4", []string{"[203.0.113.9]"}, "10.0.0.1"},
		{"bad brackets", []string{"[203.0.113.9"}, "10.0.0.1"},
		{"too long", []string{strings.Repeat("1", 10_000)}, "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := clientOf(netip.MustParseAddr("10.0.0.1"), tt.chain, trusted); got.String() != tt.want {
				t.Errorf("clientOf(%q) = %v, want %v", tt.chain, got, tt.want)
			}
		})
	}
}

func TestConnectionKeepsOnlyItsOwnOptions(t *testing.T) {
	tests := []struct {
		in, want []string
	}{
		{[]string{"keep-alive"}, []string{"keep-alive"}},
		{[]string{"Upgrade"}, []string{"Upgrade"}},
		{[]string{"keep-alive, Upgrade, X-Hop"}, []string{"keep-alive, Upgrade"}},
		{[]string{"x-hop", "close"}, []string{"close"}},
		{[]string{" , X-Hop ,"}, nil},
		{[]string{"TE, x-hop"}, []string{"TE"}},
	}
	for _, tt := range tests {
		h := http.Header{"Connection": tt.in, "X-Hop": {"1"}, "X-Other": {"1"}, "Te": {"trailers"}}
		nominated := strings.Contains(strings.ToLower(strings.Join(tt.in, ",")), "x-hop")
		dropNominated(h)
		if got := h["Connection"]; !slices.Equal(got, tt.want) {
			t.Errorf("Connection %q became %q, want %q", tt.in, got, tt.want)
		}
		if got := h.Get("X-Hop") == ""; got != nominated {
			t.Errorf("Connection %q: X-Hop dropped %v, want %v", tt.in, got, nominated)
		}
		if h.Get("X-Other") == "" || h.Get("Te") == "" {
			t.Errorf("Connection %q: took more than it named: %v", tt.in, h)
		}
	}
}
