// Package statefile keeps what is to outlive the process in one JSON file, which
// is written whole or not at all and readable by its owner alone.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A File is the path of one. Its directory must be there.
type File string

// unfinished matches the files that a Save cut short leaves: .claims-* of
// claims.json.
func (f File) unfinished() string {
	name := filepath.Base(string(f))
	return "." + strings.TrimSuffix(name, filepath.Ext(name)) + "-*"
}

// Load reads f into v, as json.Unmarshal does. Without a file it leaves v alone
// and returns no error. A file that cannot be read is set aside under the name
// it returns, "" if that fails too; v is then not to be used. What a Save cut
// short left is removed.
func (f File) Load(v any) (setAside string, err error) {
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(string(f)), f.unfinished())); err == nil {
		for _, name := range left {
			os.Remove(name)
		}
	}
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err == nil {
		return "", nil
	}
	setAside = string(f) + ".unreadable"
	if os.Rename(string(f), setAside) != nil {
		setAside = ""
	}
	return setAside, fmt.Errorf("read %s: %w", filepath.Base(string(f)), err)
}

// Save writes v to a temporary file, synced and then renamed.
func (f File) Save(v any) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(string(f)), f.unfinished())
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(string(f)), err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(data, '\n'))
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), string(f))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(string(f)), err)
	}
	return nil
}
