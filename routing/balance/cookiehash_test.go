package balance

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
)

func TestCookieOf(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"sid=1"}, "1"},
		{[]string{"a=b; sid=1; c=d"}, "1"},
		{[]string{"a=b;sid=1"}, "1"},
		{[]string{"a=b;\tsid = 1 ;c"}, "1"},
		{[]string{"sid=1; sid=2"}, "1"},
		{[]string{"a=b", "sid=1", "sid=2"}, "1"},
		{[]string{"sid="}, ""},
		{[]string{"sid=; sid=2"}, ""},
		{[]string{"sid"}, ""},
		{[]string{"sid; sid=2"}, "2"},
		{[]string{"SID=1"}, ""},
		{[]string{"xsid=1; sidx=2; a=sid=3"}, ""},
		{[]string{"sid=a=b=="}, "a=b=="},
		{[]string{`sid="quoted"`}, `"quoted"`},
		{[]string{";;; =; ;sid=1;"}, "1"},
		{[]string{"=sid"}, ""},
	} {
		if got := cookieOf(http.Header{"Cookie": tt.lines}, "sid"); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.lines, got, tt.want)
		}
	}
}

// Of what every reader takes the same way, net/http is to see the same. It takes
// a name without "=" for a cookie without a value; we go on looking.
func FuzzCookieOf(f *testing.F) {
	f.Add("sid=1; sid=2", "sid")
	f.Add(" a=b;sid=x ;", "sid")
	f.Add("sid;sid=a b", "sid")
	f.Add("sid==;=", "sid")
	f.Fuzz(func(t *testing.T, line, name string) {
		got := cookieOf(http.Header{"Cookie": {line}}, name)
		if !httpguts.ValidHeaderFieldName(name) || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c >= 0x7f || c == '"' || c == '\\' }) {
			return
		}
		var values []string
		for _, c := range (&http.Request{Header: http.Header{"Cookie": {line}}}).CookiesNamed(name) {
			values = append(values, strings.TrimSpace(c.Value))
		}
		if len(values) > 0 && values[0] != "" && got != values[0] || got != "" && !slices.Contains(values, got) {
			t.Errorf("%q: got %q, net/http %q", line, got, values)
		}
	})
}

func TestCookieHashKeepsAValue(t *testing.T) {
	eps, p := alike(5), New(Options{"cookie-hash", "sid"}, new(Turns))
	for client := range 20 {
		r := requestOf(client)
		want := p.Pick(r, eps)
		r.Header.Set("Cookie", strings.Replace(r.Header.Get("Cookie"), "dark", "light", 1))
		if got := p.Pick(r, eps); got != want {
			t.Errorf("client %d: picked %d when another cookie changed, want %d", client, got, want)
		}
	}
}

func TestCookieHashWithoutTheCookieTakesTurns(t *testing.T) {
	eps, p := alike(3), New(Options{"cookie-hash", "other"}, new(Turns))
	got := ""
	for range 6 {
		got += eps[p.Pick(requestOf(1), eps)].Key
	}
	if got != "abcabc" {
		t.Errorf("picked %s, want abcabc", got)
	}
}
