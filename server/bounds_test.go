package server

import (
	"net/http"
	"strings"
	"testing"
)

func TestFieldsOfAHeadAreBounded(t *testing.T) {
	served := 0
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served++ })
	tests := []struct{ limit, fields, want int }{
		{0, 200, 200}, {0, 201, 431}, {5, 5, 200}, {5, 6, 431},
	}
	for _, tt := range tests {
		served = 0
		r := start(t, &Server{}, StdConfig{Handler: h, MaxFields: tt.limit}, EntryPoint{})
		c := r.dial(t)
		if got := ask(c, strings.Repeat("X-A: 1\r\n", tt.fields-1)); got != tt.want || (served == 1) != (tt.want == 200) {
			t.Errorf("%d fields of at most %d: status %d, %d times served, want %d", tt.fields, tt.limit, got, served, tt.want)
		}
		if again := ask(c, ""); (again == 200) != (tt.want == 200) {
			t.Errorf("%d fields of at most %d: then %d on that connection", tt.fields, tt.limit, again)
		}
	}
}
