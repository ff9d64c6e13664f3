package public

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/certs/acme"
)

const day = 24 * time.Hour

func TestAHostIsOrderedForWhenItAppears(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c, stop := w.run("a.example.com")
		after(time.Second)
		if c.Certificate("a.example.com") == nil || w.ordered("a.example.com") != 1 {
			t.Fatalf("%d orders, certificate %v, want one", w.ordered("a.example.com"), c.Certificate("a.example.com"))
		}
		if len(w.done) != 1 {
			t.Errorf("the issuer was told %d times that it is stored, want once", len(w.done))
		}
		s := w.state(c, "a.example.com")
		if s.State != "valid" || s.Error != "" || time.Until(s.Next) < 59*day || time.Until(s.Next) > 64*day {
			t.Errorf("state %+v, want valid, and renewed when a third is left", s)
		}
		if c.Certificate("other.example.com") != nil {
			t.Error("a host that nobody wants has a certificate")
		}
		stop()
		again, _ := w.run("a.example.com") // a restart
		after(time.Hour)
		if w.ordered("a.example.com") != 1 || again.Certificate("a.example.com") == nil {
			t.Errorf("%d orders after a restart, want the stored certificate", w.ordered("a.example.com"))
		}
	})
}

func TestRenewalByTheRealLifetime(t *testing.T) {
	for _, life := range []time.Duration{time.Hour, 6 * day, 90 * day, 398 * day} {
		t.Run(life.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.life = life
				w.run("a.example.com")
				early := min(life/3, 30*day)
				after(life - early - time.Second)
				if n := w.ordered("a.example.com"); n != 1 {
					t.Fatalf("%d orders when %s of %s are left, want none but the first", n, early, life)
				}
				after(early/10 + 2*time.Second)
				if n := w.ordered("a.example.com"); n != 2 {
					t.Errorf("%d orders when less than %s of %s are left, want a renewal", n, early, life)
				}
			})
		})
	}
}

func TestRemovedHostsAreNotRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c, _ := w.run("a.example.com", "b.example.com")
		after(time.Minute)
		c.Want([]string{"b.example.com"})
		after(200 * day)
		if a, b := w.ordered("a.example.com"), w.ordered("b.example.com"); a != 1 || b < 3 {
			t.Errorf("%d orders for the removed host and %d for the other, want 1 and 3 or more", a, b)
		}
		if c.Certificate("a.example.com") != nil {
			t.Error("the removed host's certificate is still in memory")
		}
		c.Want([]string{"a.example.com", "b.example.com"}) // its container is back
		if c.Certificate("a.example.com") == nil {
			t.Error("what is stored of it was not taken up")
		}
	})
}

func TestPreflightFailingIsNoAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.reach = func(string) error { return &acme.Fault{Message: "leads elsewhere", Fix: "let it lead here"} }
		c, _ := w.run("a.example.com")
		after(10 * time.Minute)
		if n := w.ordered("a.example.com"); n != 0 {
			t.Errorf("%d orders, want none", n)
		}
		if n := w.checked(); n < 15 || n > 21 {
			t.Errorf("%d checks in ten minutes, want one about every 30 s", n)
		}
		if s := w.state(c, "a.example.com"); s.State != "waiting" || s.Error != "leads elsewhere" || s.Fix != "let it lead here" {
			t.Errorf("state %+v, want it to wait and say why", s)
		}
		w.mu.Lock()
		w.reach = nil
		w.mu.Unlock()
		after(time.Minute)
		if s := w.state(c, "a.example.com"); s.State != "valid" || s.Error != "" {
			t.Errorf("state %+v, want it valid once it is reached", s)
		}
	})
}

