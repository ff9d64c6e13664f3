package spec

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/label"
)

// What static.source may be.
const (
	sourceAuto    = "auto"
	sourceVolume  = "volume"
	sourceArchive = "archive"
)

// A staticItem is the beginning of a URL path, and the directory it stands for.
type staticItem struct{ Prefix, Dir string }

type staticOptions struct {
	Items    []staticItem
	Source   string
	Cache    FilesCache
	Fallback string // "": FallbackUpstream if the route has a pool, else FallbackNone
	Index    string // "" for none
	List     bool
	Retain   time.Duration
}

const (
	defaultIndex  = "index.html"
	defaultRetain = 24 * time.Hour
	maxRetain     = 90 * 24 * time.Hour
	maxItems      = 32                        // prefixes of one route: each becomes one
	maxCacheAge   = 10 * 365 * 24 * time.Hour // caches take less for granted, and ten years for ever
)

var _ = register(label.Declare(label.Kind{
	Name: "static", Section: label.SectionStatic, Slot: label.Match, Inherit: label.Own,
	Doc: "Files straight out of the container.",
}, checkStatic,
	label.Def[staticOptions]{
		Value:   label.List(func(o *staticOptions) *[]staticItem { return &o.Items }, parseStaticItem),
		Doc:     "`URL-prefix:container-path`: requests below the prefix, on all hosts of the route, are answered with the files below a directory of the app's container, by the policies of the route. The app gets what is not there.",
		Example: "/static/:/app/staticfiles", Nginx: "location, alias",
	},
	label.Def[staticOptions]{
		Name: "source", Value: label.Choice(func(o *staticOptions) *string { return &o.Source }, []string{sourceAuto, sourceVolume, sourceArchive}), Default: sourceAuto,
		Doc:     "`volume`: read live from the volume or bind mount that the directory lies on and the proxy has too. `archive`: copied out of each container once it is ready, with the volumes mounted below it, but no bind mounts. `auto`: `volume` on a mount, `archive` elsewhere; nothing that lies on a mount is copied, and what the proxy does not have goes to the app.",
		Example: sourceVolume,
	},
	label.Def[staticOptions]{
		Name: "cache", Value: label.Value[staticOptions]{Type: "duration, `immutable` behind it, or off", Off: true, Form: cacheForm(), Set: parseFilesCache},
		Doc:     "How long clients and caches may keep a file unasked, 1s to 10y. `off`: no `Cache-Control`. Without it: names with a fingerprint (`app.3f9c2a1b.js`) `1y immutable`, others are revalidated.",
		Example: "1y immutable", Nginx: "expires",
	},
	label.Def[staticOptions]{
		Name: "fallback", Value: label.Text(func(o *staticOptions) *string { return &o.Fallback }, checkFallback),
		Doc:     "What answers for a file that is not there: `upstream` (the app), `404`, or a file below the directory, for page loads alone: `/index.html` for a single-page app. Default: `upstream` where there is one, else `404`.",
		Example: "/index.html", Nginx: "try_files",
	},
	label.Def[staticOptions]{
		Name: "index", Value: label.Value[staticOptions]{Type: "file name or off", Off: true, Set: parseIndex}, Default: defaultIndex,
		Doc: "The file that a directory is answered with.", Example: "index.htm", Nginx: "index",
	},
	label.Def[staticOptions]{
		Name: "list", Value: label.Bool(func(o *staticOptions) *bool { return &o.List }), Default: "false",
		Doc: "Whether a directory without such a file is listed.", Example: "true", Nginx: "autoindex",
	},
	label.Def[staticOptions]{
		Name: "retain", Value: label.Duration(func(o *staticOptions) *time.Duration { return &o.Retain }, 0, maxRetain), Default: "24h",
		Doc: "How long copied files of replaced containers stay reachable, 0 to 90d, so that pages opened before a deploy find what they name.", Example: "7d",
	},
))

// staticSettings returns what the labels of a route say of its files.
func staticSettings(opts label.Options) staticOptions {
	if o, ok := label.Get[staticOptions](opts, "static"); ok {
		return o
	}
	return staticOptions{Source: sourceAuto, Index: defaultIndex, Retain: defaultRetain}
}

