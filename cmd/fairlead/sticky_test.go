package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
)

func TestKeyOfStickyCookiesIsKept(t *testing.T) {
	dir := t.TempDir()
	first := stickyKey(dir, zerolog.Nop())
	if again := stickyKey(dir, zerolog.Nop()); len(first) != stickyKeySize || !bytes.Equal(first, again) {
		t.Errorf("got %x, then %x; want the same %d bytes", first, again, stickyKeySize)
	}
	file := filepath.Join(dir, "sticky.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v; want 0600", info, err)
	}
	if err := os.WriteFile(file, []byte(`{"key": "c2hvcnQ="}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if fresh := stickyKey(dir, zerolog.New(&log)); len(fresh) != stickyKeySize || bytes.Equal(fresh, first) {
		t.Errorf("a short key in the file: got %x, want a new one", fresh)
	}
	if err := os.WriteFile(file, []byte(`{"key": `), 0o600); err != nil {
		t.Fatal(err)
	}
	if stickyKey(dir, zerolog.New(&log)); !bytes.Contains(log.Bytes(), []byte("could not be read")) {
		t.Errorf("a broken file: logged %s", log.Bytes())
	}
}
