package main

import (
	"testing"

	"github.com/fairlead/fairlead/internal/dockertest"
)

// A container is replaced by another while the engine misbehaves. Whatever was
// not heard of it, the next list tells, and requests wait until then.
func TestRequestsWaitOutAReplacementWhoseEventsAreLost(t *testing.T) {
	losing := func(lost string) func(*dockertest.Engine) func() {
		return func(e *dockertest.Engine) func() {
			e.Lose(func(action, _ string) bool { return action == lost })
			return func() { e.Lose(nil) }
		}
	}
	for name, fault := range map[string]func(*dockertest.Engine) (over func()){
		"none":           func(*dockertest.Engine) func() { return func() {} },
		"kill is lost":   losing("kill"),
		"die is lost":    losing("die"),
		"start is lost":  losing("start"),
		"engine is away": func(e *dockertest.Engine) func() { e.Down(); return func() { e.Up() } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			replica := func() dockertest.Container {
				return inProject(labelled("web-1", "host=app.ex", "hold=30s"), "shop", "web")
			}
			old, id := w.run(replica(), nil)
			p := w.start()
			p.await("app.ex", 200, "web-1")
			l := p.load(4, "app.ex", nil)
			l.more(50)

			over := fault(w.engine)
			w.engine.Kill(id, 15)
			old.close()
			w.engine.Die(id, 0)
			w.engine.Remove(id)
			next, _ := w.run(replica(), nil) // at the same address, as like as not
			over()
			eventually(t, "the next container is asked", func() bool { return len(next.requests()) > 50 })
			l.noneFailed()
		})
	}
}
