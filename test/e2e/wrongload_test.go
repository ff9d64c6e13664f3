package e2e

import (
	"fmt"
	"testing"
)

// A wrong word about the sharing of load costs that label: the app is served as
// if it had not been said, and who looks is told.
func TestWrongLoadLabelsCostOnlyThemselves(t *testing.T) {
	p := startProcess(t)
	for _, c := range []struct {
		key, value string
		words      []string
	}{
		{"weight", "-1", []string{"0", "1000"}},
		{"balance", "fastest", []string{"round-robin", "least-conn"}},
		{"hold", "10h", []string{"10m"}},
		{"canary", "150%", []string{"canary"}},
		{"health.path", "ping", []string{"/ping"}},
		{"max-fails", "often", []string{"often"}},
	} {
		t.Run(c.key, func(t *testing.T) {
			host := unique(t, "wrong") + ".localhost"
			app := runApp(t, label("host", host), label(c.key, c.value))
			p.servedBy(host, app.ID)
			p.says(append(c.words, "problem: ", "fairlead."+c.key, app.Name), "explain", "http://"+host+"/")
		})
	}
}

// never are the labels of a check that does not pass, however often it is made.
var never = []string{label("health.path", "/status/500"), label("health.interval", "500ms"), label("health.timeout", "500ms")}

func TestHealthCheckThatNeverPassesIsExplainedAndTheOnlyContainerServes(t *testing.T) {
	p := startProcess(t)
	host := unique(t, "sick") + ".localhost"
	c := runApp(t, append(never, label("host", host))...)
	why := []string{c.Name, "unhealthy", "its health check fails: GET /status/500 as " + host + " was answered 500"}
	p.says(why, "explain", "http://"+host+"/")
	p.says([]string{c.Name, "unhealthy"}, "routes")
	p.servedBy(host, c.ID)
}

// One that waits for its first good check is asked only when nobody else is
// there, and nobody waits for that.
func TestReplicaThatIsNotReadyIsAskedOnlyAlone(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		state string
		image string
	}{
		"HEALTHCHECK that never ends": {[]string{"--health-interval=1h"}, "starting (its HEALTHCHECK has not passed yet)", imageHealthy},
		"HEALTHCHECK that fails":      {[]string{"--health-interval=1s", "--health-retries=1", "--health-cmd=false"}, "unhealthy (its HEALTHCHECK fails)", imageWhoami},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProcess(t)
			s := newService(t, "unready", c.image, 1, c.flags...)
			unready := s.up[0]
			p.says([]string{unready.Name, c.state}, "explain", "http://"+s.host+"/")
			p.servedBy(s.host, unready.ID)

			s.image, s.flags = imageWhoami, nil
			s.start()
			p.servedBy(s.host, s.up[1].ID)
			for range 10 {
				a, err := p.get(s.host, "/")
				if err != nil || a.Container() != s.up[1].ID {
					t.Fatalf("got %v, %v, want every answer from the container that is ready", a, err)
				}
			}
			tr := p.traffic(s.host, s.name, rate(t))
			stopping := spanOf(func() { s.up[1].do("stop") })
			p.servedBy(s.host, unready.ID)
			tr.lossless(stopping)
		})
	}
}

// Nobody else is there, so backups are not held back.
func TestBackupsAloneShareTheLoad(t *testing.T) {
	p := startProcess(t)
	s := newService(t, "backups", imageWhoami, 2, label("backup", "true"))
	s.served(p)
	tr := p.traffic(s.host, s.name, rate(t))
	killing := spanOf(func() { s.up[0].do("kill") })
	p.servedBy(s.host, s.up[1].ID)
	s.flags = nil
	s.start() // now one is there that is no backup
	eventually(t, soon, "only the one that is no backup answers", func() error {
		for range 4 {
			if a, err := p.get(s.host, "/"); err != nil || a.Container() != s.up[2].ID {
				return fmt.Errorf("got %v, %v", a, err)
			}
		}
		return nil
	})
	tr.lossless(killing)
}
