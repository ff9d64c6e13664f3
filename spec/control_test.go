package spec

import (
	"maps"
	"slices"
	"testing"
	"time"
)

func TestOnlyTheOwnerOfAnOrderIsReadAgain(t *testing.T) {
	order := map[string]Order{app(3).ID: {Since: epoch}, app(99).ID: {Since: epoch}, "project-app00007/web": {Since: epoch}, "none": {Since: epoch}}
	p := NewParser(testConfig())
	snap := apps(20)
	before := p.Parse(snap)
	for at, step := range []struct {
		control *Control
		changed []int
	}{
		{&Control{Drained: order}, []int{3}},
		{&Control{Drained: order, Maintenance: order}, []int{7}},
		{&Control{Maintenance: order}, []int{3}},
		{&Control{Maintenance: maps.Clone(order)}, nil},
		{nil, []int{7}},
		{&Control{}, nil},
	} {
		snap.Control = step.control
		after := p.Parse(snap)
		for i := range before.Units {
			if same := before.Units[i] == after.Units[i]; same == slices.Contains(step.changed, i) {
				t.Errorf("step %d, unit %d: got the same pointer %v, want %v", at, i, same, !same)
			}
		}
		before = after
	}
}

func TestAnEqualControlIsNotLookedInto(t *testing.T) {
	p := NewParser(testConfig())
	snap := apps(3)
	snap.Control = &Control{Drained: map[string]Order{app(1).ID: {Since: epoch}}}
	before := p.Parse(snap)
	delete(snap.Control.Drained, app(1).ID) // which nobody may do
	if after := p.Parse(snap); !slices.Equal(before.Units, after.Units) {
		t.Error("an equal pointer was looked into")
	}
}

func TestEndOfAnOrder(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for want, o := range map[string]Order{
		"undo":                    {Since: epoch},
		"2026-01-01 00:30:00 UTC": {Since: epoch, Until: time.Date(2026, 1, 1, 1, 30, 0, 500, zone)},
	} {
		if got := o.End("undo"); got != want {
			t.Errorf("%+v ends %q, want %q", o, got, want)
		}
	}
}
