package spec

import (
	"net/netip"
	"time"
)

// A Pool is the endpoints that share load for one service and target.
type Pool struct {
	Key       string     // "owner/service:port/scheme" or what says more; "@name…" when shared across owners
	Endpoints []Endpoint // by container name, then address
	TLS       UpstreamTLS
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
	Weight int
}

// UpstreamTLS says how `https` endpoints are verified.
type UpstreamTLS struct {
	NoVerify   bool
	CA         string // file with PEM roots, instead of the system's
	ServerName string // instead of the Host sent
	Cert, Key  string // files of a client certificate
}
