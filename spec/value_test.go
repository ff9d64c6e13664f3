package spec

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/label"
)

// suggestion returns what err suggests instead.
func suggestion(err error) string {
	var ve *label.ValueError
	if errors.As(err, &ve) {
		return ve.Suggest
	}
	return ""
}

func TestParseHostPattern(t *testing.T) {
	for text, want := range map[string]Host{
		"*": {Kind: AnyHost}, "a.ex": {ExactHost, "a.ex"}, "A.Ex.": {ExactHost, "a.ex"}, "*.A.ex": {WildcardHost, "a.ex"}, "localhost": {ExactHost, "localhost"},
		"my_app.local": {ExactHost, "my_app.local"}, "bücher.example": {ExactHost, "xn--bcher-kva.example"}, "BÜCHER.example": {ExactHost, "xn--bcher-kva.example"}, "bü_cher.example": {ExactHost, "xn--b_cher-3ya.example"},
		"*.bücher.example": {WildcardHost, "xn--bcher-kva.example"}, "例え。テスト": {ExactHost, "xn--r8jz45g.xn--zckzah"}, "faß.example": {ExactHost, "xn--fa-hia.example"},
		"127.0.0.1": {ExactHost, "127.0.0.1"}, "::1": {ExactHost, "[::1]"}, "[::1]": {ExactHost, "[::1]"}, "2001:DB8:0::1": {ExactHost, "[2001:db8::1]"}, "::ffff:1.2.3.4": {ExactHost, "[::ffff:1.2.3.4]"},
	} {
		got, err := ParseHostPattern(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v and %v, want %v", text, got, err, want)
			continue
		}
		if again, err := ParseHostPattern(got.String()); err != nil || again != got {
			t.Errorf("%q: %q reads as %v and %v, want the same again", text, got, again, err)
		}
	}
	for text, near := range map[string]string{
		"": "", ".": "", "a..b": "", ".a": "", "a b": "", "a,b": "", "a/b": "", "a@b": "", "a%2e": "", "a*.ex": "", "*.*.ex": "", "**": "", "a.*": "",
		"a.ex:80": "a.ex", "1.2.3.4:80": "1.2.3.4", "[::1]:80": "[::1]", "*:80": "*", "[::1": "", "::1]": "", "[[::1]]": "", "[1.2.3.4]": "", "fe80::1%eth0": "", "[fe80::1%25eth0]": "",
		strings.Repeat("a", 64) + ".ex": "", strings.Repeat("a.", 130) + "ex": "", "℀.ex": "", "\u200b": "", "a\u0000": "", strings.Repeat("ü", 3000): "", "xn--\u0080": "",
	} {
		got, err := ParseHostPattern(text)
		if err == nil {
			t.Errorf("%.40q: got %v, want an error", text, got)
		} else if near != "" && suggestion(err) != near {
			t.Errorf("%.40q: got suggestion %q, want %q", text, suggestion(err), near)
		}
	}
	if _, err := ParseHostPattern("a.ex:80"); !strings.Contains(err.Error(), "listen") {
		t.Errorf("got %v, want the label listen named", err)
	}
}

func TestParsePath(t *testing.T) {
	for text, want := range map[string]Path{
		"/": Root, "/api": {PathPrefix, "/api"}, "/app/": {PathPrefix, "/app/"}, "=/x": {ExactPath, "/x"}, "=/": {ExactPath, "/"}, "~/u/\\d+": {PathRegexp, "/u/\\d+"}, "/a.b/c-d_e~f": {PathPrefix, "/a.b/c-d_e~f"},
		"/é": {PathPrefix, "/%C3%A9"}, "/a%2Fb": {PathPrefix, "/a%2Fb"}, "/...": {PathPrefix, "/..."}, "/.well-known/x": {PathPrefix, "/.well-known/x"}, "/@a:b=c&d$e!f'(g)": {PathPrefix, "/@a:b=c&d$e!f'(g)"},
	} {
		if got, err := parsePath(text); err != nil || got != want {
			t.Errorf("%q: got %v and %v, want %v", text, got, err, want)
		}
	}
	for text, near := range map[string]string{
		"": "", "api": "/api", "=x": "=/x", "/api/*": "/api", "/*": "/", "*": "/", "/a?b": "", "/a#b": "", "/a b": "", "/a;b": "", "/a\\b": "", "//a": "", "/a//b": "",
		"/../a": "", "/a/..": "", "/./a": "", "/a/.": "", "~(": "", "~": "", "=~/a": "=/~/a",
	} {
		got, err := parsePath(text)
		if err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		} else if near != "" && suggestion(err) != near {
			t.Errorf("%q: got suggestion %q, want %q", text, suggestion(err), near)
		}
	}
	if p, err := parsePath("~^/api"); p.Kind != PathRegexp || err == nil || !strings.Contains(err.Error(), ".*") {
		t.Errorf("got %v and %v, want the path and a hint", p, err)
	}
}

