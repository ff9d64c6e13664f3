package balance

import (
	"encoding/binary"
	"net/http"
	"net/netip"

	"github.com/fairlead/fairlead/exchange"
)

var _ = register(method{
	name: "ip-hash", doc: "takes the same one for the same client address (IPv6: /64)",
	picker: func(_ string, turns *Turns) Picker {
		return &hashed{keyless: turns, key: func(r *http.Request) (uint64, bool) { return addrKey(clientOf(r)) }}
	},
})

// addrKey returns the key of a client: the whole of an IPv4 address, and of an
// IPv6 address the /64, within which one customer changes it at will (RFC 8981).
func addrKey(a netip.Addr) (key uint64, ok bool) {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:])), true
	case a.Is6():
		b := a.As16()
		return binary.BigEndian.Uint64(b[:8]), true
	}
	return 0, false
}

// clientOf returns the address of r's client, or none: what does not come in by
// an entry point has no Exchange.
func clientOf(r *http.Request) netip.Addr {
	if x, ok := exchange.Find(r); ok {
		return x.Client
	}
	return netip.Addr{}
}
