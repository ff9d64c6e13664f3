package assets

import "time"

// report logs how a copy goes that takes long, until done is closed.
func (s *Store) report(j *job, done <-chan struct{}) {
	timer := time.NewTimer(reportFirst)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		s.cfg.Log.Info().Str("container", j.run.Container).Str("path", j.run.Dir).Int64("bytes", j.bytes.Load()).
			Dur("duration", s.cfg.Now().Sub(j.began)).Msg("files are being copied out of container")
		timer.Reset(reportEvery)
	}
}

// logCopied logs what a copy brought, and what it left out.
func (s *Store) logCopied(j *job, x *extract) {
	files, bytes := 0, int64(0)
	for i := range x.found {
		if !x.found[i].dir {
			files++
			bytes += x.found[i].size
		}
	}
	log := s.cfg.Log.With().Str("container", j.run.Container).Str("path", j.run.Dir).Logger()
	log.Info().Int("files", files).Int64("bytes", bytes).Dur("duration", s.cfg.Now().Sub(j.began)).Msg("files copied out of container")
	if d := &x.dropped; d.count() > 0 {
		log.Warn().Int("names", d.hostile).Int("links", d.links).Int("devices", d.special).Str("example", shownName(d.example)).
			Msg("names and links that lead out of the directory, and devices, were left out")
	}
}
