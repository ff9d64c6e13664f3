package discovery

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// An item is one container: what the engine said of it, and what events added.
type item struct {
	facts
	all map[string]string // the labels in force: its own and those of its Swarm service
	w   *spec.Workload    // as last published

	parting           // of this run
	touched uint64    // reading of the loop's clock at its last event: answers asked for earlier are out of date
	oomed   bool      // the kernel killed one of its processes in this run
	left    time.Time // when it was removed, zero if it was not
	fails   int       // inspects that failed in a row
	meagre  bool      // so often that what the list says is shown instead
	seen    *facts    // a list row that differs from facts and still led to no change
	doubted bool      // its age differs from a list's words
	agreed  bool      // and an inspect found that right
	early   change    // a kill that came before an inspect showed the run
	overdue bool      // draining longer than it should take
	listed  uint64    // the last list it was in

	unserved bool // its Swarm service's labels are not known yet
	altered  bool // noted in the index
}

func (it *item) gone() bool { return !it.left.IsZero() }

// newRun forgets what was only true of the run before.
func (it *item) newRun() { it.parting, it.oomed, it.agreed = parting{}, false, false }

// ended is the state after die. Whether its restart policy has another try is
// a guess that the next list confirms.
func (it *item) ended(code int) {
	it.status, it.exitCode, it.places = "exited", code, nil
	if it.restarts && it.signal == 0 {
		it.status = "restarting"
	}
}

// unplug removes the address on one network and reports whether there was one.
func (it *item) unplug(networkID string) bool {
	kept := slices.DeleteFunc(slices.Clone(it.places), func(p place) bool { return p.networkID == networkID })
	changed := len(kept) != len(it.places)
	it.places = kept
	return changed
}

// set replaces what is known of a container, which may be new.
func (l *loop) set(it *item, f facts) {
	l.put(it, f)
	l.dress(it)
}

// know replaces the facts by an inspect's, keeping what events said of the run
// if it is still the same.
func (l *loop) know(it *item, f facts) {
	if !f.started.Equal(it.started) {
		it.newRun()
	}
	l.set(it, f)
}

// state is what the engine's word means for requests.
func (it *item) state(draining, known bool) spec.State {
	switch {
	case it.gone():
		return spec.Gone
	case it.run() && !known:
		return spec.Created
	case it.status == "paused":
		return spec.Paused
	case it.status == "running" && draining:
		return spec.Draining
	case it.status == "running":
		return spec.Running
	case it.status == "restarting":
		return spec.Restarting
	case it.status == "created":
		return spec.Created
	}
	return spec.Exited
}

// reason says in words why it is in its state.
func (it *item) reason(s spec.State) string {
	switch s {
	case spec.Draining:
		return "told to stop with " + signalName(it.signal)
	case spec.Gone:
		return "removed"
	case spec.Created:
		if it.failure != "" {
			return "could not be started: " + it.failure
		}
	case spec.Restarting, spec.Exited:
		if it.failure != "" && it.exitCode != 0 {
			return "could not be started: " + it.failure
		}
		r := fmt.Sprintf("exited with code %d", it.exitCode)
		if it.signal != 0 {
			r += " after " + signalName(it.signal)
		}
		if it.oomed || it.oom {
			r += ", out of memory"
		} else if it.signal == 0 && it.exitCode != 0 {
			r += "; docker logs says why"
		}
		return r
	}
	return ""
}

// netInfo is what is known of a network beside its name.
type netInfo struct {
	key, driver string
	ingress     bool
	gateways    []netip.Addr
}

// alike reports whether containers on either network look the same.
func (n netInfo) alike(o netInfo) bool {
	return n.key == o.key && n.driver == o.driver && n.ingress == o.ingress
}

func oneOff(labels map[string]string) bool {
	return strings.EqualFold(labels["com.docker.compose.oneoff"], "true")
}

const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
	networkLabel = "com.docker.compose.network"
)