// Five failed validations of a host per hour is all there is: four are ours, one
// is the operator's.
func TestFailuresBackOffWithinTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.fail = func(string, int) error { return &acme.Fault{Validation: true, Message: "something else answered"} }
		_, stop := w.run("bad.example.com", "good.example.com")
		w.mu.Lock()
		w.fail = func(host string, n int) error {
			if host == "bad.example.com" {
				return &acme.Fault{Validation: true, Message: "something else answered"}
			}
			return nil
		}
		w.mu.Unlock()
		after(30 * time.Minute)
		stop()
		c, _ := w.run("bad.example.com", "good.example.com") // a restart forgets nothing
		after(3 * day)
		if c.Certificate("good.example.com") == nil {
			t.Error("another host was held back")
		}
		times := w.orders["bad.example.com"]
		for i := range times {
			if i+4 < len(times) && times[i+4].Sub(times[i]) < time.Hour {
				t.Errorf("attempts %d to %d within %s, want at most 4 per hour", i, i+4, times[i+4].Sub(times[i]))
			}
			if i > 0 && times[i].Sub(times[i-1]) < 50*time.Second {
				t.Errorf("attempt %d came %s after the one before, want at least about a minute", i, times[i].Sub(times[i-1]))
			}
		}
		if len(times) < 8 || len(times) > 20 {
			t.Errorf("%d attempts in three days, want them to grow rare", len(times))
		}
		if s := w.state(c, "bad.example.com"); s.State != "failed" || s.Error == "" || !s.Next.After(time.Now()) {
			t.Errorf("state %+v, want failed, with the reason and the next try", s)
		}
	})
}

func TestRetryLiftsTheBackOffAndNotTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.fail = func(string, int) error { return &acme.Fault{Validation: true, Message: "no"} }
		c, _ := w.run("a.example.com")
		after(10 * time.Minute)
		for w.ordered("a.example.com") < 5 {
			before := w.ordered("a.example.com")
			if err := c.Retry("a.example.com"); err != nil {
				t.Fatalf("retry after %d attempts: %v", before, err)
			}
			after(time.Second)
			if w.ordered("a.example.com") != before+1 {
				t.Fatalf("%d orders after a retry, want one more than %d", w.ordered("a.example.com"), before)
			}
		}
		if err := c.Retry("a.example.com"); err == nil || !strings.Contains(err.Error(), "5 failed validations") {
			t.Errorf("retry after five failures within the hour: %v, want it refused", err)
		}
		after(2 * time.Hour)
		if err := c.Retry("a.example.com"); err != nil {
			t.Errorf("retry two hours later: %v", err)
		}
		if err := c.Retry("a.exmaple.com"); err == nil || !strings.Contains(err.Error(), "did you mean a.example.com") {
			t.Errorf("retry of a typo: %v, want the nearest host", err)
		}
	})
}

// Behind a router without hairpin NAT the check always fails. What worked once
// without it is renewed without it.
func TestARetryThatWorksMakesTheCheckUnnecessary(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.reach = func(string) error { return errors.New("timed out") }
		c, stop := w.run("a.example.com")
		after(time.Minute)
		if err := c.Retry("a.example.com"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		if w.ordered("a.example.com") != 1 {
			t.Fatalf("%d orders after retry, want one", w.ordered("a.example.com"))
		}
		stop()
		w.run("a.example.com")
		after(70 * day)
		if w.ordered("a.example.com") != 2 {
			t.Errorf("%d orders, want the renewal", w.ordered("a.example.com"))
		}
	})
}

// Without plain HTTP only one challenge is left, whatever the check says.
func TestARetryOrdersByTheChallengeThatIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.by = acme.TLSALPN01
		w.reach = func(string) error { return errors.New("timed out") }
		c, _ := w.run("a.example.com")
		after(time.Minute)
		if err := c.Retry("a.example.com"); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		if w.asked != acme.TLSALPN01 {
			t.Errorf("ordered by %q, want %q", w.asked, acme.TLSALPN01)
		}
	})
}

