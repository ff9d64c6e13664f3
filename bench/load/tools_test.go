//go:build linux

package load

import (
	"strings"
	"testing"
	"time"
)

func TestWrkIsRead(t *testing.T) {
	const good = `{"requests":1000,"bytes":250000,"us":2000000,"connect":0,"read":0,"write":0,"status":0,"timeout":0,"p50":100,"p99":900,"p999":2000}`
	for _, tt := range []struct {
		name, out        string
		requests, errors uint64
		fails            bool
	}{
		{"good", "Running 2s test\n  1000 requests\n" + good + "\n", 1000, 0, false},
		{"status", strings.Replace(good, `"status":0`, `"status":10`, 1), 990, 10, false},
		{"timeout", strings.Replace(good, `"timeout":0`, `"timeout":3`, 1), 1000, 3, false},
		{"too short answers", strings.Replace(good, `250000`, `100000`, 1), 1000, 1, false},
		{"no summary", "unable to connect", 0, 0, true},
	} {
		r, err := Wrk([]byte(tt.out), 128)
		if r.Requests != tt.requests || r.Errors != tt.errors || (err != nil) != tt.fails {
			t.Errorf("%s: %d requests, %d errors, %v: want %d and %d", tt.name, r.Requests, r.Errors, err, tt.requests, tt.errors)
		}
	}
	r, err := Wrk([]byte(good), 128)
	if r.P50 != 100*time.Microsecond || r.P999 != 2*time.Millisecond || r.Elapsed != 2*time.Second || err != nil {
		t.Errorf("got p50 %s, p999 %s in %s, %v", r.P50, r.P999, r.Elapsed, err)
	}
}

func TestTheScriptSendsWhatItIsTold(t *testing.T) {
	script := WrkScript([]string{"a.test", "b.test"}, "/x", []string{`Quoted: "a\b"`})
	for _, want := range []string{
		`requests[#requests+1] = "GET /x HTTP/1.1\r\nHost: a.test\r\nQuoted: \"a\\b\"\r\n\r\n"`,
		`Host: b.test`,
	} {
		if !strings.Contains(script, want) {
			t.Errorf("the script is without %s:\n%s", want, script)
		}
	}
}

const h2output = `
finished in 1.01s, 17236.00 req/s, 2.81MB/s
requests: 17236 total, 17556 started, 17236 done, 17236 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 17236 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 2.81MB (2943210) total, 336.98KB (345070) headers (space savings 80.00%), 2.10MB (2206208) data
                     min         max         mean         sd        +/- sd
time for request:      500us     45.00ms     18.00ms      8.00ms    70.00%
`

func TestH2loadIsRead(t *testing.T) {
	r, err := H2load([]byte(h2output), 128, 320)
	if err != nil || r.Requests != 17236 || r.Errors != 0 || r.Elapsed != 1010*time.Millisecond {
		t.Errorf("%d requests in %s, %d errors (%s), %v: want 17236 in 1.01s", r.Requests, r.Elapsed, r.Errors, r.Error, err)
	}
	for name, change := range map[string][2]string{
		"failed":    {"0 failed", "7 failed"},
		"no 2xx":    {"17236 2xx", "17000 2xx"},
		"too short": {"(2206208) data", "(2000) data"},
		"too long":  {"(2206208) data", "(9206208) data"},
	} {
		r, err := H2load([]byte(strings.Replace(h2output, change[0], change[1], 1)), 128, 320)
		if r.Errors == 0 || r.Error == "" || err != nil {
			t.Errorf("%s: %d errors (%s), %v: want some", name, r.Errors, r.Error, err)
		}
	}
	if _, err := H2load([]byte("starting benchmark..."), 128, 320); err == nil {
		t.Error("no summary: want an error")
	}
}
