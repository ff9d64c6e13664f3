package main

import (
	"fmt"
	"testing"
)

// A container whose labels protect it is not asked by those of its predecessor,
// not even in the moment in which it turns ready.
func TestNewLabelsHoldBeforeTheirContainerIsAsked(t *testing.T) {
	w := newWorld(t)
	old, _ := w.run(inProject(labelled("web-1", "host=app.ex"), "shop", "web"), nil)
	p := w.start()
	load := p.load(4, "app.ex", func(status int, body string) string {
		if status == 200 || status == 503 {
			return ""
		}
		return fmt.Sprint(status, " ", body)
	})
	for i := range 10 {
		c := inProject(labelled(fmt.Sprintf("web-new-%d", i), "host=app.ex", "maintenance=true"), "shop", "web")
		young, id := w.run(c, nil)
		p.await("app.ex", 503, "")
		if n := len(young.requests()); n != 0 {
			t.Errorf("the newer container got %d requests, want none: its labels say maintenance", n)
		}
		w.engine.Die(id, 0)
		w.engine.Remove(id)
		young.close()
		p.await("app.ex", 200, "web-1")
	}
	load.noneFailed()
	if len(old.requests()) == 0 {
		t.Error("the older container got no request")
	}
}
