package files

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/fairlead/fairlead/assets"
)

// An item is what a listing says of a file. As JSON it is what nginx writes with
// autoindex_format json.
type item struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // "file" or "directory"
	Modified string `json:"mtime,omitempty"`
	Size     *int64 `json:"size,omitempty"` // of a file

	when time.Time
}

// list answers with what the directory of the name has. outer is the path as the
// client knows it.
func (j *job) list(outer string) {
	a, rel := j.h.in(j.name)
	found, err := a.Tree.List(rel)
	cut := errors.Is(err, assets.ErrCut)
	if err != nil && !cut {
		j.fail(err)
		return
	}
	items := j.items(found)
	kind, body := "text/html; charset=utf-8", []byte(nil)
	if accept := strings.Join(j.r.Header["Accept"], ","); strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html") {
		kind = "application/json"
		body, _ = json.Marshal(items)
		body = append(body, '\n')
	} else {
		body = page(outer, j.name != "", cut, items)
	}
	h := j.w.Header()
	h["Content-Type"], h["Content-Length"] = []string{kind}, []string{strconv.Itoa(len(body))}
	h["Cache-Control"], h["X-Content-Type-Options"] = revalidate, nosniff
	h["Content-Security-Policy"] = []string{"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"}
	addVary(h, []string{"Accept"})
	j.w.WriteHeader(http.StatusOK)
	if j.r.Method != http.MethodHead {
		if _, err := j.w.Write(body); err != nil {
			j.done(nil, content{}, err)
		}
	}
}

// items returns those of found that are served, and the areas that lie in the
// directory: directories first, by name.
func (j *job) items(found []assets.File) []item {
	items := []item{}
	seen := map[string]bool{}
	add := func(f assets.File) {
		base := f.Name[strings.LastIndexByte(f.Name, '/')+1:]
		if base == "" || seen[base] || barredSegment(base, j.name == "") || !f.Dir && isScript(base) {
			return
		}
		seen[base] = true
		it := item{Name: base, Type: "file", when: f.Modified}
		if f.Dir {
			it.Type = "directory"
		} else {
			it.Size = &f.Size
		}
		if f.Modified.Unix() > 1 {
			it.Modified = f.Modified.UTC().Format(http.TimeFormat)
		}
		items = append(items, it)
	}
	for _, a := range j.h.areas {
		dir, base := "", a.Below
		if i := strings.LastIndexByte(a.Below, '/'); i >= 0 {
			dir, base = a.Below[:i], a.Below[i+1:]
		}
		switch {
		case base == "" || dir != j.name:
		case a.Tree == nil:
			seen[base] = true
		default:
			add(assets.File{Name: base, Dir: true})
		}
	}
	for _, f := range found {
		add(f)
	}
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return items
}

// style is that of a listing, for eyes in light and dark.
const style = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#223;background:#fff}` +
	`h1{font-size:1.3rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}th{font-weight:600;text-align:left;color:#667}td,th{padding:.3rem .6rem;border-bottom:1px solid #e4e6ea}` +
	`td:first-child{overflow-wrap:anywhere}.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;color:#667}a{color:#0b5cad;text-decoration:none}a:hover{text-decoration:underline}` +
	`tr:hover td{background:#f4f6f9}@media(prefers-color-scheme:dark){body{background:#16181d;color:#dde}td,th{border-color:#2b2f38}th,.n{color:#99a}a{color:#7ab8f5}tr:hover td{background:#1e2128}}`

// page is a listing for people. Names come from containers: as text they are
// escaped, and as links they begin with "./", or one could be a javascript: URL.
func page(path string, parent, cut bool, items []item) []byte {
	shown, err := url.PathUnescape(path)
	if err != nil {
		shown = path
	}
	title := "Index of " + html.EscapeString(strings.ToValidUTF8(shown, "�"))
	var b strings.Builder
	b.WriteString("<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content='width=device-width'>\n<title>" + title +
		"</title>\n<style>" + style + "</style>\n<h1>" + title + "</h1>\n<table>\n<thead><tr><th>Name<th class=n>Size<th class=n>Modified (UTC)</thead>\n<tbody>\n")
	if parent {
		b.WriteString("<tr><td><a href=\"../\">../</a><td class=n><td class=n>\n")
	}
	for _, it := range items {
		slash, size, when := "", "", ""
		switch it.Type {
		case "directory":
			slash = "/"
		default:
			size = units.BytesSize(float64(*it.Size))
		}
		if it.Modified != "" {
			when = it.when.UTC().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(&b, "<tr><td><a href=\"./%s%s\">%s%s</a><td class=n>%s<td class=n>%s\n", html.EscapeString(url.PathEscape(it.Name)), slash, html.EscapeString(it.Name), slash, size, when)
	}
	b.WriteString("</tbody>\n</table>\n")
	if cut {
		b.WriteString("<p>There are more files than are listed.</p>\n")
	}
	if len(items) == 0 {
		b.WriteString("<p>There are no files here.</p>\n")
	}
	b.WriteString("</html>\n")
	return []byte(b.String())
}
