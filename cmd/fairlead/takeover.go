package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/admin"
	"github.com/fairlead/fairlead/routing"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/server"
)

// A predecessor is the running proxy whose place this process takes.
type predecessor struct {
	peer
	session *admin.Session
}

// inherit gives points the sockets that are open already: those of a proxy that
// runs with the same control socket, else those that systemd has opened.
func (p *process) inherit(points []server.EntryPoint) error {
	given, err := activated()
	if err != nil {
		return err
	}
	sockets, err := p.askPredecessor()
	if err != nil {
		server.CloseSockets(given)
		return err
	}
	left, err := server.Inherit(points, append(sockets, given...))
	for _, s := range left {
		p.log.Info().Str("entry", s.Name).Str("address", s.Bound).Msg("inherited port closed, no entry point is configured for it")
	}
	if err != nil {
		p.giveUp(err)
	}
	return err
}

// askPredecessor asks the proxy on the control socket, if one runs, for its
// sockets.
func (p *process) askPredecessor() ([]server.Socket, error) {
	client := admin.Client{Socket: adminSocket(p.settings.admin, p.settings.dataDir)}
	if info, err := os.Lstat(client.Socket); err != nil || info.Mode().Type() != os.ModeSocket {
		return nil, nil // what is wrong there shows when our own is opened
	}
	sockets, err := p.claimSockets(client)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) { // it ended; what is there now?
		sockets, err = p.claimSockets(client)
	}
	switch status := (admin.Status{}); {
	case err == nil:
		return sockets, nil
	case errors.Is(err, admin.ErrNotRunning):
		return nil, nil
	case errors.As(err, &status) && status.Code == http.StatusNotFound:
		err = errors.New("its version cannot: stop it, or choose another --admin and --data-dir")
	}
	return nil, fmt.Errorf("another fairlead is running on %s and does not hand over: %w", client.Socket, err)
}

func (p *process) claimSockets(client admin.Client) ([]server.Socket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), messageTime)
	defer cancel()
	session, err := client.Open(ctx, "takeover", ownClaim())
	if err != nil {
		return nil, err
	}
	session.SetDeadline(time.Now().Add(2 * messageTime)) // it may wait for a disk
	var o offer
	files, err := session.Receive(&o)
	switch {
	case err != nil:
	case o.Refused != "":
		err = errors.New(o.Refused)
	case len(files) != len(o.Sockets):
		err = fmt.Errorf("it offered %d sockets and sent %d", len(o.Sockets), len(files))
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		session.Close()
		return nil, err
	}
	for i := range files {
		o.Sockets[i].File = files[i]
	}
	session.SetDeadline(time.Time{})
	p.predecessor = &predecessor{peer: peer{o.PID, o.Version}, session: session}
	p.log.Info().Int("pid", o.PID).Str("previous", o.Version).Msg("taking over")
	return o.Sockets, nil
}

// inUse adds to err, of a port that could not be bound, what to do about it: it
// may be the predecessor's.
func (p *process) inUse(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: ports below 1024 are for root; set --http and --https to others, such as :8080, or allow them with the sysctl net.ipv4.ip_unprivileged_port_start", err)
	case !errors.Is(err, syscall.EADDRINUSE):
		return err
	case p.predecessor == nil:
		return fmt.Errorf("%w: another program has it, which `ss -ltnp` shows: end that, or set --http or --https to another address", err)
	}
	return fmt.Errorf("%w: the running fairlead may have it under another address, which only a restart can change", err)
}

// listenAdmin opens the control socket, for now beside that of a predecessor.
func (p *process) listenAdmin() (*admin.Listener, error) {
	listen := admin.Listen
	if p.predecessor != nil {
		listen = admin.ListenBeside
	}
	ln, err := listen(adminSocket(p.settings.admin, p.settings.dataDir))
	if unwritable(err) {
		p.log.Error().Err(err).Msg("data directory cannot be written: nothing will outlive this process, and commands such as fairlead routes will not reach it; --admin puts their socket elsewhere")
		return nil, nil
	}
	return ln, err
}

// warmTime is how long a process that takes over waits for endpoints.
const warmTime = 3 * time.Second

// warm waits until the running endpoints were seen listening. The predecessor,
// which has seen them, serves meanwhile.
func (p *process) warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for starting(p.watch.live.Table().View()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func starting(v routing.View) bool {
	return slices.ContainsFunc(v.Routes, func(r routing.RouteView) bool {
		return slices.ContainsFunc(r.Endpoints, func(e upstream.EndpointState) bool { return e.State == "starting" })
	})
}

// succeed waits until this process serves and makes it the one that counts.
func (p *process) succeed(ctx context.Context, ln *admin.Listener) error {
	select {
	case <-p.open:
	case <-ctx.Done():
		return nil
	}
	if p.predecessor != nil {
		if err := p.relieve(); err != nil {
			return err
		}
		if ln != nil {
			if err := ln.Publish(); err != nil {
				p.log.Error().Err(err).Msg("commands will not reach this process")
			}
		}
		p.adoptOrders()
		p.predecessor.session.Close()
		p.log.Info().Int("pid", p.predecessor.PID).Str("previous", p.predecessor.Version).Msg("took over")
	}
	close(p.reached)
	p.notify("READY=1")
	return nil
}

// adoptOrders reads the orders again: the predecessor may have been given some
// until commands reached this process.
func (p *process) adoptOrders() {
	if err := p.orders.loadAgain(); err != nil {
		p.log.Error().Err(err).Msg("orders given while taking over could not be read")
		return
	}
	p.watch.tell(func() {})
}

// relieve has the predecessor stop accepting. One that is gone has.
func (p *process) relieve() error {
	pre := p.predecessor
	pre.session.SetDeadline(time.Now().Add(messageTime))
	pre.session.Send(note{Serving: true}) // it may be gone, or have said why not
	var n note
	_, err := pre.session.Receive(&n)
	switch {
	case n.Left:
	case n.GivenUp != "":
		return fmt.Errorf("pid %d did not hand over: %s", pre.PID, n.GivenUp)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("pid %d does not say whether it has handed over", pre.PID)
	default:
		p.log.Warn().Err(err).Int("pid", pre.PID).Msg("the process to take over from is gone")
	}
	return nil
}

// giveUp tells the predecessor that this process will not take its place, unless
// it has.
func (p *process) giveUp(why error) {
	if p.predecessor == nil {
		return
	}
	if why == nil {
		why = errors.New("it was told to stop")
	}
	p.predecessor.session.SetDeadline(time.Now().Add(time.Second))
	p.predecessor.session.Send(note{GivenUp: why.Error()})
	p.predecessor.session.Close()
}
