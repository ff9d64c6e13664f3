package acmetest

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// names is a DNS server in which every name resolves to 127.0.0.1 unless it is
// said otherwise. It has no AAAA records.
type names struct {
	addr string // of its sockets

	mu    sync.Mutex // guards what is below
	a     map[string][]string
	fails map[string]bool
}

// serveNames starts a server by UDP and TCP, on a port of its own.
func serveNames(t testing.TB) *names {
	t.Helper()
	n := &names{a: map[string][]string{}, fails: map[string]bool{}}
	ln, packets := listenBoth(t)
	n.addr = ln.Addr().String()
	for _, srv := range []*dns.Server{{Listener: ln, Handler: n}, {PacketConn: packets, Handler: n}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go srv.ActivateAndServe()
		<-started
		t.Cleanup(func() { srv.Shutdown() })
	}
	return n
}

// listenBoth returns listeners with the same port.
func listenBoth(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	var last error
	for range 100 {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp4", ln.Addr().String())
		if err == nil {
			return ln, packets
		}
		last = err
		ln.Close()
	}
	t.Fatal(last)
	return nil, nil
}

// ServeDNS implements dns.Handler.
func (n *names) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(r)
	n.mu.Lock()
	for _, q := range r.Question {
		name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
		addrs, told := n.a[name]
		switch {
		case n.fails[name]:
			answer.Rcode, addrs = dns.RcodeServerFailure, nil
		case !told:
			addrs = []string{"127.0.0.1"}
		}
		for _, addr := range addrs {
			if q.Qtype == dns.TypeA {
				answer.Answer = append(answer.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(addr)})
			}
		}
	}
	n.mu.Unlock()
	w.WriteMsg(answer)
}
