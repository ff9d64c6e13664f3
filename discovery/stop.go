package discovery

import (
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/fairlead/fairlead/spec"
)

// A parting is how one run of a container was told to end.
type parting struct {
	signal int           // the last that asked it to stop, 0 if none did
	told   time.Time     // when its stop signal was sent, by the engine's clock
	waited time.Duration // from then to its SIGKILL, 0 if there was none
}

// An ignoredStop is a stop signal that did not end a container of a succession.
type ignoredStop struct {
	spec.IgnoredStop
	launch string // of the container. One that is started in another way may be cured
}

// told starts the drain if the signal is one that asks the container to stop.
// Others, HUP above all, are its own affair.
func (l *loop) told(it *item, c change) {
	stop := it.stopSignal
	if stop == 0 {
		stop = sigTERM
	}
	if c.signal != stop && c.signal != sigKILL {
		return
	}
	if !it.run() {
		it.early = c // between its start and the inspect that shows it
		return
	}
	it.signal = c.signal
	if c.signal == stop {
		it.told = c.at
	} else if !it.told.IsZero() && it.waited == 0 {
		it.waited = c.at.Sub(it.told)
	}
	l.draining.set(it.id, time.Now().Add(l.grace(it)+l.timing.DrainGrace))
	it.overdue = false
	l.log.Debug().Str("container", it.name).Str("signal", signalName(c.signal)).Msg("container told to stop")
	l.now()
}

// grace is how long docker stop waits for it before it kills.
func (l *loop) grace(it *item) time.Duration {
	if !it.full || it.stopTimeout == engineDefault {
		return l.timing.Stop
	}
	return it.stopTimeout
}

const (
	engineDefault time.Duration = -1
	endless                     = 365 * 24 * time.Hour
)

// stopTimeout reads a container's stop timeout in seconds. A negative one has
// docker stop wait for ever.
func stopTimeout(seconds *int) time.Duration {
	switch {
	case seconds == nil:
		return engineDefault
	case *seconds < 0 || *seconds > int(endless/time.Second):
		return endless
	}
	return time.Duration(*seconds) * time.Second
}

// launch is, as one comparable text, what decides whether the app of a container
// gets the stop signal and ends on it: a shell or an init in front, and which
// signal it is.
func launch(c container.InspectResponse) string {
	var init *bool
	if c.HostConfig != nil {
		init = c.HostConfig.Init
	}
	if c.Config == nil {
		return ""
	}
	return fmt.Sprintf("%q %q %s %t", c.Config.Entrypoint, c.Config.Cmd, c.Config.StopSignal, init != nil && *init)
}

// leastWait is the shortest time that docker stop waits, whose timeouts are
// whole seconds. What was killed sooner, by docker kill, docker rm -f or a
// timeout of 0, was given no time to obey.
const leastWait = time.Second

// parted notes how a container took its stop signal, now that it has ended with
// code. That is remembered for its successors, since after a deploy nobody looks
// at a container that was removed.
func (l *loop) parted(it *item, code int) {
	const killed = 128 + sigKILL
	if it.told.IsZero() || !it.full || oneOff(it.labels) {
		return
	}
	key := succession(it)
	switch {
	case it.waited >= leastWait && code == killed:
		seen := spec.IgnoredStop{Signal: signalName(it.stopSignal), After: it.waited.Round(time.Second)}
		l.ignored[key] = ignoredStop{seen, it.launch}
	case it.waited == 0 && code != killed: // else it was the kernel, out of memory
		delete(l.ignored, key)
	default:
		return
	}
	for _, o := range l.kin[key] {
		l.alter(o)
	}
}
