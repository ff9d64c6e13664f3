package spec

import (
	"net/netip"
	"time"

	"github.com/fairlead/fairlead/label"
)

// A Pool is the endpoints that share load for one service and target.
type Pool struct {
	Key       string     // "owner/service:port/scheme" or what says more; "@name…" when shared across owners
	Endpoints []Endpoint // by container name, then address
	TLS       UpstreamTLS
	Options   label.Options // of the kinds in slot Pool that are not each container's own
	// Host is the first exact host of a route to the pool, "" if there is none,
	// and Plain whether that is served over plain HTTP alone: what a health check
	// pretends to be.
	Host  string
	Plain bool
}

// An Endpoint is one run of one container at one address, or a target outside
// Docker. Two endpoints are the same one if ID, StartedAt, Addr and Socket are.
type Endpoint struct {
	ID        string // container; "" for a `url` target
	Container string // its name, for people; the URL for a `url` target
	StartedAt time.Time
	State     State // of the container
	Health    Health
	Reason    string // why it is in that state
	Scheme    string // http, https, h2c, fastcgi, uwsgi
	// Addr is where it listens. Invalid when the container has no address now;
	// then it stays in the pool for what it says, and takes no request.
	Addr   netip.AddrPort
	OnHost bool   // Addr belongs to the host, not to the container: a published port, or network_mode: host
	Host   string // "name:port" of a `url` target that is not an address, resolved when dialled
	Socket string // path of a unix socket as the proxy sees it
	// Options are those of the kinds in slot Pool that are each container's own.
	Options label.Options
	// Standby: the labels of a newer generation than the one in force lead here.
	// It may be probed, and gets requests when its own labels hold.
	Standby bool
	// Drained says that the operator has it take no new requests, and until when;
	// "" if not.
	Drained string
}

// UpstreamTLS says how `https` endpoints are verified.
type UpstreamTLS struct {
	NoVerify   bool
	CA         string // file with PEM roots, instead of the system's
	ServerName string // instead of the Host sent
	Cert, Key  string // files of a client certificate
}
