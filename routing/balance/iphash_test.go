package balance

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead/fairlead/exchange"
)

func TestAddrKey(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		a, okA := addrKey(netip.MustParseAddr(tt.a))
		b, okB := addrKey(netip.MustParseAddr(tt.b))
		if (a == b) != tt.same || !okA || !okB {
			t.Errorf("%s and %s: got keys %#x, %v and %#x, %v, want the same: %v", tt.a, tt.b, a, okA, b, okB, tt.same)
		}
	}
	if _, ok := addrKey(netip.Addr{}); ok {
		t.Error("no address is a key")
	}
}

func TestIPHashKeepsAClient(t *testing.T) {
	eps, p := alike(5), New(Options{Name: "ip-hash"}, new(Turns))
	for client := range 20 {
		want := p.Pick(requestOf(client), eps)
		for range 3 {
			if got := p.Pick(requestOf(client), eps); got != want {
				t.Errorf("client %d: picked %d, want again %d", client, got, want)
			}
		}
	}
}

// A middleware may have wrapped the context.
func TestIPHashFindsTheExchangeBelow(t *testing.T) {
	r := requestOf(7)
	ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
	defer cancel()
	if got, want := clientOf(r.WithContext(ctx)), exchange.Of(r).Client; got != want {
		t.Errorf("got client %v, want %v", got, want)
	}
}

func TestIPHashWithoutAClientTakesTurns(t *testing.T) {
	eps, p := alike(3), New(Options{Name: "ip-hash"}, new(Turns))
	r := httptest.NewRequest("GET", "/", nil)
	got := ""
	for range 6 {
		got += eps[p.Pick(r, eps)].Key
	}
	if got != "abcabc" {
		t.Errorf("picked %s, want abcabc", got)
	}
}
