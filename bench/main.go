//go:build linux

// Command bench measures our proxy beside others: what a request costs, and how
// long it takes. docs/performance.md says how to run it and how to read it.
//
// It starts itself again as the origin and as the load generator, so that each
// is a process whose cost is known.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/bench/load"
	"github.com/fairlead/fairlead/bench/origin"
	"github.com/fairlead/fairlead/bench/peers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// start is the driver, or the part that it started itself as.
func start(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "origin":
			return runOrigin(ctx)
		case "load":
			return runLoad()
		}
	}
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.pgo != "" {
		return profile(ctx, s)
	}
	return drive(ctx, s)
}

// settings are what the user asks for.
type settings struct {
	rounds    int
	length    time.Duration // of one measurement
	scenarios []*scenario
	ours      []*peers.Peer
	others    []*peers.Peer
	results   string // directory
	proxyCPU  int    // -1: the last one
	pgo       string // file for a profile instead of measurements; "" for none
}

func parse(args []string) (*settings, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	s := &settings{}
	f.IntVar(&s.rounds, "rounds", 5, "measurements of each proxy in each scenario, of which the median counts")
	seconds := f.Float64("seconds", 3, "length of one measurement")
	names := f.String("scenarios", "all", "comma-separated: "+strings.Join(scenarioNames(), ", "))
	others := f.String("peers", "nginx,haproxy,caddy", "comma-separated NAME or NAME=/path/to/binary: nginx, nginx-tuned, haproxy, caddy, traefik")
	engines := f.String("ours", "fairlead", "comma-separated engines of our binary: fairlead, std")
	binary := f.String("binary", "bin/fairlead", "our binary")
	f.StringVar(&s.results, "results", "bench/results", "directory for results")
	f.IntVar(&s.proxyCPU, "proxy-cpu", -1, "processor of the proxy; load and origin have the others (default: the last)")
	f.StringVar(&s.pgo, "pgo", "", "measure nothing; write a profile of our binary under the mix of scenarios to this file")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	s.length = time.Duration(*seconds * float64(time.Second))
	if s.rounds < 1 || s.length < 100*time.Millisecond || f.NArg() > 0 {
		return nil, fmt.Errorf("want at least one round and a tenth of a second, and no arguments %q", f.Args())
	}
	var err error
	if s.scenarios, err = pick(*names); err != nil {
		return nil, err
	}
	for engine := range strings.SplitSeq(*engines, ",") {
		if engine != "" {
			s.ours = append(s.ours, peers.Ours(*binary, engine))
		}
	}
	s.others, err = peers.Parse(*others)
	return s, err
}

// all are ours, then the others.
func (s *settings) all() []*peers.Peer {
	return append(append([]*peers.Peer{}, s.ours...), s.others...)
}

// runOrigin prints where it listens and serves until a signal.
func runOrigin(ctx context.Context) error {
	o, err := origin.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	fmt.Println(o.Addr())
	return o.Serve(ctx)
}

// runLoad reads a load.Task from standard input and prints what came of it.
func runLoad() error {
	var task load.Task
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil {
		return fmt.Errorf("the task: %w", err)
	}
	return task.Run(os.Stdin, os.Stdout)
}
