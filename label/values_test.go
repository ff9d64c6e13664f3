package label

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A reading is what a Value makes of a text: the field, or what it says is wrong.
type reading struct {
	text string
	want any    // nil if it is refused
	says string // part of the message
	code string // of the error, "" for wrong-value
	near string // suggestion
}

func checkValue[T any](t *testing.T, v Value[T], field func(*T) any, table []reading) {
	t.Helper()
	for _, r := range table {
		var o T
		err := v.Set(&o, "", r.text)
		if r.want != nil && (err == nil || isHint(err)) {
			if got := field(&o); !reflect.DeepEqual(got, r.want) {
				t.Errorf("%q: got %v, want %v", r.text, got, r.want)
			}
		}
		if (err == nil || isHint(err)) != (r.want != nil) {
			t.Errorf("%q: got error %v, want value %v", r.text, err, r.want)
			continue
		}
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), r.says) {
			t.Errorf("%q: got message %q, want %q in it", r.text, err, r.says)
		}
		var ve *ValueError
		if errors.As(err, &ve) && (ve.Code != r.code || ve.Suggest != r.near) {
			t.Errorf("%q: got code %q and suggestion %q, want %q and %q", r.text, ve.Code, ve.Suggest, r.code, r.near)
		}
	}
}

func TestBool(t *testing.T) {
	type o struct{ B bool }
	table := []reading{
		{text: "ture", says: "is not a bool", near: "true"}, {text: "flase", says: "is not a bool", near: "false"},
		{text: "2", says: "is not a bool"}, {text: "enabled", says: "is not a bool"}, {text: "onn", says: "is not a bool"},
	}
	for _, yes := range []string{"true", "on", "yes", "1", "True", "ON", "Yes", " true "} {
		table = append(table, reading{text: yes, want: true})
	}
	for _, no := range []string{"false", "off", "no", "0", "False", "OFF", "No"} {
		table = append(table, reading{text: no, want: false})
	}
	checkValue(t, Bool(func(x *o) *bool { return &x.B }), func(x *o) any { return x.B }, table)
}

func TestInt(t *testing.T) {
	type o struct{ N int }
	checkValue(t, Int(func(x *o) *int { return &x.N }, -5, 100), func(x *o) any { return x.N }, []reading{
		{text: "0", want: 0}, {text: "100", want: 100}, {text: "-5", want: -5}, {text: "007", want: 7},
		{text: "101", says: "outside -5 to 100", code: "out-of-range"},
		{text: "-6", says: "outside", code: "out-of-range"},
		{text: "1.5", says: "not a number"}, {text: "8080/tcp", says: "not a number"}, {text: "0x10", says: "not a number"},
		{text: "99999999999999999999", says: "not a number"}, {text: "ten", says: "not a number"}, {text: "1 2", says: "not a number"},
	})
}

func TestDuration(t *testing.T) {
	type o struct{ D time.Duration }
	const day = 24 * time.Hour
	checkValue(t, Duration(func(x *o) *time.Duration { return &x.D }, 0, math.MaxInt64), func(x *o) any { return x.D }, []reading{
		{text: "250ms", want: 250 * time.Millisecond}, {text: "30s", want: 30 * time.Second}, {text: "1h30m", want: 90 * time.Minute},
		{text: "7d", want: 7 * day}, {text: "2w", want: 14 * day}, {text: "1y", want: 365 * day}, {text: "0", want: time.Duration(0)}, {text: "0s", want: time.Duration(0)},
		{text: "1d12h", want: 36 * time.Hour}, {text: "1.5h", want: 90 * time.Minute}, {text: "1.5d", want: 36 * time.Hour}, {text: "0.5w", want: 84 * time.Hour},
		{text: "292y", want: 292 * 365 * day},
		{text: "60", says: "has no unit", near: "60s"}, {text: "300", says: "has no unit", near: "300s"},
		{text: "293y", says: "is not a duration"}, {text: "290y200w", says: "is not a duration"}, {text: "99999999999999999999d", says: "is not a duration"},
		{text: "-5s", says: "is not a duration"}, {text: "+5s", says: "is not a duration"}, {text: "5 s", says: "is not a duration"}, {text: "5x", says: "is not a duration"},
		{text: "s", says: "is not a duration"}, {text: "5s6", says: "is not a duration"}, {text: "1e3s", says: "is not a duration"}, {text: "forever", says: "is not a duration"},
	})
	checkValue(t, Duration(func(x *o) *time.Duration { return &x.D }, time.Millisecond, time.Minute), func(x *o) any { return x.D }, []reading{
		{text: "1m", want: time.Minute}, {text: "61s", says: "outside 1ms to 1m", code: "out-of-range"}, {text: "0", says: "outside", code: "out-of-range"},
	})
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "10k": 10 << 10, "50m": 50 << 20, "1g": 1 << 30, "1G": 1 << 30, "2KB": 2000, "3MB": 3_000_000, "1gb": 1_000_000_000,
		"4KiB": 4 << 10, "1mib": 1 << 20, "1GiB": 1 << 30, "4294967296g": 1 << 62,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %d and %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-1", "+5", "1.5m", "10 k", "10x", "10kk", "10ib", "4294967297g", "99999999999999999999", "Ⱥ", "5Ⱥk", "5\u212a\u212a"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestChoice(t *testing.T) {
	type o struct{ S string }
	checkValue(t, Choice(func(x *o) *string { return &x.S }, []string{"http", "https"}, "h2c"), func(x *o) any { return x.S }, []reading{
		{text: "http", want: "http"}, {text: "https", want: "https"},
		{text: "h2c", says: "planned", code: "not-yet"},
		{text: "HTTPS", says: "not one of http, https", near: "https"}, {text: "htps", says: "not one of", near: "https"},
		{text: "grpc", says: "not one of"}, {text: strings.Repeat("http", 100), says: "not one of"},
	})
}

