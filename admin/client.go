package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// Host is the name the socket answers to.
const Host = "fairlead"

// Client asks the proxy that runs on Socket. Its errors are for people: they
// say what to do.
type Client struct{ Socket string }

// ErrNotRunning is in the error if nobody answers on the socket.
var ErrNotRunning = errors.New("not running")

// Get reads the source name into out, which is as for json.Unmarshal.
func (c Client) Get(ctx context.Context, name string, query url.Values, out any) error {
	return c.do(ctx, http.MethodGet, name, query, nil, out)
}

// Post calls the action name with in as JSON and reads what it returns into
// out. Both may be nil.
func (c Client) Post(ctx context.Context, name string, query url.Values, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return c.do(ctx, http.MethodPost, name, query, body, out)
}

func (c Client) do(ctx context.Context, method, name string, query url.Values, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	u := url.URL{Scheme: "http", Host: Host, Path: "/" + name, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", c.Socket)
	}}
	res, err := transport.RoundTrip(r)
	if err != nil {
		return c.explain(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c.explain(err)
	case len(answer) > maxAnswer:
		return fmt.Errorf("the answer of /%s is larger than %d MiB", name, maxAnswer>>20)
	}
	return read(name, res.StatusCode, answer, out)
}

func read(name string, status int, answer []byte, out any) error {
	if status != http.StatusOK {
		var f failure
		if json.Unmarshal(answer, &f) != nil || f.Error == "" {
			f.Error = http.StatusText(status)
		}
		if strings.HasPrefix(f.Error, unknown) {
			f.Error += ": is the running fairlead another version than this one?"
		}
		return Status{status, errors.New(f.Error)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of /%s: %w", name, err)
	}
	return nil
}

// explain says what to do about a socket that does not answer.
func (c Client) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no fairlead answers on %s: is it running? --admin names another socket (%w)", c.Socket, ErrNotRunning)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s may not be opened by this user: run as the user of the proxy, or inside its container", c.Socket)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the fairlead on %s does not answer in time", c.Socket)
	}
	return fmt.Errorf("ask the fairlead on %s: %w", c.Socket, err)
}
