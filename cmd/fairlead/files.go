package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/fairlead/fairlead/assets"
	"github.com/fairlead/fairlead/discovery"
	"github.com/fairlead/fairlead/routing/backend"
)

// fetchFiles reads a directory of a container from the engine.
func (p *process) fetchFiles(ctx context.Context, id, path string) (io.ReadCloser, error) {
	r, err := p.engine.Archive(ctx, id, path)
	if errors.Is(err, discovery.ErrNoPath) {
		return nil, fs.ErrNotExist
	}
	return r, err
}

// filesLines says where the files of a route come from, a line for each directory
// and mount; nil without files.
func filesLines(v *backend.FilesView) (lines []string) {
	if v == nil {
		return nil
	}
	for _, a := range v.Areas {
		at := "files in " + strings.TrimSuffix(v.Dir, "/")
		if a.Below != "" {
			at += "/" + a.Below
		}
		line := at + ": " + a.Source
		if a.From != "" {
			line += " (" + a.From + ")"
		}
		if what := contentOf(&a); what != "" {
			line += ", " + what
		}
		lines = append(lines, line)
	}
	return lines
}

// contentOf says what is there: "214 files, 3.1MB, copied 5 minutes ago out of shop-web-1".
func contentOf(a *backend.AreaView) string {
	text := ""
	switch age := age(a.Since); {
	case a.State == assets.Waiting:
		text = "waits for a container to be ready"
	case a.State == assets.Copying:
		text = fmt.Sprintf("being copied out of %s for %s, %s so far", a.Container, age, units.BytesSize(float64(a.Bytes)))
	case a.State == assets.Ready && a.Container != "":
		text = fmt.Sprintf("%s, copied %s ago out of %s", amount(a), age, a.Container)
	case a.State == assets.Ready && a.Files > 0:
		text = fmt.Sprintf("%s, the newest changed %s ago", amount(a), age)
	case a.State == assets.Ready:
		text = "no files"
	}
	if a.Retained > 0 {
		text += fmt.Sprintf("; and those of %d former copies", a.Retained)
	}
	if a.Fault != nil {
		text = strings.TrimPrefix(text+"; "+cmp.Or(a.Fault.Container, "it")+" "+a.Fault.Message, "; ")
	}
	return text
}

func age(since time.Time) string { return strings.ToLower(units.HumanDuration(time.Since(since))) }

func amount(a *backend.AreaView) string {
	text := fmt.Sprintf("%d files, %s", a.Files, units.BytesSize(float64(a.Bytes)))
	if a.Files == 1 {
		text = "1 file, " + units.BytesSize(float64(a.Bytes))
	}
	if a.More {
		return "more than " + text
	}
	return text
}
