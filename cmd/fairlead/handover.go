package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/server"
)

// A new process asks the running one for its sockets in the admin session
// "takeover": a claim, an offer with the sockets, then one note of each side.
// Until the new process has noted that it serves, nothing has happened.

// takeoverProtocol is the version of all that.
const takeoverProtocol = 1

// A claim is what the new process asks with.
type claim struct {
	Protocol int    `json:"protocol"`
	PID      int    `json:"pid"`
	Version  string `json:"version"`
	// Network is the network namespace, in which alone a socket is of use; ""
	// where there are none.
	Network string `json:"network"`
}

// An offer is what the old process answers.
type offer struct {
	PID     int             `json:"pid"`
	Version string          `json:"version"`
	Sockets []server.Socket `json:"sockets"`
	Refused string          `json:"refused,omitempty"` // why there is none
}

// A note is what each side has to say in the end. The new process: that it
// serves, or why it will not. The old one: that it has stopped accepting, or
// that it waited for too long.
type note struct {
	Serving bool   `json:"serving,omitempty"`
	Left    bool   `json:"left,omitempty"`
	GivenUp string `json:"given_up,omitempty"`
}

const (
	takeoverTime = 2 * time.Minute  // from the offer until the new process serves
	messageTime  = 10 * time.Second // for what takes no time as a rule
)

func ownClaim() claim {
	network, _ := os.Readlink("/proc/self/ns/net")
	return claim{Protocol: takeoverProtocol, PID: os.Getpid(), Version: version, Network: network}
}

// A peer is a process before or behind this one.
type peer struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
}

func self() peer { return peer{os.Getpid(), version} }

// A handover is what the old process knows of the one that takes its place.
type handover struct {
	turn sync.Mutex // held while a process is taking over

	mu      sync.Mutex
	to      *peer // guarded by mu; nil until it has
	failed  error // guarded by mu; why the last one has not
	revoked int   // guarded by mu; pid of one that must not any more

	talks sync.WaitGroup // sessions that have yet to say how it ended; none begins once to is set
	done  chan struct{}  // closed when commands reach the new process
}

// join counts a session in, unless it is too late.
func (h *handover) join() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.to != nil {
		return fmt.Errorf("it has handed over to pid %d already", h.to.PID)
	}
	h.talks.Add(1)
	return nil
}

// set notes who has taken over, unless that was revoked.
func (h *handover) set(to peer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if to.PID == h.revoked {
		return errors.New("it was not waited for any more")
	}
	h.to = &to
	return nil
}

// revoke makes a takeover by pid fail. It reports whether that was in time.
func (h *handover) revoke(pid int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revoked = pid
	return h.to == nil
}

// fail notes why a process that was taking over has not.
func (h *handover) fail(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = why
}

// failure returns what fail was told, once. It waits for a takeover to end.
func (h *handover) failure() error {
	h.turn.Lock()
	defer h.turn.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.failed
	h.failed = nil
	return err
}

// takenBy returns who has taken over, nil if nobody has.
func (h *handover) takenBy() *peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.to
}

// takeover answers a request to take this process's place.
func (p *process) takeover(r *http.Request) (func(context.Context, *admin.Session), error) {
	var c claim
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		return nil, admin.Status{Code: http.StatusBadRequest, Err: fmt.Errorf("read the claim: %w", err)}
	}
	own := ownClaim()
	var err error
	switch {
	case c.Protocol != own.Protocol:
		err = fmt.Errorf("version %s hands over by protocol %d and not by %d of version %s: stop it, then start the other", version, own.Protocol, c.Protocol, c.Version)
	case c.Network != own.Network:
		err = errors.New("it is in another network namespace, where its ports are of no use to this one: docs/upgrade.md says how containers change places")
	default:
		return func(ctx context.Context, s *admin.Session) {
			n := &successor{process: p, peer: peer{c.PID, c.Version}, session: s}
			if err := n.takeOver(ctx); err != nil {
				p.log.Warn().Err(err).Int("pid", n.PID).Msg("nothing was handed over, serving on")
			}
		}, nil
	}
	return nil, admin.Status{Code: http.StatusConflict, Err: err}
}

