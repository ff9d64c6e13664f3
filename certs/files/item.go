package files

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// An item is what is known of files. Files.mu guards what is not said to be Run's.
type item struct {
	files
	round int         // of Use, when Check last asked for it
	hosts []spec.Host // of the live table that it is for; nil if there are none
	stray []spec.Host // those of them that the certificate does not name

	force *content  // what is served, nil if it never was good
	since time.Time // of force
	from  print     // what force was read from
	next  *content  // good and newer, but expired or not valid yet, which force is not
	err   *Fault    // why what was last read is good for nothing

	// of Run's goroutine
	seen   print     // when last read
	asOf   time.Time // since when it reads so
	judged print     // when last parsed
}

// A content is what good files hold: one of both.
type content struct {
	pair    *tls.Certificate
	clients *Clients
	hints   []*Fault // what is wrong with it though it is served
}

func (c *content) valid(now time.Time) bool { return c.pair == nil || valid(c.pair.Leaf, now) }

// parse returns what r, which was read from n, holds, or why that is no good.
func (n files) parse(r reading) (*content, *Fault) {
	c, fault := &content{}, r.err
	switch {
	case fault != nil:
	case n.clients != "":
		c.clients, c.hints, fault = clientsOf(n.clients, r.raw[0])
	default:
		c.pair, c.hints, fault = pairOf(n, r.raw[0], r.raw[1])
	}
	if fault != nil {
		return nil, fault
	}
	return c, nil
}

// first reads n for the first time.
func (f *Files) first(n files) *item {
	r := f.read(n)
	c, fault := n.parse(r)
	return &item{files: n, force: c, since: f.cfg.Now(), from: r.print, err: fault, seen: r.print, judged: r.print}
}

// look reads it again. What is new counts when it is still so after Config.Quiet: a
// file that is written in place is empty for a moment, and of a pair one comes
// before the other. changed: Check answers differently, or other content is in
// force; unsettled: it has to be looked at once more.
func (f *Files) look(it *item) (changed, unsettled bool) {
	r := f.read(it.files)
	if r.print != it.seen {
		it.seen, it.asOf = r.print, time.Now()
	}
	known := r.print == it.judged
	if !known && time.Since(it.asOf) < f.cfg.Quiet {
		return false, true
	}
	var c *content
	var fault *Fault
	if !known {
		c, fault = it.parse(r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.items[it.files] != it { // forgotten
		return false, false
	}
	if known {
		return it.next != nil && f.take(it, it.next, nil, r.print), false
	}
	it.judged = r.print
	return f.take(it, c, fault, r.print), false
}

// take puts c in force, or notes why there is no c. What was good stays in force
// then, and while it is valid and c is not. It reports as look does; f.mu is held.
func (f *Files) take(it *item, c *content, fault *Fault, from print) (changed bool) {
	now, before := f.cfg.Now(), it.refusal()
	it.err, it.next = fault, nil
	switch {
	case c == nil:
		return before != nil && *before != *fault
	case it.force != nil && it.from == from: // replaced, and put back
		return false
	case it.force != nil && !c.valid(now) && it.force.valid(now):
		it.next = c
		return false
	}
	it.force, it.since, it.from = c, now, from
	it.use(it.hosts)
	f.serve(it)
	return true
}

// use notes which hosts of the live table it is for.
func (it *item) use(hosts []spec.Host) {
	it.hosts, it.stray = hosts, nil
	if it.force == nil || it.force.pair == nil || len(hosts) == 0 {
		return
	}
	names := &index{exact: map[string][]*tls.Certificate{}, wildcards: map[string][]*tls.Certificate{}}
	names.add(it.force.pair)
	for _, h := range hosts {
		expression := h.Kind != spec.ExactHost && h.Kind != spec.WildcardHost
		if !expression && names.find(h, func(*tls.Certificate) bool { return true }) == nil {
			it.stray = append(it.stray, h)
		}
	}
}

// refusal returns why nothing can be served by it, nil if something can.
func (it *item) refusal() *Fault {
	if it.force != nil {
		return nil
	}
	return it.err
}

// troubles returns what is wrong with it now.
func (it *item) troubles(now time.Time) (all []Trouble) {
	policy := spec.TLSPolicy{Cert: it.cert, Key: it.key, ClientCA: it.clients}
	for _, fault := range slices.Concat(it.kept(now), it.served(now)) {
		all = append(all, Trouble{policy, fault.Message, fault.Fix})
	}
	return all
}

// name returns the file that stands for it in messages.
func (it *item) name() string { return path(it.cert + it.clients) }

const renew = "put a certificate there that is valid, with its key; they are read without a restart"

// kept says why what was last read is not in force, and what is.
func (it *item) kept(now time.Time) []*Fault {
	var why *Fault
	switch {
	case it.force == nil:
		return []*Fault{it.err}
	case it.err != nil:
		why = it.err
	case it.next != nil && !it.next.valid(now):
		why = &Fault{"the new certificate in " + it.name() + " " + lateness(it.next.pair.Leaf, now), renew}
	default:
		return nil
	}
	said := why.Message + "; what was read before, on " + stamp(it.since) + ", stays in force"
	if it.force.pair != nil {
		said += ": a certificate that is valid until " + stamp(it.force.pair.Leaf.NotAfter)
	}
	return []*Fault{{said, why.Fix}}
}

// served says what is wrong with what is in force.
func (it *item) served(now time.Time) []*Fault {
	switch {
	case it.force == nil:
		return nil
	case it.force.clients != nil:
		return slices.Concat(it.force.hints, it.force.clients.age(it.name(), now))
	}
	all, leaf := slices.Clone(it.force.hints), it.force.pair.Leaf
	if late := lateness(leaf, now); late != "" {
		fix := renew
		if now.Before(it.force.pair.Leaf.NotBefore) {
			fix = "if that time is past, set the clock of this machine; else " + renew
		}
		all = append(all, &Fault{"the certificate in " + it.name() + " " + late + ", and clients refuse it", fix})
	}
	if len(it.stray) > 0 {
		all = append(all, &Fault{
			fmt.Sprintf("the certificate in %s is not for %s, but for %s", it.name(), list(it.stray), hostsOf(leaf)),
			"bring one that has the host among its alternative names (the common name does not count)",
		})
	}
	return all
}
