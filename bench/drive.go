//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/bench/peers"
)

// overhead is about what a measurement takes besides its own length: start,
// checks, warm-up, stop.
const overhead = 2 * time.Second

// drive measures everything and writes the results.
func drive(ctx context.Context, s *settings) error {
	if err := s.find(); err != nil {
		return err
	}
	m, err := newMachine(s.proxyCPU)
	defer m.close()
	if err != nil {
		return err
	}
	rep := newReport(ctx, s, m)
	fmt.Printf("about %s: %d rounds of %s; proxy alone on processor %d, origin and load on %v\n",
		s.estimate().Round(time.Second), s.rounds, s.length, m.proxyCPU[0], m.loadCPUs)
	for _, sc := range s.scenarios {
		samples, err := s.scenario(ctx, m, sc)
		rep.add(sc, samples)
		if err != nil {
			return errors.Join(err, rep.write(s.results))
		}
		fmt.Print(rep.section(len(rep.Scenarios) - 1))
	}
	return rep.write(s.results)
}

// find refuses to begin without a program that will be needed.
func (s *settings) find() error {
	var missing []string
	for _, p := range s.all() {
		if err := p.Find(); err != nil {
			missing = append(missing, err.Error())
		}
	}
	for _, tool := range []string{"wrk", "h2load"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool+": not installed")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s\n`make bench` installs what the distribution has; leave a peer out by PEERS=..., or name the path of its binary: PEERS=traefik=/opt/traefik", strings.Join(missing, "\n"))
	}
	return nil
}

// peersOf are those that a scenario is measured with.
func (s *settings) peersOf(sc *scenario) []*peers.Peer {
	out := slices.Clone(s.ours)
	for _, p := range s.others {
		if sc.few == nil || slices.Contains(sc.few, p.Name) {
			out = append(out, p)
		}
	}
	return out
}

// estimate is how long everything will take.
func (s *settings) estimate() time.Duration {
	var sum time.Duration
	for _, sc := range s.scenarios {
		n := len(s.peersOf(sc)) * max(len(sc.variants), 1)
		sum += time.Duration(s.rounds*n) * (s.length + overhead)
	}
	return sum
}

// scenario measures every proxy once a round, each round beginning with another:
// what changes on the machine in the course of time then meets all alike.
func (s *settings) scenario(ctx context.Context, m *machine, sc *scenario) ([]sample, error) {
	variants := sc.variants
	if variants == nil {
		variants = []variant{{}}
	}
	var out []sample
	for round := range s.rounds {
		order := s.peersOf(sc)
		for i := range order {
			p := order[(i+round)%len(order)]
			for _, v := range turned(variants, round) {
				got, err := s.sample(ctx, m, sc, p, v, round)
				if ctx.Err() != nil {
					return out, errors.New("interrupted")
				}
				if err != nil {
					got.Errors, got.Error = max(got.Errors, 1), err.Error()
				}
				got.Round, got.Peer, got.Variant = round+1, p.Name, v.name
				fmt.Println(got.line(sc))
				out = append(out, got)
			}
		}
	}
	return out, nil
}

// turned is all in turned order in every second round.
func turned(all []variant, round int) []variant {
	all = slices.Clone(all)
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}

func (s *settings) sample(ctx context.Context, m *machine, sc *scenario, p *peers.Peer, v variant, round int) (sample, error) {
	b, err := m.bring(ctx, p, v.change)
	if err != nil {
		return sample{}, err
	}
	defer b.stop()
	return sc.measure(ctx, b, s.length, round == s.rounds-1)
}
