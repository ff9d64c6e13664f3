//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/fairlead/fairlead/bench/peers"
)

// profile runs the scenarios against our binary, each as long as the others, and
// merges where its processor time went into one file for the compiler
// (go.dev/doc/pgo).
func profile(ctx context.Context, s *settings) error {
	if len(s.ours) != 1 {
		return fmt.Errorf("want one engine to profile, got %d", len(s.ours))
	}
	s.others = nil
	if err := s.find(); err != nil {
		return err
	}
	m, err := newMachine(s.proxyCPU)
	defer m.close()
	if err != nil {
		return err
	}
	args := []string{"tool", "pprof", "-proto"}
	for _, sc := range s.scenarios {
		if sc.drive == nil || sc.variants != nil {
			continue
		}
		path := filepath.Join(m.dir, sc.name+".pprof")
		if err := m.profile(ctx, s, sc, path); err != nil {
			return fmt.Errorf("profile of %s: %w", sc.name, err)
		}
		args = append(args, path)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	merged, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("merge the profiles: %w: %s", err, errs.String())
	}
	if err := os.WriteFile(s.pgo, merged, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d scenarios, %d bytes\n", s.pgo, len(args)-3, len(merged))
	return nil
}

// profile runs one scenario; the profile is whole once the proxy has ended.
func (m *machine) profile(ctx context.Context, s *settings, sc *scenario, path string) error {
	b, err := m.bring(ctx, s.ours[0], func(c *peers.Config) { c.Profile = path })
	if err != nil {
		return err
	}
	o, err := sc.drive(ctx, b, s.length)
	b.stop()
	if err != nil {
		return err
	}
	if o.Requests == 0 {
		return fmt.Errorf("no request was answered: %s", o.Error)
	}
	fmt.Printf("  %-10s %d requests, %d errors\n", sc.name, o.Requests, o.Errors)
	return nil
}
