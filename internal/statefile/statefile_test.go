package statefile

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatWasSavedIsLoaded(t *testing.T) {
	f := File(filepath.Join(t.TempDir(), "state.json"))
	want := map[string]int{"a": 1, "b": 2}
	for range 2 { // the second over the first
		if err := f.Save(want); err != nil {
			t.Fatal(err)
		}
	}
	var got map[string]int
	if aside, err := f.Load(&got); aside != "" || err != nil || !maps.Equal(got, want) {
		t.Errorf("loaded %v, set aside %q, error %v; want %v", got, aside, err, want)
	}
	info, err := os.Stat(string(f))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(string(f)), ".*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestNoFileIsNothing(t *testing.T) {
	got := map[string]int{"a": 1}
	if aside, err := File(filepath.Join(t.TempDir(), "none", "state.json")).Load(&got); aside != "" || err != nil || got["a"] != 1 {
		t.Errorf("loaded %v, set aside %q, error %v; want what was there before", got, aside, err)
	}
}

func TestAFileThatMakesNoSenseIsSetAside(t *testing.T) {
	f := File(filepath.Join(t.TempDir(), "state.json"))
	for _, text := range []string{"", "{", "[]", "\x00\x00"} {
		if err := os.WriteFile(string(f), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		aside, err := f.Load(&map[string]int{})
		if kept, _ := os.ReadFile(aside); err == nil || string(kept) != text {
			t.Errorf("%q: set aside %q with %q, error %v; want it kept and an error", text, aside, kept, err)
		}
		if _, err := os.Stat(string(f)); err == nil {
			t.Errorf("%q: it is still there", text)
		}
	}
}

func TestASaveThatFailsLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	f := File(filepath.Join(dir, "state.json"))
	if err := f.Save(1); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(func() {}); err == nil {
		t.Error("saved what has no JSON")
	}
	if err := File(filepath.Join(dir, "none", "state.json")).Save(2); err == nil {
		t.Error("saved into a directory that is not there")
	}
	if err := os.MkdirAll(filepath.Join(dir, "taken.json", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := File(filepath.Join(dir, "taken.json")).Save(3); err == nil {
		t.Error("saved over a directory")
	}
	var got int
	if _, err := f.Load(&got); err != nil || got != 1 {
		t.Errorf("loaded %d (%v), want the 1 from before", got, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestWhatASaveCutShortLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, ".state-123"), filepath.Join(dir, ".claims-123")
	for _, name := range []string{mine, other} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := File(filepath.Join(dir, "state.json")).Load(new(int)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine); err == nil {
		t.Error("the file of a save that was cut short is still there")
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("the file of another name: %v, want it left alone", err)
	}
}