func TestAFaultOfTheAuthorityHoldsAllBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		down := true
		w.fail = func(string, int) error {
			if down {
				return &acme.Fault{Scope: acme.OfAuthority, RetryAfter: 2 * time.Hour, Message: "rate limited"}
			}
			return nil
		}
		var hosts []string
		for i := range 50 {
			hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
		}
		_, stop := w.run(hosts...)
		after(time.Hour)
		stop()
		c, _ := w.run(hosts...)
		after(50 * time.Minute)
		if n := w.total(); n > workers {
			t.Errorf("%d orders within the two hours that were asked for, want at most the %d that were under way", n, workers)
		}
		if s := w.state(c, "h7.example.com"); s.State != "waiting" && s.State != "failed" || s.Error != "rate limited" {
			t.Errorf("state %+v, want it to wait for the authority", s)
		}
		w.mu.Lock()
		down = false
		w.mu.Unlock()
		after(day)
		for _, h := range hosts {
			if c.Certificate(h) == nil {
				t.Errorf("%s has no certificate after the authority was back", h)
			}
		}
	})
}

func (w *world) total() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.orders {
		n += len(times)
	}
	return n
}

func TestLimitsOfTheAuthority(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.cfg.Limits = Limits{Orders3Hours: 20, PerDomainWeek: 50}
		var hosts []string
		for i := range 60 {
			hosts = append(hosts, fmt.Sprintf("h%02d.example.co.uk", i))
		}
		c, _ := w.run(hosts...)
		after(time.Hour)
		if n := w.total(); n != 20 {
			t.Errorf("%d orders in the first hour, want the 20 that three hours allow", n)
		}
		after(day)
		if n := w.total(); n != 50 {
			t.Errorf("%d orders in a day, want the 50 that a week allows for one domain", n)
		}
		waiting := 0
		for _, s := range c.States() {
			if s.State == "waiting" && strings.Contains(s.Error, "example.co.uk has had 50 new certificates") {
				waiting++
			}
		}
		if waiting != 10 {
			t.Errorf("%d hosts say why they wait, want 10", waiting)
		}
		after(8 * day)
		if n := w.total(); n != 60 {
			t.Errorf("%d orders after a week, want all 60", n)
		}
	})
}

// A process that is killed again and again while it waits for its one order must
// not find the limits used up by that.
func TestAnOrderThatWasMadeIsNotCountedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const host = "a.example.com"
		w.cfg.Limits = Limits{Orders3Hours: 1}
		w.cfg.Made = func(h string) bool { return w.ordered(h) > 0 }
		w.cfg.Order = func(ctx context.Context, host string, by acme.Challenge) ([]byte, error) {
			if w.order(ctx, host, by); w.ordered(host) < 10 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return w.order(ctx, host, by)
		}
		for range 9 {
			_, stop := w.run(host)
			stop()
		}
		c, _ := w.run(host, "b.example.com")
		if s := w.state(c, host); s.State != "valid" {
			t.Errorf("%+v, want the certificate of the order that was made", s)
		}
		if s := w.state(c, "b.example.com"); s.State != "waiting" || !strings.Contains(s.Error, "within three hours") {
			t.Errorf("%+v, want it to wait: that one order is counted", s)
		}
	})
}

// An order that is over is forgotten only once its failure is noted: a process that
// dies in between must not order anew at once.
func TestFailuresAreNotedBeforeTheirOrderIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const host = "a.example.com"
		var failures []int // noted whenever an order was forgotten
		w.cfg.Done = func(string) {
			data, err := w.store.Get("acme/test/ledger.json")
			var l ledger
			if err == nil {
				err = json.Unmarshal(data, &l)
			}
			if err != nil {
				t.Errorf("ledger: %v", err)
			}
			failures = append(failures, l.Hosts[host].Failures)
		}
		w.fail = func(_ string, n int) error { return &acme.Fault{Message: "no", Over: n > 1} }
		_, stop := w.run(host)
		after(10 * time.Minute)
		stop()
		if want := []int{2, 3, 4}; !slices.Equal(failures, want) {
			t.Errorf("orders were forgotten at failures %v, want %v", failures, want)
		}
	})
}

