package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// param is a number that whoever measures may set, FLTEST_RATE for one.
func param(t testing.TB, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number", name, text)
	}
	return n
}

// rate is how many requests a second traffic sends.
func rate(t testing.TB) int { t.Helper(); return param(t, "FLTEST_RATE", 100) }

// traffic asks one host at a fixed rate until it is ended. A request is sent
// when it is due, whatever became of those before it, and its wait is counted
// from then. Nothing is tried twice: net/http's client would, and hide what is
// looked for.
type traffic struct {
	t       testing.TB
	addr    string
	host    string
	service string // every answer is to come from a version that begins so
	began   time.Time
	ended   time.Time
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu   sync.Mutex // guards all below
	idle []*link
	all  []asked
}

// asked is what became of one request.
type asked struct {
	method    string
	due, over time.Time
	version   string // of the app that answered
	failure   string // "" if all was well
	wrong     bool   // another service answered
}

// link is a connection to the proxy.
type link struct {
	net.Conn
	r    *bufio.Reader
	used time.Time
}

const (
	// trafficPatience is longer than any wait that a proxy may cause.
	trafficPatience = 45 * time.Second
	// trafficIdle is well below the time after which the proxy closes idle
	// connections, for to meet that moment would be this client's fault.
	trafficIdle = 20 * time.Second
)

// traffic begins to ask host n times a second.
func (p *proxy) traffic(host, service string, n int) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{t: p.t, addr: p.addr, host: host, service: service, began: time.Now(), cancel: cancel}
	tr.done.Go(func() { tr.run(ctx, time.Second/time.Duration(n)) })
	p.t.Cleanup(cancel)
	return tr
}

func (tr *traffic) run(ctx context.Context, every time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; n++ {
		due := tr.began.Add(time.Duration(n) * every)
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		tr.done.Go(func() { tr.ask(n, due) })
	}
}

// ask sends the n-th request: of twenty, three are PUT and two POST, five take
// a while, and two come over a connection of their own.
func (tr *traffic) ask(n int, due time.Time) {
	a := asked{method: http.MethodGet, due: due}
	target, body, want := "/", "", ""
	switch n % 20 {
	case 3, 9, 15:
		a.method = http.MethodPut
	case 6, 17:
		a.method = http.MethodPost
	case 1, 5, 10, 14, 19:
		target = "/slow?d=20ms"
	}
	if a.method != http.MethodGet {
		target, body = "/upload", strings.Repeat(strconv.Itoa(n)+" ", 20)
		want = fmt.Sprintf("%d %x\n", len(body), sha256.Sum256([]byte(body)))
	}
	a.version, a.failure = tr.exchange(a.method, target, body, want, n%10 == 2)
	a.over = time.Now()
	a.wrong = a.version != "" && !strings.HasPrefix(a.version, tr.service)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.all = append(tr.all, a)
}

