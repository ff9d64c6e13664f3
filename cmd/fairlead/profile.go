package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/metrics"
	"runtime/pprof"

	"github.com/spf13/pflag"
)

// profileFlag declares --cpu-profile, which is for `make pgo` and not in the help.
func (s *settings) profileFlag(f *pflag.FlagSet) {
	f.StringVar(&s.cpuProfile, "cpu-profile", "", "file for a profile of the processor time, written at the end")
	f.MarkHidden("cpu-profile")
}

// profiled calls run, and writes where its processor time went into the file; ""
// only calls it. A second signal, which ends the process at once, leaves the file
// empty.
func profiled(path string, run func() error) (err error) {
	if path == "" {
		return run()
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--cpu-profile: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("--cpu-profile %s: %w", path, err)
	}
	defer pprof.StopCPUProfile()
	return run()
}

// heapAllocs is how many objects were allocated since the process began, those
// that share a block with others included. The runtime counts when it takes the
// next span of a size: the last hundred or so may be missing.
func heapAllocs() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}
