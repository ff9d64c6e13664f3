package main

import (
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"
)

// limitMemory sets GOMEMLIMIT to 90 % of the memory that the container may use,
// unless the variable of that name has set it. The collector then works harder
// where it would otherwise let the kernel kill the process, and the server gives
// up idle connections.
func limitMemory(log zerolog.Logger) {
	switch limit, err := memlimit.Set(); {
	case err != nil: // no cgroup, mostly
		log.Debug().Err(err).Msg("memory limit unknown")
	case limit == math.MaxInt64:
		log.Debug().Msg("memory is not limited")
	default:
		log.Info().Int64("bytes", limit).Msg("memory limit set")
	}
}