func TestText(t *testing.T) {
	type o struct{ S string }
	check := func(s string) error {
		if s == "bad" {
			return &ValueError{Msg: "is bad"}
		}
		return nil
	}
	checkValue(t, Text(func(x *o) *string { return &x.S }, check), func(x *o) any { return x.S }, []reading{
		{text: "a, b", want: "a, b"}, {text: "~x", want: "~x"}, {text: "bad", says: "is bad"}, {text: "a\nb", says: "more than one line"},
	})
}

func TestList(t *testing.T) {
	type o struct{ L []string }
	v := List(func(x *o) *[]string { return &x.L }, goodName)
	checkValue(t, v, func(x *o) any { return x.L }, []reading{
		{text: "a", want: []string{"a"}}, {text: " a ,b\n c ,, \n", want: []string{"a", "b", "c"}},
		{text: "a, ~b,c\n d", want: []string{"a", "~b,c\n d"}}, {text: "a, hm", want: []string{"a", "hm"}, says: "is odd"},
		{text: ",\n,", says: "empty list"}, {text: "a, bad", says: `item "bad" is bad`, near: "good"}, {text: "bad", says: "is bad", near: "good"},
		{text: strings.Repeat("a,", maxItems+1), says: "more than 1000 items", code: "out-of-range"},
	})
	var x o
	if err := v.Set(&x, "", "a, bad, b"); err == nil || !slices.Equal(x.L, []string{"a", "b"}) {
		t.Errorf("a list with a bad item: got %v and %v, want the good ones and an error", x.L, err)
	}
}

func TestSplitList(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "a": {"a"}, "a,b": {"a", "b"}, "a\nb": {"a", "b"}, ",a,": {"a"}, "a b": {"a b"},
		"~a,b": {"~a,b"}, "a,~b\nc,d": {"a", "~b\nc,d"}, "a~b,c": {"a~b", "c"},
	} {
		if got := SplitList(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestCheckRegexp(t *testing.T) {
	for _, re := range []string{"a", "(a|b)+", "^a$", "^a.*", ".*", `\d{3}`, "(?i)a", "a$", `\Qa\E`, "[[:alpha:]]+", `\w{1000}`} {
		if err := CheckRegexp(re); err != nil {
			t.Errorf("%q: got %v, want no error", re, err)
		}
	}
	for _, re := range []string{"^a", "^/api", `^a\.b`} {
		if err := CheckRegexp(re); !isHint(err) {
			t.Errorf("%q: got %v, want a hint", re, err)
		}
	}
	for _, re := range []string{"", "(", "a)(b", "a)|(b", "[z-a]", "a{1001}", "(?<!a)b", `\1`, `\Qa`, "a\nb", strings.Repeat("a", 1001), `(\w{500}){2}{9}`, `(.{1000}a.{1000}b.{1000}c)`} {
		if err := CheckRegexp(re); err == nil || isHint(err) {
			t.Errorf("%q: got %v, want an error", re, err)
		}
	}
}

func TestWholeMatchesTheWholeText(t *testing.T) {
	for _, c := range []struct {
		re, text string
		want     bool
	}{
		{"a|b", "a", true}, {"a|b", "b", true}, {"a|b", "ab", false}, {"a|b", "xb", false}, {"a", "a\n", false}, {"(?i)a", "A", true}, {"^a.*", "abc", true}, {"^a$", "a", true}, {"(?m)^a$", "a\nb", false},
	} {
		re, err := Whole(c.re)
		if err != nil {
			t.Fatal(err)
		}
		if got := re.MatchString(c.text); got != c.want {
			t.Errorf("%q of %q: got %v, want %v", c.re, c.text, got, c.want)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "::1": "::1/128", "fd00::1/8": "fd00::/8",
		"::ffff:10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.0/104": "10.0.0.0/8", "::/0": "::/0", "0.0.0.0/0": "0.0.0.0/0",
	} {
		if got, err := ParsePrefix(text); err != nil || got.String() != want {
			t.Errorf("%q: got %v and %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10.0.0", "10.0.0.0/33", "lan", "10.0.0.0/", "fe80::1%eth0", "::ffff:10.0.0.0/64", "010.0.0.1", "10.0.0.1:80"} {
		if got, err := ParsePrefix(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestShownIsBoundedAndHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\nb\tc": "a b c", "\x1b[31mred": "\ufffd[31mred", "\xffx": "\ufffdx", "\u009b1m": "\ufffd1m",
		strings.Repeat("a", 121): strings.Repeat("a", 120) + "…", strings.Repeat("a", 119) + "é" + "b": strings.Repeat("a", 119) + "…",
	} {
		if got := Shown(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestBriefSizesAreReadAgain(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 512: "512", 1 << 10: "1k", 1536: "1536", 256 << 20: "256m", 5 << 30: "5g", 1<<30 + 1: "1073741825"} {
		got := BriefSize(n)
		if back, err := ParseSize(got); got != want || back != n || err != nil {
			t.Errorf("%d: got %s, read as %d, %v, want %s", n, got, back, err, want)
		}
	}
}
