package main

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestTheProfileIsWholeWhenTheRunEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.prof")
	failed := errors.New("the run failed")
	if err := profiled(path, func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want the error of the run", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("the profile: %v", err)
	}
	if n, err := io.Copy(io.Discard, z); n == 0 || err != nil {
		t.Errorf("the profile has %d bytes, %v: want some and a whole file", n, err)
	}
}

func TestAProfileThatCannotBeWrittenStopsTheStart(t *testing.T) {
	started := false
	err := profiled(filepath.Join(t.TempDir(), "no", "cpu.prof"), func() error { started = true; return nil })
	if err == nil || started {
		t.Errorf("started: %v, error: %v: want an error and no start", started, err)
	}
}

func TestObjectsAreCounted(t *testing.T) {
	const n, late = 10_000, 200
	before, kept := heapAllocs(), make([]*[64]byte, n)
	for i := range kept {
		kept[i] = new([64]byte)
	}
	if got := heapAllocs() - before; got < n-late || kept[n-1] == nil {
		t.Errorf("got %d objects more, want %d at least", got, n-late)
	}
}
