package balance

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/label"
)

// read returns what the label balance=text comes to, by the way labels go.
func read(t *testing.T, text string) (Options, []label.Problem) {
	t.Helper()
	s := label.NewSchema("fairlead", Kind())
	o, problems := s.Decode("web", map[string]label.Setting{"balance": {Key: "balance", Text: text, Label: "fairlead.balance"}})
	got, _ := label.Get[Options](o, "balance")
	return got, problems
}

func TestBalanceReadsEveryMethod(t *testing.T) {
	for text, want := range map[string]Options{
		"round-robin": {Name: "round-robin"}, "least-conn": {Name: "least-conn"}, "random-two": {Name: "random-two"}, "ip-hash": {Name: "ip-hash"},
		"header-hash:X-Tenant": {"header-hash", "X-Tenant"}, "cookie-hash:sid": {"cookie-hash", "sid"}, "cookie-hash: __Host-s.id ": {"cookie-hash", "__Host-s.id"},
	} {
		if got, problems := read(t, text); got != want || len(problems) > 0 {
			t.Errorf("%s: got %+v and %v, want %+v", text, got, problems, want)
		}
	}
}

func TestBalanceExplainsWhatIsWrong(t *testing.T) {
	const all = "is not one of cookie-hash:NAME, header-hash:NAME, ip-hash, least-conn, random-two, round-robin"
	for _, tt := range []struct{ text, says, near string }{
		{"fastest", all, ""},
		{"roundrobin", all, "round-robin"},
		{"least_conn", all, "least-conn"},
		{"IP-Hash", all, "ip-hash"},
		{"ip-hsah:x", all, "ip-hash"},
		{"header_hash", all, "header-hash:NAME"},
		{"headerhash:X-Tenant", all, "header-hash:X-Tenant"},
		{":", all, ""},
		{"header-hash", "does not say which header: write header-hash:NAME", ""},
		{"header-hash: ", "does not say which header: write header-hash:NAME", ""},
		{"cookie-hash:", "does not say which cookie: write cookie-hash:NAME", ""},
		{"header-hash:X Tenant", `names no header: "X Tenant" has characters that no name has`, ""},
		{"cookie-hash:a=b", `names no cookie: "a=b" has characters that no name has`, ""},
		{"header-hash:a:b", `names no header: "a:b"`, ""},
		{"cookie-hash:sïd", "names no cookie", ""},
		{"least-conn:5", "has something behind least-conn, which takes no name", "least-conn"},
		{"ip-hash:", "has something behind ip-hash, which takes no name", "ip-hash"},
	} {
		got, problems := read(t, tt.text)
		if got != (Options{}) || len(problems) != 1 {
			t.Errorf("%q: got %+v and %v, want one problem", tt.text, got, problems)
			continue
		}
		if p := problems[0]; !strings.Contains(p.Message, tt.says) || p.Suggest != tt.near || p.Code != "wrong-value" || p.Effect != label.Ignored {
			t.Errorf("%q: got %s, want %q and suggestion %q", tt.text, p, tt.says, tt.near)
		}
	}
}

// What is suggested must itself be right, once NAME is one.
func TestSuggestionsAreRight(t *testing.T) {
	for _, m := range methods {
		for _, text := range []string{strings.ToUpper(m.name), m.name + "x", strings.ToUpper(m.with("x-y"))} {
			_, err := parse(text, nil)
			var wrong *label.ValueError
			if !errors.As(err, &wrong) {
				t.Errorf("%q: got %v, want a wrong value", text, err)
			} else if got, err := parse(wrong.Suggest, nil); err != nil || got.Name != m.name {
				t.Errorf("%q: suggestion %q reads as %+v and %v, want %s", text, wrong.Suggest, got, err, m.name)
			}
		}
	}
}

func TestEveryMethodIsDocumented(t *testing.T) {
	row := Kind().Rows[0]
	for _, m := range methods {
		if m.doc == "" || !strings.Contains(row.Doc, "`"+m.usage()+"` "+m.doc) || !slices.Contains(strings.Split(row.Type, " | "), m.usage()) {
			t.Errorf("%s is missing in %q or %q", m.name, row.Type, row.Doc)
		}
	}
}

func TestRoundRobinIsTheDefault(t *testing.T) {
	for _, o := range []Options{{}, {Name: "round-robin"}, {Name: "no such"}} {
		if got := picks(New(o, new(Turns)), alike(3), 5); got != "abcab" {
			t.Errorf("%+v: picked %s, want abcab", o, got)
		}
	}
}