func checkStatic(o *staticOptions) error {
	if len(o.Items) > maxItems {
		return &label.ValueError{Code: "out-of-range", Msg: fmt.Sprintf("has more than %d items", maxItems)}
	}
	seen := map[string]bool{}
	for _, item := range o.Items {
		// /static and /static/ are one place too.
		place := strings.TrimSuffix(item.Prefix, "/")
		if seen[place] {
			return &label.ValueError{Msg: "names the prefix " + label.Shown(item.Prefix) + " twice: it can stand for one directory only"}
		}
		seen[place] = true
	}
	return nil
}

func parseStaticItem(text string) (staticItem, error) {
	prefix, dir, ok := strings.Cut(text, ":")
	if !ok || prefix == "file" || len(prefix) == 1 && prefix != "/" {
		return staticItem{}, lacksPrefix(text)
	}
	prefix, dir = strings.TrimSpace(prefix), strings.TrimSpace(dir)
	p, err := parsePath(prefix)
	var wrong *label.ValueError
	switch {
	case errors.As(err, &wrong):
		return staticItem{}, &label.ValueError{Code: wrong.Code, Msg: "names a URL prefix that " + wrong.Msg, Suggest: behind(wrong.Suggest, behind(":", dir))}
	case p.Kind == ExactPath:
		return staticItem{}, &label.ValueError{Msg: "names an exact path where a URL prefix belongs", Suggest: p.Text + ":" + dir}
	case p.Kind != PathPrefix:
		return staticItem{}, &label.ValueError{Msg: "names an expression where a plain URL prefix belongs"}
	}
	clean, err := containerDir(dir)
	if errors.As(err, &wrong) {
		return staticItem{}, &label.ValueError{Code: wrong.Code, Msg: "names a path that " + wrong.Msg, Suggest: behind(prefix+":", wrong.Suggest)}
	}
	return staticItem{p.Text, clean}, nil
}

