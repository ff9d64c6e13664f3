package discovery

import (
	"net/netip"
	"strings"

	"github.com/docker/docker/client"
)

// Socket returns the path of the engine's unix socket, "" if it is reached
// otherwise. Whoever drops privileges keeps the group of this file.
func (d *Docker) Socket() string {
	path, ok := strings.CutPrefix(d.cfg.host(), "unix://")
	if !ok {
		return ""
	}
	return path
}

// remote returns the address of an engine on another machine, where the ports
// it publishes are; invalid if it is this one, or known by name only.
func (c *Config) remote() netip.Addr {
	u, err := client.ParseHostURL(c.host())
	if err != nil || u.Scheme == "unix" {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(u.Host)
	if err != nil || ap.Addr().IsLoopback() {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
