package main

import (
	"time"

	"github.com/fairlead/fairlead/routing"
	"github.com/rs/zerolog"
)

const (
	saveAfter = 100 * time.Millisecond // how long changes of the ledger gather
	saveAgain = 5 * time.Second        // after a failure
)

// A ledgerKeeper writes the claims ledger beside the watch: a slow disk must
// not keep the next event waiting. Its methods are the watch's, but for run.
type ledgerKeeper struct {
	log     zerolog.Logger
	pen     *pen
	ledgers chan *routing.Ledger // unbuffered: the disk sets the pace

	next   *routing.Ledger  // to be written
	gather <-chan time.Time // when to look for changes
}

// changed notes that the claims may have changed.
func (k *ledgerKeeper) changed() {
	if k.gather == nil && k.next == nil {
		k.gather = time.After(saveAfter)
	}
}

func (k *ledgerKeeper) take(c *routing.Claims) { k.next, k.gather = c.Changed(), nil }

// hand returns where next goes, nil while there is none.
func (k *ledgerKeeper) hand() chan<- *routing.Ledger {
	if k.next == nil {
		return nil
	}
	return k.ledgers
}

func (k *ledgerKeeper) handed() {
	k.next = nil
	k.changed() // what changed while the disk was busy
}

// end has the last changes written.
func (k *ledgerKeeper) end(c *routing.Claims) {
	if l := c.Changed(); l != nil {
		k.next = l
	}
	if k.next != nil {
		k.ledgers <- k.next
	}
	close(k.ledgers)
}

// run writes what it is handed, until ledgers is closed. What cannot be written
// is kept in memory and tried again.
func (k *ledgerKeeper) run() {
	var failed *routing.Ledger
	var again <-chan time.Time
	for {
		select {
		case l, more := <-k.ledgers:
			if !more {
				return
			}
			failed = l
		case <-again:
		}
		again = nil
		if err := k.pen.write(failed.Save); err != nil {
			k.log.Error().Err(err).Msg("claims could not be saved, they are kept in memory")
			again = time.After(saveAgain)
		}
	}
}

// A pen is what the ledger is written with, by one at a time. It can be given to
// another process.
type pen struct {
	free chan struct{} // holds one while nobody writes
	gone chan struct{} // closed when another process has it
}

func newPen() *pen {
	p := &pen{free: make(chan struct{}, 1), gone: make(chan struct{})}
	p.release()
	return p
}

// write calls save when nobody else writes, and not at all once the pen is gone.
func (p *pen) write(save func() error) error {
	select {
	case <-p.free:
		defer p.release()
		return save()
	case <-p.gone:
		return nil
	}
}

func (p *pen) release() { p.free <- struct{}{} }
