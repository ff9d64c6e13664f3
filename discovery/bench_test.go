package discovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/network"

	"github.com/fairlead/fairlead/spec"
)

// What one change costs from its event to the snapshot, without the time it is
// held back for others, the engine's answers, and what is done with a snapshot.
func BenchmarkEventToSnapshot(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, published := crowd(n), 0
			l.publish = func(spec.Snapshot) { published++ }
			l.due(b.Context(), time.Now())
			was := published
			ms := [2]events.Message{{Type: "container", Action: "pause"}, {Type: "container", Action: "unpause"}}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				m := ms[i%2]
				m.Actor.ID, m.TimeNano = someID(i/2%n), time.Now().UnixNano()
				l.take(m)
				l.due(b.Context(), time.Now())
				l.next()
				i++
			}
			if published-was != i {
				b.Fatalf("%d snapshots for %d events", published-was, i)
			}
		})
	}
}

// What a list costs that tells nothing new.
func BenchmarkListThatAgrees(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := crowd(n)
			l.due(b.Context(), time.Now())
			a := answer{isList: true, asOf: l.clock.Load()}
			for i := range n {
				a.rows = append(a.rows, fromList(someRow(i)))
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := l.listAnswered(a); err != nil || len(l.queue) > 0 {
					b.Fatalf("err %v, %d inspects", err, len(l.queue))
				}
			}
		})
	}
}

// crowd is a loop that knows n running containers and waits for nothing.
func crowd(n int) *loop {
	l := newLoop(&Config{Timing: Timing{Quiet: 1, Burst: 1}})
	for i := range n {
		row := fromList(someRow(i))
		l.compare(&row, 0)
	}
	l.queue, l.queued = nil, map[string]bool{}
	for i := range n {
		l.inspected(answer{id: someID(i), inspect: someInspect(i)})
	}
	l.listAt, l.strange = time.Now().Add(time.Hour), false
	return l
}

func someID(i int) string { return fmt.Sprintf("%016x%048d", 0x9e3779b97f4a7c15*uint64(i+1), i) }

var someStart = time.Now().Add(-90 * time.Minute).Truncate(time.Second).UTC()

func someLabels(i int) map[string]string {
	return map[string]string{
		projectLabel: fmt.Sprint("shop", i/4), serviceLabel: fmt.Sprint("web", i%4), "com.docker.compose.oneoff": "False",
		"fairlead.host": fmt.Sprintf("h%d.example.com", i), "fairlead.port": "8080",
	}
}

func someNetworks(i int) map[string]*network.EndpointSettings {
	return map[string]*network.EndpointSettings{"front": {
		NetworkID: "front", EndpointID: fmt.Sprint("endpoint", i), IPAddress: fmt.Sprintf("10.%d.%d.2", i/250, i%250), Gateway: "10.0.0.1"}}
}

func someRow(i int) container.Summary {
	c := container.Summary{ID: someID(i), Names: []string{fmt.Sprintf("/c%d", i)}, Labels: someLabels(i), Created: someStart.Unix(),
		State: "running", Status: "Up About an hour", Ports: []container.Port{{PrivatePort: 8080, Type: "tcp"}},
		NetworkSettings: &container.NetworkSettingsSummary{Networks: someNetworks(i)}}
	c.HostConfig.NetworkMode = "front"
	return c
}

func someInspect(i int) container.InspectResponse {
	return container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: someID(i), Name: fmt.Sprintf("/c%d", i), Created: stamp(someStart),
			State:      &container.State{Status: "running", StartedAt: stamp(someStart)},
			HostConfig: &container.HostConfig{NetworkMode: "front"},
		},
		Config:          &container.Config{Labels: someLabels(i)},
		NetworkSettings: &container.NetworkSettings{Networks: someNetworks(i)},
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