// A successor is a process that takes this one's place, as long as its session
// lasts.
type successor struct {
	*process
	peer
	session *admin.Session
}

// takeOver is the whole session. With an error everything is as it was.
func (n *successor) takeOver(ctx context.Context) error {
	if err := n.identify(); err != nil {
		return n.refuse(err)
	}
	h := &n.handover
	if !h.turn.TryLock() {
		return n.refuse(errors.New("another process is taking over already"))
	}
	defer h.turn.Unlock()
	if err := h.join(); err != nil {
		return n.refuse(err)
	}
	defer h.talks.Done()
	sockets, err := n.server.Sockets()
	if err != nil {
		if why := n.ready(); why != nil {
			err = why
		}
		return n.refuse(err)
	}
	defer server.CloseSockets(sockets)
	if err := n.holdLedger(ctx); err != nil {
		return n.refuse(err)
	}
	if err = n.await(sockets); err == nil {
		err = h.set(n.peer)
	}
	if err != nil {
		h.fail(err)
		n.watch.pen.release()
		return err
	}
	n.leave()
	return nil
}

// identify checks who is at the other end.
func (n *successor) identify() error {
	pid, uid, err := n.session.Peer()
	if pid != 0 {
		n.PID = pid // as we see it; in a container it has another as well
	}
	if err == nil && uid != 0 && uid != os.Geteuid() {
		err = fmt.Errorf("user %d may not take over from user %d", uid, os.Geteuid())
	}
	return err
}

// refuse says why there is no offer, and returns it.
func (n *successor) refuse(why error) error {
	n.session.SetDeadline(time.Now().Add(messageTime))
	n.session.Send(offer{PID: os.Getpid(), Version: version, Refused: why.Error()})
	return why
}

// holdLedger has the claims written for the successor to read.
func (n *successor) holdLedger(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, messageTime)
	defer cancel()
	unwritten, err := n.watch.holdLedger(ctx)
	if unwritten != nil {
		n.log.Error().Err(unwritten).Int("pid", n.PID).Msg("claims could not be written for the process that takes over")
	}
	return err
}

// await sends the sockets and returns nil when the successor serves.
func (n *successor) await(sockets []server.Socket) error {
	files := make([]*os.File, len(sockets))
	for i := range sockets {
		files[i] = sockets[i].File
	}
	n.session.SetDeadline(time.Now().Add(takeoverTime))
	if err := n.session.Send(offer{PID: os.Getpid(), Version: version, Sockets: sockets}, files...); err != nil {
		return err
	}
	n.log.Info().Int("pid", n.PID).Str("version", n.Version).Msg("handing over")
	var said note
	_, err := n.session.Receive(&said)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("it did not serve within %s", takeoverTime)
		n.session.SetDeadline(time.Now().Add(messageTime))
		n.session.Send(note{GivenUp: err.Error()})
		return err
	case err != nil:
		return fmt.Errorf("it ended: %w", err)
	case !said.Serving:
		return errors.New(said.GivenUp)
	}
	return nil
}

// leave makes the successor the one that counts.
func (n *successor) leave() {
	close(n.watch.pen.gone)
	defer close(n.handover.done)
	n.server.HandOver()
	n.log.Info().Int("pid", n.PID).Str("version", n.Version).Dur("timeout", n.settings.upgradeDrain).Msg("handed over")
	n.notify(fmt.Sprintf("MAINPID=%d", n.PID))
	n.session.SetDeadline(time.Now().Add(messageTime))
	if n.session.Send(note{Left: true}) == nil {
		n.session.Receive(&note{}) // it closes when commands reach it
	}
}
