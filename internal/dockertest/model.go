package dockertest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// A Container is what a test says of one; the Engine adds the rest.
type Container struct {
	Name        string
	Labels      map[string]string
	Networks    []string // "bridge" if empty
	Mode        string   // "host", "none" or "container:ID" instead of Networks
	Expose      []int
	Publish     map[int]string // container port → "0.0.0.0:8080"
	StopSignal  string
	StopTimeout int // seconds, 0: the engine's default
	Restart     string
	Health      string    // "starting" with a HEALTHCHECK, "" without
	Created     time.Time // zero: now
	Mounts      []Mount
	Archive     map[string][]byte // tar streams by path in the container; see Tar

	id       string
	status   string
	started  time.Time
	finished time.Time
	exitCode int
	oom      bool
	places   map[string]*place // by network name
}

// A Mount is what lies over a directory of a container: see Bind, Volume and Tmpfs.
type Mount = container.MountPoint

// Bind mounts a directory of the host.
func Bind(host, at string) Mount {
	return Mount{Type: mount.TypeBind, Source: host, Destination: at}
}

// Volume mounts a volume that lies in a directory of the host.
func Volume(name, host, at string) Mount {
	return Mount{Type: mount.TypeVolume, Name: name, Source: host, Destination: at}
}

// Tmpfs mounts one.
func Tmpfs(at string) Mount { return Mount{Type: mount.TypeTmpfs, Destination: at} }

type place struct {
	endpoint string
	ip       netip.Addr // invalid while it does not run
}

// A Network is a bridge unless it says otherwise.
type Network struct {
	Name   string
	Driver string
	Subnet string // by default the next 172.x.0.0/16
	Labels map[string]string
	// Ingress is Swarm's own, on which only its load balancer reaches tasks.
	Ingress bool

	id   string
	used map[netip.Addr]string // by container
}

// NetworkID is the id of a network.
func (e *Engine) NetworkID(name string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.networks[name].id
}

func (e *Engine) newID(kind string) string {
	e.serial++
	sum := sha256.Sum256([]byte(kind + strconv.Itoa(e.serial)))
	return hex.EncodeToString(sum[:])
}

// AddNetwork creates a network.
func (e *Engine) AddNetwork(n Network) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n.Driver == "" {
		n.Driver = "bridge"
	}
	if n.Subnet == "" {
		n.Subnet = fmt.Sprintf("172.%d.0.0/16", 17+len(e.networks))
	}
	n.id, n.used = e.newID("network"), map[netip.Addr]string{}
	e.networks[n.Name] = &n
	e.emit(message{Type: "network", Action: "create", ID: n.id, Attributes: map[string]string{"name": n.Name, "type": n.Driver}})
}

// RemoveNetwork removes an empty network.
func (e *Engine) RemoveNetwork(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.networks[name]
	delete(e.networks, name)
	e.emit(message{Type: "network", Action: "destroy", ID: n.id, Attributes: map[string]string{"name": n.Name, "type": n.Driver}})
}

// Create makes a container and returns its id.
func (e *Engine) Create(c Container) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	c.id, c.status = e.newID("container"), "created"
	if c.Created.IsZero() {
		c.Created = time.Now()
	}
	c.Labels = maps.Clone(c.Labels)
	if len(c.Networks) == 0 && c.Mode == "" {
		c.Networks = []string{"bridge"}
	}
	if c.Name == "" {
		c.Name = "c" + c.id[:11]
	}
	c.places = map[string]*place{}
	for _, n := range c.Networks {
		if e.networks[n] == nil {
			panic("dockertest: no network " + n)
		}
		c.places[n] = &place{}
	}
	e.containers[c.id] = &c
	e.tell(&c, "create", nil)
	return c.id
}

// Run creates and starts a container.
func (e *Engine) Run(c Container) string {
	id := e.Create(c)
	e.Start(id)
	return id
}

func (e *Engine) with(id string, f func(c *Container)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil {
		panic("dockertest: no container " + id)
	}
	f(c)
}

// tell sends a container event; the labels are written over the attributes of
// the event, then image and name over them, as the engine does it.
func (e *Engine) tell(c *Container, action string, attr map[string]string) {
	a := map[string]string{}
	maps.Copy(a, attr)
	maps.Copy(a, c.Labels)
	a["image"], a["name"] = "test:1", c.Name
	e.emit(message{Type: "container", Action: action, ID: c.id, Attributes: a})
}

func (e *Engine) tellNetwork(c *Container, n *Network, action string) {
	e.emit(message{Type: "network", Action: action, ID: n.id,
		Attributes: map[string]string{"container": c.id, "name": n.Name, "type": n.Driver}})
}

// plug gives a container the lowest free address of a network.
func (e *Engine) plug(c *Container, name string) {
	n := e.networks[name]
	p := netip.MustParsePrefix(n.Subnet).Masked().Addr().Next().Next()
	for n.used[p] != "" {
		p = p.Next()
	}
	n.used[p] = c.id
	c.places[name] = &place{endpoint: e.newID("endpoint"), ip: p}
	e.tellNetwork(c, n, "connect")
}

