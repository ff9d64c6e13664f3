package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onSignals drains at the first SIGTERM or SIGINT and ends at once at the
// second; SIGUSR1 opens the access log again, SIGHUP every file. It returns what
// undoes it.
func (p *process) onSignals(drain func()) (undo func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGHUP)
	go p.handleSignals(signals, drain)
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

func (p *process) handleSignals(signals <-chan os.Signal, drain func()) {
	for sig := range signals {
		switch {
		case sig == syscall.SIGHUP:
			p.readFiles()
		case sig == syscall.SIGUSR1:
			p.reopenAccessLog()
		case p.leaving.Swap(true):
			p.log.Warn().Msg("second signal, ended at once")
			p.sink.Close()
			os.Exit(exitNo)
		default:
			p.log.Info().Stringer("signal", sig).Dur("timeout", p.settings.shutdownTimeout).Msg("draining")
			if p.handover.takenBy() == nil {
				p.notify("STOPPING=1")
			}
			drain()
		}
	}
}

// readFiles has everything that is read from files read again. All but the
// access log is watched: it is for file systems that tell nothing of changes,
// and for habit.
func (p *process) readFiles() {
	e := p.log.Info().Str("access_log", p.settings.accessLog)
	if p.file != nil {
		e.Str("routes", p.file.Path)
		select {
		case p.readRoutes <- struct{}{}:
		default:
		}
	}
	if p.certs != nil {
		e.Str("certificates", p.settings.secretsDir)
		p.certs.ReadAgain()
	}
	p.reopenAccessLog()
	e.Msg("files are read again")
}

func (p *process) reopenAccessLog() {
	if err := p.sink.Reopen(); err != nil {
		p.log.Error().Err(err).Msg("access log could not be opened again")
	}
}
