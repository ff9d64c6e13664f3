package storage

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestKilledInMidWriting(t *testing.T) {
	dir := t.TempDir()
	for i := range 50 {
		cmd := child(t, asWriter+"="+dir)
		<-time.After(time.Duration(rand.IntN(15_000)) * time.Microsecond)
		kill(cmd)
		s := Open(dir, zerolog.Nop())
		if got, err := s.Get("certs/a.pem"); err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !whole(got) {
			t.Fatalf("after kill %d: %d bytes, %v, want a whole file", i, len(got), err)
		}
		if left := files(t, dir, tempMark+"*"); len(left) > 0 {
			t.Fatalf("after kill %d half-written files are left: %q", i, left)
		}
	}
	if _, err := Open(dir, zerolog.Nop()).Get("certs/a.pem"); err != nil {
		t.Errorf("after fifty runs nothing was written: %v", err)
	}
}

func TestLocks(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir, zerolog.Nop())
	holder := child(t, asHolder+"="+dir)
	taken := func(who string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
		defer cancel()
		if _, err := s.Lock(ctx, "orders"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock while %s has it: %v, want it to wait until its context ends", who, err)
		}
	}
	taken("another process")
	other, err := s.Lock(t.Context(), "other")
	if err != nil {
		t.Fatalf("Lock of another name: %v", err)
	}
	other()
	kill(holder)
	unlock, err := s.Lock(t.Context(), "orders")
	if err != nil {
		t.Fatalf("Lock after the other process was killed: %v", err)
	}
	taken("this process")
	unlock()
	if unlock, err = s.Lock(t.Context(), "orders"); err != nil {
		t.Fatalf("Lock after unlock: %v", err)
	}
	unlock()
	if got := s.List("."); len(got) != 0 {
		t.Errorf("List = %q, want no locks", got)
	}
}

func TestWhoWaitsForALockGetsIt(t *testing.T) {
	s := Open(t.TempDir(), zerolog.Nop())
	unlock, err := s.Lock(t.Context(), "hosts/a")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		unlock, err := s.Lock(t.Context(), "hosts/a")
		if err == nil {
			unlock()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("the second Lock returned (%v) while the first was held", err)
	case <-time.After(2 * lockEvery):
	}
	unlock()
	select {
	case err := <-got:
		if err != nil {
			t.Errorf("the second Lock: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the second Lock did not return within 20 s of the first's end")
	}
}

func TestWithoutADirectoryLocksAreGiven(t *testing.T) {
	s := Open(filepath.Join(blocked(t), "below"), zerolog.Nop())
	unlock, err := s.Lock(t.Context(), "orders")
	if err != nil {
		t.Fatalf("Lock: %v, want it given", err)
	}
	unlock()
}