func (e *Engine) unplug(c *Container, name string) {
	n := e.networks[name]
	if p := c.places[name]; p.ip.IsValid() {
		delete(n.used, p.ip)
	}
	c.places[name] = &place{}
	e.tellNetwork(c, n, "disconnect")
}

// Start starts a container: it gets its addresses, then its time, then the
// event is sent.
func (e *Engine) Start(id string) {
	e.with(id, func(c *Container) {
		for _, n := range slices.Sorted(maps.Keys(c.places)) {
			e.plug(c, n)
		}
		c.status, c.started, c.exitCode, c.oom = "running", time.Now(), 0, false
		e.tell(c, "start", nil)
	})
}

// Kill sends a signal: the event only, as the signal's effect is the app's.
func (e *Engine) Kill(id string, signal int) {
	e.with(id, func(c *Container) { e.tell(c, "kill", map[string]string{"signal": strconv.Itoa(signal)}) })
}

// Die ends the container's process. With a restart policy it is restarting.
func (e *Engine) Die(id string, code int) {
	e.with(id, func(c *Container) { e.die(c, code) })
}

func (e *Engine) die(c *Container, code int) {
	c.status, c.exitCode, c.finished = "exited", code, time.Now()
	if c.Restart != "" && c.Restart != "no" {
		c.status = "restarting"
	}
	e.tell(c, "die", map[string]string{"exitCode": strconv.Itoa(code)})
	for _, n := range slices.Sorted(maps.Keys(c.places)) {
		e.unplug(c, n)
	}
}

// Stop is docker stop for an app that obeys.
func (e *Engine) Stop(id string) {
	e.with(id, func(c *Container) {
		e.tell(c, "kill", map[string]string{"signal": "15"})
		restart := c.Restart
		c.Restart = ""
		e.die(c, 0)
		c.Restart = restart
		e.tell(c, "stop", nil)
	})
}

// Stopped is the event that ends docker stop, for tests that send the rest of
// it themselves.
func (e *Engine) Stopped(id string) {
	e.with(id, func(c *Container) { e.tell(c, "stop", nil) })
}

// Restart is docker restart for an app that obeys.
func (e *Engine) Restart(id string) {
	e.Stop(id)
	e.Start(id)
	e.with(id, func(c *Container) { e.tell(c, "restart", nil) })
}

// Remove is docker rm -f.
func (e *Engine) Remove(id string) {
	e.with(id, func(c *Container) {
		if c.status == "running" || c.status == "paused" {
			c.Restart = ""
			e.tell(c, "kill", map[string]string{"signal": "9"})
			e.die(c, 137)
		}
		delete(e.containers, id)
		e.tell(c, "destroy", nil)
	})
}

// Pause freezes a container.
func (e *Engine) Pause(id string) {
	e.with(id, func(c *Container) { c.status = "paused"; e.tell(c, "pause", nil) })
}

// Unpause thaws it.
func (e *Engine) Unpause(id string) {
	e.with(id, func(c *Container) { c.status = "running"; e.tell(c, "unpause", nil) })
}

// OOM tells that the kernel killed a process in the container, not that the
// container died.
func (e *Engine) OOM(id string) {
	e.with(id, func(c *Container) { c.oom = true; e.tell(c, "oom", nil) })
}

// SetHealth changes the verdict of the HEALTHCHECK: "healthy" or "unhealthy".
func (e *Engine) SetHealth(id, verdict string) {
	e.with(id, func(c *Container) { c.Health = verdict; e.tell(c, "health_status: "+verdict, nil) })
}

// Rename gives a container another name.
func (e *Engine) Rename(id, name string) {
	e.with(id, func(c *Container) {
		old := c.Name
		c.Name = name
		e.tell(c, "rename", map[string]string{"oldName": "/" + old})
	})
}

// Connect puts a container on one more network. The event is sent only if it
// runs.
func (e *Engine) Connect(id, network string) {
	e.with(id, func(c *Container) {
		if c.status != "running" {
			c.places[network] = &place{}
			return
		}
		e.plug(c, network)
	})
}

// Disconnect takes it off again. A running container sends the event twice, one
// that was never started sends it once.
func (e *Engine) Disconnect(id, network string) {
	e.with(id, func(c *Container) {
		if c.status == "running" {
			e.tellNetwork(c, e.networks[network], "disconnect")
		}
		e.unplug(c, network)
		delete(c.places, network)
	})
}

// Addr is a container's address on a network, invalid if it has none.
func (e *Engine) Addr(id, network string) netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil && c.places[network] != nil {
		return c.places[network].ip
	}
	return netip.Addr{}
}

// find is the container of an id, a part of one, or a name; e.mu is held.
func (e *Engine) find(ref string) *Container {
	if c := e.containers[ref]; c != nil {
		return c
	}
	for id, c := range e.containers {
		if c.Name == ref || len(ref) >= 4 && strings.HasPrefix(id, ref) {
			return c
		}
	}
	return nil
}
