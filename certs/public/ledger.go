package public

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
	"github.com/fairlead/fairlead/spec"
)

const (
	firstPause     = time.Minute
	longestPause   = 24 * time.Hour     // of a host
	authorityPause = time.Hour          // of all
	longestWait    = 7 * 24 * time.Hour // that an authority may ask for
	week           = 7 * 24 * time.Hour
	maxHosts       = 100_000 // in the ledger
)

// A ledger is what happened before: it outlives routes and processes, so that
// neither a container that comes and goes nor a crash loop spends what the
// authority allows.
type ledger struct {
	Hosts   map[string]record      `json:"hosts"`
	Orders  []time.Time            `json:"orders"`  // of the last three hours
	Domains map[string][]time.Time `json:"domains"` // first certificates of the last week, by registered domain
	Pause   pause                  `json:"pause,omitzero"`
}

// A record is what is known of one host.
type record struct {
	Failures  int         `json:"failures,omitempty"` // in a row
	Failed    []time.Time `json:"failed,omitempty"`   // validations of the last hour
	Issued    []time.Time `json:"issued,omitempty"`   // certificates of the last week, and the last one
	Next      time.Time   `json:"next,omitzero"`      // no order before
	Error     string      `json:"error,omitempty"`
	Fix       string      `json:"fix,omitempty"`
	Last      time.Time   `json:"last"`                // when anything happened
	Unchecked bool        `json:"unchecked,omitempty"` // an order went well though the pre-flight had not
}

// A pause holds all hosts back.
type pause struct {
	Until      time.Time
	Count      int // in a row
	Error, Fix string
}

func (c *Certificates) ledgerFile() string { return c.cfg.Dir + "/ledger.json" }

// loadLedger returns what is stored. What cannot be read counts from zero: a
// ledger that refuses every order would be no better than none.
func (c *Certificates) loadLedger() ledger {
	var l ledger
	data, err := c.cfg.Store.Get(c.ledgerFile())
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &l); err != nil {
			c.cfg.Store.SetAside(c.ledgerFile(), err)
			l = ledger{}
		}
	case !errors.Is(err, fs.ErrNotExist): // it may be readable another time
		c.cfg.Log.Error().Err(err).Msg("ledger of orders could not be read")
		l = c.book
	}
	if l.Hosts == nil {
		l.Hosts = map[string]record{}
	}
	if l.Domains == nil {
		l.Domains = map[string][]time.Time{}
	}
	return l
}

// change reads the ledger, which another process may have written, changes it
// and writes it. c.mu is held.
func (c *Certificates) change(f func(*ledger)) {
	l := c.loadLedger()
	f(&l)
	l.prune(c.cfg.Now())
	c.book = l
	data, err := json.Marshal(l)
	if err != nil {
		c.cfg.Log.Error().Err(err).Msg("ledger of orders could not be encoded")
		return
	}
	c.cfg.Store.Put(c.ledgerFile(), data) // what cannot be saved is in memory, and the store has said so
}

// clamp shortens waits that only a clock that was set back can explain.
func (l *ledger) clamp(now time.Time) {
	for name, r := range l.Hosts {
		if r.Next.Sub(now) > longestWait {
			r.Next = now.Add(longestPause)
			l.Hosts[name] = r
		}
	}
	if l.Pause.Until.Sub(now) > longestWait {
		l.Pause.Until = now.Add(authorityPause)
	}
}

// prune forgets what does not count any more.
func (l *ledger) prune(now time.Time) {
	l.Orders = within(l.Orders, now, 3*time.Hour)
	for name, r := range l.Hosts {
		r.Failed = within(r.Failed, now, time.Hour)
		r.Issued = r.Issued[max(0, len(r.Issued)-maxIssued):]
		if r.Failures > 0 && now.Sub(r.Last) > week && now.After(r.Next) {
			r.Failures, r.Error, r.Fix = 0, "", ""
		}
		l.Hosts[name] = r
		if r.Failures == 0 && len(r.Issued) == 0 || len(l.Hosts) > maxHosts {
			delete(l.Hosts, name)
		}
	}
	for domain, times := range l.Domains {
		if times = within(times, now, week); len(times) == 0 {
			delete(l.Domains, domain)
			continue
		}
		l.Domains[domain] = times
	}
}

// maxIssued is as many certificates of one host as any limit counts.
const maxIssued = 8

