//go:build linux

package load

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

var (
	h2requests = regexp.MustCompile(`(?m)^requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	h2status   = regexp.MustCompile(`(?m)^status codes: (\d+) 2xx`)
	h2data     = regexp.MustCompile(`(?m)^traffic: .*, \S+ \((\d+)\) data$`)
	h2finished = regexp.MustCompile(`(?m)^finished in ([\d.]+)(us|ms|s),`)
)

// H2load reads h2load's summary. Bodies of answers have to have want bytes each;
// a run that is cut by time may end within some of the parallel answers.
func H2load(out []byte, want, parallel int64) (Result, error) {
	var r Result
	requests, status := h2requests.FindSubmatch(out), h2status.FindSubmatch(out)
	data, finished := h2data.FindSubmatch(out), h2finished.FindSubmatch(out)
	if requests == nil || status == nil || data == nil || finished == nil {
		return r, fmt.Errorf("output of h2load was not understood: %.600q", out)
	}
	number := func(b []byte) int64 { n, _ := strconv.ParseInt(string(b), 10, 64); return n }
	good, twos := number(requests[1]), number(status[1])
	r.Requests = uint64(good)
	for i, what := range []string{"failed", "errored", "timed out"} {
		if n := number(requests[i+2]); n > 0 {
			r.fail(uint64(n), fmt.Errorf("h2load: %d requests %s", n, what))
		}
	}
	if twos < good {
		r.fail(uint64(good-twos), fmt.Errorf("h2load: %d of %d answers were 2xx", twos, good))
	}
	if n := number(data[1]); n < good*want || n > (good+parallel)*want {
		r.fail(1, fmt.Errorf("h2load: %d answers with %d bytes of data: want %d each", good, n, want))
	}
	took, err := time.ParseDuration(string(finished[1]) + string(finished[2]))
	r.Elapsed = took
	return r, err
}
