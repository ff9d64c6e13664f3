//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/bench/load"
	"github.com/fairlead/fairlead/bench/origin"
	"github.com/fairlead/fairlead/bench/peers"
)

// browser are the headers that a browser sends besides Host.
var browser = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.5",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
}

// rate is the load of the scenario rate, in requests a second.
const rate = 4000

// A scenario is one kind of work that is measured.
type scenario struct {
	name string
	what string // for the tables
	// drive puts load on a proxy for about so long.
	drive func(ctx context.Context, b *bed, length time.Duration) (outcome, error)
	// variants are measured one after the other in each round and compared with
	// each other; none is one without a change.
	variants []variant
	// few limits it to ours and these: what it is about is not a comparison of all.
	few []string
	// both counts the processor time of proxy, origin and load together: bodies
	// are moved by the kernel on either side.
	both bool
	// memory measures idle connections instead of requests.
	memory func(ctx context.Context, b *bed) (kib float64, err error)
	// handshakes are connections without a request.
	handshakes bool
	// plain leaves out syscalls and allocations per request.
	plain bool
}

type variant struct {
	name   string
	change func(*peers.Config)
}

// An outcome is what a generator brought, and what it cost.
type outcome struct {
	load.Result
	cost time.Duration // of the generator
}

func scenarios() []*scenario {
	return []*scenario{
		{name: "small", what: "128 B answers, HTTP/1.1 keep-alive, 64 connections", drive: small},
		{name: "tls1", what: "the same over TLS 1.3", drive: smallTLS},
		{name: "post64k", what: "POST of 64 KiB, 32 connections", drive: post64k},
		{name: "body1m", what: "answers of 1 MiB, 16 connections; all processes together", drive: body1m, both: true},
		{name: "rate", what: "small at " + strconv.Itoa(rate) + " requests a second, 64 connections", drive: atRate},
		{name: "h2", what: "small over HTTP/2, 10 connections × 32 streams", drive: http2},
		{name: "handshake", what: "TLS 1.3 handshakes, none resumed", drive: handshake, handshakes: true, plain: true},
		{name: "static10k", what: "a file of 10 KiB, HTTP/1.1 keep-alive, 64 connections", drive: static10k, few: fileServers},
		{name: "static1m", what: "a file of 1 MiB, 16 connections", drive: static1m, few: fileServers},
		{name: "idle", what: "memory of 2,000 idle connections, each after one request", memory: idlePlain},
		{name: "idletls", what: "the same over TLS", memory: idleTLS},
		{name: "routes10k", what: "small with 10 hosts and with 10,000", drive: small, plain: true, few: []string{"nginx"}, variants: []variant{
			{"10 hosts", plainHosts(10)}, {"10,000 hosts", plainHosts(10_000)},
		}},
		{name: "log", what: "small without and with the access log", drive: small, plain: true, few: []string{"nginx"}, variants: []variant{
			{"no log", func(c *peers.Config) { c.AccessLog = false }}, {"log", nil},
		}},
	}
}

// plainHosts has n hosts and no TLS: with it some read a certificate for each.
func plainHosts(n int) func(*peers.Config) {
	return func(c *peers.Config) { c.Hosts, c.TLS = hosts(n), netip.AddrPort{} }
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// pick returns the scenarios of a comma-separated list, or all.
func pick(list string) ([]*scenario, error) {
	known := map[string]*scenario{}
	for _, s := range scenarios() {
		known[s.name] = s
	}
	if list == "all" || list == "" {
		return scenarios(), nil
	}
	var out []*scenario
	for name := range strings.SplitSeq(list, ",") {
		s := known[strings.TrimSpace(name)]
		if s == nil {
			return nil, fmt.Errorf("scenario %q is not known: want %s", name, strings.Join(scenarioNames(), ", "))
		}
		out = append(out, s)
	}
	return out, nil
}

// asked are the ten hosts that are asked for, however many there are: the same
// connections are kept, and only the table is larger.
func (b *bed) asked() []string {
	const n = 10
	out := make([]string, n)
	for i := range out {
		out[i] = b.cfg.Hosts[i*len(b.cfg.Hosts)/n]
	}
	return out
}

func small(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	return b.wrk(ctx, b.asked(), "http://"+b.asked()[0]+":"+port(b.cfg.Plain.Port()), length)
}

// smallTLS asks for one host: a connection has one name, and a proxy may refuse
// the others on it (RFC 9110 7.4).
func smallTLS(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	host := b.asked()[0]
	return b.wrk(ctx, []string{host}, "https://"+host+":"+port(b.cfg.TLS.Port()), length)
}

func port(n uint16) string { return strconv.Itoa(int(n)) }

func seconds(d time.Duration) string {
	return strconv.Itoa(int(max(d.Round(time.Second), time.Second).Seconds()))
}

func (b *bed) wrk(ctx context.Context, hosts []string, url string, length time.Duration) (outcome, error) {
	script := filepath.Join(b.dir, "wrk.lua")
	if err := os.WriteFile(script, []byte(load.WrkScript(hosts, origin.Small, browser)), 0o600); err != nil {
		return outcome{}, err
	}
	out, cost, err := b.generate(ctx, nil, "wrk", "-t1", "-c64", "-d"+seconds(length)+"s", "-s", script, url)
	if err != nil {
		return outcome{}, err
	}
	r, err := load.Wrk(out, origin.SmallN)
	return outcome{r, cost}, err
}

func http2(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	host := b.asked()[0]
	args := []string{"-t1", "-c10", "-m32", "-D" + seconds(length), "--connect-to=" + b.cfg.TLS.String()}
	for _, line := range browser {
		args = append(args, "-H", line)
	}
	out, cost, err := b.generate(ctx, nil, "h2load", append(args, "https://"+host+":"+port(b.cfg.TLS.Port())+origin.Small)...)
	if err != nil {
		return outcome{}, err
	}
	r, err := load.H2load(out, origin.SmallN, 10*32)
	return outcome{r, cost}, err
}

func (b *bed) plan(ctx context.Context, p load.Plan, method, path string, body []byte) (outcome, error) {
	p.Addr = b.cfg.Plain
	for _, host := range b.asked() {
		p.Send = append(p.Send, load.Request(method, host, path, browser, body))
	}
	r, cost, err := b.task(ctx, load.Task{Plan: &p})
	return outcome{r, cost}, err
}

func post64k(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	return b.plan(ctx, load.Plan{Conns: 32, For: length, Want: origin.SinkN}, "POST", origin.Sink, make([]byte, 64<<10))
}

func body1m(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	return b.plan(ctx, load.Plan{Conns: 16, For: length, Want: origin.BigN}, "GET", origin.Big, nil)
}

func atRate(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	return b.plan(ctx, load.Plan{Conns: 64, For: length, Want: origin.SmallN, Rate: rate}, "GET", origin.Small, nil)
}

func handshake(ctx context.Context, b *bed, length time.Duration) (outcome, error) {
	r, cost, err := b.task(ctx, load.Task{Handshake: &load.Handshake{Addr: b.cfg.TLS, Host: b.asked()[0], Workers: 16, For: length}})
	return outcome{r, cost}, err
}
