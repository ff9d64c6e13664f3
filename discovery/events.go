package discovery

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/fairlead/fairlead/spec"
)

// eventNames are asked for one by one: without the list every health check
// sends three exec_* events. "health_status" also brings "health_status:
// healthy" and its like.
var eventNames = []string{
	"create", "start", "update", "rename", "health_status", "unpause", "connect",
	"kill", "oom", "die", "pause", "destroy", "disconnect",
	"remove", // of services, which also have create and update
}

// A kind is what an event means here.
type kind uint8

const (
	onCreate kind = iota + 1
	onStart
	onUpdate
	onRename
	onHealth
	onUnpause
	onConnect
	onKill
	onOOM
	onDie
	onPause
	onDestroy
	onDisconnect
)

var kinds = map[events.Action]kind{
	"create": onCreate, "start": onStart, "update": onUpdate, "rename": onRename, "unpause": onUnpause,
	"kill": onKill, "oom": onOOM, "die": onDie, "pause": onPause, "destroy": onDestroy,
}

// A change is one event about one container.
type change struct {
	kind    kind
	id      string    // of the container
	at      time.Time // by the engine's clock
	name    string    // of the container
	network string    // id, for onConnect and onDisconnect
	signal  int       // for onKill, 0 if it cannot be read
	code    int       // exit code, for onDie
	health  spec.Health
	labels  map[string]string // attributes the engine did not add itself; nil for networks
}

// engineAttributes are those the engine puts among the container's labels.
var engineAttributes = []string{"image", "name", "signal", "exitCode", "oldName", "execID", "execDuration"}

// decode turns an event into a change; ok is false where it concerns no
// container or nothing of interest.
func decode(m events.Message) (c change, ok bool) {
	c.at = time.Unix(0, m.TimeNano).UTC()
	if m.TimeNano == 0 {
		c.at = time.Unix(m.Time, 0).UTC()
	}
	attr := m.Actor.Attributes
	switch m.Type {
	case events.NetworkEventType:
		c.id, c.network = attr["container"], m.Actor.ID
		switch m.Action {
		case events.ActionConnect:
			c.kind = onConnect
		case events.ActionDisconnect:
			c.kind = onDisconnect
		}
		return c, c.kind != 0 && c.id != "" && c.network != ""
	case events.ContainerEventType:
	default:
		return c, false
	}
	c.id, c.name = m.Actor.ID, attr["name"]
	action, verdict, _ := strings.Cut(string(m.Action), ":")
	c.kind = kinds[events.Action(action)]
	switch {
	case action == string(events.ActionHealthStatus):
		c.kind, c.health = onHealth, healths[strings.TrimSpace(verdict)]
	case c.kind == onKill:
		// A label of the name "signal" hides the signal (the engine writes the
		// labels over its own attributes). Its owner fools himself only: such a
		// container leaves with die, or drains for no reason and comes back.
		c.signal = signalNumber(attr["signal"])
	case c.kind == onDie:
		c.code, _ = strconv.Atoi(attr["exitCode"])
	}
	c.labels = labelsIn(attr)
	return c, c.kind != 0 && c.id != ""
}

func labelsIn(attr map[string]string) map[string]string {
	labels := maps.Clone(attr)
	for _, k := range engineAttributes {
		delete(labels, k)
	}
	return labels
}

// apply changes the model by one event. It asks the engine nothing: what needs
// an inspect is marked, and done once it has been quiet.
func (l *loop) apply(c change) {
	it := l.items[c.id]
	if it == nil {
		if c.kind != onCreate && c.kind != onStart {
			l.stranger(c)
			return
		}
		it = l.arrived(c)
	}
	if it.gone() {
		return
	}
	it.touched, it.seen = l.clock.Add(1), nil
	l.alter(it)
	switch c.kind {
	case onCreate:
	case onStart:
		l.start(it, c)
	case onUpdate:
		l.mark(it)
	case onConnect:
		// Before start it is only a part of starting, and an inspect would wait
		// for the rest of it.
		if it.run() {
			l.mark(it)
		}
	case onRename:
		l.rename(it, c.name)
	case onHealth:
		l.judge(it, c)
	case onUnpause:
		l.unpause(it, c)
	case onOOM:
		it.oomed = true
	default:
		l.leave(it, c)
	}
}

// stranger handles an event of a container that no list has shown yet: before
// the first list it waits for that, after it there is nothing to change.
func (l *loop) stranger(c change) {
	if !l.listed && len(l.held) < maxQueued {
		l.held = append(l.held, c)
	}
}

// arrived makes an item from nothing but an event: the attributes of container
// events hold the labels.
func (l *loop) arrived(c change) *item {
	f := facts{id: c.id, name: c.name, labels: c.labels, created: c.at.Truncate(time.Second), status: "created"}
	it := &item{facts: f}
	l.set(it, f)
	l.log.Debug().Str("container", c.name).Msg("container created")
	l.later()
	return it
}

func (l *loop) start(it *item, c change) {
	if it.full && !c.at.After(it.started) && it.run() {
		return // an inspect has already shown this run
	}
	if !l.wanted(it) {
		it.status, it.started, it.places = "running", c.at, nil
		it.newRun()
		l.later()
		return
	}
	l.mark(it)
}

func (l *loop) rename(it *item, name string) {
	if name == "" || name == it.name {
		return
	}
	l.log.Debug().Str("container", name).Str("was", it.name).Msg("container renamed")
	f := it.facts
	f.name = name
	l.set(it, f)
	l.later()
}

func (l *loop) judge(it *item, c change) {
	switch {
	case c.at.Before(it.started):
	case c.health == spec.NoHealthcheck:
		l.mark(it)
	case it.health != c.health:
		it.health = c.health
		l.later()
	}
}

func (l *loop) unpause(it *item, c change) {
	if it.status != "paused" || c.at.Before(it.started) {
		l.mark(it)
		return
	}
	it.status = "running"
	l.later()
}

// leave takes away, at once and without asking. An event older than the run we
// know ended an earlier run; it is only a reason to look.
func (l *loop) leave(it *item, c change) {
	if c.kind != onDestroy && c.at.Before(it.started) {
		l.mark(it)
		return
	}
	switch c.kind {
	case onKill:
		l.told(it, c)
		return
	case onDie:
		l.draining.delete(it.id)
		l.parted(it, c.code)
		it.ended(c.code)
	case onPause:
		it.status = "paused"
	case onDestroy:
		l.remove(it)
		l.now()
		return
	case onDisconnect:
		if !it.unplug(c.network) {
			if it.status == "created" {
				l.mark(it) // it could not be started, and an inspect says why
			}
			return
		}
	}
	l.log.Debug().Str("container", it.name).Str("state", it.status).Msg("container left")
	l.now()
}
