package spec

import (
	"errors"
	"testing"

	"github.com/fairlead/fairlead/label"
)

func TestParseCanary(t *testing.T) {
	for text, want := range map[string]Canary{
		"10%": {By: ByLot, Lots: 1000}, "0.5%": {By: ByLot, Lots: 50}, "0%": {By: ByLot}, "100%": {By: ByLot, Lots: Lots}, "0.01%": {By: ByLot, Lots: 1}, "99.99%": {By: ByLot, Lots: 9999},
		"33.33%": {By: ByLot, Lots: 3333}, "0.29%": {By: ByLot, Lots: 29}, "10 %": {By: ByLot, Lots: 1000}, ".5%": {By: ByLot, Lots: 50}, "010%": {By: ByLot, Lots: 1000},
		"header:X-Beta": {By: ByHeader, Name: "X-Beta"}, "header:x-bETA": {By: ByHeader, Name: "X-Beta"}, "cookie:beta": {By: ByCookie, Name: "beta"}, "cookie:Be_ta.1": {By: ByCookie, Name: "Be_ta.1"},
	} {
		got, err := parseCanary(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v and %v, want %+v", text, got, err, want)
			continue
		}
		if again, err := parseCanary(got.String()); err != nil || again != got {
			t.Errorf("%q: %q reads as %+v and %v, want the same again", text, got, again, err)
		}
	}
	const wrong, outside = "", "out-of-range"
	for text, want := range map[string]struct{ code, suggest string }{
		"10": {wrong, "10%"}, "0.1": {wrong, "0.1%"}, "0": {wrong, "0%"}, "0.005%": {wrong, "0.01%"}, "0.001%": {wrong, "0.01%"}, "12.345%": {wrong, "12.35%"},
		"101%": {outside, ""}, "100.01%": {outside, ""}, "-1%": {outside, ""}, "-5": {outside, ""}, "200": {outside, ""}, "99999999999999999999%": {outside, ""},
		"": {wrong, ""}, "%": {wrong, ""}, "-%": {wrong, ""}, "ten%": {wrong, ""}, "1e1%": {wrong, ""}, "NaN%": {wrong, ""}, "Inf%": {wrong, ""}, "0x1p3%": {wrong, ""}, "+5%": {wrong, ""}, "1,5%": {wrong, ""}, "10%%": {wrong, ""}, "1_0%": {wrong, ""},
		"true": {wrong, ""}, "header": {wrong, ""}, "header:": {wrong, ""}, "cookie:": {wrong, ""}, "cookie:a b": {wrong, ""}, "cookie:a;b": {wrong, ""}, "header:X Beta": {wrong, ""}, "header:X:Beta": {wrong, ""}, "header:ü": {wrong, ""}, "header:X\r\nY": {wrong, ""},
		"header:X-Beta=yes": {wrong, "header:X-Beta"}, "cookie:beta=1": {wrong, "cookie:beta"}, "header:=yes": {wrong, ""},
		"haeder:X-Beta": {wrong, "header:X-Beta"}, "Cookie:beta": {wrong, "cookie:beta"}, "query:beta": {wrong, ""},
	} {
		got, err := parseCanary(text)
		var ve *label.ValueError
		if !errors.As(err, &ve) || got != (Canary{}) {
			t.Errorf("%q: got %+v and %v, want no canary and what is wrong", text, got, err)
		} else if ve.Code != want.code || ve.Suggest != want.suggest {
			t.Errorf("%q: got code %q and suggestion %q, want %q and %q", text, ve.Code, ve.Suggest, want.code, want.suggest)
		}
	}
}