// exchange sends one request and returns which version answered, and what was
// wrong.
func (tr *traffic) exchange(method, target, body, want string, alone bool) (version, failure string) {
	l, err := tr.link(alone)
	if err != nil {
		return "", err.Error()
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, tr.host)
	if alone {
		head += "Connection: close\r\n"
	}
	if method != http.MethodGet {
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	l.SetDeadline(time.Now().Add(trafficPatience))
	resp, got, err := l.exchange(method, head+"\r\n"+body)
	if err != nil || resp.Close {
		l.Close()
	} else {
		tr.keep(l)
	}
	if err != nil {
		return "", "connection: " + err.Error()
	}
	version = answer{Header: resp.Header}.Version()
	switch {
	case resp.StatusCode != http.StatusOK:
		failure = fmt.Sprintf("%d %s", resp.StatusCode, tail(string(got), 3))
	case want != "" && string(got) != want:
		failure = fmt.Sprintf("the app got another body: %s", got)
	case version == "":
		failure = "200 that no app sent"
	}
	return version, failure
}

func (l *link) exchange(method, request string) (*http.Response, []byte, error) {
	if _, err := io.WriteString(l, request); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(l.r, &http.Request{Method: method})
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

// link returns a connection, an idle one unless it is to be a new one.
func (tr *traffic) link(fresh bool) (*link, error) {
	for !fresh {
		l := tr.pop()
		if l == nil {
			break
		}
		if time.Since(l.used) < trafficIdle {
			return l, nil
		}
		l.Close()
	}
	c, err := net.DialTimeout("tcp", tr.addr, soon)
	if err != nil {
		return nil, err
	}
	return &link{Conn: c, r: bufio.NewReader(c)}, nil
}

func (tr *traffic) pop() *link {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := len(tr.idle)
	if n == 0 {
		return nil
	}
	l := tr.idle[n-1]
	tr.idle = tr.idle[:n-1]
	return l
}

func (tr *traffic) keep(l *link) {
	l.used = time.Now()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.idle = append(tr.idle, l)
}

// stop ends the traffic when all has been answered.
func (tr *traffic) stop() {
	tr.cancel()
	tr.done.Wait()
	tr.ended = time.Now()
	for _, l := range tr.idle {
		l.Close()
	}
}

// A tally is the sum of some traffic.
type tally struct {
	sent, failed, wrong int           // failed: idempotent requests
	posts, postsFailed  int           // of sent; not of failed
	longest             time.Duration // that anybody waited
	perSecond           float64
	why                 map[string]int
}

func (y tally) String() string {
	return fmt.Sprintf("%d requests at %.0f/s, of which %d POST: %d failed, and %d POST; %d answered by another service; longest wait %v",
		y.sent, y.perSecond, y.posts, y.failed, y.postsFailed, y.wrong, y.longest.Round(time.Millisecond))
}

func (tr *traffic) tally() tally {
	y := tally{sent: len(tr.all), why: map[string]int{}, perSecond: float64(len(tr.all)) / tr.ended.Sub(tr.began).Seconds()}
	for _, a := range tr.all {
		y.longest = max(y.longest, a.over.Sub(a.due))
		post := a.method == http.MethodPost
		if post {
			y.posts++
		}
		if a.wrong {
			y.wrong++
		}
		switch {
		case a.failure == "":
			continue
		case post:
			y.postsFailed++
		default:
			y.failed++
		}
		y.why[a.method+" "+a.failure]++
	}
	return y
}

// lossless ends the traffic, logs its tally, and fails the test if an
// idempotent request failed or anybody else answered. A POST may have been on
// its way when its container went, as one of those in gone did: such a one may
// fail, and of them no more than were sent in a tenth of a second, unless the
// container stalled before.
func (tr *traffic) lossless(gone ...span) tally {
	tr.t.Helper()
	tr.stop()
	y := tr.tally()
	tr.t.Logf("%s: %v%s", tr.host, y, y.reasons())
	if y.sent == 0 || y.posts == 0 {
		tr.t.Errorf("%s: the traffic was %d requests, %d of them POST, want some of both", tr.host, y.sent, y.posts)
	}
	if y.failed > 0 || y.wrong > 0 {
		tr.t.Errorf("%s: want no failure and no wrong answer", tr.host)
	}
	most := 0
	for _, s := range gone {
		if s.stalled {
			most += len(tr.all)
		}
		most += 1 + int(y.perSecond/100)
	}
	for _, a := range tr.all {
		if a.method == http.MethodPost && a.failure != "" && !slices.ContainsFunc(gone, a.during) {
			tr.t.Errorf("%s: a POST failed %v after the traffic began, and no container had just gone: %s", tr.host, a.due.Sub(tr.began), a.failure)
		}
	}
	if y.postsFailed > most {
		tr.t.Errorf("%s: %d POST failed while %d containers went, want %d at most", tr.host, y.postsFailed, len(gone), most)
	}
	return y
}

func (y tally) reasons() string {
	var b strings.Builder
	for _, why := range slices.Sorted(maps.Keys(y.why)) {
		fmt.Fprintf(&b, "\n%d× %s", y.why[why], why)
	}
	return b.String()
}

// A span is from when something began until it was over.
type span struct {
	began, over time.Time

	// The container went on taking requests without answering them before it went.
	stalled bool
}

// spanOf runs f and says when.
func spanOf(f func()) span {
	s := span{began: time.Now()}
	f()
	s.over = time.Now()
	return s
}

// lateEvent is how late the proxy may hear of what happened, on a busy machine.
const lateEvent = 100 * time.Millisecond

// during reports whether a was under way in s, or before the proxy knew of it.
func (a asked) during(s span) bool {
	return a.due.Before(s.over.Add(lateEvent)) && a.over.After(s.began)
}
