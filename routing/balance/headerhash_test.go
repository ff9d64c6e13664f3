package balance

import (
	"net/http"
	"testing"
)

func TestHeaderOf(t *testing.T) {
	r := &http.Request{Host: "a.ex", Header: http.Header{"X-Tenant": {"one", "two"}, "X-Empty": {""}, "X-None": {}}}
	for name, want := range map[string]string{"X-Tenant": "one", "X-Empty": "", "X-None": "", "X-Other": "", "Host": "a.ex"} {
		if got := headerOf(r, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestHeaderHashKeepsAValue(t *testing.T) {
	eps := alike(5)
	p, q := New(Options{"header-hash", "X-Client"}, new(Turns)), New(Options{"header-hash", "x-client"}, new(Turns))
	for client := range 20 {
		if got, want := q.Pick(requestOf(client), eps), p.Pick(requestOf(client), eps); got != want {
			t.Errorf("client %d: picked %d by x-client, want %d as by X-Client", client, got, want)
		}
	}
}

func TestHeaderHashWithoutTheHeaderTakesTurns(t *testing.T) {
	eps, p := endpoints(5, 1, 1), New(Options{"header-hash", "X-Tenant"}, new(Turns))
	got := ""
	for range 7 {
		got += eps[p.Pick(requestOf(1), eps)].Key
	}
	if got != "aabacaa" {
		t.Errorf("picked %s, want turns by weight, aabacaa", got)
	}
}
