// Package files holds certificates that users bring, and the authorities of
// their clients, and reads them again whenever they change.
package files

import (
	"cmp"
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/spec"
	"github.com/rs/zerolog"
)

// Config is what Files needs.
type Config struct {
	Secret func(ref string) ([]byte, error) // reads "file:/run/secrets/app.pem"
	Dir    string                           // below which such files are, to be watched
	Log    zerolog.Logger
	Now    func() time.Time // nil means time.Now
	Quiet  time.Duration    // a file is read when it was left alone for so long; 0 means 200 ms
	Poll   time.Duration    // between looks at file systems that tell nothing; 0 means 10 s
	// Changed is called when Check may answer differently than before, and when
	// other content is in force. Run calls it, and waits for it.
	Changed func()
}

// Files is safe for concurrent use.
type Files struct {
	cfg  Config
	wake chan struct{} // holds one: files are to be watched, or have other hosts

	// What handshakes and requests read, without a lock.
	served sync.Map              // files → *tls.Certificate or *Clients in force
	index  atomic.Pointer[index] // the certificates of the live table

	mu    sync.Mutex      // guards what is below; never held while a file is read
	items map[files]*item // what Check was asked for, and what is live
	round int             // of Use
}

// files are those that a policy names: a pair, or authorities of clients.
type files struct{ cert, key, clients string }

// A Fault is something wrong with a file, worded for whoever brought it.
type Fault struct{ Message, Fix string }

func (f *Fault) Error() string { return f.Message + ": " + f.Fix }

// New returns Files that hold nothing yet.
func New(c Config) *Files {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Quiet <= 0 {
		c.Quiet = 200 * time.Millisecond
	}
	if c.Poll <= 0 {
		c.Poll = 10 * time.Second
	}
	f := &Files{cfg: c, items: map[files]*item{}, wake: make(chan struct{}, 1)}
	f.index.Store(&index{})
	return f
}

// namedBy returns what policy names.
func namedBy(policy spec.TLSPolicy) (all []files) {
	if policy.Mode == spec.TLSFile {
		all = append(all, files{cert: policy.Cert, key: policy.Key})
	}
	if policy.ClientCA != "" {
		all = append(all, files{clients: policy.ClientCA})
	}
	return all
}

// Check returns why what policy names cannot be served by, worded for the one
// who wrote the label. It reads what it has not read yet. What was good once
// stays good.
func (f *Files) Check(policy spec.TLSPolicy) error {
	var first error
	for _, n := range namedBy(policy) { // all of them, so that all are watched
		if fault := f.know(n); fault != nil && first == nil {
			first = fault
		}
	}
	return first
}

// know returns why there is nothing to serve by in n, which is read if that never
// happened.
func (f *Files) know(n files) *Fault {
	f.mu.Lock()
	it := f.items[n]
	f.mu.Unlock()
	if it == nil {
		it = f.first(n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.items[n]; known != nil {
		it = known
	} else {
		f.items[n] = it
		f.serve(it)
		f.nudge()
	}
	it.round = f.round
	return it.refusal()
}

// nudge makes Run look at what there is.
func (f *Files) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// unused is how many calls of Use may pass before what was Checked is live: the
// table it is checked for comes after all that are live or about to be.
const unused = 2

// Use says what the live table names. Everything else is forgotten, but for what
// a table that is not live yet may have asked for.
func (f *Files) Use(hosts []spec.TLSHost) {
	users := map[files][]spec.Host{}
	for _, h := range hosts {
		for _, n := range namedBy(h.Policy) {
			users[n] = append(users[n], h.Host)
		}
	}
	for n := range users {
		f.know(n) // nobody Checks again when the route that speaks for a host goes; Troubles has what is wrong
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.round++
	for n, it := range f.items {
		if !slices.Equal(it.hosts, users[n]) {
			it.use(users[n])
			f.nudge()
		}
		if it.hosts == nil && f.round-it.round > unused {
			delete(f.items, n)
			f.served.Delete(n)
		}
	}
	f.publish()
}

// serve hands what is in force of it to handshakes. f.mu is held.
func (f *Files) serve(it *item) {
	switch {
	case it.force == nil:
	case it.force.clients != nil:
		f.served.Store(it.files, it.force.clients)
	default:
		f.served.Store(it.files, it.force.pair)
	}
}

// publish makes the certificates in use what Covering finds. f.mu is held.
func (f *Files) publish() {
	var used []*item
	for _, it := range f.items {
		if it.hosts != nil && it.force != nil && it.force.pair != nil {
			used = append(used, it)
		}
	}
	slices.SortFunc(used, func(a, b *item) int { // the one that holds longest first
		return cmp.Or(b.force.pair.Leaf.NotAfter.Compare(a.force.pair.Leaf.NotAfter), a.compare(b.files))
	})
	ix := &index{exact: map[string][]*tls.Certificate{}, wildcards: map[string][]*tls.Certificate{}}
	for _, it := range used {
		ix.add(it.force.pair)
	}
	f.index.Store(ix)
}

func (n files) compare(m files) int {
	return cmp.Or(strings.Compare(n.cert, m.cert), strings.Compare(n.key, m.key), strings.Compare(n.clients, m.clients))
}

// Certificate returns the certificate that policy, of mode spec.TLSFile, names;
// nil if it could not be read. It does not block.
func (f *Files) Certificate(policy spec.TLSPolicy) *tls.Certificate {
	found, _ := f.served.Load(files{cert: policy.Cert, key: policy.Key})
	pair, _ := found.(*tls.Certificate)
	return pair
}

// Covering returns the most specific certificate among those in use that is
// valid for host now: by its exact name before by a wildcard, of several the one
// that holds longest. nil if there is none. It does not block.
func (f *Files) Covering(host spec.Host) *tls.Certificate {
	now := f.cfg.Now()
	return f.index.Load().find(host, func(c *tls.Certificate) bool { return valid(c.Leaf, now) })
}

// Clients returns the authorities that ref names, nil if they could not be read.
// It does not block.
func (f *Files) Clients(ref string) *Clients {
	found, _ := f.served.Load(files{clients: ref})
	clients, _ := found.(*Clients)
	return clients
}

// A Trouble is something wrong with a file now, though it may still be served by
// its old content.
type Trouble struct {
	Policy       spec.TLSPolicy // of the files concerned: only the fields that name them
	Message, Fix string
}

// Troubles returns what is wrong now, in order.
func (f *Files) Troubles() []Trouble {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Trouble
	now := f.cfg.Now()
	for _, it := range f.sorted() {
		all = append(all, it.troubles(now)...)
	}
	return all
}

// sorted returns all items in order. f.mu is held.
func (f *Files) sorted() []*item {
	return slices.SortedFunc(maps.Values(f.items), func(a, b *item) int { return a.compare(b.files) })
}