func TestParseTarget(t *testing.T) {
	at := func(e Endpoint) string {
		switch {
		case e.Addr.IsValid():
			return e.Scheme + " " + e.Addr.String()
		case e.Socket != "":
			return e.Scheme + " unix:" + e.Socket
		}
		return e.Scheme + " " + e.Host
	}
	for text, want := range map[string]string{
		"http://10.0.0.1": "http 10.0.0.1:80", "https://10.0.0.1": "https 10.0.0.1:443", "https://nas.local:8006/": "https nas.local:8006", "http://[::1]:81": "http [::1]:81", "unix:/run/a.sock": "http unix:/run/a.sock",
	} {
		if got, err := parseTarget(text); err != nil || at(got) != want {
			t.Errorf("%q: got %s and %v, want %s", text, at(got), err, want)
		}
	}
	for _, text := range []string{"", "10.0.0.1:80", "nas", "http://", "http://:80", "ftp://a", "http://a/b", "http://u:p@a", "http://a?b", "http://a#b", "http://a:0", "http://a:99999", "unix:x", "unix:", "h2c://a", "http://a b", "//a", "javascript://a"} {
		if got, err := parseTarget(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, at(got))
		}
	}
}

func TestSecretsAreNamedNotGiven(t *testing.T) {
	for text, want := range map[string]bool{
		"file:/run/secrets/x": true, "env:FAIRLEAD_SECRET_X": true,
		"env:PATH": false, "env:FAIRLEAD_DATA_DIR": false, "/run/secrets/x": false, "file:x": false, "": false, "-----BEGIN": false,
	} {
		if err := checkSecret(text); (err == nil) != want {
			t.Errorf("%q: got %v, want it accepted: %v", text, err, want)
		}
	}
}

func TestConditionCount(t *testing.T) {
	c := Conditions{Methods: []string{"GET", "HEAD"}, Headers: []Compare{{Name: "A"}, {Name: "B"}}, Query: []Compare{{Name: "c"}}, ClientIP: []ClientRange{{Preset: "loopback"}}}
	if got := c.Count(); got != 5 {
		t.Errorf("got %d, want 5: two headers, a parameter, methods, addresses", got)
	}
	if got := (Conditions{}).Count(); got != 0 {
		t.Errorf("got %d for no conditions, want 0", got)
	}
}

func TestPresets(t *testing.T) {
	for name := range presets {
		r, err := parseClientRange(name)
		if err != nil || len(r.Prefixes()) != len(presets[name]) {
			t.Errorf("%s: got %v and %v", name, r.Prefixes(), err)
		}
	}
	if r, err := parseClientRange("10.0.0.1"); err != nil || len(r.Prefixes()) != 1 || !reflect.DeepEqual(r.Prefixes()[0], r.Prefix) {
		t.Errorf("got %v and %v, want one address", r, err)
	}
}

func FuzzHostPattern(f *testing.F) {
	for _, text := range []string{"a.ex", "*.a.ex", "*", "[::1]", "::ffff:1.2.3.4", "bücher.example", "a:80", "[a:b]", "~x", "1.2.3.4", "a..b", "xn--", "℀"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHostPattern(text)
		if err != nil {
			return
		}
		if again, err := ParseHostPattern(h.String()); err != nil || again != h {
			t.Fatalf("%q: got %v, which reads as %v and %v", text, h, again, err)
		}
		if strings.ContainsAny(h.Text, " ,/\\%@\x00\n*") || strings.ToLower(h.Text) != h.Text || len(h.Text) > 255 {
			t.Fatalf("%q: got %q, which is no canonical host", text, h.Text)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, text := range []string{"/", "/api", "=/x", "~/a.*", "/é", "/a/../b", "//", "*", "/a%2e", "~^", "~\\Q"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePath(text)
		var hint *label.Hint
		if err != nil && !errors.As(err, &hint) {
			return
		}
		if p.Kind == PathRegexp {
			if re, err := label.Whole(p.Text); err != nil {
				t.Fatalf("%q: was accepted and does not compile: %v", text, err)
			} else {
				re.MatchString("/")
			}
			return
		}
		if !strings.HasPrefix(p.Text, "/") || strings.Contains(p.Text, "//") || strings.ContainsAny(p.Text, "?# ;\\\t*") || strings.Contains(p.Text+"/", "/../") {
			t.Fatalf("%q: got %q, which is no canonical path", text, p.Text)
		}
		if again, err := parsePath(p.String()); err != nil || again != p {
			t.Fatalf("%q: got %v, which reads as %v and %v", text, p, again, err)
		}
	})
}
