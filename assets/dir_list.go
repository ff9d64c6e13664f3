package assets

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// MaxList is how many entries of a directory are read at most for a list.
const MaxList = 10_000

// ErrCut comes with a list that does not have everything: the directory has more
// than MaxList entries.
var ErrCut error = &treeError{"the directory has too many entries to be listed"}

// listStep is how many entries are read at a time.
const listStep = 500

// List returns what the directory name has, by name: regular files, directories,
// and links to such inside of the tree, those that may not be read too. With
// ErrCut there is a list all the same, of those that the file system told first.
func (d *Dir) List(name string) ([]File, error) {
	if !validName(name) {
		return nil, fs.ErrNotExist
	}
	for l := d.look(lookAgain); ; {
		if l.root == nil {
			return nil, l.err
		}
		list, err := listIn(l.root, name)
		if err == nil || err == ErrCut {
			slices.SortFunc(list, byName)
			return list, err
		}
		if l = d.lookPast(l); l == nil {
			return nil, refused("list", name, err)
		}
	}
}

func byName(a, b File) int { return cmp.Compare(a.Name, b.Name) }

// listIn reads the directory name in root.
func listIn(root *os.Root, name string) ([]File, error) {
	dir, err := root.OpenFile(local(name), openDir, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	prefix := name + "/"
	if name == "" {
		prefix = ""
	}
	var list []File
	for read := 0; ; {
		infos, err := dir.Readdir(min(listStep, MaxList+1-read))
		for _, info := range infos {
			if read++; read > MaxList {
				return list, ErrCut
			}
			if f, ok := entryOf(root, prefix, info); ok {
				list = append(list, f)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, err
		}
	}
}

// entryOf returns what info, of an entry and not of what it links to, stands for.
func entryOf(root *os.Root, prefix string, info fs.FileInfo) (File, bool) {
	name := prefix + info.Name()
	if !validSegment(info.Name()) || len(name) > maxName {
		return File{}, false
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if info, err = root.Stat(name); err != nil {
			return File{}, false
		}
	}
	return fileOf(name, info)
}
