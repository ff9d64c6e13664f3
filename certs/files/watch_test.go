package files

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/spec"
)

// serves reports whether p is served by m.
func (r *room) serves(p spec.TLSPolicy, m *made) func() bool {
	return func() bool {
		got := r.Certificate(p)
		return got != nil && got.Leaf.Equal(m.cert)
	}
}

// troubled reports whether a trouble says text.
func (r *room) troubled(text string) func() bool {
	return func() bool {
		return slices.ContainsFunc(r.Troubles(), func(t Trouble) bool { return strings.Contains(t.Message, text) })
	}
}

func (r *room) untroubled() bool { return len(r.Troubles()) == 0 }

// Every way in which files are replaced is noticed, without a look from time to
// time.
func TestReplacedFilesAreRead(t *testing.T) {
	old, now := forHost(t, "a.ex"), forHost(t, "a.ex")
	link := func(r *room, name, to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	both := func(r *room, dir string, m *made) {
		r.put(dir+"/a.pem", m.crt())
		r.put(dir+"/a.key", m.pkcs8(t))
	}
	for _, tt := range []struct {
		name       string
		start, end func(r *room)
		dir        string // of the pair that the policy names
	}{
		{name: "written in place", start: func(r *room) { both(r, ".", old) }, end: func(r *room) { both(r, ".", now) }},
		{name: "renamed", start: func(r *room) { both(r, ".", old) }, end: func(r *room) {
			r.swap("a.pem", "", now.crt())
			r.swap("a.key", "", now.pkcs8(t))
		}},
		{name: "links swapped", start: func(r *room) {
			both(r, "v1", old)
			both(r, "v2", now)
			link(r, "a.pem", "v1/a.pem")
			link(r, "a.key", "v1/a.key")
		}, end: func(r *room) {
			r.swap("a.pem", "v2/a.pem")
			r.swap("a.key", "v2/a.key")
		}},
		{name: "..data swapped, as Kubernetes does", start: func(r *room) {
			both(r, "..2026_11_01", old)
			link(r, "..data", "..2026_11_01")
			link(r, "a.pem", "..data/a.pem")
			link(r, "a.key", "..data/a.key")
		}, end: func(r *room) {
			both(r, "..2026_11_02", now)
			r.swap("..data", "..2026_11_02")
			os.RemoveAll(filepath.Join(r.dir, "..2026_11_01"))
		}},
		{name: "what links lead to is written, as certbot does", dir: "live/a.ex", start: func(r *room) {
			both(r, "archive/a.ex", old)
			both(r, "live/a.ex", old)
			for _, name := range []string{"a.pem", "a.key"} {
				os.Remove(filepath.Join(r.dir, "live/a.ex", name))
				link(r, "live/a.ex/"+name, "../../archive/a.ex/"+name)
			}
		}, end: func(r *room) { both(r, "archive/a.ex", now) }},
		{name: "a directory in the middle swapped", dir: "x/y/z", start: func(r *room) {
			both(r, "x/y/z", old)
			both(r, "new/z", now)
		}, end: func(r *room) {
			for _, move := range [][2]string{{"x/y", "gone"}, {"new", "x/y"}} {
				if err := os.Rename(filepath.Join(r.dir, move[0]), filepath.Join(r.dir, move[1])); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{name: "a link to a directory in the middle swapped", dir: "x/current", start: func(r *room) {
			both(r, "x/v1", old)
			both(r, "x/v2", now)
			link(r, "x/current", "v1")
		}, end: func(r *room) { r.swap("x/current", "v2") }},
		{name: "a directory removed and made again", dir: "x/y", start: func(r *room) { both(r, "x/y", old) }, end: func(r *room) {
			if err := os.RemoveAll(filepath.Join(r.dir, "x")); err != nil {
				t.Fatal(err)
			}
			both(r, "x/y", now)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, nil)
			tt.start(r)
			p := r.pair(filepath.Join(tt.dir, "a.pem"), filepath.Join(tt.dir, "a.key"))
			r.mustCheck(p)
			r.use(p, "a.ex")
			r.run()
			r.untilWatched()
			tt.end(r)
			r.until("the new certificate", r.serves(p, now))
			r.until("the call of Changed", func() bool { return r.changed.Load() > 0 })
			r.until("the end of the troubles", r.untroubled)
			if got := r.Covering(host(t, "a.ex")); got == nil || !got.Leaf.Equal(now.cert) {
				t.Errorf("got %v to cover a.ex, want the new certificate", got)
			}
			// And once more, from where it is now.
			r.put(filepath.Join(tt.dir, "a.pem"), old.crt())
			r.put(filepath.Join(tt.dir, "a.key"), old.pkcs8(t))
			r.until("the old certificate", r.serves(p, old))
		})
	}
}

// untilWatched waits until Run has looked at what was Checked: a file made for it
// becomes good.
func (r *room) untilWatched() {
	r.t.Helper()
	p := r.pair("probe/p.pem", "probe/p.key")
	if r.Check(p) == nil {
		r.t.Fatal("Check = nil before there is a file")
	}
	m := forHost(r.t, "probe.ex")
	r.put("probe/p.pem", m.crt())
	r.put("probe/p.key", m.pkcs8(r.t))
	r.until("the probe", r.serves(p, m))
	r.until("the end of that look", func() bool { return strings.Contains(r.logs.String(), "probe/p.pem") })
	r.changed.Store(0)
}

// A file that is written in steps is empty, and then half there, however often it
// is looked at meanwhile.
func TestAFileInTheMiddleOfItsWritingIsNoFault(t *testing.T) {
	r := newRoom(t, func(c *Config) { c.Quiet, c.Poll = 2*time.Second, 5*time.Millisecond })
	ca, more := maker{cn: "one", ca: true}.make(t), maker{cn: "two", ca: true}.make(t)
	p := spec.TLSPolicy{ClientCA: r.ref("ca.pem")}
	r.put("ca.pem", ca.crt())
	r.mustCheck(p)
	r.run()
	r.polls(2)
	f, err := os.OpenFile(filepath.Join(r.dir, "ca.pem"), os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for part := range slices.Chunk(slices.Concat(ca.crt(), more.crt()), 300) {
		<-tick.C
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		if c := r.Clients(p.ClientCA); c == nil || !c.roots[0].Equal(ca.cert) {
			t.Fatalf("got %+v while the file is being written, want the authority from before", c)
		}
	}
	r.until("both authorities", func() bool { return len(r.Clients(p.ClientCA).roots) == 2 })
	if log := r.logs.String(); strings.Contains(log, "warn") || strings.Contains(log, "damaged") {
		t.Errorf("a file that was being written was logged as a fault:\n%s", log)
	}
}

// The halves of a pair come one after the other: no handshake may see two that do
// not belong together, or none.
func TestHandshakesWhileAPairIsReplaced(t *testing.T) {
	r := newRoom(t, nil)
	old := forHost(t, "a.ex")
	p := r.own("a", old)
	r.use(p, "a.ex")
	r.run()
	r.untilWatched()
	var stop atomic.Bool
	var group sync.WaitGroup
	var lookups atomic.Int64
	for range 4 {
		group.Go(func() {
			for !stop.Load() {
				lookups.Add(1)
				for _, got := range []*tls.Certificate{r.Certificate(p), r.Covering(spec.Host{Text: "a.ex"})} {
					if why := fits(got); why != "" {
						t.Errorf("a handshake got a certificate that %s", why)
						return
					}
				}
			}
		})
	}
	for range 5 {
		now := forHost(t, "a.ex")
		r.swap("a.pem", "", now.crt())
		r.swap("a.key", "", now.pkcs8(t))
		r.until("the new certificate", r.serves(p, now))
	}
	stop.Store(true)
	group.Wait()
	if lookups.Load() == 0 {
		t.Error("nobody looked")
	}
}

// fits says what is wrong with cert, "" if what its key signs can be verified.
func fits(cert *tls.Certificate) string {
	if cert == nil {
		return "is not there"
	}
	sum := sha256.Sum256([]byte("hello"))
	signature, err := cert.PrivateKey.(crypto.Signer).Sign(rand.Reader, sum[:], crypto.SHA256)
	switch {
	case err != nil:
		return err.Error()
	case !bytes.Equal(cert.Leaf.Raw, cert.Certificate[0]):
		return "has another leaf than it sends"
	case !ecdsa.VerifyASN1(cert.Leaf.PublicKey.(*ecdsa.PublicKey), sum[:], signature):
		return "has another certificate's key"
	}
	return ""
}

func TestOneHalfReplacedIsSaidIfItStaysSo(t *testing.T) {
	r := newRoom(t, nil)
	old, now := forHost(t, "a.ex"), forHost(t, "a.ex")
	p := r.own("a", old)
	r.run()
	r.untilWatched()
	r.put("a.pem", now.crt())
	r.until("the trouble", r.troubled("is not the key of"))
	if !r.serves(p, old)() {
		t.Error("the old pair is not served any more")
	}
	r.put("a.key", now.pkcs8(t))
	r.until("the new pair", r.serves(p, now))
	r.until("the end of the trouble", r.untroubled)
}

func TestWhatWasGoodStaysAndIsSaidOnce(t *testing.T) {
	r := newRoom(t, func(c *Config) { c.Poll = 20 * time.Millisecond })
	old := forHost(t, "a.ex")
	p := r.own("a", old)
	r.run()
	r.untilWatched()
	logged := func(text string, n int) {
		t.Helper()
		r.until("the line "+text, func() bool { return strings.Count(r.logs.String(), text) >= n })
		if got := strings.Count(r.logs.String(), text); got != n {
			t.Errorf("%q was logged %d times, want %d:\n%s", text, got, n, r.logs)
		}
	}
	for i, bad := range [][]byte{[]byte("x"), nil} {
		if bad == nil {
			if err := os.Remove(filepath.Join(r.dir, "a.key")); err != nil {
				t.Fatal(err)
			}
		} else {
			r.put("a.key", bad)
		}
		want := []string{"holds nothing in PEM", "does not exist"}[i]
		r.until("the trouble", r.troubled(want))
		for _, part := range []string{
			"a.key", "; what was read before, on ", " stays in force: a certificate that is valid until " + stamp(old.cert.NotAfter),
		} {
			if !r.troubled(part)() {
				t.Errorf("got troubles %+v, want %q in one", r.Troubles(), part)
			}
		}
		if !r.serves(p, old)() || r.Check(p) != nil {
			t.Errorf("%s: the certificate is not served any more, or Check = %v", want, r.Check(p))
		}
		logged(want, 1)
		r.polls(3)
		logged(want, 1)
		r.put("a.key", old.pkcs8(t))
		r.until("the end of the trouble", r.untroubled)
		logged("certificate file in order again", i+1)
	}
	if r.changed.Load() != 0 {
		t.Errorf("Changed was called %d times, want none: Check answered the same all the time", r.changed.Load())
	}
	r.put("a.key", []byte("x"))
	r.until("the trouble", r.troubled("holds nothing in PEM"))
	now := r.replace("a")
	r.until("the new certificate", r.serves(p, now))
	r.until("the end of the trouble", r.untroubled)
	logged("certificate file read again", 2) // the probe's too
}

// replace writes another pair as name.pem and name.key.
func (r *room) replace(name string) *made {
	r.t.Helper()
	m := forHost(r.t, "a.ex")
	r.put(name+".pem", m.crt())
	r.put(name+".key", m.pkcs8(r.t))
	return m
}

// polls waits until Run has read its files n more times.
func (r *room) polls(n int64) {
	r.t.Helper()
	r.mu.Lock()
	each := int64(2 * len(r.items))
	r.mu.Unlock()
	from := r.reads.Load()
	r.until("a few looks", func() bool { return r.reads.Load() >= from+n*each })
}

func TestARefusedFileThatBecomesGoodIsTold(t *testing.T) {
	r := newRoom(t, nil)
	a, ca := forHost(t, "a.ex"), maker{cn: "clients", ca: true}.make(t)
	p := r.pair("deep/er/a.pem", "deep/er/a.key")
	p.ClientCA = r.ref("ca/ca.pem")
	r.run()
	if r.Check(p) == nil {
		t.Fatal("Check = nil before there is a file")
	}
	r.put("deep/er/a.pem", a.crt())
	r.put("deep/er/a.key", a.pkcs8(t))
	r.until("the pair", r.serves(p, a))
	r.until("the call of Changed", func() bool { return r.changed.Load() > 0 })
	if err := r.Check(p); err == nil || !strings.Contains(err.Error(), "ca.pem does not exist") {
		t.Errorf("Check = %v, want that the authorities are missing", err)
	}
	before := r.changed.Load()
	r.put("ca/ca.pem", []byte("x"))
	r.until("another reason", func() bool { return strings.Contains(errText(r.Check(p)), "holds nothing in PEM") })
	r.until("the call of Changed", func() bool { return r.changed.Load() > before })
	before = r.changed.Load()
	r.put("ca/ca.pem", ca.crt())
	r.until("the authorities", func() bool { return r.Check(p) == nil })
	r.until("the call of Changed", func() bool { return r.changed.Load() > before })
	if c := r.Clients(p.ClientCA); c == nil || len(c.roots) != 1 {
		t.Errorf("got %+v, want the authority", c)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAuthoritiesThatTurnBadStay(t *testing.T) {
	r := newRoom(t, nil)
	ca := maker{cn: "clients", ca: true}.make(t)
	p := spec.TLSPolicy{ClientCA: r.ref("ca.pem")}
	r.put("ca.pem", ca.crt())
	r.mustCheck(p)
	c := r.Clients(p.ClientCA)
	r.run()
	r.untilWatched()
	r.put("ca.pem")
	r.until("the trouble", r.troubled("is empty; what was read before"))
	if got := r.Clients(p.ClientCA); got != c || r.Check(p) != nil {
		t.Errorf("got %p and Check = %v, want the same authorities %p", got, r.Check(p), c)
	}
	r.put("ca.pem", ca.crt())
	r.until("the end of the trouble", r.untroubled)
	if got := r.Clients(p.ClientCA); got != c {
		t.Errorf("got %p, want the same authorities %p: nothing changed, and connections would be made anew", got, c)
	}
	r.put("ca.pem", maker{cn: "others", ca: true}.make(t).crt())
	r.until("other authorities", func() bool { return r.Clients(p.ClientCA) != c })
}

// A certificate that is put there too late, or too early, does not take the place
// of one that is valid.
func TestAnOlderCertificateThatIsValidIsPreferred(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name        string
		from, until time.Duration
		says        string
		passes      time.Duration // after which the new one is served
	}{
		{"expired", -48 * time.Hour, -24 * time.Hour, "the new certificate in DIR/a.pem expired on ", 25 * time.Hour},
		{"too early", time.Hour, 48 * time.Hour, "the new certificate in DIR/a.pem is not valid before ", 2 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom(t, func(c *Config) { c.Poll = 20 * time.Millisecond })
			old := forHost(t, "a.ex")
			p := r.own("a", old)
			r.run()
			r.untilWatched()
			m := maker{names: []string{"a.ex"}, from: now.Add(tt.from), until: now.Add(tt.until)}.make(t)
			r.put("a.pem", m.crt())
			r.put("a.key", m.pkcs8(t))
			r.until("the trouble", r.troubled(strings.ReplaceAll(tt.says, "DIR", r.dir)))
			if !r.serves(p, old)() || !r.troubled("stays in force: a certificate that is valid until "+stamp(old.cert.NotAfter))() {
				t.Errorf("got troubles %+v, want the old certificate in force", r.Troubles())
			}
			r.clock.Store(int64(tt.passes))
			r.until("the new certificate", r.serves(p, m))
		})
	}
}

// File systems that tell nothing, and kernels that give no watch, are polled.
func TestPollingAlone(t *testing.T) {
	r := newRoom(t, func(c *Config) {
		c.Dir = filepath.Join(c.Dir, "elsewhere") // where nothing happens
		c.Poll = 20 * time.Millisecond
	})
	old := forHost(t, "a.ex")
	p := r.own("a", old)
	r.run()
	now := r.replace("a")
	r.until("the new certificate", r.serves(p, now))
	r.until("the call of Changed", func() bool { return r.changed.Load() > 0 })
}

func TestFilesAreReadAgainWhenTold(t *testing.T) {
	r := newRoom(t, func(c *Config) {
		c.Dir = filepath.Join(c.Dir, "elsewhere") // where nothing happens
		c.Poll = time.Hour
	})
	p := r.own("a", forHost(t, "a.ex"))
	r.run()
	r.polls(1) // of what was new
	now := r.replace("a")
	r.Again()
	r.until("the new certificate", r.serves(p, now))
}

func TestFilesBesideAreNoneOfOurBusiness(t *testing.T) {
	r := newRoom(t, nil)
	r.own("a", forHost(t, "a.ex"))
	w := r.watch()
	defer w.close()
	r.reload(w)
	for name, want := range map[string]bool{"a.pem": true, "a.key": true, "": true, "other.pem": false, "a.pem.tmp": false, "x/a.pem": false} {
		if got := w.about(filepath.Join(r.dir, name)); got != want {
			t.Errorf("a change of %q concerns us: got %v, want %v", name, got, want)
		}
	}
	if got := w.notify.WatchList(); len(got) != 1 || got[0] != r.dir {
		t.Errorf("got watches of %q, want the directory alone", got)
	}
	for range unused + 1 {
		r.Use(nil)
	}
	r.reload(w)
	if got := w.notify.WatchList(); len(got) != 0 {
		t.Errorf("got watches of %q when nothing is named, want none", got)
	}
}

func TestPlanStaysBelowTheDirectory(t *testing.T) {
	r := newRoom(t, nil)
	r.put("real/a.pem")
	for name, to := range map[string]string{
		"inside": "real/a.pem", "dots": "real/../real/a.pem", "out": "../a.pem", "deep": "real/../../a.pem", "abs": filepath.Join(r.dir, "real/a.pem"), "loop": "loop",
	} {
		r.swap(name, to)
	}
	for name, want := range map[string]bool{"inside": true, "dots": true, "real/a.pem": true, "none/at/all": true, "out": false, "deep": false, "abs": false, "loop": false, "../x": false} {
		p := plan{}
		if got := p.add(r.dir, filepath.Join(r.dir, name)); got != want {
			t.Errorf("%s stays inside: got %v, want %v", name, got, want)
		}
		for dir := range p {
			if dir != r.dir && !strings.HasPrefix(dir, r.dir+"/") {
				t.Errorf("%s: %s is to be watched, want nothing outside %s", name, dir, r.dir)
			}
		}
	}
}

// Check and handshakes go on while a file system hangs.
func TestAReadThatHangsKeepsNobodyElse(t *testing.T) {
	hang, begun := make(chan struct{}), make(chan struct{})
	r := newRoom(t, nil)
	good := r.own("a", forHost(t, "a.ex"))
	read := r.cfg.Secret
	r.cfg.Secret = func(ref string) ([]byte, error) {
		if strings.Contains(ref, "hang") {
			close(begun)
			<-hang
			return nil, fs.ErrNotExist
		}
		return read(ref)
	}
	done := make(chan error)
	go func() { done <- r.Check(spec.TLSPolicy{ClientCA: r.ref("hang.pem")}) }()
	<-begun
	r.mustCheck(good)
	r.use(good, "a.ex")
	if r.Covering(host(t, "a.ex")) == nil || len(r.Troubles()) != 0 {
		t.Errorf("got troubles %+v and no certificate", r.Troubles())
	}
	close(hang)
	if err := <-done; err == nil {
		t.Error("Check = nil, want that there is no file")
	}
}