// A data directory that is lost at every start must not spend the week's
// certificates of a host.
func TestOneHostGetsFewCertificatesAWeek(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 12 {
			_, stop := w.run("a.example.com")
			after(time.Hour)
			stop()
			w.store.Delete("acme/test/certs/a.example.com.pem")
		}
		if n := w.ordered("a.example.com"); n != 5 {
			t.Errorf("%d orders, want the 5 that a week allows", n)
		}
	})
}

// With a clock a year off every certificate is out of date, or not valid yet.
func TestAWrongClockCausesNoStorm(t *testing.T) {
	for name, skew := range map[string]time.Duration{"a year ahead": 365 * day, "a year behind": -365 * day} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				_, stop := w.run("a.example.com")
				after(time.Hour)
				stop()
				w.skew = skew
				_, stop = w.run("a.example.com")
				after(20 * day)
				stop()
				c, stop := w.run("a.example.com")
				after(5 * day)
				if n := w.ordered("a.example.com"); n > 2 {
					t.Errorf("%d orders, want the first and at most one more", n)
				}
				if c.Certificate("a.example.com") == nil {
					t.Error("no certificate is served")
				}
				stop()
				w.skew = 0 // and right again
				c, _ = w.run("a.example.com")
				after(day)
				if n := w.ordered("a.example.com"); n > 3 || w.state(c, "a.example.com").State != "valid" {
					t.Errorf("%d orders, state %+v after the clock was set, want no more orders", n, w.state(c, "a.example.com"))
				}
			})
		})
	}
}

// Failures that were noted by a clock that was ahead do not hold a host back for
// a year.
func TestBackOffOfAClockThatWasAhead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.skew = 365 * day
		w.fail = func(string, int) error { return &acme.Fault{Validation: true, Message: "no"} }
		_, stop := w.run("a.example.com")
		after(time.Hour)
		stop()
		w.skew, w.fail = 0, nil
		c, _ := w.run("a.example.com")
		after(25 * time.Hour)
		if c.Certificate("a.example.com") == nil {
			t.Errorf("state %+v a day after the clock was set, want a certificate", w.state(c, "a.example.com"))
		}
	})
}

func TestTwoProcessesOrderOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var hosts []string
		for i := range 20 {
			hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
		}
		a, _ := w.run(hosts...)
		b, _ := w.run(hosts...)
		after(5 * time.Minute)
		for _, h := range hosts {
			if n := w.ordered(h); n != 1 {
				t.Errorf("%s: %d orders, want 1", h, n)
			}
			if a.Certificate(h) == nil || b.Certificate(h) == nil {
				t.Errorf("%s: not both processes have the certificate", h)
			}
		}
	})
}

func TestBrokenFilesAreSetAside(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for name, data := range map[string]string{
			"certs/a.example.com.pem": "half a certif", "certs/b.example.com.pem": string(newCert(t, "other.example.com", time.Now(), time.Now().Add(day))), "ledger.json": "{",
		} {
			if err := w.store.Put("acme/test/"+name, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		c, _ := w.run("a.example.com", "b.example.com")
		after(time.Minute)
		for _, h := range []string{"a.example.com", "b.example.com"} {
			if c.Certificate(h) == nil || w.ordered(h) != 1 {
				t.Errorf("%s: %d orders, want one that replaces the broken file", h, w.ordered(h))
			}
		}
	})
}

func TestAnExpiredCertificateIsBetterThanNone(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.reach = func(string) error { return errors.New("away") }
		w.store.Put("acme/test/certs/a.example.com.pem", newCert(t, "a.example.com", time.Now().Add(-90*day), time.Now().Add(-day)))
		c, _ := w.run("a.example.com")
		if c.Certificate("a.example.com") == nil || w.state(c, "a.example.com").State != "expired" {
			t.Errorf("state %+v, want the expired certificate served", w.state(c, "a.example.com"))
		}
	})
}
