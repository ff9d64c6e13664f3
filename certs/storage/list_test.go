package storage

import (
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// List returns the names below the directory prefix, "." for all, in order.
func (s *Store) List(prefix string) []string {
	found := map[string]bool{}
	// Nothing is found where nothing can be read: whoever gets a file is told.
	s.walk(prefix, func(_ *os.Root, name string, d fs.DirEntry) error {
		found[name] = d.Type().IsRegular() && check(name) == nil
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.unsaved {
		if prefix == "." || strings.HasPrefix(name, prefix+"/") {
			found[name] = c.data != nil
		}
	}
	maps.DeleteFunc(found, func(_ string, there bool) bool { return !there })
	return slices.Sorted(maps.Keys(found))
}
