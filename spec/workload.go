// Package spec says in plain data what containers are there, what their labels
// ask for, and what is wrong with them. It opens no socket and starts no
// goroutine: a Spec can be compared, printed and kept in a golden file.
package spec

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Workload is one container, or one entry of the routes file, as discovery
// found it. It never changes once handed over: a change makes a new one, so
// that an equal pointer means an unchanged workload.
type Workload struct {
	ID      string // of the container, 64 hex digits; "routes:NAME" for an entry of the routes file
	Name    string // without the leading slash
	Source  Source
	Project string // compose project or Swarm stack, "" without
	Service string // compose or Swarm service, "" without
	OneOff  bool   // made by `docker compose run`: carries all labels of its service, serves nothing
	Labels  map[string]string

	Created   time.Time // by the engine's clock
	StartedAt time.Time // by the engine's clock; zero if it never started. ID and StartedAt name one run of the container
	State     State
	Health    Health
	Reason    string // why it is in this state, for people: "exited with code 137 after SIGKILL, out of memory"
	// StopTimeout is how long `docker stop` waits for it after its stop signal
	// and before SIGKILL: compose's stop_grace_period, 10 s by default, a year
	// for ever. 0 if that is unknown, or if it does not wait at all.
	StopTimeout time.Duration
	// IgnoredStop is how a container of this service, started in the same way,
	// was stopped last; zero if it obeyed, or if nobody has seen one stop.
	IgnoredStop IgnoredStop

	Exposed   []int       // TCP ports the image or the container exposes, ascending
	Published []Published // TCP ports published on the host, by container port, then address
	HostNet   bool        // network_mode: host
	// NetworkOf is the name of the container whose network namespace this one
	// joined (network_mode: service:x), "" if it has its own. Networks are then
	// those of that container.
	NetworkOf string
	Networks  []Attachment // where it has an address now, by Network
	Mounts    []Mount      // by At
	// MountsUnknown: the engine has listed the container, and told no more of it yet.
	MountsUnknown bool
}

// A Mount is what lies over a directory (or a file) of a container.
type Mount struct {
	At     string // where in the container, absolute and clean
	Kind   string // "volume", "bind", "tmpfs", or another word of the engine
	Volume string // name of the volume, "" if it is none
	// Host is the mounted directory by its path on the engine's host, "" if it has
	// none there: a tmpfs, a volume of a driver that says nothing.
	Host string
	// Sub is the part of the volume that is mounted, "" for all of it; Host ends
	// with it.
	Sub string
}

// Source is where a workload was found.
type Source uint8

const (
	FromEngine Source = iota // a container: its labels are untrusted
	FromSelf                 // the proxy's own container: its labels are the operator's
	FromRoutes               // the routes file: the operator's
)

// State is what a container is doing, as far as requests care.
type State uint8

const (
	Created    State = iota // exists and has not been started, or is being started
	Running                 // started; whether it listens is for the pool to find out
	Draining                // told to stop: finishes what it has, gets nothing new
	Paused                  // frozen: answers nothing until it is unpaused
	Restarting              // between two runs, by its restart policy
	Exited                  // stopped or dead; may be started again
	Gone                    // removed less than Remember ago, the last of its service: its routes still answer, with 503
)

// Remember is how long a removed container's routes go on answering 503
// instead of 404, and its owner's claims are kept.
const Remember = 10 * time.Minute

var stateNames = [...]string{"created", "running", "draining", "paused", "restarting", "exited", "gone"}

func (s State) String() string { return stateNames[s] }

// Health is the verdict of the container's own HEALTHCHECK.
type Health uint8

const (
	NoHealthcheck Health = iota
	HealthStarting
	Healthy
	Unhealthy
)

var healthNames = [...]string{"none", "starting", "healthy", "unhealthy"}

func (h Health) String() string { return healthNames[h] }

// An IgnoredStop is a stop signal that did not end a container, so that the
// engine had to kill it.
type IgnoredStop struct {
	Signal string        // "SIGTERM"
	After  time.Duration // from the signal to SIGKILL, in whole seconds
}

// Published is one container port as published on the host.
type Published struct {
	Container int            // port inside
	Host      netip.AddrPort // as bound; an unspecified address means every address of the host
}

// Attachment is a container's place on one network. IPv4 and IPv6 are invalid
// where it has no such address.
type Attachment struct {
	Network string // real name, "shop_default"
	Key     string // its key in the compose file, "default"; "" if compose did not make it
	Driver  string // bridge, overlay, macvlan, ipvlan, …; "" if unknown
	IPv4    netip.Addr
	IPv6    netip.Addr
}

// Self is what the proxy found out about its own place: it decides which
// addresses it can reach.
type Self struct {
	ID       string       // the proxy's container, "" if it runs outside this engine
	Name     string       // of that container
	Project  string       // compose project of that container
	HostNet  bool         // shares the host's network: network_mode: host, or a plain process on the engine's host
	Bridges  bool         // bridge addresses can be dialled from here without sharing a network
	Engine   netip.Addr   // of the engine's host, if that is another machine
	Networks []string     // real names of the networks it is on, sorted
	Gateways []netip.Addr // gateway addresses of those networks (of all bridges if HostNet), sorted
	// Mounts are those of the proxy's container, by At. Without a container, and
	// with HostNet, it sees the paths of the engine's host.
	Mounts []Mount
}

// A Snapshot is everything one source knows at one moment.
type Snapshot struct {
	Workloads []*Workload // by ID
	Self      Self
	Stale     string   // why this may be out of date ("engine unreachable since …"), "" if it is not
	Control   *Control // nil is as without orders
}

// Workload returns the workload with that id, nil if there is none.
func (s *Snapshot) Workload(id string) *Workload { return workload(s.Workloads, id) }

func workload(byID []*Workload, id string) *Workload {
	i, found := slices.BinarySearchFunc(byID, id, func(w *Workload, id string) int { return strings.Compare(w.ID, id) })
	if !found {
		return nil
	}
	return byID[i]
}

// A Confirmation is what the engine says of one container at this moment.
type Confirmation struct {
	Running   bool // and neither paused nor restarting
	StartedAt time.Time
	Addrs     []netip.Addr // of every network it is on; loopback if HostNet
}