// lacksPrefix says what is wrong with text, which is a path at best.
func lacksPrefix(text string) error {
	q := &label.ValueError{Msg: "is not a URL prefix and a path in the app's container, with a colon between them"}
	dir, err := containerDir(text)
	var wrong *label.ValueError
	if errors.As(err, &wrong) {
		q.Code, dir = wrong.Code, wrong.Suggest
		if strings.ContainsAny(text, `/\`) {
			q.Msg = "names no URL prefix, and a path that " + wrong.Msg
		}
	}
	if dir != "" && strings.Contains(text, "/") {
		q.Suggest = "/" + path.Base(dir) + "/:" + dir
	}
	return q
}

// behind returns front and rest, "" if one of them is.
func behind(front, rest string) string {
	if front == "" || rest == "" {
		return ""
	}
	return front + rest
}

// containerDir reads the path of a directory in a container. A slash at its end
// says nothing.
func containerDir(text string) (string, error) {
	inside, scheme := strings.CutPrefix(text, "file:")
	switch {
	case text == "":
		return "", &label.ValueError{Msg: "is empty"}
	case scheme:
		return "", &label.ValueError{Msg: "begins with file: as one in the proxy would; it is meant in the app's container", Suggest: "/" + strings.TrimLeft(inside, "/")}
	case strings.Contains(text, `\`) || len(text) > 1 && text[1] == ':':
		return "", &label.ValueError{Msg: "looks like one on a computer with Windows; it is meant in the app's container, and begins with /"}
	case len(text) > maxDir:
		return "", &label.ValueError{Msg: fmt.Sprintf("is longer than %d bytes", maxDir)}
	}
	clean := path.Clean("/" + text)
	if why := refusal(clean); why != "" {
		return "", &label.ValueError{Code: "static-refused", Msg: why + ": nothing of that is served"}
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(clean, ":ro"), ":rw")
	switch {
	case stem != clean:
		return "", &label.ValueError{Msg: "ends like a volume of a compose file; files are only ever read", Suggest: stem}
	case !strings.HasPrefix(text, "/"):
		return "", &label.ValueError{Msg: "does not begin with /: it is meant from the root of the app's container", Suggest: clean}
	case clean != strings.TrimSpace(clean):
		return "", &label.ValueError{Msg: "ends with a blank", Suggest: strings.TrimSpace(clean)}
	case clean != text && clean+"/" != text:
		return "", &label.ValueError{Msg: "has empty or dot segments", Suggest: clean}
	}
	return clean, nil
}

// maxDir bounds the path of a directory, in bytes, as Linux does (PATH_MAX).
const maxDir = 4096

// secretDirs are those whose content is nobody's to read from outside.
var secretDirs = []struct{ dir, has string }{
	{"/run", "secrets and sockets"}, {"/var/run", "secrets and sockets"}, {"/proc", "the memory and environment of processes"}, {"/sys", "the kernel's settings"}, {"/dev", "devices"},
}

// refusal says why files below dir are not served, whatever a label says; "" if
// they are.
func refusal(dir string) string {
	for _, s := range secretDirs {
		if _, ok := within(dir, s.dir); ok {
			return "is " + s.dir + " or lies in it, where " + s.has + " are"
		}
		if _, ok := within(s.dir, dir); ok {
			return "contains " + s.dir + ", where " + s.has + " are"
		}
	}
	return ""
}

// cacheForm is what parseFilesCache reads.
func cacheForm() label.Form {
	immutable := label.AnyCase("immutable")
	return label.Form{Words: []string{"1y immutable", "off"}, Range: "1s to 10y",
		Pattern: `(?:` + immutable + ` +)*(?:` + label.AnyCase(label.DurationPattern) + `)(?: +` + immutable + `)*|` + label.AnyCase("no")}
}

func parseFilesCache(o *staticOptions, _, text string) error {
	fields := strings.Fields(strings.ToLower(text))
	immutable := slices.Contains(fields, "immutable")
	fields = slices.DeleteFunc(fields, func(s string) bool { return s == "immutable" })
	switch {
	case len(fields) == 0:
		return &label.ValueError{Msg: "says not for how long", Suggest: "1y immutable"}
	case len(fields) > 1:
		return &label.ValueError{Msg: "is not a duration such as 30d, with immutable behind it where names never get other content, or off"}
	}
	if on, ok := label.ParseBool(fields[0]); ok && !on && fields[0] != "0" && !immutable {
		o.Cache = FilesCache{Set: true}
		return nil
	}
	age, err := label.ParseDuration(fields[0])
	switch {
	case err != nil:
		return err
	case age < time.Second || age > maxCacheAge:
		return &label.ValueError{Code: "out-of-range", Msg: "is outside 1s to 10y, and not off"}
	}
	o.Cache = FilesCache{Set: true, Age: age.Truncate(time.Second), Immutable: immutable}
	return nil
}

func checkFallback(text string) error {
	name, ok := strings.CutPrefix(text, "/")
	switch {
	case text == FallbackUpstream || text == FallbackNone:
		return nil
	case !ok:
		wrong := &label.ValueError{Msg: "is neither upstream nor 404 nor the path of a file below the directory, with a / in front"}
		if wrong.Suggest = label.Nearest(text, slices.Values([]string{FallbackUpstream, FallbackNone})); wrong.Suggest == "" && fileName(text) == "" {
			wrong.Suggest = "/" + text
		}
		return wrong
	case text == "/" || strings.HasSuffix(text, "/"):
		return &label.ValueError{Msg: "is a directory, not a file", Suggest: text + defaultIndex}
	case strings.ContainsAny(name, "?#"):
		return &label.ValueError{Msg: "has a ? or a #: it is the name of a file, not a URL"}
	}
	for segment := range strings.SplitSeq(name, "/") {
		if wrong := fileName(segment); wrong != "" {
			return &label.ValueError{Msg: wrong}
		}
	}
	return nil
}

func parseIndex(o *staticOptions, _, text string) error {
	if on, ok := label.ParseBool(text); ok && !on {
		o.Index = ""
		return nil
	}
	if strings.Contains(text, "/") {
		return &label.ValueError{Msg: "has a /: it is the name of a file in the directory that is asked for", Suggest: fileOrNothing(path.Base(text))}
	}
	if wrong := fileName(text); wrong != "" {
		return &label.ValueError{Msg: wrong}
	}
	o.Index = text
	return nil
}

func fileOrNothing(name string) string {
	if fileName(name) != "" {
		return ""
	}
	return name
}

// fileName says what is wrong with text as the name of a file that is served,
// "" if nothing.
func fileName(text string) string {
	switch {
	case text == "":
		return "has an empty segment"
	case text == "." || text == "..":
		return "has a dot segment"
	case text[0] == '.':
		return "is hidden: names that begin with a dot are never served"
	case len(text) > 255 || strings.ContainsAny(text, "\\\n\t/"):
		return "is not the name of a file"
	}
	return ""
}
