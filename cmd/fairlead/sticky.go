package main

import (
	"crypto/rand"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/fairlead/fairlead/internal/statefile"
)

// stickyKeySize is what HMAC-SHA256 has use for (RFC 2104 3).
const stickyKeySize = 32

// stickyKey returns the key that signs the cookies of sticky pools. It is kept
// in the data directory, so that a restart sends nobody elsewhere.
func stickyKey(dataDir string, log zerolog.Logger) []byte {
	file := statefile.File(filepath.Join(dataDir, "sticky.json"))
	var kept struct {
		Key []byte `json:"key"`
	}
	if set, err := file.Load(&kept); err != nil {
		log.Error().Err(err).Str("set_aside", set).Msg("key of sticky cookies could not be read, a new one is made")
	} else if len(kept.Key) == stickyKeySize {
		return kept.Key
	}
	kept.Key = make([]byte, stickyKeySize)
	rand.Read(kept.Key)
	if err := file.Save(kept); err != nil {
		log.Error().Err(err).Msg("key of sticky cookies could not be saved: clients may change containers when the proxy restarts")
	}
	return kept.Key
}
