package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// prometheusMallocs reads what Go programs publish of their allocator.
func prometheusMallocs(path string) func(context.Context, Config) (uint64, error) {
	return func(ctx context.Context, c Config) (uint64, error) {
		b, err := Get(ctx, http.DefaultClient, "http://"+c.Admin.String()+path)
		if err != nil {
			return 0, err
		}
		return parseMallocs(b)
	}
}

func parseMallocs(b []byte) (uint64, error) {
	for line := range bytes.Lines(b) {
		if value, ok := strings.CutPrefix(string(line), "go_memstats_mallocs_total "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return uint64(n), err
		}
	}
	return 0, fmt.Errorf("no go_memstats_mallocs_total among the metrics")
}

// unixClient speaks HTTP on a socket.
func unixClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

// Get returns what url answers with 200.
func Get(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return b, err
}
