package routing

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/internal/statefile"
)

// Claims is the ledger of who holds which host. The first owner seen keeps it,
// through redeploys and restarts of the proxy; an owner that vanished keeps it
// for the grace time. It is an input of Compile, which also tells it who is
// there; one goroutine uses it.
type Claims struct {
	// Grace is how long a vanished owner's claim lives.
	Grace time.Duration
	// Share reports whether the operator lets anyone add routes to a host.
	Share func(host string) bool
	// File is where the ledger is kept, "" to forget it with the process.
	File string

	held  map[string]claim    // by host pattern
	gone  map[string]struct{} // those of held whose owner has vanished
	next  time.Time           // none of gone is free before
	dirty bool
}

// A claim is one line of the ledger.
type claim struct {
	Owner     string    `json:"owner"`
	Since     time.Time `json:"since"`
	Container string    `json:"container,omitempty"` // id, where the owner is one container: renamed, it keeps what it holds
	Gone      time.Time `json:"gone,omitzero"`       // when its owner was last seen to have vanished
}

// A claimant is an owner who wants a host now.
type claimant struct {
	owner     string
	container string // id, if the owner is one container
	created   time.Time
	vanished  bool // all of its containers are gone
}

// A tenure is who holds a host.
type tenure struct {
	owner string    // "" if nobody does
	since time.Time // zero if that is not recorded
	until time.Time // when a vanished owner's is free, zero otherwise
}

// Load reads the ledger. A file that cannot be read is set aside under the
// name it returns, and the ledger begins empty: who holds what is then decided
// by age.
func (c *Claims) Load(now time.Time) (setAside string, err error) {
	c.Adopt(&Ledger{}, now)
	if c.File == "" {
		return "", nil
	}
	var l Ledger
	if setAside, err := statefile.File(c.File).Load(&l); err != nil {
		return setAside, err
	}
	c.Adopt(&l, now)
	return "", nil
}

// Adopt takes over what l has recorded, and forgets what was recorded before. l
// may be nil.
func (c *Claims) Adopt(l *Ledger, now time.Time) {
	c.held, c.gone = map[string]claim{}, map[string]struct{}{}
	if l == nil {
		l = &Ledger{}
	}
	for host, claim := range l.held {
		if pattern, err := patternOf(host); err != nil || pattern.String() != host || claim.Owner == "" {
			continue // edited by hand; nothing could ever ask for it
		}
		if claim.Gone.IsZero() || claim.Gone.After(now) { // a clock that was set back must not lengthen it
			claim.Gone = now // until its owner shows up
		}
		c.put(host, claim)
	}
	c.dirty = false
}

// A Ledger is what Claims had recorded at one moment. It can be written while
// they go on changing.
type Ledger struct {
	file string
	held map[string]claim
}

// Changed returns the ledger if it changed since it was last returned, nil if
// it did not or is kept nowhere.
func (c *Claims) Changed() *Ledger {
	if !c.dirty || c.File == "" {
		return nil
	}
	c.dirty = false
	return c.Ledger()
}

// Ledger returns the ledger as it is, nil if it is kept nowhere.
func (c *Claims) Ledger() *Ledger {
	if c.File == "" {
		return nil
	}
	return &Ledger{c.File, maps.Clone(c.held)}
}

// Save writes the ledger if it changed. After an error it is tried again by the
// next Save.
func (c *Claims) Save() error {
	l := c.Changed()
	if l == nil {
		return nil
	}
	err := l.Save()
	c.dirty = err != nil
	return err
}

// Save writes the ledger, whole or not at all.
func (l *Ledger) Save() error { return statefile.File(l.file).Save(l) }

// MarshalJSON returns the ledger as its file has it.
func (l *Ledger) MarshalJSON() ([]byte, error) { return json.Marshal(l.held) }

// UnmarshalJSON reads it.
func (l *Ledger) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &l.held) }

// holder returns who holds host, and records it; want are those who want it
// now.
func (c *Claims) holder(host string, want []claimant, now time.Time) tenure {
	held, known := c.held[host]
	if known {
		if w, ok := held.among(want); ok {
			held.Owner, held.Container, held.Gone = w.owner, w.container, time.Time{}
			c.put(host, held)
			return tenure{owner: held.Owner, since: held.Since}
		}
		if held.Gone.IsZero() {
			held.Gone = now
			c.put(host, held)
		}
		if free := held.Gone.Add(c.Grace); now.Before(free) {
			return tenure{owner: held.Owner, since: held.Since, until: free}
		}
	}
	first, ok := firstOf(want)
	if !ok || first.vanished {
		// Who has vanished may answer for the host as long as nobody else wants
		// it, and takes no new claim.
		c.drop(host)
		return tenure{owner: first.owner}
	}
	c.put(host, claim{Owner: first.owner, Since: now, Container: first.container})
	return tenure{owner: first.owner, since: now}
}

// among returns who of want holds c and is there: its owner, else its container
// under another name.
func (c *claim) among(want []claimant) (claimant, bool) {
	i := slices.IndexFunc(want, func(w claimant) bool { return !w.vanished && w.owner == c.Owner })
	if i < 0 && c.Container != "" {
		i = slices.IndexFunc(want, func(w claimant) bool { return !w.vanished && w.container == c.Container })
	}
	if i < 0 {
		return claimant{}, false
	}
	return want[i], true
}

func (c *Claims) put(host string, held claim) {
	if c.held == nil {
		c.held, c.gone = map[string]claim{}, map[string]struct{}{}
	}
	if c.held[host] == held {
		return
	}
	c.held[host] = held
	c.dirty = true
	if held.Gone.IsZero() {
		delete(c.gone, host)
		return
	}
	c.gone[host] = struct{}{}
	if free := held.Gone.Add(c.Grace); len(c.gone) == 1 || free.Before(c.next) {
		c.next = free
	}
}

func (c *Claims) drop(host string) {
	if _, known := c.held[host]; known {
		delete(c.held, host)
		delete(c.gone, host)
		c.dirty = true
	}
}

// firstOf returns the owner with the oldest container, by name among equals.
// Those that vanished come last.
func firstOf(want []claimant) (claimant, bool) {
	if len(want) == 0 {
		return claimant{}, false
	}
	return slices.MinFunc(want, func(a, b claimant) int {
		switch {
		case a.vanished != b.vanished && b.vanished:
			return -1
		case a.vanished != b.vanished:
			return 1
		case !a.created.Equal(b.created):
			return a.created.Compare(b.created)
		}
		return strings.Compare(a.owner, b.owner)
	}), true
}

// Due returns the hosts whose vanished holder's time is up at now, which the
// next Compile gives away, and when to compile for the next one; zero if there
// is none. It is cheap while none is due.
func (c *Claims) Due(now time.Time) (hosts []string, next time.Time) {
	if len(c.gone) == 0 {
		return nil, time.Time{}
	}
	if now.Before(c.next) {
		return nil, c.next
	}
	c.next = time.Time{}
	for host := range c.gone {
		free := c.held[host].Gone.Add(c.Grace)
		if !now.Before(free) {
			hosts = append(hosts, host)
			free = now.Add(time.Second) // if nothing compiles before that
		}
		if c.next.IsZero() || free.Before(c.next) {
			c.next = free
		}
	}
	slices.Sort(hosts)
	next = c.next
	if len(hosts) > 0 {
		c.next = now // whoever asks again is told again
	}
	return hosts, next
}

func (c *Claims) shared(host string) bool { return c.Share != nil && c.Share(host) }