// within returns those of times that lie in the last d. Future ones, of a clock
// that was ahead, do not count.
func within(times []time.Time, now time.Time, d time.Duration) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return t.After(now) || now.Sub(t) >= d })
}

// full returns when a limit of n per d leaves room again, zero if it does now.
func full(times []time.Time, n int, d time.Duration, now time.Time) time.Time {
	times = within(times, now, d)
	if n <= 0 || len(times) < n {
		return time.Time{}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times[len(times)-n].Add(d)
}

// failures returns when host has an attempt left, zero if it has one now.
func (l *ledger) failures(host string, n int, now time.Time) time.Time {
	return full(l.Hosts[host].Failed, n, time.Hour, now)
}

// limit returns when the limits of the authority allow an order for host, and
// which one is in the way; zero if none is.
func (c *Certificates) limit(host string, renewal bool, now time.Time) (until time.Time, why acme.Fault) {
	l, r := c.cfg.Limits, c.book.Hosts[host]
	domain := spec.RegisteredDomain(host)
	try := func(at time.Time, format string, args ...any) {
		if at.After(until) {
			until, why = at, acme.Fault{Message: fmt.Sprintf(format, args...), Fix: "nothing: it is ordered when there is room"}
		}
	}
	if l.FailuresPerHour > 1 { // one is left for the operator
		try(c.book.failures(host, l.FailuresPerHour-1, now), "%s", r.Error)
	}
	failed, refused := until, why
	try(full(c.book.Orders, l.Orders3Hours, 3*time.Hour, now), "%d certificates were ordered within three hours, which is all that %s allows", l.Orders3Hours, c.cfg.Authority)
	try(full(r.Issued, l.PerHostWeek, week, now), "%s has had %d certificates within a week, which is all that %s allows; are they lost at every start? (--data-dir)", host, l.PerHostWeek, c.cfg.Authority)
	if c.book.first(host, renewal) {
		try(full(c.book.Domains[domain], l.PerDomainWeek, week, now), "%s has had %d new certificates within a week, which is all that %s allows", domain, l.PerDomainWeek, c.cfg.Authority)
	}
	if until != failed && c.made(host) {
		return failed, refused // what was ordered before is counted
	}
	return until, why
}

// begun notes an order before it is made: a crash counts it, and so do orders
// that are under way beside it.
func (l *ledger) begun(host string, renewal bool, now time.Time) {
	l.Orders = append(l.Orders, now)
	if l.first(host, renewal) {
		domain := spec.RegisteredDomain(host)
		l.Domains[domain] = append(l.Domains[domain], now)
	}
}

// first reports whether an order counts as a new certificate of its domain.
func (l *ledger) first(host string, renewal bool) bool {
	return !renewal && len(l.Hosts[host].Issued) == 0
}

// issued notes a certificate.
func (l *ledger) issued(host string, unchecked bool, now time.Time) {
	r := l.Hosts[host]
	l.Hosts[host] = record{Issued: append(r.Issued, now), Last: now, Unchecked: r.Unchecked || unchecked}
	l.Pause = pause{}
}

// failed notes that an order came to nothing.
func (l *ledger) failed(host string, renewal bool, f *acme.Fault, now time.Time) {
	if times := l.Domains[spec.RegisteredDomain(host)]; l.first(host, renewal) && len(times) > 0 {
		l.Domains[spec.RegisteredDomain(host)] = times[:len(times)-1]
	}
	if f.Scope == acme.OfAuthority {
		p := pause{Count: l.Pause.Count + 1, Error: f.Message, Fix: f.Fix}
		p.Until = now.Add(max(backOff(p.Count, authorityPause), min(f.RetryAfter, longestWait)))
		l.Pause = p
		return
	}
	r := l.Hosts[host]
	r.Failures++
	r.Error, r.Fix, r.Last = f.Message, f.Fix, now
	if f.Validation {
		r.Failed = append(r.Failed, now)
	}
	r.Next = now.Add(max(backOff(r.Failures, longestPause), min(f.RetryAfter, longestWait)))
	l.Hosts[host] = r
}

// backOff is a minute after the first failure, twice that after each further
// one, at most longest, and a tenth more or less, so that hosts that failed
// together do not come back together.
func backOff(failures int, longest time.Duration) time.Duration {
	d := longest
	if failures < 20 {
		d = min(firstPause<<(failures-1), longest)
	}
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d))
}
