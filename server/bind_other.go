//go:build !linux

package server

import "net"

// unbound is a port that is taken and opened at once, in Listen: elsewhere than
// on Linux there is no way to do it in two steps without leaving net.
type unbound struct{ addr *net.TCPAddr }

func bind(addr string) (socket, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	return unbound{a}, nil
}

func (u unbound) Addr() net.Addr                { return u.addr }
func (u unbound) Listen() (net.Listener, error) { return net.ListenTCP("tcp", u.addr) }
func (u unbound) Close() error                  { return nil }
