package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A made is a file that the app makes before it listens, as one does that
// collects its static files at start.
type made struct {
	path, text string
	size       int64 // in place of text, so many bytes; -1 for text
}

// parseMade reads one file a line: PATH=TEXT, or PATH:SIZE for so many bytes,
// with k or m behind them.
func parseMade(list string) ([]made, error) {
	var all []made
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		i := strings.IndexAny(line, "=:")
		if i < 1 || line[0] != '/' {
			return nil, fmt.Errorf("%q is neither /PATH=TEXT nor /PATH:SIZE", line)
		}
		m := made{path: line[:i], text: line[i+1:], size: -1}
		if line[i] == ':' {
			var err error
			if m.size, err = parseSize(m.text); err != nil {
				return nil, fmt.Errorf("read the size of %s: %w", m.path, err)
			}
		}
		all = append(all, m)
	}
	return all, nil
}

func parseSize(text string) (int64, error) {
	digits, unit := text, int64(1)
	if short, ok := strings.CutSuffix(text, "k"); ok {
		digits, unit = short, 1<<10
	} else if short, ok := strings.CutSuffix(text, "m"); ok {
		digits, unit = short, 1<<20
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no number of bytes", text)
	}
	return n * unit, nil
}

// makeAll makes the files and the directories they lie in.
func makeAll(list string) error {
	all, err := parseMade(list)
	if err != nil {
		return err
	}
	for _, m := range all {
		var content io.Reader = strings.NewReader(m.text)
		if m.size >= 0 {
			content = io.LimitReader(endless{}, m.size)
		}
		if err := writeFile(m.path, content); err != nil {
			return err
		}
	}
	return nil
}

// writeFile replaces a file as a whole: nobody sees half of it.
func writeFile(path string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// store keeps what is sent to /store/NAME by PUT as a file, an upload, and
// removes it by DELETE.
func (a *app) store(w http.ResponseWriter, r *http.Request, name string) {
	if !filepath.IsLocal(name) || filepath.Clean(name) == "." {
		http.Error(w, "that is not the name of a file", http.StatusBadRequest)
		return
	}
	path := filepath.Join(a.cfg.store, name)
	var err error
	switch r.Method {
	case http.MethodPut:
		var body []byte
		if body, err = io.ReadAll(r.Body); err == nil {
			err = writeFile(path, bytes.NewReader(body))
		}
	case http.MethodDelete:
		err = os.Remove(path)
	default:
		http.Error(w, "PUT and DELETE only", http.StatusMethodNotAllowed)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
