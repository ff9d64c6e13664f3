package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// What a deploy costs: counts of requests that failed, with small numbers. For
// figures, FLTEST_RATE says how many requests are sent a second,
// FLTEST_REPLACEMENTS how many containers are replaced, FLTEST_RECREATES how
// often Compose recreates one:
//
//	FLTEST_REPLACEMENTS=50 FLTEST_RATE=1000 go test -count=1 -v -run TestReplaced ./test/e2e/

// A service is containers that a compose project could have started, one by one.
type service struct {
	t     testing.TB
	name  string
	host  string
	image string
	flags []string
	made  int
	up    []*container
}

// newService starts n containers; each has a version of its own, name-1 being
// the first.
func newService(t testing.TB, what, image string, n int, flags ...string) *service {
	t.Helper()
	s := &service{t: t, name: unique(t, what), image: image, flags: flags}
	s.host = s.name + ".localhost"
	for range n {
		s.start()
	}
	return s
}

// start adds a container.
func (s *service) start() {
	s.t.Helper()
	s.made++
	s.up = append(s.up, runImage(s.t, s.image, append([]string{
		"-e", fmt.Sprintf("WHOAMI_VERSION=%s-%d", s.name, s.made), label("host", s.host),
		"--label=com.docker.compose.project=" + s.name, "--label=com.docker.compose.service=web",
	}, s.flags...)...))
}

// stop stops and removes the oldest container.
func (s *service) stop() {
	s.t.Helper()
	s.up[0].do("stop")
	s.up[0].do("rm")
	s.up = s.up[1:]
}

// served waits until every container of the service answers.
func (s *service) served(p *proxy) {
	s.t.Helper()
	for _, c := range s.up {
		eventually(s.t, ready, s.host+" served by "+c.Name+" too", func() error {
			a, err := p.get(s.host, "/")
			if err == nil && (a.Status != 200 || a.Container() != c.ID) {
				err = fmt.Errorf("got %v", a)
			}
			return err
		})
	}
}

// Replicas are replaced one after the other, as a script would do it that waits
// for nothing. A neighbour is replaced in between, so that addresses change
// hands.
func TestReplacedReplicasLoseNoRequest(t *testing.T) {
	for name, image := range map[string]string{"without HEALTHCHECK": imageWhoami, "with HEALTHCHECK": imageHealthy} {
		t.Run(name, func(t *testing.T) {
			p := startProcess(t)
			s, beside := newService(t, "shop", image, 2), newService(t, "beside", imageWhoami, 1)
			s.served(p)
			beside.served(p)
			main, other := p.traffic(s.host, s.name, rate(t)), p.traffic(beside.host, beside.name, max(1, rate(t)/10))
			var gone []span
			for range param(t, "FLTEST_REPLACEMENTS", 3) {
				gone = append(gone, spanOf(s.stop))
				beside.start() // at the address that was given up
				gone = append(gone, spanOf(beside.stop))
				s.start() // at the neighbour's
			}
			main.lossless(gone...)
			other.lossless(gone...)
		})
	}
}

// oneAppUnderTraffic starts a proxy, a project of one app, and traffic to it.
func oneAppUnderTraffic(t *testing.T, kind string) (*project, *traffic) {
	t.Helper()
	p := startProcess(t)
	name := unique(t, kind)
	host := name + ".localhost"
	proj := newProject(t, kind, oneApp(t, host), version(t, name))
	proj.do("up", "-d")
	p.servedBy(host, proj.container("app"))
	return proj, p.traffic(host, name, rate(t))
}

func TestRecreatedOnlyContainerLosesNoRequest(t *testing.T) {
	proj, tr := oneAppUnderTraffic(t, "single")
	var gone []span
	for range param(t, "FLTEST_RECREATES", 3) {
		gone = append(gone, spanOf(func() { proj.do("up", "-d", "--force-recreate") }))
	}
	tr.lossless(gone...)
}

func TestScalingLosesNoRequest(t *testing.T) {
	proj, tr := oneAppUnderTraffic(t, "scaled")
	var gone []span
	for _, n := range []int{3, 1, 2, 1} {
		gone = append(gone, spanOf(func() { proj.do("up", "-d", "--scale", fmt.Sprintf("app=%d", n)) }))
	}
	tr.lossless(gone...)
}

// A container that is told to stop finishes its requests, then says goodbye to
// its WebSockets, while new requests are answered by another.
func TestStoppedContainerEndsWhatItHas(t *testing.T) {
	p := startProcess(t)
	s := newService(t, "ending", imageWhoami, 2)
	s.served(p)
	ws, greeting := dialWebSocket(t, p, s.host)
	i := slices.IndexFunc(s.up, func(c *container) bool { return c.ID == greeting })
	if i < 0 {
		t.Fatalf("greeted by %q, which is no container of the service", greeting)
	}
	leaving := s.up[i]
	slow := make(chan answer, 16) // some reach the one that will be stopped
	for range cap(slow) {
		go func() {
			a, err := p.get(s.host, "/slow?d=3s")
			if err != nil {
				a.Body = err.Error()
			}
			slow <- a
		}()
	}
	if err := echo(t.Context(), ws, "before"); err != nil {
		t.Fatal(err)
	}
	pass(500 * time.Millisecond) // the requests reach the apps
	tr := p.traffic(s.host, s.name, rate(t))
	stopping := spanOf(func() { leaving.do("stop") })
	finished := 0
	for range cap(slow) {
		a := <-slow
		if a.Status != 200 {
			t.Errorf("a request under way got %v, want 200", a)
		}
		if strings.Contains(a.Body, leaving.ID) {
			finished++
		}
	}
	if finished == 0 {
		t.Error("no request was under way at the container that was stopped")
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var closed websocket.CloseError
	if _, _, err := ws.Read(ctx); !errors.As(err, &closed) || closed.Code != websocket.StatusGoingAway {
		t.Errorf("the WebSocket ended with %v, want a Close frame with status 1001", err)
	}
	tr.lossless(stopping)
}
