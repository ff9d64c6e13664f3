package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/exchange"
	"github.com/fairlead/fairlead/internal/http1"
	"github.com/fairlead/fairlead/routing"
	"github.com/spf13/cobra"
)

// explainFlags say what request is asked about.
type explainFlags struct {
	clientFlags
	method, from, entry, sni string
	headers                  []string
	data                     string
	send, all                bool
	container                string
	timeout                  time.Duration
}

func explainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use: "explain URL | --container NAME | --all", Short: "Say what happens to a request for URL, or what becomes of a container, and why (exit code 1 if no app answers)",
		Args: func(c *cobra.Command, args []string) error {
			if f.all || c.Flags().Changed("container") {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		Long: "Say what happens to a request for URL, and why: every decision on its way, and what the app would receive.\n" +
			"https:// asks about an entry point with TLS, http:// about one without; without either, redirects to HTTPS are followed.\n" +
			"Nothing is sent, unless --send has it sent through the running proxy.\n\n" +
			"--container says why a container is, or is not, routed: by its name, the beginning of its id, its compose service or PROJECT/SERVICE.",
		RunE: func(c *cobra.Command, args []string) error {
			client, err := f.client(c)
			if err != nil {
				return err
			}
			if f.all || c.Flags().Changed("container") {
				return f.containers(c, client)
			}
			if f.data != "" && !c.Flags().Changed("method") {
				f.method = http.MethodPost
			}
			if f.send {
				return f.reallySend(c, client, args[0])
			}
			return f.rehearse(c, client, args[0])
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.method, "method", "GET", "method of the request")
	fl.StringVar(&f.from, "from", "", "address that the connection comes from (without it, this machine)")
	fl.StringVar(&f.entry, "entry", "", "name of the entry point it comes in by (without it, that of the URL's port, or the first)")
	fl.StringVar(&f.sni, "sni", "", "name in the TLS handshake (without it, the URL's host)")
	fl.StringArrayVar(&f.headers, "header", nil, "NAME: VALUE of the request (repeatable)")
	fl.StringVar(&f.data, "data", "", "body of the request; its method is POST then if --method does not say otherwise")
	fl.BoolVar(&f.send, "send", false, "really send it, and show what went over both sides of the proxy (exit code 1 from status 500 on)")
	fl.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long --send waits for the answer")
	fl.StringVar(&f.container, "container", "", "say why this container is, or is not, routed")
	fl.BoolVar(&f.all, "all", false, "say it of every container, in a line each")
	c.MarkFlagsMutuallyExclusive("container", "all", "send")
	c.MarkFlagsMutuallyExclusive("send", "from") // it comes from where it comes from
	f.add(c)
	return c
}

// reallySend sends the request and shows what came of it.
func (f *explainFlags) reallySend(c *cobra.Command, client admin.Client, target string) error {
	out, err := f.deliver(c.Context(), client, target)
	if err != nil {
		return err
	}
	if f.json {
		err = writeJSON(c.OutOrStdout(), out)
	} else {
		err = out.print(c.OutOrStdout())
	}
	if err == nil && !out.OK {
		return errNo
	}
	return err
}

func (f *explainFlags) query(target string) url.Values {
	return url.Values{"url": {target}, "method": {f.method}, "from": {f.from}, "entry": {f.entry}, "sni": {f.sni}, "header": f.headers, "length": {strconv.Itoa(len(f.data))}}
}

// rehearse asks what would happen.
func (f *explainFlags) rehearse(c *cobra.Command, client admin.Client, target string) error {
	var e explanation
	err := client.Get(c.Context(), "explain", f.query(target), &e)
	if err != nil {
		return err
	}
	if f.json {
		err = writeJSON(c.OutOrStdout(), e)
	} else {
		err = e.print(c.OutOrStdout())
	}
	if err == nil && !e.OK {
		return errNo
	}
	return err
}

// An explanation is a routing.Explanation with what lies around the table.
type explanation struct {
	URL   string `json:"url"`
	Entry string `json:"entry"` // name of the entry point
	routing.Explanation

	location string // that the answer leads to
}

// An enquiry is a request that somebody asks about.
type enquiry struct {
	secure, open bool   // https; neither scheme was said
	authority    string // byte for byte, as the rest
	target       string
	method       string
	header       http.Header
	lines        []string // header, as it was written
	length       int64    // of the body
	data         string   // the body; only if it is sent
	from         netip.Addr
	entry, sni   string
}

// readEnquiry reads the query of a command. It does not use url.Parse: what is asked
// about has to stay as it is, byte for byte.
func readEnquiry(v url.Values) (*enquiry, error) {
	q := &enquiry{method: v.Get("method"), header: http.Header{}, from: netip.AddrFrom4([4]byte{127, 0, 0, 1}), entry: v.Get("entry"), sni: v.Get("sni")}
	if err := q.readURL(v.Get("url")); err != nil {
		return nil, err
	}
	if !http1.IsToken(q.method) {
		return nil, fmt.Errorf("method %q: want a word such as GET", q.method)
	}
	for _, h := range v["header"] {
		name, value, ok := strings.Cut(h, ":")
		value = strings.TrimSpace(value)
		if !ok || !http1.IsToken(name) || !http1.IsValue(value) {
			return nil, fmt.Errorf("header %q: want NAME: VALUE", h)
		}
		q.header.Add(name, value)
		q.lines = append(q.lines, name+": "+value)
	}
	q.length, _ = strconv.ParseInt(v.Get("length"), 10, 64)
	if from := v.Get("from"); from != "" {
		a, err := netip.ParseAddr(from)
		if err != nil {
			return nil, errors.New("from: want an address")
		}
		q.from = a.Unmap().WithZone("")
	}
	return q, nil
}

func (q *enquiry) readURL(text string) error {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case !ok:
		rest, q.open = text, true
	case strings.EqualFold(scheme, "https"):
		q.secure = true
	case !strings.EqualFold(scheme, "http"):
		return fmt.Errorf("%q: want a URL that begins with http:// or https://", text)
	}
	rest, _, _ = strings.Cut(rest, "#") // never sent
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	q.authority, q.target = rest[:end], "/"+strings.TrimPrefix(rest[end:], "/")
	if q.authority == "" || strings.ContainsFunc(rest, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return fmt.Errorf("%q has no valid host: want a URL such as http://app.localhost/path", text)
	}
	return nil
}

// url returns what is asked about, with the scheme.
func (q *enquiry) url() string {
	if q.secure {
		return "https://" + q.authority + q.target
	}
	return "http://" + q.authority + q.target
}

// name returns the host in the handshake: without brackets and port, as clients say it.
func (q *enquiry) name() string {
	if q.sni != "" {
		return q.sni
	}
	host, _, _ := exchange.ParseHost(q.authority)
	return host
}
