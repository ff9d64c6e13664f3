package assets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestListIsOfFilesAndDirectories(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	put(t, outer, map[string]string{
		"secret": "secret", "root/b.js": "bb", "root/a/x.css": "x", "root/.git/HEAD": "ref",
		"root/odd\\name": "x", "root/Z": "", "root/link": "-> a/x.css", "root/dir": "-> a",
		"root/out": "-> ../secret", "root/dangling": "-> none", "root/a/up": "-> ../b.js", "root/a/upper": "-> ../../secret",
	})
	d := live(t, root)
	for name, want := range map[string][]string{
		"":        {".git/", "Z 0", "a/", "b.js 2", "dir/", "link 1"},
		"a":       {"a/up 2", "a/x.css 1"},
		"dir":     {"dir/up 2", "dir/x.css 1"},
		".git":    {".git/HEAD 3"},
		"b.js":    nil,
		"none":    nil,
		"..":      nil,
		"out":     nil,
		"a/../..": nil,
	} {
		list, err := d.List(name)
		if want == nil {
			if !errors.Is(err, fs.ErrNotExist) || list != nil {
				t.Errorf("list of %q is %v, %v, want nothing there", name, list, err)
			}
			continue
		}
		var got []string
		for _, f := range list {
			if f.Dir {
				got = append(got, f.Name+"/")
			} else {
				got = append(got, fmt.Sprint(f.Name, " ", f.Size))
			}
			if same, err := d.Stat(f.Name); err != nil || same != f {
				t.Errorf("listed %+v, Stat gives %+v, %v", f, same, err)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("list of %q is %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestListOfAHugeDirectoryIsCut(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"000000": "x"})
	add := func(i int) {
		t.Helper()
		if err := os.Link(filepath.Join(root, "000000"), filepath.Join(root, fmt.Sprintf("%06d", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < MaxList; i++ {
		add(i)
	}
	d := live(t, root)
	if list, err := d.List(""); err != nil || len(list) != MaxList {
		t.Errorf("a list of %d, %v, want all %d", len(list), err, MaxList)
	}
	add(MaxList)
	list, err := d.List("")
	if err != ErrCut || len(list) != MaxList || !slices.IsSortedFunc(list, byName) {
		t.Errorf("a list of %d, %v, want %d in order, %v", len(list), err, MaxList, ErrCut)
	}
}
