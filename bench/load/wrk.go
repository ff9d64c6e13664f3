//go:build linux

package load

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// WrkScript is the script that has wrk ask for path on the hosts in turn, with
// headers, and print what Wrk reads. Its connections go to 127.0.0.1 whatever
// the host of the URL is: that is the name in the TLS handshake.
func WrkScript(hosts []string, path string, headers []string) string {
	var b strings.Builder
	b.WriteString(`function wrk.resolve(host, service) wrk.addrs = wrk.lookup("127.0.0.1", service) end
local requests, at = {}, 0
function init(args)
`)
	for _, host := range hosts {
		fmt.Fprintf(&b, "\trequests[#requests+1] = %s\n", luaString(string(Request("GET", host, path, headers, nil))))
	}
	b.WriteString(`end
function request()
	at = at % #requests + 1
	return requests[at]
end
function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format('{"requests":%d,"bytes":%d,"us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50":%d,"p99":%d,"p999":%d}\n',
		summary.requests, summary.bytes, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
`)
	return b.String()
}

func luaString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", `\r`, "\n", `\n`).Replace(s) + `"`
}

// Wrk reads the last line of wrk's output, where its script prints. Bodies of
// answers have to have want bytes each.
func Wrk(out []byte, want int64) (Result, error) {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var s struct {
		Requests, Bytes, Us                   uint64
		Connect, Read, Write, Status, Timeout uint64
		P50, P99, P999                        uint64
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		return Result{}, fmt.Errorf("output of wrk %q: %w", lines[len(lines)-1], err)
	}
	us := func(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }
	r := Result{Requests: s.Requests - s.Status, Elapsed: us(s.Us), P50: us(s.P50), P99: us(s.P99), P999: us(s.P999)}
	for what, n := range map[string]uint64{
		"connect": s.Connect, "read": s.Read, "write": s.Write, "status": s.Status, "timeout": s.Timeout,
	} {
		if n > 0 {
			r.fail(n, fmt.Errorf("wrk: %d errors of kind %s", n, what))
		}
	}
	if s.Bytes < s.Requests*uint64(want) {
		r.fail(1, fmt.Errorf("wrk: %d answers in %d bytes: want %d each", s.Requests, s.Bytes, want))
	}
	return r, nil
}

// Request returns the bytes of a request with a body, nil for none.
func Request(method, host, path string, headers []string, body []byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	for _, line := range headers {
		b.WriteString(line + "\r\n")
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	return append([]byte(b.String()), body...)
}
