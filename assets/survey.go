package assets

import (
	"time"
)

// What Status.State may be.
const (
	Waiting = "waiting" // for a container to be ready, or for others to be copied
	Copying = "copying"
	Ready   = "ready"
	Failed  = "failed" // nothing is there, for the reason in Fault
)

// Survey counts the files of t and their bytes, up to a number of files and for
// a time; more tells that it did not come to the end. Since is when the newest
// changed.
func Survey(t Tree, most int, limit time.Duration) (s Status, more bool) {
	s.State = Ready
	end := time.Now().Add(limit)
	dirs := []string{""}
	for len(dirs) > 0 {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		if s.Files >= most || time.Now().After(end) {
			return s, true
		}
		list, err := t.List(dir)
		if err != nil && dir == "" {
			s.State = Failed
		}
		for _, f := range list {
			if f.Dir {
				dirs = append(dirs, f.Name)
				continue
			}
			s.Files++
			s.Bytes += f.Size
			if f.Modified.After(s.Since) {
				s.Since = f.Modified
			}
		}
	}
	return s, false
}
